"""Readout correction: calibration circuits, what they say, and the inverse of it on vectors.

The correction is linear: gradients pass through it, and sums stay 1, but small negative entries
come out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qt_hw.errors import InputError
from qt_hw.execution.backend import Item, Prepared
from qt_hw.execution.checks import check_shots
from qt_hw.mitigation.confusion import (
    AnyConfusion,
    Confusion,
    PairConfusion,
    Vectors,
    apply_axes,
    load_confusion,
)

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = [
    "AnyConfusion",
    "Confusion",
    "PairConfusion",
    "Vectors",
    "apply_axes",
    "construct",
    "correct",
    "correlated_flips",
    "estimate",
    "load_confusion",
    "patterns",
    "pull_back",
    "variance",
    "variances",
]

Array = NDArray[np.float64]
Bits = NDArray[np.bool_]


def patterns(n_qubits: int, pairs: int = 1, *, correlated: bool = False, seed: int = 0) -> Bits:
    """Return the states that a calibration prepares, ``(2·pairs, n)``; column q is qubit q.

    Each comes with its complement, so that every qubit is as often 0 as 1. The first pair is all
    0 and all 1; for ``correlated`` the second is 01 and 10 on the qubits (2j + 1, 2j), which makes
    every state of each such pair; further ones are random.

    Raises:
        InputError: No pairs, or one where ``correlated`` needs two.

    >>> patterns(3, 2, correlated=True).astype(int).tolist()
    [[0, 0, 0], [1, 1, 1], [1, 0, 1], [0, 1, 0]]
    """
    if pairs < 1 + correlated:
        least = "two pairs of circuits" if correlated else "one pair of circuits"
        raise InputError(f"a readout calibration needs at least {least}, not {pairs}")
    rng = np.random.default_rng(seed)
    first = [np.zeros(n_qubits, dtype=bool), np.arange(n_qubits) % 2 == 0][: 1 + correlated]
    while len(first) < pairs:
        first.append(rng.permutation(np.arange(n_qubits) % 2 == 0))
    return np.array([row for bits in first for row in (bits, ~bits)])


def construct(
    prepared: Prepared,
    shots: int | None,
    *,
    parts: Sequence[int],
    patterns: Bits | None = None,
) -> tuple[Item, ...]:
    """Return the calibration of the qubits that ``prepared`` measures.

    Circuits without parameters: a qubit in 0 by an RZ of angle 0, one in 1 by an X gate, whose own
    error counts as readout error. Qubits and metadata are those of ``prepared.circuit``, so the
    same physical qubits are read.

    Args:
        prepared: As the backend returned it.
        shots: Shots of each circuit; 4,000 to 10,000 are plenty. None: exact probabilities.
        parts: Streams of random numbers of the items, other than those of the base item.
        patterns: See ``patterns``; None: all 0, then all 1.

    Raises:
        InputError: ``shots`` is not a whole number of at least 1, or the parts are not as many
            different ones as there are circuits.
    """
    bits = _patterns(prepared.form.n_qubits, patterns)
    checked = check_shots(shots)
    if len(set(parts)) != len(bits):
        raise InputError(
            f"{len(bits)} calibration items need as many different parts, not {list(parts)}"
        )
    none = np.empty((1, 0))
    return tuple(
        Item(_state(prepared.circuit, row), none, checked, role="calibration", part=part)
        for row, part in zip(bits, parts, strict=True)
    )


def _patterns(n_qubits: int, given: Bits | None) -> Bits:
    if given is None:
        return np.array([[False] * n_qubits, [True] * n_qubits])
    return np.asarray(given, dtype=bool)


def _state(circuit: QuantumCircuit, bits: Bits) -> QuantumCircuit:
    """Return qubits and metadata of ``circuit``, with gates that prepare ``bits``."""
    out = circuit.copy_empty_like()
    out.global_phase = 0.0  # which may hold parameters
    # Amazon Braket refuses circuits without gates; this one takes no pulse on any device.
    for gate, which in ((out.rz, ~bits), (out.x, bits)):
        qubits = [int(q) for q in np.flatnonzero(which)]
        if qubits:
            gate(*((0.0, qubits) if gate == out.rz else (qubits,)))
    return out


def estimate(
    counts: Sequence[ArrayLike],
    *,
    patterns: Bits | None = None,
    correlated: bool = False,
    date: str | None = None,
    exact: bool = False,
) -> AnyConfusion:
    """Return the confusion of the qubits by maximum likelihood: the observed fractions.

    Nothing is added to the counts: a flip that was never seen has probability 0.

    Args:
        counts: Of the items of ``construct``, ``(1, 2**n)`` each.
        patterns: Those of ``construct``.
        correlated: Whether neighbours (2j, 2j + 1) are taken together.
        date: ISO 8601 date of the calibration.
        exact: Whether the counts are exact probabilities.

    Raises:
        InputError: Not such counts, or not of equal numbers of shots.
    """
    rows = np.array([_calibration(number, one) for number, one in enumerate(counts)], dtype=object)
    sizes, sums = {len(row) for row in rows}, [float(np.sum(row)) for row in rows]
    if len(sizes) != 1 or max(sums) - min(sums) > 1e-6:
        raise InputError(
            "calibration circuits need the same qubits and shots, not "
            f"{sorted(sizes)} outcomes and {sorted(set(sums))} shots"
        )
    array = np.array([np.asarray(row, dtype=np.float64) for row in rows])
    n = array.shape[1].bit_length() - 1
    bits = _patterns(n, patterns)
    if len(bits) != len(array):
        raise InputError(f"{len(bits)} calibration circuits, but counts of {len(array)}")
    width = 2 if correlated else 1
    blocks = [_block(array, bits, q, min(width, n - q)) for q in range(0, n, width)]
    columns = len(bits) // (2 * width)
    shots = None if exact else round(sums[0]) * columns
    if correlated:
        return PairConfusion(matrices=tuple(blocks), shots=shots, date=date)
    return Confusion(matrices=np.array(blocks), shots=shots, date=date)


def _block(counts: Array, bits: Bits, first: int, width: int) -> Array:
    """Return ``[observed, true]`` of some neighbouring qubits."""
    observed = counts.reshape(len(counts), -1, 2**width, 2**first).sum(axis=(1, 3))
    true = (bits[:, first : first + width] << np.arange(width)).sum(axis=1)
    columns = np.array([observed[true == state].sum(axis=0) for state in range(2**width)]).T
    if (columns.sum(axis=0) == 0).any():
        raise InputError("the calibration circuits do not prepare every state of each pair")
    # Rows of a vendor's own mitigation are no whole counts and can be off by rounding.
    return np.asarray(np.clip(columns, 0.0, None) / np.clip(columns, 0.0, None).sum(axis=0))


def _calibration(number: int, counts: ArrayLike) -> Array:
    array = np.asarray(counts, dtype=np.float64)
    outcomes = array.shape[-1] if array.ndim == 2 and len(array) == 1 else 0
    if outcomes < 2 or outcomes & (outcomes - 1):
        raise InputError(
            f"counts of calibration circuit {number} have the shape {array.shape}; pass (1, 2**n)"
        )
    total = float(array.sum())
    if not (array.min() >= 0 and total > 0.5 and abs(total - round(total)) < 1e-6):
        raise InputError(
            f"counts of calibration circuit {number} must add up to a whole number of shots"
        )
    return np.asarray(array[0])


def correct(p: Vectors, confusion: AnyConfusion) -> Vectors:
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
    _check_size(p.shape, confusion)
    return apply_axes(p, confusion.inverses)


def pull_back(g: Vectors, confusion: AnyConfusion) -> Vectors:
    """Return ``A⁻ᵀ g``: the gradient with respect to p of ``g · correct(p)``.

    Raises:
        InputError: See ``correct``.
    """
    _check_size(g.shape, confusion)
    return apply_axes(g, [inverse.T for inverse in confusion.inverses])


def variances(p: ArrayLike, confusion: AnyConfusion | None) -> Array:
    """Return the variance by one shot of each corrected entry, of the laws ``p`` ``(B, 2**n)``.

    ``Var_i = Σ_x (A⁻¹)_ix² p_x − (A⁻¹ p)_i²``; of N shots it is an N-th of it.
    """
    f = np.asarray(p, dtype=np.float64)
    if confusion is None:
        return np.asarray(f * (1.0 - f))
    squares = [np.asarray(inverse) ** 2 for inverse in confusion.inverses]
    return np.asarray(apply_axes(f, squares) - correct(f, confusion) ** 2)


def variance(p: ArrayLike, confusion: AnyConfusion | None) -> Array:
    """Return the same summed over the entries, ``(B,)``."""
    return np.asarray(variances(p, confusion).sum(axis=-1))


def correlated_flips(
    counts: Sequence[ArrayLike], patterns: Bits | None = None, *, sigmas: float = 4.0
) -> list[tuple[int, int, float]]:
    """Return pairs of qubits that are misread together more, or less, often than by chance.

    Args:
        counts: Of a calibration, ``(1, 2**n)`` each.
        patterns: Those of ``construct``.
        sigmas: From which size of the deviation on.

    Returns:
        (qubit, qubit, deviation in standard errors), the largest first.
    """
    array = np.array([_calibration(number, one) for number, one in enumerate(counts)])
    n = array.shape[1].bit_length() - 1
    states = (np.arange(array.shape[1])[:, None] >> np.arange(n)) & 1
    found = []
    for q in range(n):
        for r in range(q + 1, n):
            joint, expected, variance_ = 0.0, 0.0, 0.0
            for row, bits in zip(array, _patterns(n, patterns), strict=True):
                shots = row.sum()
                wrong = states != bits
                a, b = (row @ wrong[:, q]) / shots, (row @ wrong[:, r]) / shots
                joint += row @ (wrong[:, q] & wrong[:, r])
                expected += a * b * shots
                variance_ += a * b * (1 - a) * (1 - b) * shots
            z = _deviation(joint, expected, variance_)
            if abs(z) > sigmas:
                found.append((q, r, z))
    return sorted(found, key=lambda one: -abs(one[2]))


def _deviation(count: float, expected: float, variance_: float) -> float:
    """Return by how many standard errors a count is off, also where few are expected.

    The signed root of the Poisson deviance: of rare counts the plain difference over its standard
    deviation calls a single one a large deviation.
    """
    if variance_ <= 0:
        return 0.0
    logarithm = count * math.log(count / expected) if count > 0 else 0.0
    root = math.sqrt(max(0.0, 2.0 * (logarithm - (count - expected))))
    return math.copysign(root * math.sqrt(expected / variance_), count - expected)


def _check_size(shape: Sequence[int], confusion: AnyConfusion) -> None:
    outcomes = 2**confusion.n_qubits
    if not len(shape) or shape[-1] != outcomes:
        raise InputError(
            f"vectors of the shape {tuple(shape)}, the confusion of {confusion.n_qubits} qubits "
            f"corrects (…, {outcomes})"
        )
