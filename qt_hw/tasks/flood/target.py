"""The stacked LSTM networks by name: ``lstm-50-50`` has two layers of 50 units."""

from __future__ import annotations

import math
import re

import torch
from torch import nn

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks.family import Options, TargetFamily, TargetInfo
from qt_hw.tasks.flood.network import StackedLstm

__all__ = ["FAMILY"]

_MOST_UNITS = 4096
_MOST_LAYERS = 4
_NAME = re.compile(r"lstm(?:-[1-9]\d*)+")
_DEFAULTS = {"inputs": 1, "horizon": 1, "every_step": False}
_SAID = f"lstm-H or lstm-H-H … (up to {_MOST_LAYERS} layers of at most {_MOST_UNITS} units)"


def _hidden(name: str) -> tuple[int, ...]:
    """Return the units of each layer."""
    if _NAME.fullmatch(str(name)):
        units = tuple(int(part) for part in name.split("-")[1:])
        if len(units) <= _MOST_LAYERS and max(units) <= _MOST_UNITS:
            return units
    raise UnknownName("target", str(name), (*FAMILY.examples, _SAID))


def _options(name: str, options: Options) -> tuple[int, int, bool]:
    """Return the inputs of a time step, the numbers to forecast, and whether at every step."""
    for option in options:
        if option not in _DEFAULTS:
            raise UnknownName(f"option of the target {name!r}", option, tuple(_DEFAULTS))
    inputs, horizon, every = (options.get(key, default) for key, default in _DEFAULTS.items())
    if not isinstance(every, bool):
        raise InputError(f"target.options.every_step must be true or false, got {every!r}")
    return _whole("inputs", inputs), _whole("horizon", horizon), every


def _whole(option: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(
            f"target.options.{option} must be a whole number of at least 1, got {value!r}"
        )
    return value


def _unallocated(name: str, options: Options, activation: str | None) -> StackedLstm:
    inputs, horizon, every_step = _options(name, options)
    if activation not in (None, "none"):
        raise UnknownName(f"activation of the target {name!r}", str(activation), ("none",))
    return StackedLstm(inputs, _hidden(name), horizon, every_step=every_step, device="meta")


def _info(name: str, options: Options) -> TargetInfo:
    network = _unallocated(name, options, None)
    return TargetInfo(
        name=name,
        n_weights=sum(p.numel() for p in network.parameters()),
        input_shape=None,  # windows of any length
        activation="none",
        source="arXiv:2405.11304, QT-LSTM: two layers of 50 units",
    )


def _build(
    name: str, options: Options, generator: torch.Generator, activation: str | None
) -> nn.Module:
    # Built without memory first: the constructors of torch would draw from its global generator.
    network = _unallocated(name, options, activation).to_empty(device="cpu")
    for layer in network.children():
        units = layer.hidden_size if isinstance(layer, nn.LSTM) else network.fc.in_features
        bound = 1 / math.sqrt(units)  # torch's own rule, of LSTM and dense layers alike
        for parameter in layer.parameters():
            nn.init.uniform_(parameter, -bound, bound, generator=generator)
    return network


def _narrower(name: str) -> list[str]:
    """Return the name of every network with ``ceil(factor · units)`` in each layer."""
    full = _hidden(name)
    # Each ratio is where one of the layers has its next width; as whole numbers they are exact.
    ratios = {(k, width) for width in full for k in range(1, width + 1)}
    ordered = sorted(ratios, key=lambda ratio: ratio[0] / ratio[1])
    found = [tuple(-(-k * width // of) for width in full) for k, of in ordered]
    return ["-".join(("lstm", *map(str, units))) for units in dict.fromkeys(found)]


FAMILY = TargetFamily(
    examples=("lstm-50-50",),
    pattern=_NAME.pattern,
    said=_SAID,
    info=_info,
    build=_build,
    narrower=_narrower,
)
