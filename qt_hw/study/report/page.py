"""``report.html``: summary, plots, tables and provenance of a study in one file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any

from qt_hw.errors import MissingExtra
from qt_hw.storage import write_text
from qt_hw.study.figures.views import Rows
from qt_hw.study.report.plot import Plot
from qt_hw.study.report.plots import plots_of
from qt_hw.study.report.provenance import provenance
from qt_hw.study.report.table import Table
from qt_hw.study.report.tables import failures_table, gradients_table, groups_table, laws_table
from qt_hw.study.summary import Summary

__all__ = ["write_report"]


def write_report(path: Path, summary: Summary, rows: Rows, info: Mapping[str, Any]) -> None:
    """Write the page of a study; the same arguments give the same bytes.

    It loads nothing: plotly.js, style and data are inside, and its content security policy
    forbids every request.

    Args:
        path: Of the page.
        summary: Of the study.
        rows: Its table, for the sums of circuits and shots.
        info: ``title``, ``description``, ``command``, ``created``, ``toml``, ``versions``,
            ``backends`` (of ``name``, ``calibration_date``), ``cost`` (``usd``, ``qpu_seconds``,
            ``rehearsed``), ``cells`` (``total``, ``done``, ``failed``), ``failures`` (of ``cell``,
            ``error``), ``seeds``, ``controls`` (name to description). Whatever is missing is left
            out.

    Raises:
        MissingExtra: Plotly is not installed.
        StorageError: The page cannot be written.
    """
    plots = plots_of(summary)
    parts = {
        "title": escape(str(info.get("title", "Study"))),
        "description": escape(str(info.get("description", ""))),
        "cells": _cells(info.get("cells", {})),
        "notes": _notes(summary),
        "plots": "\n".join(_figure(plot) for plot in plots),
        "tables": _tables(summary, info),
        "provenance": provenance(rows, info),
        "style": _file("style.css"),
        "script": _file("report.js"),
        "plotly": _plotly() if plots else "",
    }
    write_text(path, Template(_file("page.html")).substitute(parts))


def _file(name: str) -> str:
    return files("qt_hw.study.report").joinpath(name).read_text("utf-8")


def _plotly() -> str:
    try:
        from plotly.offline import get_plotlyjs
    except ImportError:
        raise MissingExtra("the report", "study") from None
    return str(get_plotlyjs()).replace("</script", "<\\/script")


def _cells(cells: Mapping[str, Any]) -> str:
    if not cells:
        return ""
    failed = f", {cells['failed']:,} failed" if cells.get("failed") else ""
    return f"{cells['done']:,} of {cells['total']:,} cells done{failed}"


def _notes(summary: Summary) -> str:
    items = "\n".join(f"<li>{escape(note)}</li>" for note in summary.notes)
    return f"{_smallest(summary)}\n<ul>\n{items}\n</ul>" if items else _smallest(summary)


def _smallest(summary: Summary) -> str:
    if not summary.n_comparisons:
        return "<p>Nothing is compared with a noiseless twin.</p>"
    return (
        f"<p><strong>Smallest p that {summary.seeds} seeds allow: {summary.smallest_p:.2g}</strong>"
        f" before correction; {summary.n_comparisons:,} comparisons, level {summary.alpha:g}.</p>"
    )


def _figure(plot: Plot) -> str:
    label = f'role="img" aria-label="{escape(plot.title)}: {escape(plot.caption)}"'
    return (
        f'<figure>\n<h3 id="{plot.name}-title">{escape(plot.title)}</h3>\n'
        f'<div class="plot" id="{plot.name}" {label}></div>\n'
        f'<script type="application/json" id="{plot.name}-data">{plot.to_json()}</script>\n'
        f"<figcaption>{escape(plot.caption)}</figcaption>\n</figure>"
    )


def _tables(summary: Summary, info: Mapping[str, Any]) -> str:
    failures = failures_table(info.get("failures", ()))
    made = [failures, laws_table(summary), groups_table(summary), gradients_table(summary)]
    return "\n".join(_present(made))


def _present(tables: Iterable[Table | None]) -> list[str]:
    return [table.to_html() for table in tables if table is not None]
