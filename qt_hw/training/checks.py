"""What is found out about data, target and model before a run folder is made."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from qt_hw.errors import ConfigError, InputError, PreflightError
from qt_hw.execution.backend import Limits
from qt_hw.model.generated import GeneratedModel
from qt_hw.model.trainable import Trainable
from qt_hw.tasks import Data, Task
from qt_hw.training.config import RunConfig

__all__ = [
    "check_given",
    "check_inputs",
    "check_model",
    "check_target",
    "describe_inputs",
    "warn_of_size",
]

logger = logging.getLogger(__name__)


def check_given(target: object, data: object) -> None:
    """Refuse other types than ``train`` takes.

    Raises:
        InputError: ``target`` is no module, or ``data`` neither ``Data`` nor a task.
    """
    if not isinstance(target, nn.Module | None):
        raise InputError(f"target must be a torch module, not {type(target).__name__}")
    if not isinstance(data, Data | Task | None):
        raise InputError(
            f"data must be a qt_hw.tasks.Data or Task, not {type(data).__name__}; for tensors: "
            "Data(train=(x, y), test=(x, y), n_classes=10, name='mine', description={})"
        )


def check_model(config: RunConfig, model: Trainable) -> None:
    """Refuse what the backend or the mapping of ``model`` cannot do.

    Raises:
        PreflightError: The backend does not take so many or so few shots, or none at all.
        ConfigError: The chunks are larger than the target.
    """
    if model.generator.backend is not None:
        _check_shots(config, model.generator.backend.limits)
    if not isinstance(model, GeneratedModel):
        return  # its mapping, if it has one, is of the right size
    chunk, n_generated = config.mapping.chunk_size, model.target.n_generated
    if chunk > n_generated:
        raise ConfigError(
            f"mapping.chunk_size = {chunk} is more than the {n_generated} weights to generate"
        )


def _check_shots(config: RunConfig, limits: Limits) -> None:
    shots, backend = config.backend.shots, config.backend.name
    if shots is None and not limits.exact:
        raise PreflightError([f"{backend} gives no exact probabilities: set backend.shots"])
    if shots is not None and shots < limits.min_shots:
        raise PreflightError([f"backend.shots: {backend} takes at least {limits.min_shots:,}"])
    if shots is not None and limits.max_shots is not None and shots > limits.max_shots:
        raise PreflightError([f"backend.shots: {backend} takes at most {limits.max_shots:,}"])


def warn_of_size(model: Trainable) -> None:
    """Warn if there is more to train than without a circuit, unless it is meant so."""
    if not isinstance(model, GeneratedModel):
        return
    trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
    kept = sum(p.numel() for p in model.target.parameters() if p.requires_grad)
    if trained >= model.target.n_generated + kept:
        logger.warning(
            "%s parameters are trained for a target of %s: lower mapping.hidden or chunk_size",
            f"{trained:,}",
            f"{model.target.n_generated + kept:,}",
        )


def describe_inputs(data: Data, target: nn.Module) -> dict[str, Any]:
    """Return checksums of the data and of the untrained target, for the manifest."""
    parameters = dict(target.named_parameters())
    return {
        "data_sha256": _digest((*data.train, *data.test)),
        "target_parameters": _shapes(target),
        "target_sha256": _digest(parameters.values()),
    }


def check_inputs(folder: Path, manifest: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
    """Refuse to go on with other data or another target than those of ``manifest``.

    Raises:
        ConfigError: They differ; the message says which.
    """
    names = {
        "data_sha256": "data",
        "target_parameters": "parameters of the target",
        "target_sha256": "initial values of the target",
    }
    old = manifest.get("inputs") or {}
    for key, what in names.items():
        if key in old and old[key] != inputs[key]:
            raise ConfigError(
                f"{folder} was trained with other {what}; "
                "resume with the same, or choose another --out"
            )


def check_target(target: nn.Module, manifest: Mapping[str, Any]) -> None:
    """Refuse a target whose parameters have other names or shapes than the run's.

    Raises:
        ConfigError: They differ.
    """
    check_given(target, None)
    old = (manifest.get("inputs") or {}).get("target_parameters")
    if old is not None and old != _shapes(target):
        raise ConfigError("this is not the target this run was trained with: pass the same")


def _shapes(target: nn.Module) -> dict[str, list[int]]:
    return {name: list(p.shape) for name, p in target.named_parameters()}


def _digest(tensors: Iterable[Tensor]) -> str:
    """Return a hash of types, shapes and values."""
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(f"{tensor.dtype} {tuple(tensor.shape)};".encode())
        flat = tensor.detach().cpu().contiguous().flatten()
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()
