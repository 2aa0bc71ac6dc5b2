"""Everything that is made from a study's folders alone: table, summary, figures, page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qt_hw.execution.journal import Journal
from qt_hw.model.controls import describe as describe_control
from qt_hw.storage import write_json
from qt_hw.study.figures import draw_study
from qt_hw.study.folder import StudyFolder
from qt_hw.study.summary import summarise
from qt_hw.study.table import rows_of, write_table

__all__ = ["make_report"]


def make_report(folder: StudyFolder | str | Path) -> Path | None:
    """Write table, summary, figures and ``report.html`` of a study; return the page's path.

    Nothing is computed or measured anew. None where no cell is finished yet.

    Raises:
        StorageError: There is no study, or the disk is full.
        MissingExtra: Packages of the extra ``study`` are missing.
    """
    folder = folder if isinstance(folder, StudyFolder) else StudyFolder(Path(folder))
    from qt_hw.study.report import write_report

    rows = rows_of(folder)
    if not rows:
        return None
    write_table(folder.path, rows)
    summary = summarise(rows)
    write_json(folder.path / "summary.json", summary.to_dict())
    draw_study(folder.path / "figures", summary, rows)
    page = folder.path / "report.html"
    write_report(page, summary, rows, _info(folder))
    return page


def _info(folder: StudyFolder) -> dict[str, Any]:
    """Return what the page says besides its figures."""
    about, failures = folder.about, folder.failures()
    states = [folder.state(cell.id) for cell in folder.cells]
    controls = dict.fromkeys(name for cell in folder.cells if (name := cell.condition.control))
    return {
        "title": about["name"],
        "description": folder.config.description,
        "command": about["command"],
        "created": about["created"],
        "toml": (folder.path / "study.toml").read_text("utf-8"),
        "versions": about["versions"],
        "backends": _backends(folder),
        "cost": _cost(folder),
        "cells": {
            "total": len(states),
            "done": states.count("done"),
            "failed": len(failures),
        },
        "failures": [vars(failure) for failure in failures],
        "seeds": list(folder.config.seeds),
        "controls": {name: describe_control(name) for name in controls},
    }


def _backends(folder: StudyFolder) -> list[dict[str, Any]]:
    """Return each backend once, with the date of its calibration."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for cell in folder.cells:
        if folder.state(cell.id) == "done":
            described = folder.result(cell.id)["backend"]
            name, date = str(described.get("name", "")), described.get("calibration_date")
            found.setdefault((name, str(date)), {"name": name, "calibration_date": date})
    return [entry for entry in found.values() if entry["name"]]


def _cost(folder: StudyFolder) -> dict[str, Any]:
    usd = qpu_seconds = 0.0
    if folder.ledger.exists():
        with Journal(folder.ledger) as journal:
            totals = journal.totals()
        usd = totals.usd_spent + totals.usd_queued
        qpu_seconds = totals.qpu_seconds_spent + totals.qpu_seconds_queued
    rehearsed = folder.rehearsal is not None
    return {"usd": usd, "qpu_seconds": qpu_seconds, "rehearsed": rehearsed}
