"""The typhoon networks by name.

``typhoon-gru-H`` is the small one. ``typhoon-am-convgru`` is the published classical network of
8,399,540 parameters. ``typhoon-qpa`` is the network that Quantum Parameter Adaptation trained
(arXiv:2505.09395; ``test/QPA_ck_64_qnn_depth_20.ipynb`` of ``CYLphysics/QPA_Typhoon_Trajectory``
4af7b24), which differs from the former in its dense layers: 2304-256, 309-128 and 128-2 in place
of 2304-128, 181-64 and 64-2. Of its 216,398 trained numbers

- 187,824 are the rank-4 factors of the 36 convolutions, whose own kernels stay as drawn;
- 1,344 are the gates' biases and 11,250 the channel attentions, trained as they are;
- 8,128 (480 angles on 8 qubits, 7,648 of the mapping) make the 10,240 factors of ``fc1``;
- 7,852 (300 angles on 5 qubits, 7,552 of the mapping) make the 1,748 factors of ``fc2``.

``fc3`` has none: there its factors were moved to the GPU as plain tensors, which no optimiser saw.
``fc1.a`` and ``fc1.b`` are what ``[ansatz]`` and ``[mapping]`` generate. The circuit of ``fc2`` is
a ``QuantumTrain`` inside the network: exact, with a mapping of the same shape, trained beside; its
angles and mapping count as parameters that are trained directly. A control of ``[control]`` takes
the place of the first circuit alone; an exported network has neither.
"""

from __future__ import annotations

import math
import re
from itertools import pairwise

import torch
from torch import nn

from qt_hw.circuits.builtin import HardwareEfficient
from qt_hw.errors import InputError, UnknownName
from qt_hw.model.mapping import AffineMapping
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.tasks.family import Options, TargetFamily, TargetInfo
from qt_hw.tasks.typhoon.adapters import LowRankLinear
from qt_hw.tasks.typhoon.convgru import FEATURES, RANK, AmConvGru
from qt_hw.tasks.typhoon.gru import TrackGru
from qt_hw.tasks.typhoon.wide import N_WIDE

__all__ = ["FAMILY"]

_MOST_UNITS = 4096
_NAME = re.compile(r"typhoon-(?:gru-([1-9]\d*)|am-convgru|qpa)")
_DEFAULTS = {"inputs": 42, "leads": 3}
_CLASSICAL_HEAD = (128, 64)
_ADAPTED_HEAD = (256, 128)
_SMALL_FACTOR = 0.01  # spread of the convolutions' factors at the start, as published
_SECOND = {"n_qubits": 5, "n_layers": 20}
_SECOND_HIDDEN, _CHUNK = (32, 32, 64), 64
_SOURCE = (
    "CYLphysics/QPA_Typhoon_Trajectory 4af7b24; Xu et al., Neural Comput. Appl. 34 (2022) 5905"
)


def _hidden(name: str) -> int | None:
    """Return the units of the small network, None of the published ones."""
    match = _NAME.fullmatch(str(name))
    units = match and match.group(1)
    if match is None or int(units or 0) > _MOST_UNITS:
        raise UnknownName("target", str(name), (*FAMILY.examples, FAMILY.said))
    return int(units) if units else None


def _sizes(name: str, options: Options) -> dict[str, int]:
    """Return the options of the small network."""
    allowed = tuple(_DEFAULTS) if _hidden(name) else ()
    for key, value in options.items():
        if key not in allowed:
            raise UnknownName(f"option of the target {name!r}", key, allowed)
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise InputError(
                f"target.options.{key} must be a whole number of at least 1, got {value!r}"
            )
    return {key: int(str(options.get(key, default))) for key, default in _DEFAULTS.items()}


def _unallocated(name: str, options: Options) -> nn.Module:
    sizes = _sizes(name, options)
    if units := _hidden(name):
        return TrackGru(sizes["inputs"], units, sizes["leads"], device="meta")
    adapted = name.endswith("qpa")
    widths = _ADAPTED_HEAD if adapted else _CLASSICAL_HEAD
    return AmConvGru(_head(widths, adapted), adapted=adapted, device="meta")


