"""Where a model's probability vector comes from: a circuit, or in a control something else."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from qt_hw.execution.backend import Backend
from qt_hw.mitigation.calibration import Calibration
from qt_hw.mitigation.mitigator import Mitigator
from qt_hw.model.setup import Factor, Usage

__all__ = ["NoVector", "Source", "VectorSource"]


class Source(nn.Module, ABC):
    """Supplies a probability vector; what a training asks of it besides that has answers here.

    Unless a subclass says otherwise nothing is measured: there are no circuits and no shots.

    Attributes:
        seed: Of what is sampled.
        usage: Circuits and shots executed so far.
        part: What the parameter report calls the numbers trained here.
    """

    seed: int
    usage: Usage
    part: str = "angles"

    @property
    @abstractmethod
    def n_bins(self) -> int:
        """Number of outcomes."""

    @abstractmethod
    def forward(self) -> Tensor:
        """Return the vector, ``(n_bins,)`` float64."""

    @abstractmethod
    def ideal(self) -> Tensor:
        """Return the exact vector without gradients, ``(n_bins,)`` float64."""

    @abstractmethod
    def describe(self) -> Mapping[str, Any]:
        """Return what the manifest records, JSON-ready."""

    @property
    def shots(self) -> int | None:
        """Shots of each circuit; None: exact."""
        return None

    @property
    def backend(self) -> Backend | None:
        """Where circuits run; None: there are none."""
        return None

    @property
    def mitigator(self) -> Mitigator | None:
        """What mitigates the vectors, None for nothing."""
        return None

    @property
    def immediate(self) -> bool:
        """Whether a vector costs nothing and is there at once."""
        return True

    def circuits(self) -> Sequence[Factor]:
        """Return the independent circuits, as they run."""
        return ()

    def binding_counts(self) -> dict[str, int]:
        """Return the number of shifted circuits of one gradient, by form."""
        return {"native": 0, "lowered": 0}

    def trained_angles(self) -> Tensor:
        """Return the angles behind the vector, ``(P,)`` float64; empty where there are none."""
        return torch.zeros(0, dtype=torch.float64)

    def prefetch(self) -> None:
        """Measure what the next step needs in one batch, where a batch is waited for."""

    def refresh(self) -> None:
        """Forget what was measured."""

    def calibrate(self) -> Calibration | None:
        """Measure what the mitigation needs to know, once."""
        return None

    @property
    def n_trained(self) -> int:
        """Number of trained numbers."""
        return sum(p.numel() for p in self.parameters() if p.requires_grad)


class VectorSource(Source):
    """A source without a circuit; its numbers keep double precision whatever the model's."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.seed, self.usage = name, 0, Usage()

    def ideal(self) -> Tensor:
        with torch.no_grad():
            vector: Tensor = self()
            return vector

    def describe(self) -> Mapping[str, Any]:
        return {"control": self.name, "n_bins": self.n_bins, "n_trained": self.n_trained}

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        kept = [t.detach().clone() for t in self._tensors()]
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for tensor, before in zip(self._tensors(), kept, strict=True):
            if tensor.dtype != before.dtype:
                tensor.data = before.to(tensor.device)
        return self

    def _tensors(self) -> list[Tensor]:
        return [*self.parameters(), *self.buffers()]


class NoVector(VectorSource):
    """Of a model whose weights come from no vector: an empty one."""

    @property
    def n_bins(self) -> int:
        return 0

    def forward(self) -> Tensor:
        return torch.zeros(0, dtype=torch.float64)
