"""Evaluations beside the noiseless run and the one with simulated shots, as table and figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from qt_hw.hardware.evaluation import Evaluation, records
from qt_hw.hardware.figures import draw_results
from qt_hw.hardware.home import Home, run_folders
from qt_hw.hardware.statistics import total_variation
from qt_hw.storage import read_json, write_json, write_text
from qt_hw.tasks.metric import ACCURACY, Metric
from qt_hw.training.folder import PAIR
from qt_hw.training.metrics import ordered
from qt_hw.training.paid import rehearsed
from qt_hw.training.run import Run

__all__ = ["columns", "columns_of", "metric_of", "write_tables"]

Column = dict[str, Any]

_FIRST = ("name", "kind", "rehearsal", "backend", "shots", "mitigation", "techniques")
_LAST = ("usd", "qpu_seconds", "cost_source", "test_samples", "finished")


def columns_of(metric: Metric, results: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return what ``evaluations.csv`` holds, empty where it does not apply.

    Args:
        metric: Headline metric of the task.
        results: Of runs and evaluations; each of their metrics is a column.

    >>> found = columns_of(ACCURACY, [{"test_loss": 0.1, "test_accuracy": 0.9, "test_samples": 9}])
    >>> found[7:9], found[11]
    (('test_accuracy', 'test_loss'), 'raw_test_accuracy')
    """
    known = {name: None for values in results for name in values if name not in _LAST}
    measured = list(ordered(known, metric))
    if {"test_loss", "train_loss"} <= known.keys():
        measured.append("generalisation_gap")
    distances = ("total_variation", "total_variation_of_shots")
    raw = (f"raw_{metric.test}", "raw_total_variation")
    return (*_FIRST, *measured, *distances, *raw, *_LAST)


def columns(folder: Path, *, rehearsal: bool) -> list[Column]:
    """Return the finished runs in ``folder``, then their finished evaluations.

    Args:
        folder: Of a run or a pair.
        rehearsal: Whether the rehearsed evaluations are meant, or the real ones; the two are
            never in one table.
    """
    runs = _runs(folder)
    finished = [run for run in runs if run.finished]
    of_runs = [_of_run(run) for run in finished if rehearsal or rehearsed(run.folder) is None]
    of_evaluations = [
        _of_evaluation(run, home, evaluation, several=len(runs) > 1)
        for run in finished
        for home in [Home(run=run.folder, rehearsed=rehearsal)]
        for evaluation in records(home)
        if evaluation.finished(home)
    ]
    if not of_evaluations:
        return []
    found = [*of_runs, *of_evaluations]
    names = columns_of(metric_of(folder), found)
    return [{name: values.get(name) for name in names} for values in found]


def metric_of(folder: Path) -> Metric:
    """Return the headline metric of the runs in ``folder``, which share their task."""
    return next((run.metric for run in _runs(folder)), ACCURACY)


def write_tables(folder: Path) -> dict[bool, list[Column]]:
    """Write table and figure of the real evaluations into ``folder``, of rehearsed ones apart.

    Returns:
        Columns of the real ones (False) and of the rehearsed ones (True), where there are any.
    """
    found = {}
    for rehearsal in (False, True):
        if not (table := columns(folder, rehearsal=rehearsal)):
            continue
        place = folder / "rehearsal" if rehearsal else folder
        write_json(place / "evaluations.json", table)
        write_text(place / "evaluations.csv", _csv(table))
        draw_results(place / "figures" / "evaluations", table, metric_of(folder))
        found[rehearsal] = table
    return found


def _runs(folder: Path) -> list[Run]:
    return [Run.open(path) for path in run_folders(folder) if (path / "config.toml").is_file()]


def _of_run(run: Run) -> Column:
    results, shots = run.results(), run.config.backend.shots
    arrays = run.arrays()
    mark = "" if rehearsed(run.folder) is None else " (rehearsal)"
    return {
        **results,
        "name": f"{PAIR[0] if run.config.is_noiseless else PAIR[1]}{mark}",
        "kind": "run",
        "rehearsal": bool(mark),
        "backend": run.config.backend.name,
        "shots": shots,
        "total_variation": None
        if run.config.is_noiseless
        else total_variation(arrays["probabilities"], arrays["ideal"]),
        "test_samples": run.manifest["data"]["test_samples"],
        "finished": run.manifest["finished"],
    }


def _of_evaluation(run: Run, home: Home, evaluation: Evaluation, *, several: bool) -> Column:
    result = read_json(evaluation.folder(home) / "result.json")
    name = evaluation.label
    if several and not run.config.is_noiseless:
        name += f" of {PAIR[1]}"
    return {
        **result,
        "name": f"{name} (rehearsal)" if home.rehearsed else name,
        "kind": "evaluation",
        "test_samples": run.manifest["data"]["test_samples"],
    }


def _csv(table: Sequence[Column]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(table[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return buffer.getvalue()
