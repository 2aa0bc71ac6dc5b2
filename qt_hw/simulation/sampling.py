"""Seeded shot sampling of many probability vectors at once."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import ArrayLike, NDArray

from qt_hw.errors import InputError

__all__ = ["sample_counts"]

#: Rows that share a stream of random numbers: fixed, so that results do not depend on threads.
ROWS_PER_STREAM = 32

_THREADS = 2


def sample_counts(p: NDArray[np.floating], shots: int, seed: Sequence[int]) -> NDArray[np.int64]:
    """Draw ``shots`` outcomes from each row of ``p``.

    Args:
        p: Probability vectors, ``(B, D)``; rounding below zero and sums off one by rounding
            are mended.
        shots: Shots of each row, at least 1.
        seed: Entropy of the ``SeedSequence``; equal entropy, equal counts.

    Returns:
        Counts, ``(B, D)`` int64; each row sums to ``shots``.

    Raises:
        InputError: No shots, or a vector with NaN or clearly not normalised.

    >>> sample_counts(np.array([[0.5, 0.5], [0.0, 1.0]]), 10, (7,)).sum(1)
    array([10, 10])
    """
    if shots < 1:
        raise InputError(f"shots must be at least 1, not {shots}")
    out = np.empty(p.shape, dtype=np.int64)
    starts = range(0, len(p), ROWS_PER_STREAM)
    streams = np.random.SeedSequence(list(seed)).spawn(len(starts))

    def draw(at: int, stream: np.random.SeedSequence) -> None:
        rows = _normalised(p[at : at + ROWS_PER_STREAM])
        generator = np.random.Generator(np.random.PCG64(stream))
        out[at : at + ROWS_PER_STREAM] = _draw(rows, shots, generator)

    if p.size < 1 << 16:
        for at, stream in zip(starts, streams, strict=True):
            draw(at, stream)
    else:
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(draw, starts, streams))
    return out


def _normalised(p: ArrayLike) -> NDArray[np.float64]:
    rows = np.clip(np.asarray(p, dtype=np.float64), 0.0, None)
    total = rows.sum(axis=1, keepdims=True)
    if not np.all(np.abs(total - 1.0) < 1e-3):
        raise InputError("a probability vector does not sum to 1; check the angles for NaN")
    return np.asarray(rows / total)


def _draw(p: NDArray[np.float64], shots: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Draw by inverse transform where shots are few per outcome, else outcome by outcome."""
    if shots > 2 * p.shape[1]:
        return generator.multinomial(shots, p)
    # Normalised sums of exponentials are sorted uniforms (Devroye 1986, ch. V.3), so a merge
    # with the cumulative probabilities counts each outcome without sorting.
    gaps = generator.standard_exponential((len(p), shots + 1))
    np.cumsum(gaps, axis=1, out=gaps)
    edges = np.cumsum(p, axis=1)
    edges *= gaps[:, -1:] / edges[:, -1:]
    below = np.stack(
        [
            np.searchsorted(row[:-1], edge, side="right")
            for row, edge in zip(gaps, edges, strict=True)
        ]
    )
    below[:, -1] = shots
    return np.diff(below, axis=1, prepend=0)
