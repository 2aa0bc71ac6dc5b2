"""Tables on the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table

__all__ = ["comparison_table", "print_table", "simple_table"]

Results = Mapping[str, Mapping[str, Any]]


def comparison_table(results: Results) -> Table:
    """Return one column for each run, one line for each figure."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for name in results:
        table.add_column(name, justify="right")
    for label, show in _LINES:
        table.add_row(label, *(show(values) for values in results.values()))
    return table


def simple_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    """Return a plain table of text; the last column may wrap."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers[:-1]:
        table.add_column(header, no_wrap=True)
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
