"""Evaluations beside the noiseless run and the one with simulated shots, as table and figure."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from qt_hw.hardware.evaluation import Evaluation, records
from qt_hw.hardware.figures import draw_accuracies
from qt_hw.hardware.home import Home, run_folders
from qt_hw.hardware.statistics import total_variation
from qt_hw.storage import read_json, write_json, write_text
from qt_hw.training.folder import PAIR
from qt_hw.training.paid import rehearsed
from qt_hw.training.run import Run

__all__ = ["COLUMNS", "columns", "write_tables"]

Column = dict[str, Any]

COLUMNS = (
    "name",
    "kind",
    "rehearsal",
    "backend",
    "shots",
    "mitigation",
    "techniques",
    "test_accuracy",
    "train_accuracy",
    "test_loss",
    "train_loss",
    "generalisation_gap",
    "total_variation",
    "total_variation_of_shots",
    "raw_test_accuracy",
    "raw_total_variation",
    "usd",
    "qpu_seconds",
    "cost_source",
    "test_samples",
    "finished",
)
"""What ``evaluations.csv`` holds; empty where it does not apply."""


def columns(folder: Path, *, rehearsal: bool) -> list[Column]:
    """Return the finished runs in ``folder``, then their finished evaluations.

    Args:
        folder: Of a run or a pair.
        rehearsal: Whether the rehearsed evaluations are meant, or the real ones; the two are
            never in one table.
    """
    runs = [Run.open(path) for path in run_folders(folder) if (path / "config.toml").is_file()]
    finished = [run for run in runs if run.finished]
    of_runs = [_of_run(run) for run in finished if rehearsal or rehearsed(run.folder) is None]
    of_evaluations = [
        _of_evaluation(run, home, evaluation, several=len(runs) > 1)
        for run in finished
        for home in [Home(run=run.folder, rehearsed=rehearsal)]
        for evaluation in records(home)
        if evaluation.finished(home)
    ]
    return [*of_runs, *of_evaluations] if of_evaluations else []


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
        draw_accuracies(place / "figures" / "evaluations", table)
        found[rehearsal] = table
    return found


def _of_run(run: Run) -> Column:
    results, shots = run.results(), run.config.backend.shots
    arrays = run.arrays()
    mark = "" if rehearsed(run.folder) is None else " (rehearsal)"
    return {
        **_empty(),
        **{key: results[key] for key in COLUMNS if key in results},
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
        **_empty(),
        **{key: result[key] for key in COLUMNS if key in result},
        "name": f"{name} (rehearsal)" if home.rehearsed else name,
        "kind": "evaluation",
        "test_samples": run.manifest["data"]["test_samples"],
    }


def _empty() -> Column:
    return dict.fromkeys(COLUMNS)


def _csv(table: Sequence[Column]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    return buffer.getvalue()
