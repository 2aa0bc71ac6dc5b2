"""Evaluate under noise: a trained circuit is measured again, only the generated weights suffer."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from qt_hw.errors import Pending
from qt_hw.execution.executor import Executor
from qt_hw.hardware.statistics import joined, total_variation
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.model.measurement import Measurement
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.model.setup import Setup, Usage
from qt_hw.storage import write_bytes
from qt_hw.study.cell import Cell
from qt_hw.study.statistics.theory import expected_empty_bins, expected_total_variation
from qt_hw.tasks import Data, Task
from qt_hw.training.build import make_task
from qt_hw.training.config import TaskConfig
from qt_hw.training.metrics import with_gap
from qt_hw.training.run import Run
from qt_hw.training.trainer import all_metrics

__all__ = ["Measured", "Values", "measure_twin", "prepared", "task_and_data", "vector_values"]

Array = NDArray[np.float64]

Values = dict[str, tuple[float, float]]
"""By metric: value, and standard deviation over repeats inside the cell."""


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What an evaluation came to.

    Attributes:
        values: Of its metrics.
        rows: The metrics of each repeat.
        backend: Its description, with the calibration's date.
    """

    values: Values
    rows: list[dict[str, float]]
    backend: dict[str, Any]


def prepared(cell: Cell, model: QuantumTrain, executor: Executor) -> Setup:
    """Return what measures the circuit of ``model`` as an evaluation asks for.

    Unless the study says otherwise, a calibration circuit on a device that costs money takes as
    many shots as the circuit, elsewhere as many as ``qt_hw.Mitigation`` gives it.
    """
    shots, wanted = cell.config.backend.shots, cell.calibration_shots
    if wanted is None and executor.backend.limits.paid:
        wanted = shots
    made = Mitigation.of(cell.mitigation, calibration_shots=wanted)
    return Setup(model.generator.ansatz, executor, shots, "parameter-shift", made)


def measure_twin(cell: Cell, twin: Run, folder: Path, executor: Executor) -> Measured:
    """Measure the twin's trained circuit ``cell.repeats`` times; write the vectors.

    The repeats share one calibration of the mitigation. Repeat r draws from
    ``SeedSequence([seed, r, part])``.

    Args:
        cell: An evaluation.
        twin: Its noiseless run, finished.
        folder: Of the cell.
        executor: Where the circuit runs.

    Raises:
        Pending: Jobs are on their way: the calibration of the mitigation, or every repeat.
        QtHwError: See ``qt_hw.probabilities``.
    """
    model = twin.quantum()
    angles = model.generator.angles.detach().numpy()[None].copy()
    shots = cell.config.backend.shots
    setup, usage = prepared(cell, model, executor), Usage()
    vectors = _repeated(
        [
            Measurement(setup, angles, (cell.config.seeds.sampling, r), usage)
            for r in range(cell.repeats)
        ]
    )
    ideal = twin.arrays()["ideal"]
    task, data = task_and_data(cell.config.task)
    # What shots alone make of a product of circuits has no closed form.
    alone = shots if len(setup.factors) == 1 else None
    rows = [_metrics(model, vector, ideal, shots, alone, task, data) for vector in vectors]
    _store(folder / "results" / "vectors.npz", vectors, ideal)
    values: Values = {
        name: (float(np.mean(column)), float(np.std(column, ddof=1)) if len(column) > 1 else 0.0)
        for name in rows[0]
        for column in [[row[name] for row in rows]]
    }
    values["circuits"] = (float(usage.circuits), 0.0)
    values["shots_used"] = (float(usage.shots), 0.0)
    date = setup.factors[0].prepared.calibration_date
    return Measured(
        values=values,
        rows=rows,
        backend={**setup.backend.describe(), "calibration_date": date},
    )


def _repeated(measurements: list[Measurement]) -> list[Array]:
    """Return the vector of each; where jobs are waited for, all are sent before any is missed."""
    vectors, pending = list[Array](), None
    for one in measurements:
        try:
            one.measure(with_shifts=False)
        except Pending as error:
            pending = error
            continue
        vectors.append(joined([one.base(factor)[0] for factor in one.setup.factors]))
    if pending is not None:
        raise pending
    return vectors


def _metrics(
    model: QuantumTrain,
    vector: Array,
    ideal: Array,
    shots: int | None,
    alone: int | None,
    task: Task,
    data: Data,
) -> dict[str, float]:
    network = model.export(torch.from_numpy(vector), shots).eval()
    metrics = with_gap(all_metrics(task, network, data))
    return {**metrics, **vector_values(vector, ideal, alone)}


def vector_values(vector: Array, ideal: Array, shots: int | None) -> dict[str, float]:
    """Return distance and empty bins of a measured vector, beside what shots alone make of them.

    Args:
        vector: Measured, ``(2**n,)``.
        ideal: Exact, ``(2**n,)``.
        shots: Of the circuit; None: exact, where nothing is expected.
    """
    found = {
        "total_variation": total_variation(vector, ideal),
        "empty_bins": float(np.mean(vector <= 0.0)),
    }
    if shots is None:
        return found
    return {
        **found,
        "expected_total_variation": expected_total_variation(ideal, shots),
        "expected_empty_bins": expected_empty_bins(ideal, shots),
    }


def _store(path: Path, vectors: list[Array], ideal: Array) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, vectors=np.stack(vectors), ideal=ideal)
    write_bytes(path, buffer.getvalue())


def task_and_data(config: TaskConfig) -> tuple[Task, Data]:
    """Return a task and its data, loaded once in a process."""
    return _loaded(config.model_dump_json())


@lru_cache(maxsize=4)
def _loaded(config: str) -> tuple[Task, Data]:
    task = make_task(TaskConfig.model_validate_json(config))
    return task, task.load()
