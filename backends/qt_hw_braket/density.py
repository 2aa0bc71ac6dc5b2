"""Exact probabilities of noisy circuits on Amazon Braket's local density-matrix simulator.

Depolarizing noise does not depend on the basis, so it may be moved past the rotations of its
qubit: a run of rotations with k noisy gates is one matrix followed by one channel.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw_braket.fast import alone, matrix_gate

__all__ = ["infidelity", "law", "noisy_rotation", "noisy_two_qubit_gate", "repeated"]

Array = NDArray[np.float64]
Matrix = NDArray[Any]

_PAULIS: tuple[Matrix, ...] = (
    np.eye(2, dtype=np.complex128),
    np.array([[0, 1], [1, 0]], dtype=np.complex128),
    np.array([[0, -1j], [1j, 0]], dtype=np.complex128),
    np.array([[1, 0], [0, -1]], dtype=np.complex128),
)
_PAIRS: tuple[Matrix, ...] = tuple(np.kron(a, b) for a in _PAULIS for b in _PAULIS)


def repeated(p: float, count: int) -> float:
    """Return the probability of one ``Depolarizing`` that equals ``count`` of probability ``p``.

    >>> round(repeated(0.1, 2), 6)
    0.186667
    """
    return 0.75 * (1 - (1 - 4 * p / 3) ** count)


def infidelity(p: float, n_qubits: int) -> float:
    """Return one less the average fidelity of depolarizing noise: any Pauli with probability p.

    >>> round(infidelity(0.01, 2), 6)
    0.008
    """
    size = 1 << n_qubits
    return p * size / (size + 1)


@cache
def _channel() -> Callable[[tuple[int, ...], Sequence[Matrix]], Any]:
    from braket.default_simulator.operation import KrausOperation

    class Channel(KrausOperation):  # type: ignore[misc]
        """A channel given by its Kraus matrices."""

        matrices: Any = ()

        def __init__(self, targets: tuple[int, ...], matrices: Sequence[Matrix]) -> None:
            self._targets, self.matrices = targets, matrices

        @property
        def targets(self) -> tuple[int, ...]:
            return self._targets

    return Channel


def _noisy(qubits: tuple[int, ...], matrix: Matrix, p: float, paulis: Sequence[Matrix]) -> Any:
    """Return an operation of the simulator: ``matrix``, then one of the Paulis at random."""
    if p == 0.0:
        gate = matrix_gate()(qubits)
        gate.matrix = matrix
        return gate
    rest = math.sqrt(p / (len(paulis) - 1))
    weights = [math.sqrt(1 - p)] + [rest] * (len(paulis) - 1)
    kraus = [weight * pauli @ matrix for weight, pauli in zip(weights, paulis, strict=True)]
    return _channel()(qubits, kraus)


def noisy_rotation(n_qubits: int, qubit: int, matrix: Matrix, p: float) -> Any:
    """Return a rotation followed by ``Depolarizing(p)``: X, Y or Z, each with probability p/3.

    Args:
        n_qubits: Qubits of the circuit.
        qubit: Qubit of the rotation; 0 is the least significant bit.
        matrix: ``(2, 2)``.
        p: 0 to 3/4.
    """
    return _noisy((n_qubits - 1 - qubit,), matrix, p, _PAULIS)


def noisy_two_qubit_gate(n_qubits: int, first: int, second: int, matrix: Matrix, p: float) -> Any:
    """Return a gate followed by ``TwoQubitDepolarizing(p)``: 15 pairs of Paulis, p/15 each.

    Args:
        n_qubits: Qubits of the circuit.
        first: Qubit of the more significant bit of ``matrix``.
        second: Qubit of its less significant bit.
        matrix: ``(4, 4)``.
        p: 0 to 15/16.
    """
    return _noisy((n_qubits - 1 - first, n_qubits - 1 - second), matrix, p, _PAIRS)


def law(n_qubits: int, operations: Sequence[Any], readout: Sequence[float]) -> Array:
    """Return the probabilities of the outcomes that are read, ``(2**n,)``.

    Qubit 0 is the least significant bit.

    Args:
        n_qubits: Number of qubits.
        operations: From ``noisy_rotation`` and ``noisy_two_qubit_gate``, in time order.
        readout: Probability that the outcome of each qubit is read as the other one, ``(n,)``.
    """
    from braket.default_simulator.density_matrix_simulation import DensityMatrixSimulation

    with alone():
        simulation = DensityMatrixSimulation(n_qubits, 0)
        simulation.evolve(list(operations))
        p = np.asarray(simulation.probabilities).reshape([2] * n_qubits)
    for axis, flip in enumerate(reversed(readout)):
        if flip:
            p = (1 - flip) * p + flip * np.flip(p, axis=axis)
    return np.asarray(p.reshape(-1), dtype=np.float64)
