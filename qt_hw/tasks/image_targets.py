"""The papers' networks for images, and a small dense one; made of ``torch.nn`` classes only.

An exported model therefore needs nothing of this package. Weights start by torch's default
rules, drawn from a given generator.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from qt_hw.errors import UnknownName
from qt_hw.tasks.family import Options, TargetFamily, TargetInfo

__all__ = ["FAMILY", "hidden_widths"]

Activation = type[nn.Module] | None
Widths = tuple[int, ...]

_ACTIVATIONS: dict[str, Activation] = {"none": None, "relu": nn.ReLU, "tanh": nn.Tanh}
_MOST = 4096
_NAME = re.compile(r"mlp-64-([1-9]\d*)-10|(cnn-mnist|cnn-cifar)((?:-[1-9]\d*)*)")
_SHAPES = {"mlp": (64,), "cnn-mnist": (1, 28, 28), "cnn-cifar": (3, 32, 32)}
_WIDTHS = {"cnn-mnist": (8, 12, 20), "cnn-cifar": (16, 32, 128, 64)}
_PAPER = "arXiv:2405.11304; published without activations, pooling is its non-linearity"


def hidden_widths(name: str) -> Widths:
    """Return the channels of the convolutions, then the units of the hidden dense layers.

    Raises:
        UnknownName: There is no such target.

    >>> hidden_widths("cnn-mnist"), hidden_widths("cnn-mnist-4-6-10"), hidden_widths("mlp-64-8-10")
    ((8, 12, 20), (4, 6, 10), (8,))
    """
    return _read(name)[1]


def _read(name: str) -> tuple[str, Widths]:
    """Return the kind of network and its widths."""
    match = _NAME.fullmatch(str(name))
    if match is not None:
        kind = match[2] or "mlp"
        text = match[1] or match[3].lstrip("-")
        widths = tuple(int(part) for part in text.split("-")) if text else _WIDTHS[kind]
        if len(widths) == len(_WIDTHS.get(kind, (1,))) and max(widths) <= _MOST:
            return kind, widths
    raise UnknownName("target", str(name), (*FAMILY.examples, FAMILY.said))


def _info(name: str, options: Options) -> TargetInfo:
    if options:
        raise UnknownName(f"option of the target {name!r}", next(iter(options)), ())
    kind, _ = _read(name)
    dense = kind == "mlp"
    return TargetInfo(
        name=name,
        n_weights=sum(p.numel() for p in _unallocated(name, None).parameters()),
        input_shape=_SHAPES[kind],
        activation="relu" if dense else "none",
        source="a small dense network for 8x8 images" if dense else _PAPER,
    )


def _build(
    name: str, options: Options, generator: torch.Generator, activation: str | None
) -> nn.Module:
    _info(name, options)
    # Built without memory first: the constructors of torch would draw from its global generator.
    network = _unallocated(name, activation).to_empty(device="cpu")
    _initialise(network, generator)
    return network


def _narrower(name: str) -> list[str]:
    """Return the name of every network with ``ceil(factor · width)`` in its hidden layers."""
    kind, full = _read(name)
    # Each ratio is where one of the layers has its next width; as whole numbers they are exact.
    ratios = {(k, width) for width in full for k in range(1, width + 1)}
    ordered = sorted(ratios, key=lambda ratio: ratio[0] / ratio[1])
    found = [tuple(-(-k * width // of) for width in full) for k, of in ordered]
    if kind == "mlp":
        return [f"mlp-64-{width}-10" for (width,) in dict.fromkeys(found)]
    return ["-".join((kind, *map(str, widths))) for widths in dict.fromkeys(found)]


def _unallocated(name: str, activation: str | None) -> nn.Module:
    """Return a target without memory for its weights."""
    kind, widths = _read(name)
    chosen = ("relu" if kind == "mlp" else "none") if activation is None else activation
    if chosen not in _ACTIVATIONS:
        raise UnknownName("activation", str(chosen), tuple(_ACTIVATIONS))
    return _BUILDERS[kind](_ACTIVATIONS[chosen], widths)


def _mlp(activation: Activation, widths: tuple[int, ...]) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    (hidden,) = widths
    _add(layers, "fc1", _linear(64, hidden), activation)
    layers["fc2"] = _linear(hidden, 10)
    return nn.Sequential(layers)


def _cnn(
    activation: Activation, widths: tuple[int, ...], *, n_in: int, padding: int, positions: int
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    channels, dense = (n_in, *widths[:2]), (positions * widths[1], *widths[2:], 10)
    for k, (before, after) in enumerate(pairwise(channels), start=1):
        _add(layers, f"conv{k}", _conv(before, after, padding), activation)
        layers[f"pool{k}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    for k, (before, after) in enumerate(pairwise(dense), start=1):
        last = k == len(dense) - 1
        _add(layers, f"fc{k}", _linear(before, after), None if last else activation)
    return nn.Sequential(layers)


def _add(
    layers: OrderedDict[str, nn.Module],
    name: str,
    layer: nn.Module,
    activation: Activation,
) -> None:
    layers[name] = layer
    if activation is not None:
        layers[f"{name}_{activation.__name__.lower()}"] = activation()


def _linear(n_in: int, n_out: int) -> nn.Module:
    return nn.Linear(n_in, n_out, device="meta", dtype=torch.float32)


def _conv(n_in: int, n_out: int, padding: int) -> nn.Module:
    return nn.Conv2d(n_in, n_out, 5, padding=padding, device="meta", dtype=torch.float32)


def _initialise(network: nn.Module, generator: torch.Generator) -> None:
    """Draw what ``reset_parameters`` of torch's linear and convolution layers would draw."""
    for layer in network.modules():
        if isinstance(layer, nn.Linear | nn.Conv2d):
            nn.init.kaiming_uniform_(layer.weight, a=math.sqrt(5), generator=generator)
            if layer.bias is not None:
                bound = 1 / math.sqrt(layer.weight[0].numel())
                nn.init.uniform_(layer.bias, -bound, bound, generator=generator)


_BUILDERS: dict[str, Callable[[Activation, Widths], nn.Module]] = {
    "mlp": _mlp,
    "cnn-mnist": partial(_cnn, n_in=1, padding=0, positions=16),
    "cnn-cifar": partial(_cnn, n_in=3, padding=2, positions=64),
}

FAMILY = TargetFamily(
    examples=("mlp-64-32-10", "cnn-mnist", "cnn-cifar"),
    pattern=_NAME.pattern,
    said=f"mlp-64-H-10 with H from 1 to {_MOST}, cnn-mnist-C-C-H, cnn-cifar-C-C-H-H",
    info=_info,
    build=_build,
    narrower=_narrower,
)
