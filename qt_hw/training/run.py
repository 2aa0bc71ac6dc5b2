"""A run and its folder: ``train`` makes one, ``Run`` reads one."""

from __future__ import annotations

import contextlib
import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, TypeVar
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from qt_hw.errors import ConfigError, StorageError
from qt_hw.execution.executor import Executor
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.model.trainable import Trainable, without_models
from qt_hw.storage import locked
from qt_hw.tasks import Classification, Data, Metric, Task, check_fit, headline_of
from qt_hw.training.build import check_control, make_model, make_quantum, make_target, make_task
from qt_hw.training.checkpoint import load_checkpoint, other_version
from qt_hw.training.checks import (
    check_given,
    check_inputs,
    check_model,
    check_target,
    describe_inputs,
    warn_of_size,
)
from qt_hw.training.config import CUSTOM, MitigationConfig, RunConfig, TargetConfig, TaskConfig
from qt_hw.training.folder import PAIR, check_folder, run_folder
from qt_hw.training.frozen import load_model_state
from qt_hw.training.loading import load_config
from qt_hw.training.metrics import MetricsFile
from qt_hw.training.paid import Hardware, open_executor
from qt_hw.training.provenance import read_manifest, run_key, stored_manifest
from qt_hw.training.session import Session, use_calibration
from qt_hw.training.trainer import Row

__all__ = ["CUSTOM", "Run", "read_config", "task_of", "train"]


