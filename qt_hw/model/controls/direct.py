"""The target trained directly, whole or pruned by magnitude half-way."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from qt_hw.model.controls.base import WeightControl, initial_values
from qt_hw.model.target import Select

__all__ = ["Direct", "Pruned"]


class Direct(WeightControl):
    """The target's own parameters, trained from their own initial values.

    Args:
        name: Of the control.
        target: The network; it is copied.
        select: Which of its parameters count as made; the others are trained just the same.
    """

    def __init__(self, name: str, target: nn.Module, select: Select = None) -> None:
        super().__init__(name, target, select)
        self.tensors = nn.ParameterList(initial_values(target, self.target))

    @property
    def parts(self) -> dict[str, int]:
        return {"weights": self.target.n_generated}

    def weights(self) -> dict[str, Tensor]:
        return {s.name: w.clone() for s, w in zip(self.target.slots, self.tensors, strict=True)}


class Pruned(Direct):
    """Trained whole for some steps, then without all but its largest weights.

    The weights that are left out are 0 from then on; which these are is in the ``state_dict``.
    Source: Han et al., arXiv:1506.02626, with one threshold for all tensors.

    Args:
        name: Of the control.
        target: The network; it is copied.
        select: Which of its parameters are pruned.
        most: How many weights are kept.
        after: Optimiser steps before the pruning.
    """

    kept: Tensor

    def __init__(
        self, name: str, target: nn.Module, select: Select = None, *, most: int, after: int
    ) -> None:
        super().__init__(name, target, select)
        self.most, self.after = min(most, self.target.n_generated), after
        everything = torch.ones(self.target.n_generated, dtype=torch.bool)
        self.register_buffer("kept", everything.to(self.target.device))

    @property
    def parts(self) -> dict[str, int]:
        """What is trained in the end."""
        return {"weights": self.most}

    def weights(self) -> dict[str, Tensor]:
        masks = self.target.split(self.kept)
        return {name: w * masks[name] for name, w in super().weights().items()}

    def stepped(self, step: int) -> None:
        super().stepped(step)
        if step == self.after:
            self._prune()

    @torch.no_grad()
    def _prune(self) -> None:
        sizes = torch.cat([w.flatten().abs() for w in self.tensors])
        order = torch.argsort(sizes, descending=True, stable=True)
        self.kept.fill_(False)
        self.kept[order[: self.most]] = True
