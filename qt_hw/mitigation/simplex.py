"""Projection onto the probability simplex, for reports: the last step, and outside gradients.

By sorting, O(N log N): Held, Wolfe and Crowder, Math. Program. 6, 62 (1974). It never increases
the Euclidean distance to any distribution, but it is not linear and sets small entries to 0.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.errors import InputError
from qt_hw.mitigation.readout import Vectors

__all__ = ["project"]

Array = NDArray[np.float64]


def project(p: Vectors) -> Vectors:
    """Return the nearest probability vector, in Euclidean distance, of each row.

    Args:
        p: Real vectors, ``(N,)`` or ``(B, N)``; numpy or torch.

    Returns:
        Entries of at least 0 that sum to 1, same shape; tensors on the same device, of the same
        dtype, and cut off from the graph of ``p``.

    Raises:
        InputError: No entries, a NaN or an infinity.

    >>> project(np.array([0.7, 0.5, -0.2])).round(6).tolist()
    [0.6, 0.4, 0.0]
    """
    if isinstance(p, Tensor):
        array = p.detach().to("cpu", torch.float64).numpy()
        return torch.from_numpy(_project(array)).to(p)
    return _project(np.asarray(p, dtype=np.float64))


def _project(p: Array) -> Array:
    if not (p.ndim and p.shape[-1] and np.isfinite(p).all()):
        raise InputError(f"cannot project vectors of the shape {p.shape}: empty, NaN or infinite")
    descending = np.sort(p, axis=-1)[..., ::-1]
    excess = np.cumsum(descending, axis=-1) - 1.0
    sizes = np.arange(1, p.shape[-1] + 1)
    kept = np.count_nonzero(descending * sizes > excess, axis=-1, keepdims=True)
    shift = np.take_along_axis(excess, kept - 1, axis=-1) / kept
    return np.maximum(p - shift, 0.0)
