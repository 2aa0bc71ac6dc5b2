"""What a training asks of a model, with or without a circuit."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn

from qt_hw.model.report import ParameterReport
from qt_hw.model.source import Source
from qt_hw.model.target import Target

__all__ = ["Trainable", "without_models"]


class Trainable(nn.Module, ABC):
    """A target network whose weights are made of fewer trained numbers.

    Attributes:
        generator: Where its vector comes from; an empty one where there is none.
        target: The target, whose selected parameters come from outside.
    """

    generator: Source
    target: Target

    @abstractmethod
    def forward(self, *inputs: object, **kwargs: object) -> Tensor:
        """Return the target's output with the present weights; arguments go to the target."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Return the generated tensors by name, attached to autograd where gradients are on."""

    @abstractmethod
    def export(self) -> nn.Module:
        """Return an ordinary copy of the target with the present weights as its own."""

    @abstractmethod
    def circuit_share(self) -> float:
        """Return the fraction of the variance of the generated weights that comes from p."""

    @abstractmethod
    def parameter_report(self) -> ParameterReport:
        """Return the parameter counts and the share of p, for the present parameters."""

    def refresh(self) -> None:
        """Have the next call measure anew."""
        self.generator.refresh()

    def stepped(self, step: int) -> None:
        """Take note that optimiser step number ``step``, counted from 1, has been done."""
        self.refresh()


def without_models(module: nn.Module) -> nn.Module:
    """Replace every model inside ``module`` (a layer with a circuit of its own) by its export.

    ``module`` itself is changed, and returned.
    """
    for name, child in module.named_children():
        if isinstance(child, Trainable):
            setattr(module, name, child.export())
        else:
            without_models(child)
    return module
