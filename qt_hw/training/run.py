"""A run and its folder: ``train`` makes one, ``Run`` reads one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from qt_hw.errors import ConfigError, InputError, StorageError
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.tasks import Data, Task, check_fit
from qt_hw.training.build import make_model, make_target, make_task
from qt_hw.training.checkpoint import load_checkpoint
from qt_hw.training.config import RunConfig, TargetConfig, TaskConfig
from qt_hw.training.loading import load_config
from qt_hw.training.metrics import MetricsFile
from qt_hw.training.provenance import run_key
from qt_hw.training.session import Session
from qt_hw.training.storage import locked, read_json
from qt_hw.training.trainer import Row

__all__ = ["CUSTOM", "Run", "check_folder", "free_folder", "run_folder", "train"]

CUSTOM = "custom"
"""What the configuration says where a target or data were passed in Python."""


class Run:
    """A run folder: configuration, metrics, manifest, trained weights.

    ``Run.open(folder)`` reads one; nothing is measured again unless ``model`` is asked for.
    """

    def __init__(self, folder: Path, config: RunConfig) -> None:
        self.folder, self.config = folder, config

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """Return the run in ``folder``.

        Raises:
            StorageError: There is no run, or there are two, of which one must be named.
        """
        folder = Path(folder)
        if (folder / "config.toml").is_file():
            return cls(folder, load_config(folder / "config.toml"))
        if inner := [n for n in ("noiseless", "sampled") if (folder / n / "config.toml").is_file()]:
            raise StorageError(f"{folder} holds several runs: open {folder / inner[0]} instead")
        raise StorageError(f"{folder} is not a run folder: it has no config.toml")

    @property
    def metrics(self) -> list[Row]:
        """The rows of ``metrics.csv``."""
        return MetricsFile(self.folder / "metrics.csv").rows()

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest: versions, seeds, circuits, backend, parameters, results."""
        manifest: dict[str, Any] = read_json(self.folder / "manifest.json")
        return manifest

    @property
    def finished(self) -> bool:
        """Whether the training came to its end."""
        return (self.folder / "manifest.json").exists() and self.manifest["status"] == "finished"

    def results(self) -> dict[str, Any]:
        """Return the final figures of a finished run.

        Raises:
            StorageError: The run is not finished.
        """
        self._check_finished()
        results: dict[str, Any] = self.manifest["results"]
        return results

    def arrays(self) -> dict[str, NDArray[np.float64]]:
        """Return what a finished run ended with.

        ``probabilities`` ``(2**n,)`` as measured, ``ideal`` ``(2**n,)`` of the same angles,
        ``angles`` ``(P,)``, ``weights`` ``(M,)`` and ``initial`` ``(M,)`` of the target untrained.

        Raises:
            StorageError: The run is not finished, or the file is damaged.
        """
        self._check_finished()
        path = self.folder / "results" / "final.npz"
        try:
            with np.load(path, allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError) as error:
            raise StorageError(f"cannot read {path}: {error}") from None

    def model(self, target: nn.Module | None = None) -> QuantumTrain:
        """Return the model as of the last checkpoint; it measures anew when it is called.

        Args:
            target: The target that the run was given, where it was given one.

        Raises:
            CheckpointError: There is no good checkpoint.
            ConfigError: The run was trained on a target of the caller's, which is missing.
        """
        checkpoint = load_checkpoint(self.folder / "checkpoints", run_key(self.config))
        if checkpoint is None:
            raise StorageError(f"{self.folder} has no checkpoint yet")
        model = make_model(self.config, self._target(target))
        model.load_state_dict(checkpoint.state["model"])
        return model

    def export(self, target: nn.Module | None = None) -> nn.Module:
        """Return the trained target as an ordinary module; nothing is measured again.

        Args:
            target: The target that the run was given, where it was given one.

        Raises:
            StorageError: The run is not finished, or its weights are damaged.
            ConfigError: The run was trained on a target of the caller's, which is missing.
        """
        self._check_finished()
        module = self._target(target)
        path = self.folder / "results" / "weights.safetensors"
        try:
            module.load_state_dict(load_file(path))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise StorageError(f"cannot read {path}: {error}") from None
        return module

    def _target(self, target: nn.Module | None) -> nn.Module:
        if target is not None:
            return target
        if self.config.target.name == CUSTOM:
            raise ConfigError("this run was given its own target network: pass the same as target=")
        return make_target(self.config)

    def _check_finished(self) -> None:
        if not self.finished:
            raise StorageError(f"the run in {self.folder} is not finished; go on with --resume")


