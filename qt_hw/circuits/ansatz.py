"""The interface that every ansatz has."""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from scipy.sparse import csr_array

from qt_hw.circuits.form import Form
from qt_hw.circuits.gates import ELEMENTARY
from qt_hw.circuits.lowering import TwoQubitGate, lower
from qt_hw.circuits.native import instructions, operations, plain
from qt_hw.circuits.paulis import dead_operations
from qt_hw.errors import InputError

__all__ = ["Ansatz", "FormName"]

FormName = Literal["native", "lowered"]

Triple = tuple[QuantumCircuit, csr_array, NDArray[np.float64]]


class Ansatz(ABC):
    """A parameterised circuit whose outcome probabilities make the weights.

    Qubit 0 is the least significant bit of an outcome's index.

    Attributes:
        n_qubits: Number of qubits.
        n_angles: Number of angles θ, in radians.
    """

    n_qubits: int
    n_angles: int

    @abstractmethod
    def circuit(self) -> QuantumCircuit:
        """Return the unmeasured circuit; angle i belongs to ``circuit().parameters[i]``."""

    @abstractmethod
    def describe(self) -> dict[str, Any]:
        """Return kind and arguments, JSON-ready."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(n_qubits={self.n_qubits}, n_angles={self.n_angles})"

    def factors(self) -> tuple[Ansatz, ...]:
        """Return the independent sub-circuits, most significant qubits first."""
        return (self,)

    def form(self, name: FormName = "lowered", two: TwoQubitGate = "cx") -> Form:
        """Return the circuit in the form in which it is differentiated.

        Args:
            name: ``"native"`` keeps the gates (a controlled rotation takes four terms);
                ``"lowered"`` has only {rz, ry, cx or cz}, with merged angles and two terms each.
            two: Two-qubit gate of the lowered form.

        Raises:
            InputError: Another name.
        """
        if name not in ("native", "lowered"):
            raise InputError(f"unknown form {name!r}; use 'native' or 'lowered'")
        if two not in ("cx", "cz"):
            raise InputError(f"unknown two-qubit gate {two!r}; use 'cx' or 'cz'")
        try:
            return _native(self) if name == "native" else _lowered(self, two)
        except TypeError as error:
            if type(self).__hash__ is None:
                kind = type(self).__name__
                raise InputError(f"{kind} has no hash; use @dataclass(frozen=True)") from error
            raise

    def lowered(self, two: TwoQubitGate = "cx") -> Triple:
        """Return ``(circuit, A, b)`` over {rz, ry, cx or cz} with ``a = A θ + b``.

        Rotations that cannot change any outcome are left out.

        >>> from qt_hw.circuits.builtin import U3Cu3
        >>> circuit, A, b = U3Cu3(8, 4).lowered()
        >>> sorted(circuit.count_ops()), 2 * len(b)
        (['cx', 'ry', 'rz'], 368)
        """
        form = self.form("lowered", two)
        return form.circuit, form.A, form.b

    def native(self) -> Triple:
        """Return ``(circuit, A, b)`` with the gates as written, one parameter per gate angle."""
        form = self.form("native")
        return form.circuit, form.A, form.b

    def binding_counts(self) -> dict[str, int]:
        """Return the number of shifted circuits of one gradient, by form."""
        return {
            "native": sum(f.form("native").n_shifts for f in self.factors()),
            "lowered": sum(f.form("lowered").n_shifts for f in self.factors()),
        }


def _terms(circuit: QuantumCircuit) -> NDArray[np.int64]:
    ops = operations(circuit)
    terms = np.zeros(circuit.num_parameters, dtype=np.int64)
    for op, dead in zip(ops, dead_operations(ops), strict=True):
        if op.slot is not None and not dead:
            terms[op.slot] = ELEMENTARY[op.kind].terms
    return terms


@lru_cache(maxsize=32)
def _native(ansatz: Ansatz) -> Form:
    circuit, matrix, offsets = plain(ansatz.circuit())
    if matrix.shape[1] != ansatz.n_angles or circuit.num_qubits != ansatz.n_qubits:
        raise InputError(
            f"{ansatz} says {ansatz.n_qubits} qubits and {ansatz.n_angles} angles, its circuit has "
            f"{circuit.num_qubits} and {matrix.shape[1]}"
        )
    return Form(name="native", circuit=circuit, A=matrix, b=offsets, terms=_terms(circuit))


@lru_cache(maxsize=32)
def _lowered(ansatz: Ansatz, two: TwoQubitGate) -> Form:
    native = _native(ansatz)
    circuit, matrix, offsets = lower(
        instructions(native.circuit), ansatz.n_qubits, len(native.b), two=two
    )
    return Form(
        name="lowered",
        circuit=circuit,
        A=csr_array(matrix @ native.A),
        b=offsets + matrix @ native.b,
        terms=np.full(len(offsets), 2, dtype=np.int64),
    )
