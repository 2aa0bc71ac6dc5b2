"""A trained factor on a weight matrix."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

__all__ = ["Gain", "without_gains"]


class Gain(nn.Module):
    """A parametrisation that multiplies a weight by a trained scalar, zero at the start.

    QPA generates both factors of a LoRA, so its change of the model is not zero at the start as an
    ordinary LoRA's is. With this factor it is, and grows with its first steps.
    """

    def __init__(self) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.zeros(()))

    def forward(self, weight: Tensor) -> Tensor:
        """Return the weight times the factor."""
        return self.gain * weight


def without_gains(model: nn.Module) -> nn.Module:
    """Multiply the gains into their weights and return the changed ``model``."""
    for module in list(model.modules()):
        if parametrize.is_parametrized(module, "weight"):
            weight = cast("Tensor", module.weight).detach().clone()
            # torch's own removal would change the class, which copies of the module share.
            module.__class__ = parametrize.type_before_parametrizations(module)
            del module.parametrizations
            module.register_parameter("weight", nn.Parameter(weight))
    return model
