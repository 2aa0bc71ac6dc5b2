"""A classical network from the label of a basis state to its weights."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from qt_hw.errors import ConfigError
from qt_hw.model.controls.base import WeightControl
from qt_hw.model.mapping import Mapping, MlpMapping, n_blocks_for
from qt_hw.model.output import OutputRule
from qt_hw.model.scaling import Scaling
from qt_hw.model.target import Select

__all__ = ["Hypernetwork", "LabelMapping", "largest_width", "n_label_parameters"]


class LabelMapping(MlpMapping):
    """An ``MlpMapping`` that sees the labels alone, without a parameter for x."""

    @property
    def n_features(self) -> int:
        return self.n_qubits

    def forward(self, x: Tensor) -> Tensor:
        """Return the chunks ``(n_blocks, chunk_size)``; ``x`` does not matter."""
        out: Tensor = self.layers(self.labels)
        return out


class Hypernetwork(WeightControl):
    """One hidden layer from labels to weights, as wide as the number of parameters allows.

    Source: Ha et al., arXiv:1609.09106. Chunks, activation and output rule are those of the
    mapping and the scaling that it stands against.

    Args:
        name: Of the control.
        target: The network; it is copied.
        select: Which of its parameters are made.
        mapping: Gives chunks and activation (tanh, if it has none).
        scaling: Gives the output rule.
        n_qubits: Digits of a label.
        most: Trained numbers at most.
        generator: Source of the initial values.

    Raises:
        ConfigError: Not even one hidden unit is possible.
    """

    def __init__(
        self,
        name: str,
        target: nn.Module,
        select: Select = None,
        *,
        mapping: Mapping,
        scaling: Scaling,
        n_qubits: int,
        most: int,
        generator: torch.Generator,
    ) -> None:
        super().__init__(name, target, select)
        chunk = mapping.chunk_size
        activation = mapping.activation if isinstance(mapping, MlpMapping) else "tanh"
        described = LabelMapping(
            (largest_width(n_qubits, chunk, most),), activation, chunk_size=chunk
        )
        n_blocks = n_blocks_for(self.target.n_generated, chunk)
        dtype = self.target.dtype
        plain = copy.copy(scaling)
        plain.share = None  # there is no x whose share could be fitted
        self.mapping = described.built(n_qubits, n_blocks, generator=generator, dtype=dtype)
        self.output = OutputRule(
            plain, self.mapping, self.target.slots, torch.zeros(n_blocks, dtype=dtype)
        )
        self.to(self.target.device)

    @property
    def parts(self) -> dict[str, int]:
        return {"mapping": self.mapping.n_parameters}

    def weights(self) -> dict[str, Tensor]:
        with torch.autocast(self.mapping.labels.device.type, enabled=False):
            outputs: Tensor = self.mapping(self.mapping.labels[:, 0]).flatten()
            return self.target.split(self.output(outputs[: self.target.n_generated]))


def largest_width(n_qubits: int, chunk_size: int, most: int) -> int:
    """Return the largest hidden width with at most ``most`` parameters.

    Raises:
        ConfigError: Not even one hidden unit is possible.

    >>> largest_width(6, 38, 522)
    10
    """
    width = (most - chunk_size) // (n_qubits + 1 + chunk_size)
    if width < 1:
        raise ConfigError(
            f"control.name: a hypernetwork needs {n_label_parameters(n_qubits, chunk_size, 1)} "
            f"parameters at least, the quantum model trains {most}: lower mapping.chunk_size"
        )
    return width


def n_label_parameters(n_qubits: int, chunk_size: int, width: int) -> int:
    """Return the number of parameters of one hidden layer between label and chunk.

    >>> n_label_parameters(6, 38, 10)
    488
    """
    return (n_qubits + 1) * width + (width + 1) * chunk_size
