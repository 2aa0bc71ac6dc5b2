"""Tables on the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

from qt_hw.tasks.metric import ACCURACY, Metric

__all__ = [
    "comparison_table",
    "evaluations_table",
    "figures_table",
    "print_table",
    "simple_table",
]

Values = Mapping[str, Any]
Results = Mapping[str, Values]
Line = tuple[str, Callable[[Values], str]]


def comparison_table(results: Results, metric: Metric = ACCURACY) -> Table:
    """Return one column for each run, one line for each figure; ``metric`` is the headline."""
    mitigated = any(v.get("mitigation", "none") != "none" for v in results.values())
    measured = _metric_lines(list(results.values()), metric)
    lines = [*measured, *_LINES, *(_MITIGATION_LINE if mitigated else ())]
    rows = [(label, *(show(values) for values in results.values())) for label, show in lines]
    return figures_table(list(results), rows)


def figures_table(names: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return one column for each name, one line for each figure, whose name comes first."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in names:
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(*row)
    return table


def evaluations_table(columns: Sequence[Values], metric: Metric = ACCURACY) -> Table:
    """Return runs and evaluations side by side; see ``qt_hw.hardware.table.columns``."""
    corrected = any(column["mitigation"] not in (None, "none") for column in columns)
    measured = _metric_lines(columns, metric)
    lines = [*_PLACE_LINES, *measured, *_COST_LINES]
    lines += _correction_lines(metric) if corrected else []
    rows = [(label, *(show(column) for column in columns)) for label, show in lines]
    return figures_table([str(column["name"]) for column in columns], rows)


def simple_table(
    headers: Sequence[str], rows: Sequence[Sequence[str]], *, wrap: bool = False
) -> Table:
    """Return a plain table of text; the last column may wrap, with ``wrap`` every one."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers[:-1]:
        table.add_column(header, no_wrap=not wrap, overflow="fold" if wrap else "ellipsis")
    table.add_column(headers[-1], overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def print_table(table: Table) -> None:
    """Print ``table`` to the standard output, no wider than the terminal or ``$COLUMNS``."""
    console = Console()
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console = Console(width=120)
    console.print(table, markup=False)


def _metric_lines(columns: Sequence[Values], metric: Metric) -> list[Line]:
    """Return the headline on both parts, the task's other metrics on the test data, and the gap."""
    names = dict.fromkeys(name for values in columns for name in values)
    lines: list[Line] = [(metric.title, lambda v: metric.text(v[metric.test]))]
    if metric.train in names:
        lines.append((f"training {metric.label}", lambda v: metric.text(v.get(metric.train))))
    shown = (metric.test, "test_samples")
    others = [name for name in names if name.startswith("test_") and name not in shown]
    lines += [_number_line(name) for name in others]
    if "generalisation_gap" in names:
        lines.append(_number_line("generalisation_gap", " (test - training loss)"))
    return lines


def _number_line(name: str, note: str = "") -> Line:
    return name.replace("_", " ") + note, lambda v: _number(v.get(name), 4)


def _seconds(values: Values) -> str:
    seconds = float(values["seconds"])
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


_LINES: tuple[Line, ...] = (
    (
        "trained parameters (of the target's)",
        lambda v: (
            f"{v['trained_parameters']:,} of {v['target_parameters']:,} ({v['trained_share']:.1%})"
        ),
    ),
    (
        "circuit's share of the weights' variance",
        lambda v: f"{v['circuit_share_start']:.1%} -> {v['circuit_share_end']:.1%}",
    ),
    ("steps", lambda v: f"{v['steps']:,}"),
    ("circuits run", lambda v: f"{v['circuits']:,}"),
    ("shots used", lambda v: f"{v['shots']:,}" if v["shots"] else "none (exact)"),
    (
        "circuits per gradient, native / lowered",
        lambda v: f"{v['circuits_per_gradient_native']:,} / {v['circuits_per_gradient_lowered']:,}",
    ),
    ("time", _seconds),
)


def _mitigation(values: Values) -> str:
    asked = str(values.get("mitigation") or "-")
    return f"auto: {values.get('techniques') or 'none'}" if asked == "auto" else asked


_MITIGATION_LINE: tuple[Line, ...] = (("mitigation", _mitigation),)


def _distance(values: Values) -> str:
    distance, alone = values["total_variation"], values["total_variation_of_shots"]
    if distance is None:
        return "-"
    return f"{distance:.3f}" + ("" if alone is None else f" ({alone:.3f})")


def _cost(values: Values) -> str:
    parts = []
    if values["usd"]:
        parts.append(f"{values['usd']:,.2f} USD")
    if values["qpu_seconds"]:
        parts.append(f"{values['qpu_seconds']:,.2f} QPU s")
    return ", ".join(parts) or "-"


_PLACE_LINES: tuple[Line, ...] = (
    ("backend", lambda v: str(v["backend"])),
    ("shots", lambda v: f"{v['shots']:,}" if v["shots"] else "exact"),
)

_COST_LINES: tuple[Line, ...] = (
    ("total variation distance (of shots alone)", _distance),
    ("cost of the jobs", _cost),
    ("cost as known from", lambda v: v["cost_source"] or "-"),
)


def _correction_lines(metric: Metric) -> list[Line]:
    return [
        *_MITIGATION_LINE,
        (f"{metric.title}, uncorrected", lambda v: metric.text(v[f"raw_{metric.test}"])),
        ("total variation distance, uncorrected", lambda v: _number(v["raw_total_variation"], 3)),
    ]


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"
