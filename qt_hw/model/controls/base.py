"""Controls whose weights come from no probability vector."""

from __future__ import annotations

from abc import abstractmethod
from typing import cast

import torch
from torch import Tensor, nn

from qt_hw.model.report import ParameterReport
from qt_hw.model.source import NoVector
from qt_hw.model.target import Select, Target
from qt_hw.model.trainable import Trainable, without_models

__all__ = ["WeightControl", "initial_values"]


class WeightControl(Trainable):
    """A target whose selected parameters are made of other trained numbers, without a circuit.

    Args:
        name: Of the control.
        target: The network; it is copied.
        select: Which parameters are made; the others are trained as usual.
    """

    def __init__(self, name: str, target: nn.Module, select: Select = None) -> None:
        super().__init__()
        self.generator = NoVector(name)
        self.target = Target(target, select)

    @property
    @abstractmethod
    def parts(self) -> dict[str, int]:
        """Trained numbers that make the weights, by part."""

    @abstractmethod
    def weights(self) -> dict[str, Tensor]:
        """Return the weights by name; attached to autograd where gradients are on."""

    def forward(self, *inputs: object, **kwargs: object) -> Tensor:
        return cast("Tensor", self.target.call(self.weights(), *inputs, **kwargs))

    def export(self) -> nn.Module:
        with torch.no_grad():
            return without_models(self.target.filled(self.weights()))

    def circuit_share(self) -> float:
        """Return 0: there is no vector."""
        return 0.0

    def parameter_report(self) -> ParameterReport:
        """Return the parameter counts; those of qubits and outcomes are 0."""
        n_trained, n_generated = sum(self.parts.values()), self.target.n_generated
        return ParameterReport(
            n_target=self.target.n_target,
            n_generated=n_generated,
            n_trained=n_trained,
            n_kept=sum(p.numel() for p in self.target.parameters() if p.requires_grad),
            share=n_trained / n_generated,
            breakdown=self.parts,
            n_qubits=0,
            chunk_size=0,
            bins_used=0,
            bins=0,
            circuit_share=0.0,
        )


def initial_values(target: nn.Module, bound: Target) -> list[Tensor]:
    """Return copies of the untrained tensors that ``bound`` has taken out of ``target``."""
    values = dict(target.named_parameters(remove_duplicate=False))
    return [values[slot.name].detach().clone() for slot in bound.slots]
