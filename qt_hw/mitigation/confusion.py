"""How qubits are misread: one stochastic matrix per qubit, or per pair of neighbours.

A vector p is observed as (A_m ⊗ … ⊗ A_0) p with small blocks A, so the inverse takes O(n·2^n) and
no matrix of 2^n × 2^n (Bravyi et al., Phys. Rev. A 103, 042605).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.errors import InputError
from qt_hw.execution.backend import Prepared
from qt_hw.execution.checks import check_shots

__all__ = ["AnyConfusion", "Confusion", "PairConfusion", "Vectors", "apply_axes", "load_confusion"]

Array = NDArray[np.float64]

#: Probability vectors ``(…, 2**n)`` of either library.
Vectors = TypeVar("Vectors", NDArray[np.float64], Tensor)

#: Smallest determinant of a confusion matrix that counts as invertible: rounding is below it.
_MIN_DETERMINANT = 1e-9

#: Largest condition number of a block: above it, shot noise grows more than fiftyfold.
_MAX_CONDITION = 50.0

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
        for qubit, matrix in enumerate(self.matrices):
            _check_condition(matrix, f"qubit {qubit}")
        (a, b), (c, d) = np.moveaxis(self.matrices, 0, -1)
        adjugates = np.moveaxis(np.array([[d, -b], [-c, a]]), -1, 0)
        return np.asarray(adjugates / determinants[:, None, None])

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready; ``from_dict`` gives the same numbers back."""
        return {"matrices": self.matrices.tolist(), "shots": self.shots, "date": self.date}

    @classmethod
    def of_properties(cls, prepared: Prepared) -> Confusion:
        """Return the confusion that the backend's own calibration gives.

        Raises:
            InputError: The backend says nothing of its readout.
        """
        flips = [prepared.properties.get(key) for key in ("readout_p01", "readout_p10")]
        if any(values is None or None in values for values in flips):
            raise InputError(
                "this backend's properties say nothing of the readout: measure it, "
                "readout with source='calibration'"
            )
        p01, p10 = (np.asarray(values, dtype=np.float64) for values in flips)
        matrices = np.moveaxis(np.array([[1.0 - p01, p10], [p01, 1.0 - p10]]), -1, 0)
        return cls(matrices=matrices, date=prepared.calibration_date)

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


@dataclass(frozen=True, kw_only=True, eq=False)
class PairConfusion:
    """How neighbouring qubits (2j, 2j + 1) are misread together; an odd last one by itself.

    Attributes:
        matrices: The blocks, the least significant qubits first: ``(4, 4)``, the last one
            ``(2, 2)`` for an odd number of qubits; entry ``[observed, true]``, where the qubit
            2j is the less significant bit.
        shots: Shots behind each column of a block; None where they are known otherwise.
        date: ISO 8601 date of the calibration, None where it is not known.

    Raises:
        InputError: Not such matrices.
    """

    matrices: tuple[Array, ...]
    shots: int | None = None
    date: str | None = None

    def __post_init__(self) -> None:
        """Check the matrices and keep copies."""
        blocks = tuple(np.array(block, dtype=np.float64) for block in self.matrices)
        sizes = [block.shape for block in blocks]
        if not blocks or set(sizes[:-1]) - {(4, 4)} or sizes[-1] not in ((4, 4), (2, 2)):
            raise InputError(
                f"blocks of the shapes {sizes}; pass (4, 4) for each pair of qubits, and (2, 2) "
                "for an odd last one"
            )
        for block in blocks:
            if not (np.all(block >= 0) and np.allclose(block.sum(axis=0), 1.0, rtol=0, atol=1e-9)):
                raise InputError("confusion matrices hold probabilities whose columns add up to 1")
            block.setflags(write=False)
        object.__setattr__(self, "matrices", blocks)
        object.__setattr__(self, "shots", check_shots(self.shots))

    @property
    def n_qubits(self) -> int:
        """Number of measured qubits."""
        return sum(len(block).bit_length() - 1 for block in self.matrices)

    @cached_property
    def inverses(self) -> tuple[Array, ...]:
        """Inverses of the blocks.

        Raises:
            InputError: A block is singular or nearly so.
        """
        for number, block in enumerate(self.matrices):
            first = 2 * number
            pair = f"qubits {first} and {first + 1}" if len(block) == 4 else f"qubit {first}"
            _check_condition(block, pair)
        return tuple(np.asarray(np.linalg.inv(b), dtype=np.float64) for b in self.matrices)

    def to_dict(self) -> dict[str, Any]:
        """Return everything, JSON-ready; ``load_confusion`` gives the same numbers back."""
        blocks = [block.tolist() for block in self.matrices]
        return {"pairs": blocks, "shots": self.shots, "date": self.date}


AnyConfusion = Confusion | PairConfusion


def load_confusion(stored: Mapping[str, Any]) -> AnyConfusion:
    """Return what the ``to_dict`` of either kind stored.

    Raises:
        InputError: A field is missing or wrong.
    """
    if "pairs" not in stored:
        return Confusion.from_dict(stored)
    try:
        blocks = tuple(np.asarray(block, dtype=np.float64) for block in stored["pairs"])
        return PairConfusion(matrices=blocks, shots=stored["shots"], date=stored["date"])
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError("a stored confusion is damaged; calibrate anew") from None


def _check_condition(block: Array, whose: str) -> None:
    condition = float(np.linalg.cond(block))
    if not condition <= _MAX_CONDITION:
        raise InputError(
            f"the readout of {whose} cannot be corrected: its confusion matrix is badly "
            f"conditioned ({condition:.3g}, at most {_MAX_CONDITION:g}); calibrate anew with more "
            "shots, or choose other qubits"
        )


def apply_axes(p: Vectors, matrices: Sequence[Array] | Array) -> Vectors:
    """Return (M_m ⊗ … ⊗ M_0) p of blocks M for each row of ``p``; M_0 acts on qubit 0."""
    rows, outcomes = math.prod(p.shape[:-1]), p.shape[-1]
    # The first axis holds the most significant qubits. Each block moves the axis on which it acts
    # to the end, so that after the last one all are back in their places.
    blocks = _blocks(matrices)[::-1]
    if isinstance(p, Tensor):
        if not p.is_floating_point():
            raise InputError(f"probability vectors are floating-point tensors, not {p.dtype}")
        out = p
        # Copies: blocks can be read-only, which tensors cannot be.
        for tensor in (torch.tensor(block, dtype=p.dtype, device=p.device) for block in blocks):
            out = out.reshape(rows, len(tensor), outcomes // len(tensor)).swapaxes(1, 2) @ tensor.T
        return out.reshape(p.shape)
    array = np.asarray(p, dtype=np.float64)
    for block in blocks:
        array = array.reshape(rows, len(block), outcomes // len(block)).swapaxes(1, 2) @ block.T
    return array.reshape(p.shape)


def _blocks(matrices: Sequence[Array] | Array) -> list[Array]:
    """Return the Kronecker products of a few neighbouring qubits each: fewer, larger products."""
    out: list[Array] = []
    for matrix in matrices:
        if not out or len(out[-1]) * len(matrix) > 1 << _BLOCK:
            out.append(np.asarray(matrix))
            continue
        block, size = out[-1], len(out[-1]) * len(matrix)
        out[-1] = (matrix[:, None, :, None] * block[None, :, None, :]).reshape(size, size)
    return out
