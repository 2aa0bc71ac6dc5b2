"""To mitiq and back without changing the unitary, or the number of gates on any connection.

mitiq converts through OpenQASM 2 and Cirq, where CU3 becomes another gate, inverse gates get names
that a device does not have, and Clifford data regression corrupts RY. So mitiq is given only
{rz, sx, x, cx, cz}, and each gate of what it returns is rewritten by itself: nothing is
transpiled, which would undo what was constructed.
"""

from __future__ import annotations

import importlib
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from qt_hw.errors import InputError, MissingExtra, UnsupportedGate

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["from_mitiq", "module", "seeded", "to_mitiq"]

_TWO = ("cx", "cz")


def module(name: str) -> Any:
    """Return ``mitiq.<name>``.

    Raises:
        MissingExtra: mitiq is not installed.
    """
    try:
        return importlib.import_module(f"mitiq.{name}")
    except ImportError as error:
        raise MissingExtra(f"mitigation by mitiq ({name})", "mitigation") from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Give what reads Python's global random numbers a seed; its state is put back afterwards."""
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


def to_mitiq(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a bound circuit in gates that mitiq converts exactly, on one plain register.

    Raises:
        InputError: It has open angles.
        UnsupportedGate: It has a gate on two or more qubits that is not cx or cz.
    """
    if circuit.parameters:
        raise InputError("techniques by mitiq need bound circuits: bind the angles first")
    return _rewritten(circuit, ("rz", "sx", "x", *_TWO))


def from_mitiq(converted: QuantumCircuit, like: QuantumCircuit) -> QuantumCircuit:
    """Return what mitiq made in the gates of ``like``, on its registers, with its metadata.

    Raises:
        InputError: Qubits were lost on the way.
        UnsupportedGate: mitiq made a gate on two or more qubits that is not cx or cz.
    """
    if converted.num_qubits != like.num_qubits:
        raise InputError(
            f"mitiq returned {converted.num_qubits} of {like.num_qubits} qubits: leave out qubits "
            "without gates"
        )
    own = [str(name) for name in like.count_ops()]
    one = ("rz", "ry", "x") if "ry" in own and "sx" not in own else ("rz", "sx", "x")
    two = [name for name in own if name in _TWO] or list(_TWO)
    out = like.copy_empty_like()
    out.global_phase = 0.0
    rewritten = _rewritten(converted, (*one, *two))
    for item in rewritten.data:
        out.append(item.operation, [rewritten.find_bit(qubit).index for qubit in item.qubits])
    return out


def _rewritten(circuit: QuantumCircuit, allowed: Sequence[str]) -> QuantumCircuit:
    """Return the same gates under allowed names, one after the other, on one register."""
    from qiskit import QuantumCircuit, QuantumRegister

    out = QuantumCircuit(QuantumRegister(circuit.num_qubits, "q"))
    for item in circuit.data:
        name = str(item.operation.name)
        where = [circuit.find_bit(qubit).index for qubit in item.qubits]
        # Identities stand for waiting times in mitiq; what waits there is in the circuit anyway.
        if name in ("barrier", "id"):
            continue
        if name in allowed:
            out.append(item.operation, where)
        elif len(where) == 1:
            _one_qubit(out, item.operation, where[0], allowed)
        else:
            _two_qubit(out, name, where, allowed)
    return out


def _one_qubit(out: QuantumCircuit, gate: Any, qubit: int, allowed: Sequence[str]) -> None:
    """Append a gate as rotations, equal up to a global phase."""
    if gate.name == "y":
        out.rz(np.pi, qubit)
        out.x(qubit)
    elif gate.name == "z":
        out.rz(np.pi, qubit)
    elif gate.name == "sxdg" and "sx" in allowed:
        out.rz(np.pi, qubit)
        out.sx(qubit)
        out.rz(np.pi, qubit)
    else:
        from qiskit.synthesis import OneQubitEulerDecomposer

        basis = "ZSX" if "sx" in allowed else "ZYZ"
        steps = OneQubitEulerDecomposer(basis)(np.asarray(gate.to_matrix()), simplify=False)
        for step in steps.data:
            out.append(step.operation, [qubit])


def _two_qubit(out: QuantumCircuit, name: str, where: list[int], allowed: Sequence[str]) -> None:
    """Append cx as cz or cz as cx, between two Hadamard gates on the second qubit."""
    if name not in _TWO or not any(two in allowed for two in _TWO):
        raise UnsupportedGate(
            f"techniques by mitiq take cx and cz, not {name!r}: use readout, twirling, zne or "
            "rescale, or a device with cx or cz gates"
        )
    from qiskit.circuit.library import HGate

    other = next(two for two in _TWO if two in allowed)
    _one_qubit(out, HGate(), where[1], allowed)
    getattr(out, other)(*where)
    _one_qubit(out, HGate(), where[1], allowed)
