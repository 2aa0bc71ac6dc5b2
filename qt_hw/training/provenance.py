"""What a run's manifest records: versions, code, seeds, data, circuits, backend, parameters."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qt_hw.errors import StorageError
from qt_hw.model.controls import describe
from qt_hw.storage import now, read_json, write_bytes
from qt_hw.training.config import BudgetConfig, RunConfig
from qt_hw.training.loading import to_toml

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qt_hw.model.trainable import Trainable
    from qt_hw.tasks import Data, Task

__all__ = [
    "PACKAGES",
    "describe_run",
    "now",
    "read_manifest",
    "run_key",
    "stored_manifest",
    "versions",
]

_NEEDED = {"status", "versions", "data", "circuits", "parameters", "circuit_share", "results"}

PACKAGES = (
    "qt-hw",
    "numpy",
    "scipy",
    "torch",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
    "amazon-braket-sdk",
    "mitiq",
    "scikit-learn",
    "pydantic",
    "safetensors",
    "transformers",
    "peft",
    "gymnasium",
    "minigrid",
    "xarray",
)


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that matter, as far as installed."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def run_key(config: RunConfig) -> str:
    """Return a hash of everything in ``config`` that its numbers depend on.

    The description does not count, nor do the caps, which may be raised to go on, nor logging.
    """
    update = {"description": "", "budget": BudgetConfig(), "logging": None}
    text = to_toml(config.model_copy(update=update))
    return hashlib.sha256(text.encode()).hexdigest()


def describe_run(
    config: RunConfig,
    model: Trainable,
    task: Task,
    data: Data,
    folder: Path,
    inputs: Mapping[str, Any],
) -> dict[str, Any]:
    """Return the manifest of a run that is about to start; writes its circuits beside it.

    ``inputs`` are the checksums of data and target.
    """
    generator = model.generator
    report = model.parameter_report().to_dict()
    return {
        "format": 1,
        "status": "running",
        "run_key": run_key(config),
        "started": now(),
        "finished": None,
        "versions": versions(),
        "platform": _machine(),
        "git": _git(),
        "seeds": config.seeds.model_dump(),
        "data": {
            "name": data.name,
            "train_samples": len(data.train[0]),
            "test_samples": len(data.test[0]),
            **data.description,
        },
        "metric": task.headline.to_dict(),
        "inputs": dict(inputs),
        "generator": {k: v for k, v in generator.describe().items() if k != "backend"},
        "control": _control(config),
        "backend": {} if generator.backend is None else generator.backend.describe(),
        "circuits": _circuits(model, folder),
        "parameters": report,
        "circuit_share": {"start": report["circuit_share"], "end": None},
        "results": None,
    }


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return the manifest of the run in ``folder``.

    Raises:
        StorageError: It is missing or damaged.
    """
    path = folder / "manifest.json"
    manifest = read_json(path)
    whole = isinstance(manifest, dict) and manifest.keys() >= _NEEDED
    if not whole or (
        manifest["status"] == "finished" and not isinstance(manifest["results"], dict)
    ):
        raise StorageError(f"{path} is damaged; --resume writes it anew")
    return dict(manifest)


def stored_manifest(folder: Path) -> dict[str, Any] | None:
    """Return the manifest of the run in ``folder``, None if it is missing or damaged."""
    try:
        return read_manifest(folder)
    except StorageError:
        return None


def _control(config: RunConfig) -> dict[str, str] | None:
    """Return name and question of a control, None for the quantum model."""
    name = config.control.name
    return None if name == "none" else {"name": name, "description": describe(name)}


def _machine() -> dict[str, Any]:
    import torch

    return {
        "system": platform.system(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
    }


def _git() -> dict[str, Any] | None:
    """Return commit and cleanness of the working folder's repository, None outside one."""
    commit = _git_output("rev-parse", "HEAD")
    if commit is None:
        return None
    return {"commit": commit, "clean": _git_output("status", "--porcelain") == ""}


def _git_output(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _circuits(model: Trainable, folder: Path) -> dict[str, Any]:
    """Describe each independent circuit before and after transpilation; store both as QPY."""
    described = []
    for index, factor in enumerate(model.generator.circuits()):
        prepared = factor.prepared
        pair = {"written": factor.ansatz.circuit(), "prepared": prepared.circuit}
        entry: dict[str, Any] = {
            name: {**_summary(circuit), "qpy": _store(circuit, folder, f"circuit-{index}-{name}")}
            for name, circuit in pair.items()
        }
        entry["properties"] = _jsonable(prepared.properties)
        entry["calibration_date"] = prepared.calibration_date
        described.append(entry)
    shifts = model.generator.binding_counts()
    return {
        "factors": described,
        "per_gradient": {form: n + len(described) for form, n in shifts.items()},
    }


def _summary(circuit: QuantumCircuit) -> dict[str, Any]:
    gates = {str(name): int(count) for name, count in circuit.count_ops().items()}
    return {
        "qubits": circuit.num_qubits,
        "parameters": circuit.num_parameters,
        "depth": circuit.depth(),
        "gates": gates,
    }


def _store(circuit: QuantumCircuit, folder: Path, name: str) -> str:
    """Write ``circuit`` as QPY into the run's results; return the path inside the run folder."""
    import io

    from qiskit import qpy

    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    path = folder / "results" / f"{name}.qpy"
    write_bytes(path, buffer.getvalue())
    return path.relative_to(folder).as_posix()


def _jsonable(value: Any) -> Any:
    """Return ``value`` with everything that JSON does not know as text."""
    if isinstance(value, Mapping):
        return {str(key): _jsonable(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(v) for v in value]
    return value if isinstance(value, str | int | float | bool | None) else str(value)