Model = TypeVar("Model", bound=Trainable)


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
        if inner := [n for n in PAIR if (folder / n / "config.toml").is_file()]:
            raise StorageError(f"{folder} holds several runs: open {folder / inner[0]} instead")
        raise StorageError(f"{folder} is not a run folder: it has no config.toml")

    @property
    def metrics(self) -> list[Row]:
        """The rows of ``metrics.csv``."""
        return MetricsFile(self.folder / "metrics.csv").rows()

    @property
    def manifest(self) -> dict[str, Any]:
        """The manifest: versions, seeds, circuits, backend, parameters, results."""
        return read_manifest(self.folder)

    @property
    def metric(self) -> Metric:
        """The metric that tables and figures show of its task."""
        manifest = stored_manifest(self.folder) or {}
        if "metric" in manifest:
            return Metric.from_dict(manifest["metric"])
        return headline_of(self.config.task.name)

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
        Of a control without a vector or angles, these are empty.

        Raises:
            StorageError: The run is not finished, or the file is damaged.
        """
        self._check_finished()
        path = self.folder / "results" / "final.npz"
        try:
            with np.load(io.BytesIO(path.read_bytes()), allow_pickle=False) as file:
                return {name: file[name] for name in file.files}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile, zlib.error) as error:
            raise self._damaged(path, error) from None

    def model(self, target: nn.Module | None = None, executor: Executor | None = None) -> Trainable:
        """Return the model as of the last checkpoint; it measures anew when it is called.

        Args:
            target: The target that the run was given, where it was given one.
            executor: Where its circuits run, in place of the run's backend.

        Raises:
            CheckpointError: There is no good checkpoint.
            ConfigError: The run was trained on a target of the caller's, which is missing or
                another.
        """
        return self._restored(make_model, target, executor)

    def quantum(
        self, target: nn.Module | None = None, executor: Executor | None = None
    ) -> QuantumTrain:
        """Return the model with its circuit; as ``model``, but refuses a control.

        Raises:
            CheckpointError: There is no good checkpoint.
            ConfigError: The run is a control; or as in ``model``.
        """
        return self._restored(make_quantum, target, executor)

    def export(self, target: nn.Module | None = None) -> nn.Module:
        """Return the trained target as an ordinary module; nothing is measured again.

        Args:
            target: The target that the run was given, where it was given one.

        Raises:
            StorageError: The run is not finished, or its weights are damaged.
            ConfigError: The run was trained on a target of the caller's, which is missing or
                another.
        """
        self._check_finished()
        module = without_models(self._target(target))
        path = self.folder / "results" / "weights.safetensors"
        try:
            state = load_file(path)
        except (OSError, SafetensorError) as error:
            raise self._damaged(path, error) from None
        try:
            module.load_state_dict(state)
        except RuntimeError:
            raise ConfigError(
                "this is not the target this run was trained with: pass the same"
            ) from None
        return module

    def _restored(
        self,
        make: Callable[[RunConfig, nn.Module | None, Executor | None], Model],
        target: nn.Module | None,
        executor: Executor | None,
    ) -> Model:
        checkpoint = load_checkpoint(self.folder / "checkpoints", run_key(self.config))
        if checkpoint is None:
            raise StorageError(f"{self.folder} has no checkpoint yet")
        config = self.config
        if executor is not None:  # what the run's own backend needs does not hold there
            config = config.model_copy(update={"mitigation": MitigationConfig()})
        model = make(config, self._target(target), executor)
        use_calibration(self.folder, model)
        with other_version(self.folder / "checkpoints"):
            load_model_state(model, checkpoint.state)
        return model

    def _target(self, target: nn.Module | None) -> nn.Module:
        if target is not None:
            check_target(target, stored_manifest(self.folder) or {})
            return target
        if self.config.target.name == CUSTOM:
            raise ConfigError("this run was given its own target network: pass the same as target=")
        return make_target(self.config)

    def _check_finished(self) -> None:
        if not self.finished:
            raise StorageError(f"the run in {self.folder} is not finished; go on with --resume")

    def _damaged(self, path: Path, error: Exception) -> StorageError:
        return StorageError(
            f"{path} is damaged ({error}); delete {self.folder / 'manifest.json'}, then --resume "
            "writes both anew"
        )


def train(
    config: RunConfig | str | Path | Mapping[str, Any],
    *,
    target: nn.Module | None = None,
    data: Data | Task | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool = True,
    title: str = "training",
    hardware: Hardware | None = None,
) -> Run:
    """Train one model and keep everything about it in a folder.

    Args:
        config: A configuration, a preset's name, a TOML file, or a dict of tables. ``[task]`` and
            ``[target]`` may be left out where ``data`` and ``target`` are given.
        target: A network of your own, in place of the one that ``[target]`` names.
        data: Data of your own (classes, cross-entropy), or a task with its own loss and metrics.
        out: The run's folder; without it a new one under ``runs``, named as the preset or file.
        resume: Go on from the last checkpoint in ``out``, bit for bit as if never interrupted.
        progress: Whether to show a bar on a terminal, or a line now and then elsewhere.
        title: What the bar is called.
        hardware: How to go about jobs that cost money; by default they are waited for.

    Returns:
        The finished run.

    Raises:
        ConfigError: The configuration is wrong, or configuration, data or target are others than
            those of the run to resume.
        InputError: Data and target do not fit together, or the folder is in use.
        PreflightError: The backend does not take the number of shots.
        BudgetExceeded: The backend costs money and the next job would cross the cap.
        BackendError: A job failed, or the vendor refuses; nothing is sent again by itself.
        Pending: Jobs are on their way and ``hardware`` says not to wait.
        StorageError: The folder cannot be used, or the disk is full.
        QtHwError: The loss or a gradient is not finite.
    """
    check_given(target, data)
    folder = run_folder(config, out, resume=resume)
    config = read_config(config, target, data)
    check_folder(folder, config, resume=resume)
    stored = stored_manifest(folder) if resume else None
    done = stored is not None and stored["status"] == "finished"
    if done and target is None and data is None:
        return Run.open(folder)
    task = task_of(config, data)
    loaded = task.load()
    if target is None:
        check_fit(config.target.name, loaded.input_shape, config.target.options)
    network = make_target(config) if target is None else target
    task.check(network, loaded)
    inputs = describe_inputs(loaded, network)
    if stored is not None:
        check_inputs(folder, stored, inputs)
    if done:
        return Run.open(folder)
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(open_executor(config, folder, hardware or Hardware()))
        model = make_model(config, network, executor)
        check_model(config, model)
        warn_of_size(model)
        if executor.immediate:
            stack.enter_context(locked(folder))
        session = Session(folder, config, model, task, loaded, inputs)
        session.run(title, progress=progress)
        session.finish(network)
    return Run(folder, config)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Given(Classification):
    """Data that the caller passed, to be classified."""

    name: ClassVar[str] = CUSTOM
    data: Data

    def load(self) -> Data:
        return self.data


def task_of(config: RunConfig, data: Data | Task | None) -> Task:
    """Return the task of ``[task]``, or what the caller passed in its place."""
    if isinstance(data, Task):
        return data
    return make_task(config.task) if data is None else _Given(data=data)


def read_config(
    config: RunConfig | str | Path | Mapping[str, Any],
    target: nn.Module | None,
    data: Data | Task | None,
) -> RunConfig:
    """Return the configuration with the names of what was passed in Python.

    Raises:
        ConfigError: It is wrong.
        InputError: ``target`` or ``data`` has another type than ``train`` takes.
    """
    check_given(target, data)
    given = {
        **({} if target is None else {"target": {"name": CUSTOM}}),
        **({} if data is None else {"task": {"name": data.name}}),
    }
    read, update = load_config(config, defaults=given), dict[str, Any]()
    if target is not None:
        update["target"] = TargetConfig(name=CUSTOM, select=read.target.select)
    if data is not None:
        update["task"] = TaskConfig(name=data.name)
    read = read.model_copy(update=update)
    check_control(read)
    return read
