"""Tensored readout correction: each qubit is misread by itself, and each axis is put right.

A vector p is observed as (A_{n-1} ⊗ … ⊗ A_0) p with one 2 × 2 confusion matrix per qubit, so the
inverse takes O(n·2^n) and no matrix of 2^n × 2^n (Bravyi et al., Phys. Rev. A 103, 042605). It is
linear: gradients pass through it, and sums stay 1, but small negative entries come out.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from qt_hw.errors import InputError
from qt_hw.execution.backend import Item, Prepared
from qt_hw.execution.checks import check_shots

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["Confusion", "Vectors", "apply_axes", "construct", "correct", "estimate"]

Array = NDArray[np.float64]

#: Probability vectors ``(…, 2**n)`` of either library.
Vectors = TypeVar("Vectors", NDArray[np.float64], Tensor)

#: Smallest determinant of a confusion matrix that counts as invertible: rounding is below it.
_MIN_DETERMINANT = 1e-9

#: Qubits corrected at a time; measured to be the fastest, two to five times as fast as one.
_BLOCK = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Confusion:
    """How each qubit is misread.

    Attributes:
        matrices: ``(n, 2, 2)``, entry ``[q, observed, true]``: columns add up to 1.
        shots: Shots of each of the two calibration circuits; None where the matrices are known
            otherwise, without shot noise.
        date: ISO 8601 date of the calibration, None where it is not known.

    Raises:
        InputError: The matrices have another shape or are not column-stochastic, or ``shots`` is
            not a whole number of at least 1.

    >>> Confusion(matrices=np.array([[[0.9, 0.2], [0.1, 0.8]]])).flips.round(6).tolist()
    [[0.1, 0.2]]
    """

    matrices: Array
    shots: int | None = None
    date: str | None = None

    def __post_init__(self) -> None:
        """Check the matrices and keep a copy that nobody can change."""
        try:
            matrices = np.array(self.matrices, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("the confusion matrices are not an array of numbers") from None
        if matrices.ndim != 3 or matrices.shape[1:] != (2, 2) or not len(matrices):
            raise InputError(
                f"the confusion matrices have the shape {matrices.shape}; pass (qubits, 2, 2)"
            )
        columns = matrices.sum(axis=1)
        if not (np.all(matrices >= 0) and np.allclose(columns, 1.0, rtol=0, atol=1e-9)):
            raise InputError(
                "the confusion matrices must hold probabilities whose columns add up to 1: "
                "entry [q, observed, true]"
            )
        matrices.setflags(write=False)
        object.__setattr__(self, "matrices", matrices)
        object.__setattr__(self, "shots", check_shots(self.shots))

    @property
    def n_qubits(self) -> int:
        """Number of measured qubits."""
        return len(self.matrices)

    @property
    def flips(self) -> Array:
        """Probability that a 0 is read as 1, and a 1 as 0, of each qubit: ``(n, 2)``."""
        return np.stack([self.matrices[:, 1, 0], self.matrices[:, 0, 1]], axis=1)

    @property
    def standard_errors(self) -> Array:
        """Standard errors of ``flips`` by the calibration's shots, ``(n, 2)``: √(p(1-p)/shots)."""
        return np.sqrt(self.flips * (1.0 - self.flips) / (self.shots or math.inf))

    @cached_property
    def inverses(self) -> Array:
        """Inverses of the matrices, ``(n, 2, 2)``.

        Raises:
            InputError: Flip probabilities of a qubit add up to 1 or more.
        """
        determinants = 1.0 - self.flips.sum(axis=1)
        for qubit in np.flatnonzero(determinants < _MIN_DETERMINANT):
            zero, one = self.flips[qubit]
            raise InputError(
                f"the readout of qubit {qubit} cannot be corrected: 0 is read as 1 with "
                f"probability {zero:.3g} and 1 as 0 with {one:.3g}, which must add up to less "
                "than 1; calibrate anew or leave readout mitigation off"
            )
        (a, b), (c, d) = np.moveaxis(self.matrices, 0, -1)
        adjugates = np.moveaxis(np.array([[d, -b], [-c, a]]), -1, 0)
        return np.asarray(adjugates / determinants[:, None, None])

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready; ``from_dict`` gives the same numbers back."""
        return {"matrices": self.matrices.tolist(), "shots": self.shots, "date": self.date}

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> Confusion:
        """Return what ``to_dict`` stored.

        Raises:
            InputError: A field is missing or wrong.
        """
        try:
            matrices, shots, date = (stored[key] for key in ("matrices", "shots", "date"))
        except (KeyError, TypeError):
            raise InputError(
                "a stored confusion needs the fields matrices, shots and date; calibrate anew"
            ) from None
        return cls(matrices=matrices, shots=shots, date=date)


def construct(prepared: Prepared, shots: int, *, parts: tuple[int, int]) -> tuple[Item, Item]:
    """Return the calibration of the qubits that ``prepared`` measures.

    Two circuits without parameters: every measured qubit in 0, by an RZ of angle 0, and every one
    in 1, by an X gate, whose own error counts as readout error. Qubits and metadata are those of
    ``prepared.circuit``, so the same physical qubits are read.

    Args:
        prepared: As the backend returned it.
        shots: Shots of each of the two circuits; 4,000 to 10,000 are plenty.
        parts: Streams of random numbers of the two items, other than those of the base item.

    Raises:
        InputError: ``shots`` is not a whole number of at least 1, or the parts are equal.
    """
    checked = check_shots(shots)
    if checked is None:
        raise InputError("a readout calibration needs a number of shots")
    if parts[0] == parts[1]:
        raise InputError(f"the two calibration items need two parts, not {parts[0]} twice")
    measured = range(prepared.form.n_qubits)
    zeros, ones = _empty(prepared.circuit), _empty(prepared.circuit)
    # Amazon Braket refuses circuits without gates; this one takes no pulse on any device.
    zeros.rz(0.0, measured)
    ones.x(measured)
    no_angles = np.empty((1, 0))
    first, second = (
        Item(circuit=c, bindings=no_angles, shots=checked, role="calibration", part=part)
        for c, part in zip((zeros, ones), parts, strict=True)
    )
    return first, second


def _empty(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return qubits and metadata of ``circuit``, without gates and parameters."""
    out = circuit.copy_empty_like()
    out.global_phase = 0.0  # which may hold parameters
    return out


