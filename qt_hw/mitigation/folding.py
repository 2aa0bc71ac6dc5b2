"""Folding: more noise, the same unitary (Giurgica-Tiron et al., arXiv:2005.10921).

A circuit U becomes U U† U, on open angles and in its own gates. Barriers stand between the copies,
so that no transpiler merges them; fold what has been transpiled, and do not transpile again.
Without noise a folded circuit obeys the shift rules of the original, as it has the same law; with
incoherent noise nearly (gradients of a threefold fold off by about 1e-4).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from qt_hw.errors import InputError, UnknownName, UnsupportedGate

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import CircuitInstruction

__all__ = ["Folded", "fold"]

Method = Literal["global", "layers"]

#: Larger factors are refused: the circuits only get long.
_MAX_SCALE = 99.0

#: How far the factor reached may be from the one asked for.
_TOLERANCE = 0.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Folded:
    """A circuit with its noise scaled up.

    Attributes:
        circuit: The same unitary up to a global phase; registers, metadata and parameters of the
            original.
        scale: Its two-qubit gates over those of the original (all gates, where it has none).
    """

    circuit: QuantumCircuit
    scale: float


def fold(circuit: QuantumCircuit, scale: float, *, method: Method = "global") -> Folded:
    """Return ``circuit`` with its noise scaled by ``scale``.

    Odd whole numbers are met exactly. In between, ``"global"`` folds the last gates once more,
    ``"layers"`` some of the layers, spread over the circuit.

    Args:
        circuit: ``Prepared.circuit``: unmeasured; its angles may be open.
        scale: 1 to 99; 1 returns the circuit as it is.
        method: ``"global"`` makes U U† U of the whole circuit U, ``"layers"`` L L† L of each layer
            L: gates that can run at the same time, each as early as possible.

    Raises:
        InputError: A factor out of range, or one that this circuit cannot reach within 0.25.
        UnknownName: Another method.
        UnsupportedGate: A gate without an inverse of the same name, or a measurement.

    >>> from qiskit import QuantumCircuit
    >>> circuit = QuantumCircuit(2)
    >>> _ = circuit.sx(0), circuit.cx(0, 1)
    >>> [item.operation.name for item in fold(circuit, 3).circuit.data]
    ['sx', 'cx', 'barrier', 'cx', 'rz', 'sx', 'rz', 'barrier', 'sx', 'cx', 'barrier']
    """
    _check_scale(scale)
    if method not in ("global", "layers"):
        raise UnknownName("method of folding", str(method), ["global", "layers"])
    layers = _layers(circuit)
    gates = [item for layer in layers for item in layer]
    _check_gates(gates)
    if scale == 1:
        return Folded(circuit=circuit, scale=1.0)
    items, reached = (_global if method == "global" else _layerwise)(circuit, layers, float(scale))
    if abs(reached - scale) > _TOLERANCE:
        raise InputError(
            f"the circuit has too few gates for a noise scale factor of {scale:g}: folding by "
            f"{method!r} comes nearest with {reached:g}; ask for {reached:g} or an odd number"
        )
    folded = circuit.copy_empty_like()
    folded.data = items
    return Folded(circuit=folded, scale=reached)


def _check_scale(scale: float) -> None:
    number = isinstance(scale, int | float | np.integer) and not isinstance(scale, bool)
    if not number or not 1 <= scale <= _MAX_SCALE:  # NaN fails too
        raise InputError(
            f"a noise scale factor lies between 1 and {_MAX_SCALE:g} (3 folds once), not {scale!r}"
        )


def _check_gates(gates: Sequence[CircuitInstruction]) -> None:
    if not gates:
        raise InputError("a circuit without gates has no noise to scale; leave the folding out")
    for item in gates:
        _inverse(item)


def _layers(circuit: QuantumCircuit) -> list[list[CircuitInstruction]]:
    """Return the gates by the moment in which each can run at the earliest; barriers go."""
    ends = dict.fromkeys(circuit.qubits, 0)
    layers: list[list[CircuitInstruction]] = []
    for item in circuit.data:
        moment = max(ends[qubit] for qubit in item.qubits)
        if item.operation.name != "barrier":
            if moment == len(layers):
                layers.append([])
            layers[moment].append(item)
            moment += 1
        for qubit in item.qubits:
            ends[qubit] = moment
    return layers


def _inverse(item: CircuitInstruction) -> list[CircuitInstruction]:
    """Return the inverse of a gate in gates that its device has.

    Raises:
        UnsupportedGate: Not a gate, or its inverse has another name.
    """
    from qiskit.circuit import Gate
    from qiskit.circuit.library import RZGate, XGate

    name, gate = item.operation.name, item.operation
    if name == "sx":
        turn = item.replace(operation=RZGate(math.pi))
        return [turn, item, turn]
    if name == "rzz":
        # Devices take no negative angle.
        flip = item.replace(operation=XGate(), qubits=item.qubits[:1])
        return [flip, item, flip]
    inverse = gate.inverse() if isinstance(gate, Gate) else None
    if inverse is None or inverse.name != name:
        raise UnsupportedGate(
            f"cannot fold {name!r}: its inverse is not of the same kind; fold unmeasured circuits "
            "from Backend.prepare(ansatz).circuit"
        )
    return [item.replace(operation=inverse)]


def _inverted(gates: Sequence[CircuitInstruction]) -> list[CircuitInstruction]:
    return [inverse for item in reversed(gates) for inverse in _inverse(item)]


def _barrier(circuit: QuantumCircuit) -> CircuitInstruction:
    from qiskit.circuit import Barrier, CircuitInstruction

    return CircuitInstruction(Barrier(circuit.num_qubits), circuit.qubits)


def _global(
    circuit: QuantumCircuit, layers: Sequence[Sequence[CircuitInstruction]], scale: float
) -> tuple[list[CircuitInstruction], float]:
    """Return U (U† U)^k V† V with V the last gates of U, and the factor reached."""
    gates = [item for layer in layers for item in layer]
    entangling = [i for i, item in enumerate(gates) if len(item.qubits) > 1]
    places = entangling or list(range(len(gates)))
    folds = round((scale - 1) / 2 * len(places))
    whole, part = divmod(folds, len(places))
    barrier = _barrier(circuit)
    items = list(circuit.data)
    for _ in range(whole):
        items += [barrier, *_inverted(gates), barrier, *gates]
    if part:
        # One-qubit gates in proportion, as far as the two-qubit gates leave a choice.
        cut = round(len(gates) * (1 - part / len(places)))
        last = gates[min(max(cut, places[-part - 1] + 1), places[-part]) :]
        items += [barrier, *_inverted(last), barrier, *last]
    return [*items, barrier], 1 + 2 * folds / len(places)


def _layerwise(
    circuit: QuantumCircuit, layers: Sequence[Sequence[CircuitInstruction]], scale: float
) -> tuple[list[CircuitInstruction], float]:
    """Return the layers L (L† L)^k, k + 1 for some of them, and the factor reached."""
    whole = math.floor((scale - 1) / 2)
    fraction = (scale - 1) / 2 - whole
    weights = [sum(len(item.qubits) > 1 for item in layer) for layer in layers]
    sizes = [len(layer) for layer in layers]
    # One-qubit layers are spread apart from the others, which alone decide the factor.
    once_more = _spread({i: w for i, w in enumerate(weights) if w}, fraction)
    once_more |= _spread({i: n for i, n in enumerate(sizes) if not weights[i]}, fraction)
    counted = weights if any(weights) else sizes
    barrier = _barrier(circuit)
    items: list[CircuitInstruction] = []
    for i, layer in enumerate(layers):
        items += layer
        for _ in range(whole + (i in once_more)):
            items += [barrier, *_inverted(layer), barrier, *layer]
        items.append(barrier)
    more = sum(counted[i] for i in once_more)
    return items, 1 + 2 * whole + 2 * more / sum(counted)


def _spread(weights: dict[int, int], fraction: float) -> set[int]:
    """Return keys whose weights make up a fraction of every stretch, as nearly as they can."""
    chosen: set[int] = set()
    owed = 0.0
    for key, weight in weights.items():
        owed += fraction * weight
        if owed >= weight / 2 + 1e-9:
            chosen.add(key)
            owed -= weight
    return chosen
