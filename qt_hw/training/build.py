"""From a configuration to the things it names: ansatz, mapping, target, task, model."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.circuits.builtin import HardwareEfficient, RyCnot, U3Cu3
from qt_hw.circuits.custom import ProductAnsatz
from qt_hw.errors import ConfigError
from qt_hw.execution.executor import Executor, closed_executor
from qt_hw.execution.registry import open_backend
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.model.controls.make import Recipe, make_control, quantum_count
from qt_hw.model.mapping import AffineMapping, Mapping, MlpMapping, MpsMapping
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.model.scaling import Scaling
from qt_hw.model.trainable import Trainable
from qt_hw.tasks import Task, build_target, get_task, known_targets, target_info
from qt_hw.tasks.narrowed import narrowed
from qt_hw.training.config import (
    CUSTOM,
    AnsatzConfig,
    FactorConfig,
    MappingConfig,
    MitigationConfig,
    RunConfig,
    ScalingConfig,
    TaskConfig,
)

if TYPE_CHECKING:
    from qt_hw.execution.backend import Backend

__all__ = [
    "check_control",
    "make_ansatz",
    "make_backend",
    "make_mapping",
    "make_mitigation",
    "make_model",
    "make_quantum",
    "make_scaling",
    "make_target",
    "make_task",
    "selected",
]

_UNMITIGATED = MitigationConfig()
_MAPPING_KEYS = {
    "affine": ("hidden",),
    "mlp": ("hidden", "activation"),
    "mps": ("bond_dim",),
}


def make_ansatz(config: AnsatzConfig) -> Ansatz:
    """Return the circuit of ``[ansatz]``.

    Raises:
        ConfigError: Qubits, layers or factors are missing, or given where they do not belong.
    """
    if config.name == "product":
        if len(config.factors or ()) < 2 or config.n_qubits or config.n_layers or config.ring:
            raise ConfigError(
                "ansatz: a product needs two or more [[ansatz.factors]] (name, n_qubits, n_layers) "
                "and no n_qubits, n_layers or ring of its own"
            )
        return ProductAnsatz([_factor(factor) for factor in config.factors or ()])
    if config.n_qubits is None or config.n_layers is None or config.factors:
        raise ConfigError(
            f"ansatz: {config.name} needs n_qubits and n_layers; factors belong to name = 'product'"
        )
    return _factor(FactorConfig(**config.model_dump(exclude={"factors"})))


def make_mapping(config: MappingConfig) -> Mapping:
    """Return the mapping model of ``[mapping]``.

    Raises:
        ConfigError: A key belongs to another mapping, or one is missing.
    """
    given = config.model_dump(exclude_none=True, exclude={"name", "chunk_size"})
    allowed = _MAPPING_KEYS[config.name]
    if foreign := sorted(set(given) - set(allowed)):
        raise ConfigError(
            f"mapping: {foreign[0]} does not belong to {config.name!r} "
            f"(known: {', '.join(allowed)}, chunk_size)"
        )
    if config.name == "mps":
        if config.bond_dim is None:
            raise ConfigError("mapping: 'mps' needs bond_dim, e.g. bond_dim = 4")
        return MpsMapping(config.bond_dim, chunk_size=config.chunk_size)
    kind = AffineMapping if config.name == "affine" else MlpMapping
    return kind(**given, chunk_size=config.chunk_size)


def make_scaling(config: ScalingConfig) -> Scaling:
    """Return the scaling of ``[scaling]``."""
    return Scaling(**config.model_dump(exclude_none=True))


def make_backend(config: RunConfig) -> Backend:
    """Open the backend of ``[backend]``, with what ``[account]`` says of it.

    Raises:
        UnknownName: There is no such backend.
        ConfigError: An option is given twice.
    """
    table = config.backend
    named = table.model_dump(exclude_none=True, exclude={"name", "shots", "options"})
    named |= config.account.model_dump(exclude_none=True)
    if twice := sorted(set(named) & set(table.options)):
        raise ConfigError(f"backend: {twice[0]} is given twice, in its table and in its options")
    return open_backend(table.name, **named, **table.options)


def make_mitigation(config: MitigationConfig) -> Mitigation | None:
    """Return the mitigation of ``[mitigation]``, None for none.

    Raises:
        StorageError: The calibration cannot be read.
    """
    return Mitigation.of(
        config.method,
        options=config.options(),
        calibration=config.calibration,
        calibration_shots=config.calibration_shots,
    )


def make_target(config: RunConfig) -> nn.Module:
    """Return the classical network of ``[target]``, initialised from ``seeds.init``.

    For the control ``smaller-target`` it is narrower.

    Raises:
        ConfigError: Even the narrowest is too large.
    """
    table = config.target
    given: dict[str, Any] = {"activation": table.activation, "options": table.options}
    network = build_target(table.name, _seeded(config), **given)
    if config.control.name != "smaller-target":
        return network
    most = quantum_count(_recipe(config, network))
    return narrowed(table.name, most, _seeded(config), counted=_selects(config), **given)


def make_task(config: TaskConfig) -> Task:
    """Return the task of ``[task]``, with nothing loaded yet."""
    return get_task(config.name, **config.options)


def make_model(
    config: RunConfig, target: nn.Module | None = None, executor: Executor | None = None
) -> Trainable:
    """Return the whole model, ready for its first step: with a circuit, or the control.

    Args:
        config: What to build.
        target: See ``make_quantum``.
        executor: See ``make_quantum``; a control runs no circuit there but that of frozen angles.

    Raises:
        ConfigError: A control would be measured, or it cannot be made.
    """
    if config.control.name == "none":
        return make_quantum(config, target, executor)
    check_control(config)
    network = make_target(config) if target is None else target
    model = make_control(config.control.name, _recipe(config, network, executor))
    model.generator.seed = config.seeds.sampling
    return model


def check_control(config: RunConfig) -> None:
    """Refuse a control that would be measured, or that cannot be made.

    Raises:
        ConfigError: Says which key to change.
    """
    name, backend = config.control.name, config.backend.name
    if name == "none":
        return
    if not config.is_noiseless or backend != "statevector" or config.mitigation != _UNMITIGATED:
        raise ConfigError(
            f"control.name: {name!r} is trained without shots and noise; add --set "
            "backend.name=statevector --set backend.shots= (in Python: config.noiseless())"
        )
    if name == "smaller-target" and config.target.name == CUSTOM:
        raise ConfigError(
            "control.name: 'smaller-target' cannot narrow a network of your own; it takes a named "
            f"target ({', '.join(known_targets())})"
        )
    if name == "pruned" and config.optimizer.early_stopping is not None:
        raise ConfigError(
            "control.name: 'pruned' prunes after half of optimizer.steps, which early stopping "
            "may not reach; take optimizer.early_stopping out"
        )


def make_quantum(
    config: RunConfig, target: nn.Module | None = None, executor: Executor | None = None
) -> QuantumTrain:
    """Return the model with a circuit, ready for its first step.

    Args:
        config: What to build.
        target: Takes the place of the network that ``[target]`` names.
        executor: Where its circuits run; without it on the backend that ``[backend]`` names,
            where a paid one is prepared for but refuses to run.

    Raises:
        ConfigError: The configuration asks for a control.
    """
    if config.control.name != "none":
        raise ConfigError(
            f"the control {config.control.name!r} has no circuit of its own to measure; leave out "
            "control.name, or train it with qt-hw run"
        )
    model = QuantumTrain(
        make_target(config) if target is None else target,
        ansatz=make_ansatz(config.ansatz),
        mapping=make_mapping(config.mapping),
        scaling=make_scaling(config.scaling),
        backend=executor or closed_executor(make_backend(config)),
        shots=config.backend.shots,
        gradient=config.gradient.method,
        mitigation=make_mitigation(config.mitigation),
        seed=config.seeds.init,
        select=selected(config),
    )
    model.generator.seed = config.seeds.sampling
    return model


def _factor(config: FactorConfig) -> Ansatz:
    if config.name == "RyCnot":
        return RyCnot(config.n_qubits, config.n_layers, ring=config.ring)
    if config.ring:
        raise ConfigError(f"ansatz: ring belongs to RyCnot, not to {config.name}")
    kind = U3Cu3 if config.name == "U3Cu3" else HardwareEfficient
    return kind(config.n_qubits, config.n_layers)


def _recipe(config: RunConfig, target: nn.Module, executor: Executor | None = None) -> Recipe:
    return Recipe(
        target=target,
        ansatz=make_ansatz(config.ansatz),
        mapping=make_mapping(config.mapping),
        scaling=make_scaling(config.scaling),
        select=selected(config),
        seed=config.seeds.init,
        backend=executor or closed_executor(make_backend(config)),
        steps=config.optimizer.steps,
    )


def selected(config: RunConfig) -> tuple[str, ...] | None:
    """Return patterns of the parameters that are generated; None: all of them."""
    table = config.target
    if table.select is not None or table.name == CUSTOM:
        return table.select
    return target_info(table.name, table.options).select


def _seeded(config: RunConfig) -> torch.Generator:
    return torch.Generator().manual_seed(config.seeds.init)


def _selects(config: RunConfig) -> Callable[[str], bool]:
    """Return whether ``target.select`` chooses a parameter, by name."""
    patterns = selected(config) or ("*",)
    return lambda name: any(fnmatchcase(name, pattern) for pattern in patterns)