def train(
    config: RunConfig | str | Path | Mapping[str, Any],
    *,
    target: nn.Module | None = None,
    data: Data | Task | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    title: str = "training",
) -> Run:
    """Train one model and keep everything about it in a folder.

    Args:
        config: A configuration, a preset's name, a TOML file, or a dict of tables.
        target: A network of your own, in place of the one that ``[target]`` names.
        data: Data of your own (classes, cross-entropy), or a task with its own loss and metrics.
        out: The run's folder; without it a new one under ``runs``, named as the preset or file.
        resume: Go on from the last checkpoint in ``out``, bit for bit as if never interrupted.
        progress: Whether to show a bar on a terminal, or a line now and then elsewhere.
        title: What the bar is called.

    Returns:
        The finished run.

    Raises:
        ConfigError: The configuration is wrong, or another than that of the run to resume.
        StorageError: The folder cannot be used, or the disk is full.
        QtHwError: The loss or a gradient is not finite.
    """
    folder = run_folder(config, out, resume=resume)
    config = _with_custom(load_config(config), target, data)
    check_folder(folder, config, resume=resume)
    if resume and (folder / "config.toml").exists() and (run := Run.open(folder)).finished:
        return run
    task = data if isinstance(data, Task) else _Given(data=data) if data else make_task(config.task)
    loaded = task.load()
    if target is None:
        check_fit(config.target.name, loaded.input_shape)
    model = make_model(config, target)
    with locked(folder):
        session = Session(folder, config, model, task, loaded)
        session.run(title, progress=progress)
        session.finish(make_target(config) if target is None else target)
    return Run(folder, config)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Given(Task):
    """Data that the caller passed, to be classified."""

    name: ClassVar[str] = CUSTOM
    data: Data

    def load(self) -> Data:
        return self.data


def run_folder(config: object, out: str | Path | None, *, resume: bool) -> Path:
    """Return ``out`` or, without it, a new folder under ``runs``, called as the configuration.

    Raises:
        InputError: A run is to be resumed and ``out`` does not say which.
    """
    if out is not None:
        return Path(out)
    if resume:
        raise InputError("resume=True needs out=, the folder of the run to go on with")
    return free_folder(Path(config).stem if isinstance(config, str | Path) else "run")


def free_folder(name: str) -> Path:
    """Return ``runs/name``, or ``runs/name-2`` and so on if that is taken."""
    folder, number = Path("runs") / name, 2
    while folder.exists():
        folder, number = Path("runs") / f"{name}-{number}", number + 1
    return folder


def check_folder(folder: Path, config: RunConfig, *, resume: bool) -> None:
    """Refuse a folder that is in use, or one to resume that holds another configuration.

    Raises:
        InputError: The folder is not empty and ``resume`` is false.
        ConfigError: The configurations differ; the message names the keys.
    """
    if not resume:
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(
                f"{folder} already exists; add --resume to go on with it, or choose another --out"
            )
        return
    if (folder / "config.toml").exists():
        old, new = Run.open(folder).config, config
        if keys := [key for key in _flat(new) if _flat(new)[key] != _flat(old)[key]]:
            changes = ", ".join(f"{k} (was {_flat(old)[k]}, now {_flat(new)[k]})" for k in keys)
            raise ConfigError(
                f"{folder} was made with another configuration: {changes}; "
                "resume with the same, or choose another --out"
            )


def _flat(config: RunConfig) -> dict[str, Any]:
    """Return ``{"table.key": value}`` of everything that determines the run."""
    tables = config.model_dump(mode="json", exclude={"description"})
    return {f"{table}.{key}": value for table, t in tables.items() for key, value in t.items()}


def _with_custom(
    config: RunConfig, target: nn.Module | None, data: Data | Task | None
) -> RunConfig:
    """Return ``config`` with the names of what was passed in Python."""
    update: dict[str, Any] = {}
    if target is not None:
        update["target"] = TargetConfig(name=CUSTOM, select=config.target.select)
    if data is not None:
        update["task"] = TaskConfig(name=data.name)
    return config.model_copy(update=update)
