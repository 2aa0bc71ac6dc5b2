"""From a control's name and what the quantum model is made of to the control."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import torch
from torch import nn

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import UnknownName
from qt_hw.execution.backend import Backend
from qt_hw.execution.executor import Executor
from qt_hw.model.controls.base import WeightControl
from qt_hw.model.controls.direct import Direct, Pruned
from qt_hw.model.controls.hypernetwork import Hypernetwork
from qt_hw.model.controls.low_rank import LowRank
from qt_hw.model.controls.names import CONTROLS, VECTOR_CONTROLS
from qt_hw.model.controls.shared import Shared
from qt_hw.model.controls.vectors import (
    FixedVector,
    FrozenGenerator,
    LearnedVector,
    ProductVector,
    drawn,
    uniform,
)
from qt_hw.model.generated import GeneratedModel, check_blocks, mapping_seed
from qt_hw.model.mapping import Mapping
from qt_hw.model.scaling import Scaling
from qt_hw.model.source import Source
from qt_hw.model.target import Select, Target
from qt_hw.model.trainable import Trainable

__all__ = ["Recipe", "make_control", "quantum_count"]


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What the quantum model that a control stands against is made of.

    Attributes:
        target: The network.
        ansatz: The circuit.
        mapping: The mapping, not yet built.
        scaling: The scaling.
        select: Which parameters of the target are generated.
        seed: Of everything that is drawn.
        backend: Where the circuit with frozen angles runs, exactly.
        steps: Optimiser steps of the training.
    """

    target: nn.Module
    ansatz: Ansatz
    mapping: Mapping
    scaling: Scaling
    select: Select = None
    seed: int = 0
    backend: str | Backend | Executor = "statevector"
    steps: int = 1


def make_control(name: str, recipe: Recipe) -> Trainable:
    """Return the control ``name``, ready for its first step.

    Raises:
        UnknownName: There is no such control.
        InputError: The quantum model itself is impossible.
        ConfigError: It cannot be made with as few parameters.
    """
    if name not in CONTROLS:
        raise UnknownName("control", name, CONTROLS)
    if name in VECTOR_CONTROLS:
        return GeneratedModel(
            Target(recipe.target, recipe.select),
            _source(name, recipe),
            copy.deepcopy(recipe.scaling),
            recipe.mapping,
            seed=recipe.seed,
        )
    return _weight_control(name, recipe)


def quantum_count(recipe: Recipe) -> int:
    """Return how many numbers the quantum model trains for the weights: angles, mapping, scaling.

    Raises:
        InputError: The ansatz has too few qubits for the weights.
    """
    n_weights = Target(recipe.target, recipe.select).n_generated
    n_qubits = recipe.ansatz.n_qubits
    n_blocks = check_blocks(n_weights, recipe.mapping.chunk_size, n_qubits)
    mapping = recipe.mapping.built(n_qubits, n_blocks, generator=torch.Generator())
    scaling = sum(p.numel() for p in recipe.scaling.parameters())
    return recipe.ansatz.n_angles + mapping.n_parameters + scaling


def _source(name: str, recipe: Recipe) -> Source:
    n_qubits, seed = recipe.ansatz.n_qubits, recipe.seed
    if name == "porter-thomas":
        return FixedVector(name, drawn(2**n_qubits, 1.0, seed))
    if name == "dirichlet":
        return FixedVector(name, drawn(2**n_qubits, 0.5, seed))
    if name == "uniform":
        return FixedVector(name, uniform(2**n_qubits))
    if name == "learned-vector":
        return LearnedVector(name, drawn(2**n_qubits, 1.0, seed))
    if name == "product":
        return ProductVector(name, n_qubits, seed)
    return FrozenGenerator(recipe.ansatz, backend=recipe.backend, seed=seed)


def _weight_control(name: str, recipe: Recipe) -> WeightControl:
    target, select, seed = recipe.target, recipe.select, recipe.seed
    if name in ("direct", "smaller-target"):
        return Direct(name, target, select)
    most = quantum_count(recipe)
    if name == "pruned":
        return Pruned(name, target, select, most=most, after=max(1, recipe.steps // 2))
    if name == "shared":
        return Shared(name, target, select, most=most, seed=seed)
    if name == "low-rank":
        return LowRank(name, target, select, most=most, seed=seed)
    return Hypernetwork(
        name,
        target,
        select,
        mapping=recipe.mapping,
        scaling=recipe.scaling,
        n_qubits=recipe.ansatz.n_qubits,
        most=most,
        generator=torch.Generator().manual_seed(mapping_seed(seed)),
    )
