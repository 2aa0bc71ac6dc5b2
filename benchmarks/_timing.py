"""Interleaved timing, tables and result files shared by all benchmarks.

Routes are run in turn, repetition by repetition, so that whatever else the machine does falls on
all of them alike; ratios are ratios of medians of one run.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).parent / "results"
PACKAGES = (
    "torch",
    "numpy",
    "qiskit",
    "qiskit-aer",
    "qiskit-ibm-runtime",
    "amazon-braket-sdk",
    "amazon-braket-default-simulator",
    "qt-hw",
)


@dataclass(frozen=True, kw_only=True)
class Route:
    """One way to do the job.

    Attributes:
        name: As printed.
        run: Does it once and returns the seconds that it took.
        scale: Factor on the seconds where only a part is run, e.g. 10 for a tenth of the rows.
        note: What was run, as printed.
        bar: Wanted ratio to the reference: at least this many times its seconds.
        ceiling: Wanted ratio to the reference: at most this many times its seconds.
    """

    name: str
    run: Callable[[], float]
    scale: float = 1.0
    note: str = ""
    bar: float | None = None
    ceiling: float | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a table; ``seconds`` is the median over the repetitions, scaled."""

    name: str
    seconds: float | None
    fastest: float | None = None
    ratio: float | None = None
    verdict: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A finished comparison."""

    title: str
    rows: tuple[Row, ...]
    repetitions: int


def clock(work: Callable[[], object], at_least: float = 0.5) -> Callable[[], float]:
    """Return a function that does ``work`` again and again and returns its mean seconds.

    It goes on for ``at_least`` seconds, as a training does one step after the other: a single
    short step right after another route would mostly measure cold caches.
    """

    def run() -> float:
        start, count = time.perf_counter(), 0
        while count == 0 or time.perf_counter() - start < at_least:
            work()
            count += 1
        return (time.perf_counter() - start) / count

    return run


def compare(
    title: str,
    routes: Sequence[Route],
    *,
    repetitions: int,
    missing: Sequence[str] = (),
) -> Table:
    """Time ``routes`` side by side; the first is the reference of the ratios.

    One warm-up of each route comes first. ``missing`` names peers that are not installed.
    """
    for route in routes:
        route.run()
    seconds: dict[str, list[float]] = {route.name: [] for route in routes}
    for _ in range(repetitions):
        for route in routes:
            seconds[route.name].append(route.run() * route.scale)
    reference = statistics.median(seconds[routes[0].name])
    rows = [_row(route, seconds[route.name], reference) for route in routes]
    rows += [Row(name=name, seconds=None, note="not installed") for name in missing]
    table = Table(title=title, rows=tuple(rows), repetitions=repetitions)
    show(table)
    return table


def _row(route: Route, seconds: Sequence[float], reference: float) -> Row:
    median = statistics.median(seconds)
    ratio = median / reference
    return Row(
        name=route.name,
        seconds=median,
        fastest=min(seconds),
        ratio=ratio,
        verdict=verdict(ratio, bar=route.bar, ceiling=route.ceiling),
        note=route.note,
    )


def verdict(value: float, *, bar: float | None = None, ceiling: float | None = None) -> str:
    """Return the wanted bound and whether ``value`` keeps it, or an empty string."""
    if bar is not None:
        return f">= {bar:g}: {'met' if value >= bar else 'MISSED'}"
    if ceiling is not None:
        return f"<= {ceiling:g}: {'met' if value <= ceiling else 'MISSED'}"
    return ""


def show(table: Table) -> None:
    """Print ``table`` as Markdown."""
    print(f"\n### {table.title} (median of {table.repetitions})\n")
    print("| route | seconds | ratio | wanted | note |\n|---|---:|---:|---|---|")
    for row in table.rows:
        seconds = "-" if row.seconds is None else f"{row.seconds:.4g}"
        ratio = "-" if row.ratio is None else f"{row.ratio:.3g}"
        print(f"| {row.name} | {seconds} | {ratio} | {row.verdict} | {row.note} |", flush=True)


def write(name: str, tables: Sequence[Table], **extra: object) -> None:
    """Write the tables and the versions behind them to ``results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    content = {
        "tables": [asdict(table) for table in tables],
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "machine": platform.machine(),
        "versions": {package: _version(package) for package in PACKAGES},
        **extra,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(content, indent=2) + "\n")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
