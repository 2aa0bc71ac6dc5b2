"""The model: a target network whose weights come from a quantum circuit and a small mapping."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError
from qt_hw.execution.executor import Executor
from qt_hw.model.generated import GeneratedModel, check_blocks
from qt_hw.model.generator import Generator
from qt_hw.model.mapping import Mapping
from qt_hw.model.scaling import Scaling
from qt_hw.model.target import Select, Target

if TYPE_CHECKING:
    from qt_hw.execution.backend import Backend

__all__ = ["QuantumTrain"]


class QuantumTrain(GeneratedModel):
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

    generator: Generator

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
        _check_types(target, ansatz, mapping, scaling)
        _check_seed(seed)
        binder = Target(target, select)
        check_blocks(binder.n_generated, mapping.chunk_size, ansatz.n_qubits)
        generator = Generator(
            ansatz,
            backend=backend,
            shots=shots,
            gradient=gradient,
            mitigation=mitigation,
            seed=seed,
        )
        own = Scaling(scaling) if isinstance(scaling, str) else copy.deepcopy(scaling)
        super().__init__(binder, generator, own, mapping, seed=seed)


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
