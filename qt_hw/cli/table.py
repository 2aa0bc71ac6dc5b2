"""Tables on the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = [
    "comparison_table",
    "evaluations_table",
    "figures_table",
    "print_table",
    "simple_table",
]

Results = Mapping[str, Mapping[str, Any]]


def comparison_table(results: Results) -> Table:
    """Return one column for each run, one line for each figure."""
    mitigated = any(v.get("mitigation", "none") != "none" for v in results.values())
    lines = [*_LINES, *(_MITIGATION_LINE if mitigated else ())]
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


def evaluations_table(columns: Sequence[Mapping[str, Any]]) -> Table:
    """Return runs and evaluations side by side; see ``qt_hw.hardware.table.columns``."""
    corrected = any(column["mitigation"] not in (None, "none") for column in columns)
    lines = [*_EVALUATION_LINES, *(_CORRECTION_LINES if corrected else ())]
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


def _seconds(values: Mapping[str, Any]) -> str:
    seconds = float(values["seconds"])
    return f"{seconds:.0f} s" if seconds < 600 else f"{seconds / 60:.0f} min"


_LINES: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("test accuracy", lambda v: f"{v['test_accuracy']:.2%}"),
    ("training accuracy", lambda v: f"{v['train_accuracy']:.2%}"),
    ("generalisation gap (test - training loss)", lambda v: f"{v['generalisation_gap']:.4f}"),
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


def _mitigation(values: Mapping[str, Any]) -> str:
    asked = str(values.get("mitigation") or "-")
    return f"auto: {values.get('techniques') or 'none'}" if asked == "auto" else asked


_MITIGATION_LINE: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("mitigation", _mitigation),
)


def _distance(values: Mapping[str, Any]) -> str:
    distance, alone = values["total_variation"], values["total_variation_of_shots"]
    if distance is None:
        return "-"
    return f"{distance:.3f}" + ("" if alone is None else f" ({alone:.3f})")


def _cost(values: Mapping[str, Any]) -> str:
    parts = []
    if values["usd"]:
        parts.append(f"{values['usd']:,.2f} USD")
    if values["qpu_seconds"]:
        parts.append(f"{values['qpu_seconds']:,.2f} QPU s")
    return ", ".join(parts) or "-"


_EVALUATION_LINES: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    ("backend", lambda v: str(v["backend"])),
    ("shots", lambda v: f"{v['shots']:,}" if v["shots"] else "exact"),
    ("test accuracy", lambda v: f"{v['test_accuracy']:.2%}"),
    ("training accuracy", lambda v: f"{v['train_accuracy']:.2%}"),
    ("test loss", lambda v: f"{v['test_loss']:.4f}"),
    ("generalisation gap (test - training loss)", lambda v: f"{v['generalisation_gap']:.4f}"),
    ("total variation distance (of shots alone)", _distance),
    ("cost of the jobs", _cost),
    ("cost as known from", lambda v: v["cost_source"] or "-"),
)


_CORRECTION_LINES: tuple[tuple[str, Callable[[Mapping[str, Any]], str]], ...] = (
    *_MITIGATION_LINE,
    ("test accuracy, uncorrected", lambda v: _share(v["raw_test_accuracy"])),
    ("total variation distance, uncorrected", lambda v: _number(v["raw_total_variation"])),
)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.2%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
