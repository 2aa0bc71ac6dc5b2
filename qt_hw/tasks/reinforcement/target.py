"""The policies of Quantum-Train reinforcement learning: two dense layers that give logits.

The softmax belongs to the loss, which is more exact than the logarithm of a softmax.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict

import torch
from torch import nn

from qt_hw.errors import UnknownName
from qt_hw.tasks.family import Options, TargetFamily, TargetInfo

__all__ = ["FAMILY"]

_MOST = 65_536
_NAME = re.compile(r"policy-([1-9]\d*)-([1-9]\d*)-([1-9]\d*)")
_ACTIVATIONS: dict[str, type[nn.Module] | None] = {
    "none": None,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
}
_SOURCE = "CartPole_.ipynb and MiniGrid_5x5_L13.ipynb of Hon-Hai-Quantum-Computing/QuantumTrain"


def _sizes(name: str) -> tuple[int, int, int]:
    """Return inputs, hidden units and actions.

    >>> _sizes("policy-4-128-2")
    (4, 128, 2)
    """
    match = _NAME.fullmatch(str(name))
    if match is not None:
        n_in, hidden, n_out = (int(part) for part in match.groups())
        if max(n_in, hidden, n_out) <= _MOST:
            return n_in, hidden, n_out
    raise UnknownName("target", str(name), (*FAMILY.examples, FAMILY.said))


def _info(name: str, options: Options) -> TargetInfo:
    """Return what is known of a policy.

    >>> _info("policy-4-128-2", {}).n_weights, _info("policy-147-32-3", {}).n_weights
    (898, 4835)
    """
    if options:
        raise UnknownName(f"option of the target {name!r}", next(iter(options)), ())
    n_in, hidden, n_out = _sizes(name)
    return TargetInfo(
        name=name,
        n_weights=(n_in + 1) * hidden + (hidden + 1) * n_out,
        input_shape=(n_in,),
        activation="relu",
        source=_SOURCE,
    )


def _build(
    name: str, options: Options, generator: torch.Generator, activation: str | None
) -> nn.Module:
    _info(name, options)
    n_in, hidden, n_out = _sizes(name)
    chosen = "relu" if activation is None else activation
    if chosen not in _ACTIVATIONS:
        raise UnknownName("activation", str(chosen), tuple(_ACTIVATIONS))
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    layers["fc1"] = _linear(n_in, hidden, generator)
    if (kind := _ACTIVATIONS[chosen]) is not None:
        layers[chosen] = kind()
    layers["fc2"] = _linear(hidden, n_out, generator)
    return nn.Sequential(layers)


def _linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """Return a layer with torch's own initial values, drawn from ``generator``."""
    # Made without memory first: the constructor would draw from torch's global generator.
    layer = nn.Linear(n_in, n_out, device="meta", dtype=torch.float32).to_empty(device="cpu")
    bound = 1 / math.sqrt(n_in)
    nn.init.uniform_(layer.weight, -bound, bound, generator=generator)
    nn.init.uniform_(layer.bias, -bound, bound, generator=generator)
    return layer


def _narrower(name: str) -> list[str]:
    n_in, hidden, n_out = _sizes(name)
    return [f"policy-{n_in}-{width}-{n_out}" for width in range(1, hidden + 1)]


FAMILY = TargetFamily(
    examples=("policy-4-128-2", "policy-147-32-3"),
    pattern=_NAME.pattern,
    said="policy-I-H-A with I inputs, H hidden units and A actions",
    info=_info,
    build=_build,
    narrower=_narrower,
)
