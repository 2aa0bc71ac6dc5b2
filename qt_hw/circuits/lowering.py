"""Lowering to {rz, ry, cx} or {rz, ry, cz}, with symbolic angles merged.

Qiskit's own translation of symbolic U and CU3 gates takes minutes (Qiskit/qiskit#16520), so the
templates are here: textbook two-cx decompositions. RZs wait on their qubit and are merged with
later ones, past controls, until a gate comes that does not commute; equal neighbours RY merge
too. Every merged angle obeys the two-term shift rule.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from scipy.sparse import csr_array

from qt_hw.circuits.gates import Angle, Op, expand
from qt_hw.circuits.native import Instruction, Linear, affine_map
from qt_hw.circuits.paulis import dead_operations

__all__ = ["TwoQubitGate", "lower"]

TwoQubitGate = Literal["cx", "cz"]

_PI = math.pi
_ZERO: Linear = ({}, 0.0)


def _add(a: Linear, b: Linear) -> Linear:
    linear = dict(a[0])
    for slot, factor in b[0].items():
        linear[slot] = linear.get(slot, 0.0) + factor
    return {slot: factor for slot, factor in linear.items() if factor}, a[1] + b[1]


def _scaled(angle: Angle, factor: float) -> Linear:
    slot, constant = angle
    return ({} if slot is None else {slot: factor}), constant * factor


def _is_identity(angle: Linear) -> bool:
    """Whether a rotation by this angle is ±1, a global phase."""
    return not angle[0] and abs(math.remainder(angle[1], 2 * _PI)) < 1e-12


@dataclass(slots=True)
class _Gate:
    kind: str
    qubits: tuple[int, ...]
    angle: Linear = _ZERO


class _Builder:
    """Collects lowered gates and merges rotations as they come."""

    def __init__(self, n_qubits: int, two: TwoQubitGate) -> None:
        self.gates: list[_Gate] = []
        self._two = two
        self._waiting: list[Linear] = [_ZERO] * n_qubits
        self._last: list[_Gate | None] = [None] * n_qubits

    def _emit(self, gate: _Gate) -> None:
        self.gates.append(gate)
        for qubit in gate.qubits:
            self._last[qubit] = gate

    def flush(self, qubit: int) -> None:
        if not _is_identity(self._waiting[qubit]):
            self._emit(_Gate("rz", (qubit,), self._waiting[qubit]))
        self._waiting[qubit] = _ZERO

    def rz(self, qubit: int, angle: Linear) -> None:
        self._waiting[qubit] = _add(self._waiting[qubit], angle)

    def ry(self, qubit: int, angle: Linear) -> None:
        if _is_identity(angle):
            return
        last = self._last[qubit]
        if last is not None and last.kind == "ry" and _is_identity(self._waiting[qubit]):
            last.angle = _add(last.angle, angle)
            if _is_identity(last.angle):
                self._drop(last)
            return
        self.flush(qubit)
        self._emit(_Gate("ry", (qubit,), angle))

    def _drop(self, gate: _Gate) -> None:
        self.gates = [other for other in self.gates if other is not gate]
        (qubit,) = gate.qubits
        earlier = [other for other in self.gates if qubit in other.qubits]
        self._last[qubit] = earlier[-1] if earlier else None

    def rx(self, qubit: int, angle: Linear) -> None:
        self.rz(qubit, ({}, _PI / 2))
        self.ry(qubit, angle)
        self.rz(qubit, ({}, -_PI / 2))

    def hadamard(self, qubit: int) -> None:
        self.rz(qubit, ({}, _PI))
        self.ry(qubit, ({}, _PI / 2))

    def cx(self, control: int, target: int) -> None:
        if self._two == "cz":
            self.hadamard(target)
            self._emit(_Gate("cz", (control, target)))
            self.hadamard(target)
        else:
            self.flush(target)
            self._emit(_Gate("cx", (control, target)))

    def cz(self, first: int, second: int) -> None:
        if self._two == "cz":
            self._emit(_Gate("cz", (first, second)))
        else:
            self.hadamard(second)
            self.cx(first, second)
            self.hadamard(second)


def _conjugated(builder: _Builder, axis: str, qubits: tuple[int, int], angle: Linear) -> None:
    """Emit rxx, ryy or rzz: an rzz with its axis turned."""
    for q in qubits:
        if axis == "x":
            builder.hadamard(q)
        elif axis == "y":
            builder.rx(q, ({}, _PI / 2))
    builder.cx(*qubits)
    builder.rz(qubits[1], angle)
    builder.cx(*qubits)
    for q in qubits:
        if axis == "x":
            builder.hadamard(q)
        elif axis == "y":
            builder.rx(q, ({}, -_PI / 2))


def _controlled_rotation(builder: _Builder, kind: str, op: Op) -> None:
    control, target = op.qubits
    turn = builder.rz if kind == "crz" else builder.ry
    if kind == "crx":
        builder.rz(target, ({}, _PI / 2))
    turn(target, _scaled((op.slot, op.offset), 0.5))
    builder.cx(control, target)
    turn(target, _scaled((op.slot, op.offset), -0.5))
    builder.cx(control, target)
    if kind == "crx":
        builder.rz(target, ({}, -_PI / 2))


def _controlled_phase(builder: _Builder, op: Op) -> None:
    control, target = op.qubits
    builder.rz(control, _scaled((op.slot, op.offset), 0.5))
    builder.rz(target, _scaled((op.slot, op.offset), 0.5))
    builder.cx(control, target)
    builder.rz(target, _scaled((op.slot, op.offset), -0.5))
    builder.cx(control, target)


def _operation(builder: _Builder, op: Op) -> None:
    angle = _scaled((op.slot, op.offset), 1.0)
    if op.kind in ("rx", "ry", "rz"):
        getattr(builder, op.kind)(op.qubits[0], angle)
    elif op.kind in ("cx", "cz"):
        getattr(builder, op.kind)(*op.qubits)
    elif op.kind in ("crx", "cry", "crz"):
        _controlled_rotation(builder, op.kind, op)
    elif op.kind == "cp":
        _controlled_phase(builder, op)
    else:
        _conjugated(builder, op.kind[1], (op.qubits[0], op.qubits[1]), angle)


def _controlled_u(builder: _Builder, qubits: tuple[int, ...], angles: Sequence[Angle]) -> None:
    """Emit cu(θ, φ, λ, γ) with two cx (Barenco et al., Phys. Rev. A 52, 3457)."""
    (control, target), (theta, phi, lam, gamma) = qubits, angles
    total = _add(_scaled(lam, 0.5), _scaled(phi, 0.5))
    builder.rz(control, _add(_scaled(gamma, 1.0), total))
    builder.rz(target, _add(_scaled(lam, 0.5), _scaled(phi, -0.5)))
    builder.cx(control, target)
    builder.rz(target, _add(_scaled(lam, -0.5), _scaled(phi, -0.5)))
    builder.ry(target, _scaled(theta, -0.5))
    builder.cx(control, target)
    builder.ry(target, _scaled(theta, 0.5))
    builder.rz(target, _scaled(phi, 1.0))


def _lowered_gates(gates: Sequence[Instruction], n_qubits: int, two: TwoQubitGate) -> list[_Gate]:
    builder = _Builder(n_qubits, two)
    for name, qubits, angles in gates:
        if name == "cu":
            _controlled_u(builder, qubits, angles)
        else:
            for op in expand(name, qubits, angles):
                _operation(builder, op)
    for qubit in range(n_qubits):
        builder.flush(qubit)
    return builder.gates


def _without_dead(gates: list[_Gate], side: Literal["end", "start"]) -> list[_Gate]:
    # A dead rotation may be left out whatever its angle; `slot` only marks the angle as open.
    ops = [
        Op(g.kind, g.qubits, 0 if g.angle[0] else None, 0.0 if g.angle[0] else g.angle[1])
        for g in gates
    ]
    return [g for g, dead in zip(gates, dead_operations(ops, side), strict=True) if not dead]


def lower(
    gates: Sequence[Instruction],
    n_qubits: int,
    n_slots: int,
    *,
    two: TwoQubitGate = "cx",
    keep_phases: bool = False,
) -> tuple[QuantumCircuit, csr_array, NDArray[np.float64]]:
    """Return ``(circuit, A, b)``: gates {rz, ry, cx or cz}, one plain parameter per open angle.

    Args:
        gates: Gates with plain angles, see ``native.instructions``.
        n_qubits: Qubits of the circuit.
        n_slots: Number of open angles of ``gates``, the columns of A.
        two: The two-qubit gate to use.
        keep_phases: Keep rotations that cannot change any outcome, so that the circuit equals
            the original up to a global phase; without them the probabilities alone are equal.
    """
    lowered = _lowered_gates(gates, n_qubits, two)
    if not keep_phases:
        lowered = _without_dead(_without_dead(lowered, "end"), "start")
    rows = [g.angle for g in lowered if g.angle[0]]
    vector = iter(ParameterVector("a", len(rows)))
    out = QuantumCircuit(n_qubits)
    for gate in lowered:
        if gate.kind in ("cx", "cz"):
            getattr(out, gate.kind)(*gate.qubits)
        else:
            value = next(vector) if gate.angle[0] else gate.angle[1]
            getattr(out, gate.kind)(value, gate.qubits[0])
    matrix, offsets = affine_map(rows, n_slots)
    return out, matrix, offsets
