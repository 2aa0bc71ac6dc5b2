"""The networks whose weights are generated, made of ``torch.nn`` classes only.

An exported model therefore needs nothing of this package. Weights start by torch's default
rules, drawn from a given generator.
"""

from __future__ import annotations

import math
import re
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from qt_hw.errors import InputError, UnknownName

__all__ = [
    "TargetInfo",
    "build_target",
    "check_fit",
    "hidden_widths",
    "known_targets",
    "target_info",
    "unallocated",
]

Activation = type[nn.Module] | None

_ACTIVATIONS: dict[str, Activation] = {"none": None, "relu": nn.ReLU, "tanh": nn.Tanh}


@dataclass(frozen=True, kw_only=True)
class TargetInfo:
    """What is known of a target before it is built.

    Attributes:
        name: Name for ``build_target``.
        n_weights: Number of weights to generate.
        input_shape: Shape of one input, without the batch.
        activation: The activation if none is asked for.
        source: Where the network comes from.
    """

    name: str
    n_weights: int
    input_shape: tuple[int, ...]
    activation: str
    source: str


def _dense(hidden: int) -> TargetInfo:
    return TargetInfo(
        name=f"mlp-64-{hidden}-10",
        n_weights=(64 + 1) * hidden + (hidden + 1) * 10,
        input_shape=(64,),
        activation="relu",
        source="a small dense network for 8x8 images",
    )


_MLP = re.compile(r"mlp-64-([1-9]\d*)-10")
_MOST_HIDDEN = 4096
_PATTERN = f"mlp-64-H-10 with H from 1 to {_MOST_HIDDEN}"

_TARGETS = {
    info.name: info
    for info in (
        _dense(32),
        TargetInfo(
            name="cnn-mnist",
            n_weights=6_690,
            input_shape=(1, 28, 28),
            activation="none",
            source="arXiv:2405.11304; published without activations, pooling is its non-linearity",
        ),
        TargetInfo(
            name="cnn-cifar",
            n_weights=285_226,
            input_shape=(3, 32, 32),
            activation="none",
            source="arXiv:2405.11304; published without activations, pooling is its non-linearity",
        ),
    )
}


def known_targets() -> tuple[str, ...]:
    """Return the names that ``build_target`` accepts, besides ``mlp-64-H-10`` of other widths.

    >>> known_targets()
    ('mlp-64-32-10', 'cnn-mnist', 'cnn-cifar')
    """
    return tuple(_TARGETS)


def target_info(name: str) -> TargetInfo:
    """Return the facts of a target.

    Args:
        name: One of ``known_targets()``, or ``mlp-64-H-10`` with H hidden units, 1 to 4096.

    Raises:
        UnknownName: There is no such target.

    >>> target_info("cnn-cifar").n_weights
    285226
    >>> target_info("mlp-64-8-10").n_weights
    610
    """
    if name in _TARGETS:
        return _TARGETS[name]
    hidden = _hidden(name)
    if hidden is None:
        raise UnknownName("target", str(name), (*known_targets(), _PATTERN))
    return _dense(hidden)


def _hidden(name: str) -> int | None:
    """Return the hidden units of a dense target, None for another name."""
    match = _MLP.fullmatch(str(name))
    if match is None or not 1 <= int(match[1]) <= _MOST_HIDDEN:
        return None
    return int(match[1])


def check_fit(name: str, input_shape: Sequence[int]) -> None:
    """Refuse data of another shape than the target takes.

    Args:
        name: Name of the target.
        input_shape: Shape of one input, without the batch: ``Data.input_shape``.

    Raises:
        UnknownName: There is no such target.
        InputError: The shapes differ.
    """
    takes, has = target_info(name).input_shape, tuple(input_shape)
    if takes == has:
        return
    fitting = ", ".join(t.name for t in _TARGETS.values() if t.input_shape == has) or "none"
    hint = {(64,): 8, (1, 28, 28): 28}.get(takes)
    advice = f", or set image_size = {hint} in the task 'digits'" if hint else ""
    raise InputError(
        f"target {name!r} takes inputs of shape {takes}, the data have {has}: "
        f"targets that fit: {fitting}{advice}"
    )


def build_target(
    name: str,
    generator: torch.Generator,
    *,
    activation: str | None = None,
    widths: Sequence[int] | None = None,
) -> nn.Module:
    """Return a freshly initialised target network, float32 on the CPU.

    Args:
        name: See ``target_info``.
        generator: Source of all randomness (a CPU generator); torch's global one is not touched.
        activation: ``"none"``, ``"relu"`` or ``"tanh"`` after every hidden layer; by default
            the target's own: ReLU for the dense network, none for the published CNNs.
        widths: In place of ``hidden_widths(name)``.

    Raises:
        UnknownName: There is no such target or activation.
        InputError: ``generator`` is no CPU generator.

    >>> net = build_target("mlp-64-32-10", torch.Generator().manual_seed(0))
    >>> sum(p.numel() for p in net.parameters())
    2410
    """
    target_info(name)
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise InputError(
            f"generator must be a torch.Generator on the CPU, got {generator!r}: "
            "pass torch.Generator().manual_seed(0)"
        )
    # Built without memory first: the constructors of torch would draw from its global generator.
    network = unallocated(name, activation, widths).to_empty(device="cpu")
    _initialise(network, generator)
    return network


def hidden_widths(name: str) -> tuple[int, ...]:
    """Return the channels of the convolutions, then the units of the hidden dense layers.

    Raises:
        UnknownName: There is no such target.

    >>> hidden_widths("cnn-mnist")
    (8, 12, 20)
    """
    target_info(name)
    hidden = _hidden(name)
    return _WIDTHS[name] if hidden is None else (hidden,)


def unallocated(
    name: str, activation: str | None = None, widths: Sequence[int] | None = None
) -> nn.Module:
    """Return a target without memory for its weights; arguments as in ``build_target``.

    Raises:
        UnknownName: There is no such target or activation.
    """
    info = target_info(name)
    chosen = info.activation if activation is None else activation
    if chosen not in _ACTIVATIONS:
        raise UnknownName("activation", str(chosen), tuple(_ACTIVATIONS))
    build = _BUILDERS.get(name, _mlp)
    return build(_ACTIVATIONS[chosen], hidden_widths(name) if widths is None else tuple(widths))


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


_WIDTHS = {"cnn-mnist": (8, 12, 20), "cnn-cifar": (16, 32, 128, 64)}
_BUILDERS: dict[str, Callable[[Activation, tuple[int, ...]], nn.Module]] = {
    "cnn-mnist": partial(_cnn, n_in=1, padding=0, positions=16),
    "cnn-cifar": partial(_cnn, n_in=3, padding=2, positions=64),
}
