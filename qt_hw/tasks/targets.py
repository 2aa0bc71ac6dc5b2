"""The networks whose weights are generated, made of ``torch.nn`` classes only.

An exported model therefore needs nothing of this package. Weights start by torch's default
rules, drawn from a given generator.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import torch
from torch import nn

from qt_hw.errors import InputError, UnknownName

__all__ = ["TargetInfo", "build_target", "check_fit", "known_targets", "target_info"]

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


_TARGETS = {
    info.name: info
    for info in (
        TargetInfo(
            name="mlp-64-32-10",
            n_weights=2_410,
            input_shape=(64,),
            activation="relu",
            source="a small dense network for 8x8 images",
        ),
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
    """Return the names that ``build_target`` accepts.

    >>> known_targets()
    ('mlp-64-32-10', 'cnn-mnist', 'cnn-cifar')
    """
    return tuple(_TARGETS)


def target_info(name: str) -> TargetInfo:
    """Return the facts of a target.

    Raises:
        UnknownName: There is no such target.

    >>> target_info("cnn-cifar").n_weights
    285226
    """
    if name not in _TARGETS:
        raise UnknownName("target", str(name), known_targets())
    return _TARGETS[name]


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
    name: str, generator: torch.Generator, *, activation: str | None = None
) -> nn.Module:
    """Return a freshly initialised target network, float32 on the CPU.

    Args:
        name: One of ``known_targets()``.
        generator: Source of all randomness (a CPU generator); torch's global one is not touched.
        activation: ``"none"``, ``"relu"`` or ``"tanh"`` after every hidden layer; by default
            the target's own: ReLU for the dense network, none for the published CNNs.

    Raises:
        UnknownName: There is no such target or activation.
        InputError: ``generator`` is no CPU generator.

    >>> net = build_target("mlp-64-32-10", torch.Generator().manual_seed(0))
    >>> sum(p.numel() for p in net.parameters())
    2410
    """
    info = target_info(name)
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise InputError(
            f"generator must be a torch.Generator on the CPU, got {generator!r}: "
            "pass torch.Generator().manual_seed(0)"
        )
    chosen = info.activation if activation is None else activation
    if chosen not in _ACTIVATIONS:
        raise UnknownName("activation", str(chosen), tuple(_ACTIVATIONS))
    # Built without memory first: the constructors of torch would draw from its global generator.
    network = _BUILDERS[name](_ACTIVATIONS[chosen]).to_empty(device="cpu")
    _initialise(network, generator)
    return network


def _mlp(activation: Activation) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    _add(layers, "fc1", _linear(64, 32), activation)
    layers["fc2"] = _linear(32, 10)
    return nn.Sequential(layers)


def _cnn(
    activation: Activation,
    *,
    channels: tuple[int, int, int],
    padding: int,
    dense: tuple[int, ...],
) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    for k, (n_in, n_out) in enumerate(pairwise(channels), start=1):
        _add(layers, f"conv{k}", _conv(n_in, n_out, padding), activation)
        layers[f"pool{k}"] = nn.MaxPool2d(2)
    layers["flatten"] = nn.Flatten()
    for k, (n_in, n_out) in enumerate(pairwise(dense), start=1):
        last = k == len(dense) - 1
        _add(layers, f"fc{k}", _linear(n_in, n_out), None if last else activation)
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


_BUILDERS: dict[str, Callable[[Activation], nn.Module]] = {
    "mlp-64-32-10": _mlp,
    "cnn-mnist": partial(_cnn, channels=(1, 8, 12), padding=0, dense=(192, 20, 10)),
    "cnn-cifar": partial(_cnn, channels=(3, 16, 32), padding=2, dense=(2048, 128, 64, 10)),
}
