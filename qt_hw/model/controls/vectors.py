"""Vectors that no circuit made: frozen, learned freely, or a product of independent bits."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from qt_hw.model.generator import Generator, initial_angles
from qt_hw.model.source import VectorSource

__all__ = ["FixedVector", "FrozenGenerator", "LearnedVector", "ProductVector", "drawn", "uniform"]

_STREAM = 2


def drawn(n_bins: int, concentration: float, seed: int) -> Tensor:
    """Return a symmetric Dirichlet vector, ``(n_bins,)`` float64.

    Args:
        n_bins: Number of outcomes.
        concentration: 1 for the outcomes of a random complex state (Porter–Thomas), 1/2 for those
            of a random real one, whose amplitudes are real Gaussians.
        seed: Of the draw.
    """
    rng = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
    draw = rng.standard_gamma(concentration, size=n_bins)
    return torch.from_numpy(draw / draw.sum())


def uniform(n_bins: int) -> Tensor:
    """Return the uniform vector, ``(n_bins,)`` float64."""
    return torch.full((n_bins,), 1.0 / n_bins, dtype=torch.float64)


class FixedVector(VectorSource):
    """A vector that is never trained nor drawn again.

    Args:
        name: Of the control.
        p: The vector, ``(n_bins,)`` float64.
    """

    p: Tensor

    def __init__(self, name: str, p: Tensor) -> None:
        super().__init__(name)
        self.register_buffer("p", p.detach().clone())

    @property
    def n_bins(self) -> int:
        return len(self.p)

    def forward(self) -> Tensor:
        return self.p


class LearnedVector(VectorSource):
    """The softmax of one free logit for each outcome, which starts at a given vector.

    Args:
        name: Of the control.
        p: The vector to start with, ``(n_bins,)`` float64, positive.
    """

    part = "logits"

    def __init__(self, name: str, p: Tensor) -> None:
        super().__init__(name)
        self.logits = nn.Parameter(p.detach().log())

    @property
    def n_bins(self) -> int:
        return len(self.logits)

    def forward(self) -> Tensor:
        return torch.softmax(self.logits, dim=0)


class ProductVector(VectorSource):
    """Independent bits, each one with probability sin²(θ/2): one RY rotation of each qubit.

    Args:
        name: Of the control.
        n_bits: Number of bits; bit 0 of an outcome's index is bit 0.
        seed: Of the initial angles, uniform in (-π, π) as a circuit's.
    """

    def __init__(self, name: str, n_bits: int, seed: int) -> None:
        super().__init__(name)
        self.angles = nn.Parameter(initial_angles(n_bits, seed))

    @property
    def n_bins(self) -> int:
        return 1 << len(self.angles)

    def trained_angles(self) -> Tensor:
        return self.angles.detach()

    def forward(self) -> Tensor:
        ones = torch.sin(self.angles / 2).square()
        p = torch.ones(1, dtype=ones.dtype, device=ones.device)
        for one in ones:  # each further bit is a more significant one
            p = torch.cat([(1 - one) * p, one * p])
        return p


class FrozenGenerator(Generator):
    """A circuit whose angles stay as they were drawn: measured once, exactly."""

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.angles.requires_grad_(False)

    def refresh(self) -> None:
        """Keep the vector: it is exact, and the angles do not change."""