def _head(widths: tuple[int, int], adapted: bool) -> tuple[nn.Module, nn.Module, nn.Module]:
    first, second = widths
    last = nn.Linear(second, 2, device="meta").requires_grad_(not adapted)
    sizes = ((FEATURES, first), (N_WIDE + first, second))
    if adapted:
        one, two = (LowRankLinear(*size, RANK, device="meta") for size in sizes)
        return one, two, last
    return nn.Linear(*sizes[0], device="meta"), nn.Linear(*sizes[1], device="meta"), last


def _info(name: str, options: Options) -> TargetInfo:
    """Return what is known of a network; of ``typhoon-qpa`` before ``fc2`` has its circuit.

    >>> _info("typhoon-am-convgru", {}).n_weights
    8399540
    """
    network, selects = _unallocated(name, options), {"qpa": ("fc1.a", "fc1.b")}
    selects["am-convgru"] = ("fc1.*", "fc2.*")
    return TargetInfo(
        name=name,
        n_weights=sum(p.numel() for p in network.parameters()) + _second_trained(name),
        input_shape=None,  # any history
        activation="none",
        source="gated recurrent unit, arXiv:1406.1078" if _hidden(name) else _SOURCE,
        select=selects.get(name.removeprefix("typhoon-")),
    )


def _second_trained(name: str) -> int:
    """Return how many parameters the circuit of ``fc2`` adds: its own less those it makes."""
    if not name.endswith("qpa"):
        return 0
    widths = (_SECOND["n_qubits"] + 1, *_SECOND_HIDDEN, _CHUNK)
    mapping = sum((a + 1) * b for a, b in pairwise(widths))
    first, second = _ADAPTED_HEAD
    made = RANK * (N_WIDE + first + second)
    return 3 * _SECOND["n_qubits"] * _SECOND["n_layers"] + mapping - made


def _build(
    name: str, options: Options, generator: torch.Generator, activation: str | None
) -> nn.Module:
    if activation not in (None, "none"):
        raise UnknownName(f"activation of the target {name!r}", str(activation), ("none",))
    # Built without memory first: the constructors of torch would draw from its global generator.
    network = _unallocated(name, options).to_empty(device="cpu")
    for module in network.modules():
        _initialise(module, generator)
    if isinstance(network, AmConvGru) and isinstance(network.fc2, LowRankLinear):
        network.fc2 = _with_circuit(network.fc2, generator)
    return network


def _initialise(module: nn.Module, generator: torch.Generator) -> None:
    """Give a module's own parameters torch's usual values; biases of gates zero, as published."""
    own = dict(module.named_parameters(recurse=False))
    if not own:
        return
    weight = own.get("weight")
    bound = 1 / math.sqrt(weight[0].numel()) if weight is not None else 0.0
    for key, parameter in own.items():
        with torch.no_grad():
            if key in ("a", "b"):
                parameter.normal_(0.0, _SMALL_FACTOR, generator=generator)
            else:
                parameter.uniform_(-bound, bound, generator=generator)


def _with_circuit(layer: LowRankLinear, generator: torch.Generator) -> QuantumTrain:
    """Return the layer with its factors generated by the second circuit."""
    seed = int(torch.randint(2**31, (), generator=generator))
    return QuantumTrain(
        layer,
        ansatz=HardwareEfficient(**_SECOND),
        mapping=AffineMapping(_SECOND_HIDDEN, chunk_size=_CHUNK),
        scaling="qpa",
        seed=seed,
        select=("a", "b"),
    )


def _narrower(name: str) -> list[str]:
    units = _hidden(name)
    return [] if units is None else [f"typhoon-gru-{width}" for width in range(1, units + 1)]


FAMILY = TargetFamily(
    examples=("typhoon-gru-12", "typhoon-am-convgru", "typhoon-qpa"),
    pattern=_NAME.pattern,
    said="typhoon-gru-H with H units",
    info=_info,
    build=_build,
    narrower=_narrower,
)
