"""Weights that share few trained numbers by a hash."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qt_hw.model.controls.base import WeightControl
from qt_hw.model.target import Select

__all__ = ["Shared", "hashed"]

_STREAM = 3


class Shared(WeightControl):
    """Each weight is ``offset + scale · sign · bucket``, its bucket and sign found by a hash.

    The buckets serve all tensors and start as standard normal numbers; offset and scale are the
    mean and the standard deviation that the tensor has in the untrained target.
    Source: Chen et al. 2015, arXiv:1504.04788, with buckets in common.

    Args:
        name: Of the control.
        target: The network; it is copied.
        select: Which of its parameters share.
        most: How many buckets there are; those that the hash misses are left out.
        seed: Of the hash and of the initial values.
    """

    bucket: Tensor
    sign: Tensor
    scale: Tensor
    offset: Tensor

    def __init__(
        self, name: str, target: nn.Module, select: Select = None, *, most: int, seed: int
    ) -> None:
        super().__init__(name, target, select)
        slots, dtype = self.target.slots, self.target.dtype
        codes = hashed(self.target.n_generated, seed)
        hit, bucket = np.unique((codes >> np.uint64(1)) % np.uint64(most), return_inverse=True)
        rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
        self.buckets = nn.Parameter(torch.from_numpy(rng.standard_normal(len(hit))).to(dtype))
        sign = 1.0 - 2.0 * (codes & np.uint64(1)).astype(np.float64)
        self.register_buffer("bucket", torch.from_numpy(bucket), persistent=False)
        self.register_buffer("sign", torch.from_numpy(sign).to(dtype), persistent=False)
        self.register_buffer("scale", torch.tensor([s.std for s in slots], dtype=dtype))
        self.register_buffer("offset", torch.tensor([s.mean for s in slots], dtype=dtype))
        self.to(self.target.device)

    @property
    def parts(self) -> dict[str, int]:
        return {"buckets": self.buckets.numel()}

    def weights(self) -> dict[str, Tensor]:
        shared = self.target.split(self.sign * self.buckets[self.bucket])
        slots = zip(self.target.slots, self.scale, self.offset, strict=True)
        return {s.name: offset + scale * shared[s.name] for s, scale, offset in slots}


def hashed(n: int, seed: int) -> NDArray[np.uint64]:
    """Return a 64-bit code for each of 0 … n − 1: SplitMix64, which every machine computes alike.

    >>> hex(hashed(1, 0)[0])
    '0xe220a8397b1dcdaf'
    """
    with np.errstate(over="ignore"):
        start = np.uint64(seed % 2**32) << np.uint64(32)
        z = start + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))
