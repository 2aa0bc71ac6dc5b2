"""A trained low-rank change of the untrained target."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from qt_hw.model.controls.base import WeightControl, initial_values
from qt_hw.model.target import Select

__all__ = ["LowRank", "largest_rank", "n_factors"]

_STREAM = 4


class LowRank(WeightControl):
    """Each matrix is ``W0 + B A`` with the untrained, frozen W0; vectors are trained directly.

    A tensor of more than two axes is taken as a matrix of its first axis and all others. B starts
    at 0, A uniform in ±1/√(columns). Source: Hu et al., arXiv:2106.09685.

    Args:
        name: Of the control.
        target: The network; it is copied.
        select: Which of its parameters are made.
        most: The rank is the largest whose trained numbers are not more; at least 1.
        seed: Of A.
    """

    base: Tensor

    def __init__(
        self, name: str, target: nn.Module, select: Select = None, *, most: int, seed: int
    ) -> None:
        super().__init__(name, target, select)
        initial = initial_values(target, self.target)
        self.register_buffer("base", torch.cat([w.flatten() for w in initial]))
        shapes = [tuple(slot.shape) for slot in self.target.slots]
        self.rank = largest_rank(shapes, most)
        rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
        self.factors = nn.ParameterList()
        for w in initial:
            self.factors.extend(_factors(w, self.rank, rng) if w.ndim > 1 else [w])

    @property
    def parts(self) -> dict[str, int]:
        counts = [sum(f.numel() for f in own) for own in self._own()]
        pairs = [c for c, s in zip(counts, self.target.slots, strict=True) if len(s.shape) > 1]
        return {"factors": sum(pairs), "vectors": sum(counts) - sum(pairs)}

    def weights(self) -> dict[str, Tensor]:
        base = self.target.split(self.base)
        return {
            slot.name: base[slot.name] + (own[0] @ own[1]).view(slot.shape)
            if len(own) == 2
            else own[0].clone()
            for slot, own in zip(self.target.slots, self._own(), strict=True)
        }

    def _own(self) -> list[list[Tensor]]:
        """Return the factors (B, A) of each matrix, the tensor itself for a vector."""
        given = iter(self.factors)
        counts = [2 if len(slot.shape) > 1 else 1 for slot in self.target.slots]
        return [[next(given) for _ in range(n)] for n in counts]


def _factors(w: Tensor, rank: int, rng: np.random.Generator) -> list[Tensor]:
    rows, columns = w.shape[0], math.prod(w.shape[1:])
    r = min(rank, rows, columns)
    bound = 1.0 / math.sqrt(columns)
    a = torch.from_numpy(rng.uniform(-bound, bound, size=(r, columns)))
    return [torch.zeros(rows, r, dtype=w.dtype, device=w.device), a.to(w)]


def largest_rank(shapes: Sequence[tuple[int, ...]], most: int) -> int:
    """Return the largest rank with at most ``most`` trained numbers; at least 1.

    >>> largest_rank([(32, 64), (32,), (10, 32), (10,)], 522)
    3
    """
    full = max((min(s[0], math.prod(s[1:])) for s in shapes if len(s) > 1), default=1)
    fitting = [r for r in range(1, full + 1) if n_factors(shapes, r) <= most]
    return max(fitting, default=1)


def n_factors(shapes: Sequence[tuple[int, ...]], rank: int) -> int:
    """Return how many numbers are trained at a rank, vectors included.

    >>> n_factors([(32, 64), (32,)], 2)
    224
    """
    total = 0
    for shape in shapes:
        if len(shape) < 2:
            total += math.prod(shape)
            continue
        rows, columns = shape[0], math.prod(shape[1:])
        total += min(rank, rows, columns) * (rows + columns)
    return total
