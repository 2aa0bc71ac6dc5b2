"""One cell, computed in its folder: called in worker processes, and for paid cells in ours."""

from __future__ import annotations

import csv
import io
import traceback
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from qt_hw.errors import QtHwError, StorageError
from qt_hw.execution.executor import Executor, LocalExecutor
from qt_hw.execution.registry import open_backend
from qt_hw.execution.rehearsal import costs_money
from qt_hw.storage import locked, now, write_json, write_text
from qt_hw.study.approximation import fit_weights
from qt_hw.study.cell import PERMUTED, Cell
from qt_hw.study.folder import StudyFolder
from qt_hw.study.gradients import measure_gradient
from qt_hw.study.measuring import Measured, Values, measure_twin, task_and_data, vector_values
from qt_hw.training.config import BackendConfig, RunConfig
from qt_hw.training.loading import to_toml
from qt_hw.training.metrics import ordered, with_gap
from qt_hw.training.paid import Hardware, open_executor
from qt_hw.training.provenance import versions
from qt_hw.training.run import Run, train
from qt_hw.training.trainer import all_metrics

__all__ = ["compute", "run_cell"]

_TRAINED = ("trained_parameters", "target_parameters", "circuits", "seconds")


def run_cell(study: str, payload: str) -> str:
    """Compute a cell, or go on with it; return what went wrong, empty if nothing.

    What goes wrong is written into the study's ``errors`` and does not stop other cells.

    Args:
        study: Folder of the study.
        payload: The cell, from ``Cell.to_json``.
    """
    folder, cell = StudyFolder(Path(study)), Cell.from_json(payload)
    try:
        compute(folder, cell, Hardware())
    except QtHwError as error:
        return _failed(folder, cell, error, "")
    except Exception as error:  # a defect in one cell is recorded like any other failure
        return _failed(folder, cell, error, traceback.format_exc())
    return ""


def _failed(folder: StudyFolder, cell: Cell, error: Exception, details: str) -> str:
    text = str(error) or type(error).__name__
    try:
        folder.record_failure(cell.id, text, type(error).__name__, details)
    except StorageError as second:
        return f"{text} ({second})"
    return text


def compute(folder: StudyFolder, cell: Cell, hardware: Hardware) -> None:
    """Compute a cell, or go on with it.

    Raises:
        Pending: Its jobs are on their way.
        QtHwError: It failed.
    """
    own = folder.cell_folder(cell.id)
    if own.exists() and not own.is_dir():
        raise StorageError(f"{own} is not a folder; move it away, then --resume")
    (own / "cell.json").unlink(missing_ok=True)  # only a damaged one is computed again
    if cell.needs:
        with locked(own):
            measured = _dependent(folder, cell, hardware)
    elif cell.kind == "gradient":
        with locked(own):
            measured = _plain(measure_gradient(cell.config, repeats=cell.repeats), cell.config)
    else:
        measured = _trained(own, cell, hardware)
    _finish(folder, cell, measured)


def _dependent(folder: StudyFolder, cell: Cell, hardware: Hardware) -> Measured:
    twin = Run.open(folder.cell_folder(cell.twin))
    own = folder.cell_folder(cell.id)
    if cell.kind == "approximation":
        return _approximated(twin, cell)
    if cell.control == PERMUTED:
        return _permuted(twin, cell)
    if not costs_money(cell.config.backend.name):
        return measure_twin(cell, twin, own, _local_executor(cell.config))
    write_text(own / "config.toml", to_toml(cell.config))  # for whoever asks for its jobs
    with open_executor(cell.config, own, hardware, lock=False) as executor:
        return measure_twin(cell, twin, own, executor)


def _trained(own: Path, cell: Cell, hardware: Hardware) -> Measured:
    """Train; a manifest that a damaged disk or an editor spoilt is made anew."""
    if own.exists() and not any(own.iterdir()):
        own.rmdir()
    run = train(cell.config, out=own, resume=own.exists(), progress=False, hardware=hardware)
    results, arrays = run.results(), run.arrays()
    found = with_gap(ordered(results, run.metric))
    values = {name: float(value) for name, value in found.items()}
    values |= {name: float(results[name]) for name in _TRAINED}
    values["shots_used"] = float(results["shots"])
    if results["circuit_share_end"] is not None:
        values["circuit_share"] = float(results["circuit_share_end"])
    one = cell.config.ansatz.name != "product"
    if cell.kind == "train":
        shots = cell.config.backend.shots if one else None
        values |= vector_values(arrays["probabilities"], arrays["ideal"], shots)
    described = run.manifest.get("backend") or {}
    return Measured(values=_single(values), rows=[], backend=dict(described))


def _approximated(direct: Run, cell: Cell) -> Measured:
    task, data = task_and_data(cell.config.task)
    network = direct.export()
    values = fit_weights(cell.config, network, steps=cell.steps, task=task, data=data)
    return _plain(values, cell.config)


def _permuted(twin: Run, cell: Cell) -> Measured:
    from qt_hw.model.controls.permuted import permuted_export

    task, data = task_and_data(cell.config.task)
    network = permuted_export(twin.quantum(), cell.seed).eval()
    values = with_gap(all_metrics(task, network, data))
    for name in ("trained_parameters", "target_parameters"):
        values[name] = float(twin.results()[name])
    return _plain(values, cell.config)


def _plain(values: Mapping[str, float], config: RunConfig) -> Measured:
    return Measured(values=_single(values), rows=[], backend={"name": config.backend.name})


def _single(values: Mapping[str, float]) -> Values:
    return {name: (float(value), 0.0) for name, value in values.items()}


def _local_executor(config: RunConfig) -> Executor:
    """Return where the circuits run, which costs nothing; opened once in a process."""
    return _opened(config.backend.model_copy(update={"shots": None}).model_dump_json())


@lru_cache(maxsize=8)
def _opened(config: str) -> Executor:
    table = BackendConfig.model_validate_json(config)
    named = table.model_dump(exclude_none=True, exclude={"name", "shots", "options"})
    return LocalExecutor(open_backend(table.name, **named, **table.options))


def _finish(folder: StudyFolder, cell: Cell, measured: Measured) -> None:
    """Write what the cell came to; ``cell.json`` comes last and says that it is finished."""
    own = folder.cell_folder(cell.id)
    if not (own / "config.toml").exists():
        write_text(own / "config.toml", to_toml(cell.config))
    if not (own / "manifest.json").exists():
        write_json(own / "manifest.json", _manifest(cell, measured))
    if measured.rows:
        write_text(own / "repeats.csv", _csv(measured.rows))
    write_json(
        own / "cell.json",
        {
            "cell": cell.to_dict(),
            "values": {name: list(pair) for name, pair in measured.values.items()},
            "backend": measured.backend,
            "finished": now(),
        },
    )
    folder.forget_failure(cell.id)


def _manifest(cell: Cell, measured: Measured) -> dict[str, Any]:
    """Return the manifest of a cell that is no training."""
    return {
        "format": 1,
        "status": "finished",
        "kind": cell.kind,
        "twin": cell.twin,
        "finished": now(),
        "versions": versions(),
        "seeds": cell.config.seeds.model_dump(),
        "data": {},
        "circuits": {},
        "parameters": {},
        "circuit_share": {},
        "backend": measured.backend,
        "results": {name: value for name, (value, _) in measured.values.items()},
    }


def _csv(rows: Sequence[Mapping[str, float]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, ["repeat", *rows[0]], lineterminator="\n")
    writer.writeheader()
    for number, row in enumerate(rows):
        writer.writerow({"repeat": number, **row})
    return buffer.getvalue()
