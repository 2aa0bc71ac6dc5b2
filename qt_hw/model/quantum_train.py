"""The model: a target network whose weights come from a quantum circuit and a small mapping."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, cast

import numpy as np
import torch
from torch import Tensor, nn

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError
from qt_hw.model.generator import Generator
from qt_hw.model.mapping import Mapping, n_blocks_for, n_qubits_for
from qt_hw.model.output import OutputRule, outputs_share, reference_features
from qt_hw.model.report import ParameterReport
from qt_hw.model.scaling import Scaling
from qt_hw.model.target import Select, Target

if TYPE_CHECKING:
    from qt_hw.execution.backend import Backend
from qt_hw.execution.executor import Executor

__all__ = ["QuantumTrain"]


class QuantumTrain(nn.Module):
    """A target module whose weights are generated: circuit → p → scaling → mapping → weights.

    ``parameters()`` holds the circuit's angles (``model.generator``), the mapping's parameters
    (``model.mapping``), those of a learnable scaling (``model.scaling``), and the target's
    parameters that ``select`` leaves out (``model.target``). Generated tensors are neither
    parameters nor in the ``state_dict``.

    The circuit is measured once per value of the angles. With gradients off, the weights are
    generated once per parameter state too; with gradients on, each forward call rebuilds the
    mapping's graph on the same measured p.

    With the recipe ``balanced``, generated layers start with the mean, the spread and the response
    of those in ``target``, and a gain on x is fitted once so that p supplies half of the outputs'
    variance. Both are fitted on a seeded Porter–Thomas vector, not on a measurement, and stored
    in the ``state_dict``.

    Args:
        target: The network, initialised as usual; it is copied, not changed.
        ansatz: The circuit.
        mapping: An ``AffineMapping``, ``MlpMapping`` or ``MpsMapping``; it is copied.
        scaling: A recipe's name or a ``Scaling``; it is copied.
        backend: Name or object.
        shots: Shots per vector; None for exact probabilities.
        gradient: ``"auto"``, ``"exact"``, ``"parameter-shift"``, ``"spsa"`` or ``"subset(k)"``.
        mitigation: Passed on to the generator.
        seed: Of the angles, the mapping and the sampling.
        select: Which parameters of the target to generate (see ``Target``).

    Raises:
        InputError: The ansatz has too few qubits for the weights, or an argument is wrong.
    """

    def __init__(
        self,
        target: nn.Module,
        *,
        ansatz: Ansatz,
        mapping: Mapping,
        scaling: str | Scaling = "balanced",
        backend: str | Backend | Executor = "statevector",
        shots: int | None = None,
        gradient: str = "auto",
        mitigation: object = None,
        seed: int = 0,
        select: Select = None,
    ) -> None:
        super().__init__()
        _check_types(target, ansatz, mapping, scaling)
        _check_seed(seed)
        binder = Target(target, select)
        n_blocks = _blocks(binder.n_generated, mapping.chunk_size, ansatz.n_qubits)
        self.generator = Generator(
            ansatz,
            backend=backend,
            shots=shots,
            gradient=gradient,
            mitigation=mitigation,
            seed=seed,
        )
        self.scaling = Scaling(scaling) if isinstance(scaling, str) else copy.deepcopy(scaling)
        self.mapping = mapping.built(
            ansatz.n_qubits,
            n_blocks,
            generator=torch.Generator().manual_seed(_mapping_seed(seed)),
            dtype=binder.dtype,
        )
        x = reference_features(self.scaling, 2**ansatz.n_qubits, n_blocks)
        with _full_precision(self.mapping):
            self.output = OutputRule(self.scaling, self.mapping, binder.slots, x.to(binder.dtype))
        self.target = binder
        self._cached: tuple[list[Tensor], Tensor] | None = None
        self.to(binder.device)

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

    def refresh(self) -> None:
        """Have the next call measure the circuit anew."""
        self.generator.refresh()

    def export(self, p: Tensor | None = None, shots: int | None = None) -> nn.Module:
        """Return an ordinary copy of the target, with the present weights as its own parameters.

        It needs neither this package nor a quantum computer. Parameters and buffers that were
        not generated come along as they are now.

        Args:
            p: In place of the generator's vector: one measured elsewhere, ``(2**n,)``.
            shots: With how many shots ``p`` was measured; None if it is exact.

        Raises:
            InputError: ``p`` has another shape.
        """
        with torch.no_grad():
            if p is None:
                return self.target.filled(self.weights())
            if p.shape != (self.generator.n_bins,):
                raise InputError(f"p must be ({self.generator.n_bins},), not {tuple(p.shape)}")
            with self.target.lock, _full_precision(self.mapping):
                flat = self._generate(p.to(self.generator.angles), shots)
                return self.target.filled(self.target.split(flat))

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
            "angles": self.generator.angles.numel(),
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
        return weights

    def _measured(self) -> Tensor:
        """Return the flat weights on the graph of everything that is trained."""
        return self._generate(self.generator(), self.generator.shots)

    def _present(self) -> Tensor:
        """Return the flat weights without gradients, generated once per state."""
        # An exact vector follows from the angles; a sampled one may have been measured anew.
        exact = self.generator.shots is None
        state = [self.generator.angles if exact else self.generator(), *self._state()]
        if self._cached is None or not _same(self._cached[0], state):
            weights = self._measured()
            self._cached = ([t.detach().clone() for t in state], weights)
        return self._cached[1]

    def _state(self) -> list[Tensor]:
        """Everything but p that the weights depend on."""
        return [t for part in (self.scaling, self.mapping, self.output) for t in _tensors(part)]


def _check_types(
    target: nn.Module, ansatz: Ansatz, mapping: Mapping, scaling: str | Scaling
) -> None:
    if not isinstance(target, nn.Module):
        raise InputError(f"target must be a torch module, not {type(target).__name__}")
    if not isinstance(ansatz, Ansatz):
        raise InputError(
            "ansatz must be an Ansatz (for a circuit: CircuitAnsatz(circuit)), "
            f"not {type(ansatz).__name__}"
        )
    if not isinstance(mapping, Mapping):
        raise InputError(
            "mapping must be an AffineMapping, MlpMapping or MpsMapping, "
            f"not {type(mapping).__name__}"
        )
    if not isinstance(scaling, str | Scaling):
        raise InputError(
            f"scaling must be a recipe's name or a Scaling, not {type(scaling).__name__}"
        )


def _check_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0, not {seed!r}")


def _full_precision(mapping: Mapping) -> torch.autocast:
    """Return a context without autocast: cached weights would carry its rounding elsewhere."""
    return torch.autocast(mapping.labels.device.type, enabled=False)


def _blocks(n_weights: int, chunk_size: int, n_qubits: int) -> int:
    """Return the number of basis states in use; refuse an ansatz that has too few."""
    needed = n_qubits_for(n_weights, chunk_size)
    if n_qubits < needed:
        raise InputError(
            f"{n_weights:,} weights in chunks of {chunk_size} need {needed} qubits, but the ansatz "
            f"has {n_qubits}: use {needed} qubits, or chunk_size={-(-n_weights // 2**n_qubits)}"
        )
    return n_blocks_for(n_weights, chunk_size)


def _mapping_seed(seed: int) -> int:
    """Return a seed for the mapping, apart from the angles' stream of the same ``seed``."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])


def _tensors(module: nn.Module) -> list[Tensor]:
    return [*module.parameters(), *module.buffers()]


def _same(old: list[Tensor], new: list[Tensor]) -> bool:
    return len(old) == len(new) and all(
        a.dtype == b.dtype and a.device == b.device and torch.equal(a, b)
        for a, b in zip(old, new, strict=True)
    )
