"""A circuit in the form in which it is differentiated: one plain angle per rotation.

Gate angles depend on the ansatz' angles by ``a = A θ + b``, so a gradient with respect to the
gate angles becomes one with respect to θ by ``dL/dθ = Aᵀ dL/da``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["Form"]


@dataclass(frozen=True, kw_only=True, eq=False)
class Form:
    """A circuit with one plain ``Parameter`` per gate angle.

    Attributes:
        name: ``"native"`` (the gates as written), ``"lowered"`` ({rz, ry or sx, cx or cz}) or
            ``"isa"`` (transpiled for a device).
        circuit: Unmeasured; gate angles in the order of ``circuit.parameters``. Qubits that are
            not measured come last, as ancillas.
        A: ``(gate angles, angles of the ansatz)``, sparse.
        b: ``(gate angles,)``, radians.
        terms: ``(gate angles,)``: 2 or 4 terms of the shift rule, 0 for an angle that cannot
            change any outcome.
    """

    name: str
    circuit: QuantumCircuit
    A: csr_array
    b: NDArray[np.float64]
    terms: NDArray[np.int64]

    @property
    def n_qubits(self) -> int:
        """Number of measured qubits."""
        return int(self.circuit.num_qubits - self.circuit.num_ancillas)

    @property
    def n_shifts(self) -> int:
        """Number of shifted bindings of one parameter-shift gradient."""
        return int(self.terms.sum())

    def gate_angles(self, angles: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gate angles ``(B, gate angles)`` of the ansatz' angles ``(B, P)``."""
        return np.asarray((self.A @ angles.T).T + self.b)

    def pull_back(self, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return ``dL/dθ``, ``(B, P)``, of ``dL/da``, ``(B, gate angles)``."""
        return np.asarray((self.A.T @ gradient.T).T)
