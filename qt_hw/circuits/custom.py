"""Ansätze made of other circuits: any Qiskit circuit, and products of independent ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Any

from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.circuits.native import plain
from qt_hw.errors import InputError

__all__ = ["CircuitAnsatz", "ProductAnsatz"]


class CircuitAnsatz(Ansatz):
    """Any parameterised Qiskit circuit over the supported gates.

    A parameter may occur in several gates and with numeric factors.

    >>> from qiskit.circuit import Parameter
    >>> t, circuit = Parameter("t"), QuantumCircuit(2)
    >>> _ = circuit.ry(t, 0), circuit.rzz(2 * t, 0, 1)
    >>> CircuitAnsatz(circuit).n_angles
    1
    """

    def __init__(self, circuit: QuantumCircuit) -> None:
        """Take a copy of ``circuit``, which is checked here.

        Args:
            circuit: Unmeasured, with at least one qubit.

        Raises:
            InputError: Not a circuit; a measurement; an angle that is not affine.
            UnsupportedGate: A gate without a shift rule here.
        """
        if not isinstance(circuit, QuantumCircuit):
            raise InputError(f"expected a qiskit.QuantumCircuit, not {type(circuit).__name__}")
        if circuit.num_qubits < 1:
            raise InputError("the circuit has no qubits")
        self._circuit = circuit.copy()
        plain(self._circuit)
        self.n_qubits = int(circuit.num_qubits)
        self.n_angles = int(circuit.num_parameters)

    def circuit(self) -> QuantumCircuit:
        return self._circuit.copy()

    def describe(self) -> dict[str, Any]:
        gates = {str(name): int(count) for name, count in self._circuit.count_ops().items()}
        text = repr(
            [
                (
                    i.operation.name,
                    [str(v) for v in i.operation.params],
                    [self._circuit.find_bit(q).index for q in i.qubits],
                )
                for i in self._circuit.data
            ]
        )
        digest = hashlib.sha256(text.encode()).hexdigest()
        return {
            "kind": "CircuitAnsatz",
            "n_qubits": self.n_qubits,
            "n_angles": self.n_angles,
            "gates": gates,
            "sha256": digest,
        }


class ProductAnsatz(Ansatz):
    """Independent sub-circuits side by side; the first holds the most significant qubits.

    The distributed ansatz of arXiv:2409.06992: ``p = outer(p_a, p_b)``, flattened. Each factor
    is measured by itself, so only ``2**n_a + 2**n_b`` outcomes need shots.
    """

    def __init__(self, parts: Sequence[Ansatz]) -> None:
        """Join ``parts``; the angles are theirs, one after the other.

        Raises:
            InputError: No parts, or something that is not an ansatz.
        """
        self.parts = tuple(parts) if isinstance(parts, Iterable) else ()
        if not self.parts or not all(isinstance(part, Ansatz) for part in self.parts):
            raise InputError("ProductAnsatz takes a non-empty list of ansätze")
        self.n_qubits = sum(part.n_qubits for part in self.parts)
        self.n_angles = sum(part.n_angles for part in self.parts)

    def factors(self) -> tuple[Ansatz, ...]:
        return tuple(factor for part in self.parts for factor in part.factors())

    def circuit(self) -> QuantumCircuit:
        out = QuantumCircuit(self.n_qubits)
        angles = list(ParameterVector("θ", self.n_angles))
        low, first = self.n_qubits, 0
        for part in self.parts:
            low -= part.n_qubits
            block = part.circuit()
            own = dict(zip(block.parameters, angles[first:], strict=False))
            out.compose(block.assign_parameters(own), range(low, low + part.n_qubits), inplace=True)
            first += part.n_angles
        return out

    def describe(self) -> dict[str, Any]:
        return {"kind": "ProductAnsatz", "parts": [part.describe() for part in self.parts]}
