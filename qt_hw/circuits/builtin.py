"""The ansätze of the papers.

Block j of a layer sits on qubit n-1-j and link j → j+1 runs from qubit n-1-j to qubit n-2-j:
blocks run from the most significant qubit down, as the published code numbers them.
"""

from __future__ import annotations

from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError

__all__ = ["HardwareEfficient", "RyCnot", "U3Cu3"]


def _positive(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
    return value


class _Layered(Ansatz):
    """Shared by the built-in kinds; equal arguments make equal ansätze."""

    angles_per_qubit: int

    def __init__(self, n_qubits: int, n_layers: int) -> None:
        self.n_qubits = _positive("n_qubits", n_qubits)
        self.n_layers = _positive("n_layers", n_layers)
        self.n_angles = self.angles_per_qubit * n_qubits * n_layers

    def _start(self) -> tuple[QuantumCircuit, list[Any]]:
        return QuantumCircuit(self.n_qubits), list(ParameterVector("θ", self.n_angles))

    def _qubit(self, block: int) -> int:
        return self.n_qubits - 1 - block % self.n_qubits

    def describe(self) -> dict[str, Any]:
        kind = type(self).__name__
        return {"kind": kind, "n_qubits": self.n_qubits, "n_layers": self.n_layers}

    def __repr__(self) -> str:
        first, *rest = self.describe().items()
        return f"{first[1]}({', '.join(f'{k}={v}' for k, v in rest)})"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash((type(self), repr(self)))


class RyCnot(_Layered):
    """RY on every qubit, then a chain of CNOTs (closed to a ring if asked).

    Quantum Parameter Adaptation, arXiv:2410.09846; the ring is that of QT-LSTM.

    >>> RyCnot(3, 2).n_angles
    6
    """

    angles_per_qubit = 1

    def __init__(self, n_qubits: int, n_layers: int, ring: bool = False) -> None:
        """Make ``n_layers`` layers on ``n_qubits`` qubits, ``n_qubits`` angles each."""
        super().__init__(n_qubits, n_layers)
        self.ring = bool(ring)

    def circuit(self) -> QuantumCircuit:
        circuit, angles = self._start()
        n = self.n_qubits
        links = n if self.ring and n > 1 else n - 1
        for layer in range(self.n_layers):
            for j in range(n):
                circuit.ry(angles[layer * n + j], self._qubit(j))
            for j in range(links):
                circuit.cx(self._qubit(j), self._qubit(j + 1))
        return circuit

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "ring": self.ring}


class U3Cu3(_Layered):
    """U3 on every qubit, then a ring of CU3: Quantum-Train, arXiv:2405.11304.

    Angles of a layer: (θ, φ, λ) of each U3, then (θ, φ, λ) of each CU3.

    >>> U3Cu3(13, 16).n_angles
    1248
    """

    angles_per_qubit = 6

    def __init__(self, n_qubits: int, n_layers: int) -> None:
        """Make ``n_layers`` layers on ``n_qubits`` qubits, at least 2; 6 angles per qubit each."""
        super().__init__(n_qubits, n_layers)
        if n_qubits < 2:
            raise InputError("U3Cu3 needs at least 2 qubits for its ring of CU3 gates")

    def circuit(self) -> QuantumCircuit:
        circuit, angles = self._start()
        n = self.n_qubits
        for layer in range(self.n_layers):
            at = 6 * n * layer
            for j in range(n):
                circuit.u(*angles[at + 3 * j : at + 3 * j + 3], self._qubit(j))
            at += 3 * n
            for j in range(n):
                triple = angles[at + 3 * j : at + 3 * j + 3]
                circuit.cu(*triple, 0.0, self._qubit(j), self._qubit(j + 1))
        return circuit


class HardwareEfficient(_Layered):
    """RX, RY, RX on every qubit, then CNOTs on the even and on the odd links.

    The ansatz of the typhoon study, arXiv:2505.09395 (Qadence ``hea``). Angles of a layer: all
    first RX, all RY, all second RX.
    """

    angles_per_qubit = 3

    def circuit(self) -> QuantumCircuit:
        circuit, angles = self._start()
        n = self.n_qubits
        links = [*range(0, n - 1, 2), *range(1, n - 1, 2)]
        for layer in range(self.n_layers):
            for turn, name in enumerate(("rx", "ry", "rx")):
                for j in range(n):
                    gate = getattr(circuit, name)
                    gate(angles[(3 * layer + turn) * n + j], self._qubit(j))
            for j in links:
                circuit.cx(self._qubit(j), self._qubit(j + 1))
        return circuit
