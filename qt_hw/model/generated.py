"""A target network whose weights come from a probability vector and a small mapping."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from torch import Tensor, nn

from qt_hw.errors import InputError
from qt_hw.model.mapping import Mapping, n_blocks_for, n_qubits_for
from qt_hw.model.output import OutputRule, outputs_share, reference_features
from qt_hw.model.report import ParameterReport
from qt_hw.model.scaling import Scaling
from qt_hw.model.source import Source
from qt_hw.model.target import Target
from qt_hw.model.trainable import Trainable, without_models

__all__ = ["GeneratedModel", "check_blocks", "mapping_seed"]


class GeneratedModel(Trainable):
    """A target module whose weights are generated: p → scaling → mapping → weights.

    Args:
        target: The bound target.
        source: Where p comes from.
        scaling: The scaling; it becomes a part of the model.
        mapping: The mapping, not yet built; it is copied.
        seed: Of the mapping.

    Raises:
        InputError: The vector has too few outcomes for the weights, or the scaling has another
            number of factors than there are tensors.
    """

    def __init__(
        self, target: Target, source: Source, scaling: Scaling, mapping: Mapping, *, seed: int
    ) -> None:
        super().__init__()
        n_qubits = max(1, (source.n_bins - 1).bit_length())
        n_blocks = check_blocks(target.n_generated, mapping.chunk_size, n_qubits)
        scaling.check_tensors(len(target.slots))
        self.generator = source
        self.scaling = scaling
        self.mapping = mapping.built(
            n_qubits,
            n_blocks,
            generator=torch.Generator().manual_seed(mapping_seed(seed)),
            dtype=target.dtype,
        )
        x = reference_features(scaling, source.n_bins, n_blocks)
        with _full_precision(self.mapping):
            self.output = OutputRule(scaling, self.mapping, target.slots, x.to(target.dtype))
        self.target = target
        self._cached: tuple[list[Tensor], Tensor] | None = None
        self.to(target.device)

    def forward(self, *inputs: object, **kwargs: object) -> Tensor:
        """Return the target's output with the generated weights; arguments go to the target."""
        return cast("Tensor", self.target.call(self.weights(), *inputs, **kwargs))

    def weights(self) -> dict[str, Tensor]:
        """Return the generated tensors by name; attached to autograd where gradients are on.

        They are the caller's own: a change to one stays without effect on the model. ``autocast``
        does not touch them.
        """
        with self.target.lock, _full_precision(self.mapping):
            grad = torch.is_grad_enabled()
            flat = (
                self._generate(self.generator(), self.generator.shots) if grad else self._present()
            )
            return self.target.split(flat)

    def export(self, p: Tensor | None = None, shots: int | None = None) -> nn.Module:
        """Return an ordinary copy of the target, with the present weights as its own parameters.

        It needs neither this package nor a quantum computer. Parameters and buffers that were
        not generated come along as they are now.

        Args:
            p: In place of the generator's vector: one measured elsewhere, ``(n_bins,)``.
            shots: With how many shots ``p`` was measured; None if it is exact.

        Raises:
            InputError: ``p`` has another shape.
        """
        with torch.no_grad():
            if p is None:
                return without_models(self.target.filled(self.weights()))
            if p.shape != (self.generator.n_bins,):
                raise InputError(f"p must be ({self.generator.n_bins},), not {tuple(p.shape)}")
            with self.target.lock, _full_precision(self.mapping):
                flat = self._generate(p.to(self.mapping.labels.device, torch.float64), shots)
                return without_models(self.target.filled(self.target.split(flat)))

    def circuit_share(self) -> float:
        """Return the fraction of the variance of the mapping's outputs that comes from p.

        It is the total-effect index of x, ``mean((w − w_π)²) / (2 var(w))``, where w are the
        mapping's outputs for the M weights and w_π those after the x of the basis states in use
        were permuted by π; the mean is over the weights and a fixed set of eight permutations.
        0: p does not matter. 1: only p does. Values slightly above 1 are sampling noise.
        """
        with torch.no_grad(), self.target.lock, _full_precision(self.mapping):
            x = self._features(self.generator(), self.generator.shots)
            return outputs_share(self.mapping, x, self.target.n_generated)

    def parameter_report(self) -> ParameterReport:
        """Return the parameter counts and the circuit's share, for the present parameters."""
        breakdown = {
            self.generator.part: self.generator.n_trained,
            "mapping": self.mapping.n_parameters,
            "scaling": sum(p.numel() for p in self.scaling.parameters()),
        }
        n_trained, n_generated = sum(breakdown.values()), self.target.n_generated
        kept = [p.numel() for p in self.target.parameters() if p.requires_grad]
        return ParameterReport(
            n_target=self.target.n_target,
            n_generated=n_generated,
            n_trained=n_trained,
            n_kept=sum(kept),
            share=n_trained / n_generated,
            breakdown=breakdown,
            n_qubits=self.mapping.n_qubits,
            chunk_size=self.mapping.chunk_size,
            bins_used=self.mapping.n_blocks,
            bins=2**self.mapping.n_qubits,
            circuit_share=self.circuit_share(),
        )

    def _features(self, p: Tensor, shots: int | None) -> Tensor:
        x: Tensor = self.scaling(p, shots, self.mapping.n_blocks)
        return self.output.gain * x.to(self.mapping.labels)

    def _generate(self, p: Tensor, shots: int | None) -> Tensor:
        """Return the flat weights ``(n_generated,)`` of a vector measured with ``shots``."""
        outputs: Tensor = self.mapping(self._features(p, shots)).flatten()
        weights: Tensor = self.output(outputs[: self.target.n_generated])
        return self.scaling.scale_tensors(weights, self.output.sizes)

    def _measured(self) -> Tensor:
        """Return the flat weights on the graph of everything that is trained."""
        return self._generate(self.generator(), self.generator.shots)

    def _present(self) -> Tensor:
        """Return the flat weights without gradients, generated once per state."""
        # An exact vector follows from the angles; a sampled one may have been measured anew.
        exact = self.generator.shots is None
        vector = _tensors(self.generator) if exact else [self.generator()]
        state = [*vector, *self._state()]
        if self._cached is None or not _same(self._cached[0], state):
            weights = self._measured()
            self._cached = ([t.detach().clone() for t in state], weights)
        return self._cached[1]

    def _state(self) -> list[Tensor]:
        """Everything but p that the weights depend on."""
        return [t for part in (self.scaling, self.mapping, self.output) for t in _tensors(part)]


def _full_precision(mapping: Mapping) -> torch.autocast:
    """Return a context without autocast: cached weights would carry its rounding elsewhere."""
    return torch.autocast(mapping.labels.device.type, enabled=False)


def check_blocks(n_weights: int, chunk_size: int, n_qubits: int) -> int:
    """Return the number of basis states in use; refuse an ansatz that has too few."""
    needed = n_qubits_for(n_weights, chunk_size)
    if n_qubits < needed:
        raise InputError(
            f"{n_weights:,} weights in chunks of {chunk_size} need {needed} qubits, but the ansatz "
            f"has {n_qubits}: use {needed} qubits, or chunk_size={-(-n_weights // 2**n_qubits)}"
        )
    return n_blocks_for(n_weights, chunk_size)


def mapping_seed(seed: int) -> int:
    """Return a seed for the mapping, apart from the angles' stream of the same ``seed``."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _same(old: list[Tensor], new: list[Tensor]) -> bool:
    return len(old) == len(new) and all(
        a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
        for a, b in zip(old, new, strict=True)
    )