def estimate(
    counts_zero: ArrayLike, counts_one: ArrayLike, *, date: str | None = None
) -> Confusion:
    """Return the confusion of each qubit by maximum likelihood: the observed fraction of flips.

    Nothing is added to the counts: a flip that was never seen has probability 0.

    Args:
        counts_zero: Counts of the first item of ``construct``, ``(1, 2**n)``.
        counts_one: Counts of the second, ``(1, 2**n)``.
        date: ISO 8601 date of the calibration.

    Raises:
        InputError: Not such counts, or not of equal numbers of shots.
    """
    zero, one = _calibration("counts_zero", counts_zero), _calibration("counts_one", counts_one)
    if zero.shape != one.shape or abs(zero.sum() - one.sum()) > 1e-6:
        raise InputError(
            "the two calibration circuits need the same qubits and shots, not "
            f"{zero.size} and {one.size} outcomes, {zero.sum():g} and {one.sum():g} shots"
        )
    shots = round(float(zero.sum()))
    # Rows of a vendor's own mitigation are no whole counts and can be off by rounding.
    p01 = np.clip(_ones(zero) / shots, 0.0, 1.0)
    p10 = np.clip((shots - _ones(one)) / shots, 0.0, 1.0)
    matrices = np.moveaxis(np.array([[1.0 - p01, p10], [p01, 1.0 - p10]]), -1, 0)
    return Confusion(matrices=matrices, shots=shots, date=date)


def _calibration(name: str, counts: ArrayLike) -> Array:
    array = np.asarray(counts, dtype=np.float64)
    outcomes = array.shape[-1] if array.ndim == 2 and len(array) == 1 else 0
    if outcomes < 2 or outcomes & (outcomes - 1):
        raise InputError(f"{name} has the shape {array.shape}; pass (1, 2**n) counts")
    total = float(array.sum())
    if not (array.min() >= 0 and total > 0.5 and abs(total - round(total)) < 1e-6):
        raise InputError(f"{name} must hold counts that add up to a whole number of shots")
    return np.asarray(array[0])


def _ones(counts: Array) -> Array:
    """Return how often each qubit was read as 1, ``(n,)``."""
    n = counts.size.bit_length() - 1
    return np.array([float(counts.reshape(-1, 2, 2**q)[:, 1].sum()) for q in range(n)])


def correct(p: Vectors, confusion: Confusion) -> Vectors:
    """Return probability vectors without the readout errors of ``confusion``.

    Args:
        p: Frequencies or probabilities, ``(2**n,)`` or ``(B, 2**n)``, qubit 0 least significant;
            numpy or torch. Gradients pass through tensors.
        confusion: Of the same n qubits.

    Returns:
        Vectors of the same shape that sum to what they did; entries may be negative.

    Raises:
        InputError: Another number of outcomes, a tensor of integers, or a readout that has no
            inverse.
    """
    outcomes = 2**confusion.n_qubits
    if not p.ndim or p.shape[-1] != outcomes:
        raise InputError(
            f"vectors of the shape {tuple(p.shape)}, the confusion of {confusion.n_qubits} qubits "
            f"corrects (…, {outcomes})"
        )
    return apply_axes(p, confusion.inverses)


def apply_axes(p: Vectors, matrices: Array) -> Vectors:
    """Return (M_{n-1} ⊗ … ⊗ M_0) p of ``matrices`` ``(n, 2, 2)`` for each row of ``p``."""
    rows, outcomes = math.prod(p.shape[:-1]), p.shape[-1]
    # The first axis holds the most significant qubits. Each block moves the axis on which it acts
    # to the end, so that after the last one all are back in their places.
    blocks = _blocks(matrices)[::-1]
    if isinstance(p, Tensor):
        if not p.is_floating_point():
            raise InputError(f"probability vectors are floating-point tensors, not {p.dtype}")
        out = p
        for tensor in (torch.from_numpy(block).to(p) for block in blocks):
            out = out.reshape(rows, len(tensor), outcomes // len(tensor)).swapaxes(1, 2) @ tensor.T
        return out.reshape(p.shape)
    array = np.asarray(p, dtype=np.float64)
    for block in blocks:
        array = array.reshape(rows, len(block), outcomes // len(block)).swapaxes(1, 2) @ block.T
    return array.reshape(p.shape)


def _blocks(matrices: Array) -> list[Array]:
    """Return the Kronecker products of a few neighbouring qubits each: fewer, larger products."""
    out: list[Array] = []
    for first in range(0, len(matrices), _BLOCK):
        block = np.ones((1, 1))
        for matrix in matrices[first : first + _BLOCK]:
            size = 2 * len(block)
            block = (matrix[:, None, :, None] * block[None, :, None, :]).reshape(size, size)
        out.append(block)
    return out
