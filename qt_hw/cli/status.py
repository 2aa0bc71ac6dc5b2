"""``qt-hw status``: where the jobs of a run are."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer

from qt_hw.cli.shared import RunFolder, interruptible, say

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from qt_hw.execution.journal import JobRow
    from qt_hw.hardware.status import JobLine, Standing

__all__ = ["status"]

#: Seconds between two rounds of ``--watch``: the first, the factor to the next, the longest.
_FIRST, _GROWTH, _LONGEST = 2.0, 1.5, 60.0
#: How many jobs that are done are listed unless all are asked for.
_LISTED = 10
#: Letters of a token, which stand for a job without an id.
_TOKEN = 13


def status(
    run: RunFolder,
    watch: Annotated[
        bool, typer.Option("--watch", help="Keep asking until all jobs have ended.")
    ] = False,
    offline: Annotated[
        bool, typer.Option("--offline", help="Ask no vendor: show what the journal has.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--all", help=f"List all jobs, not only the last {_LISTED} done.")
    ] = False,
) -> None:
    """List requests and jobs: state, place in the queue, price, and what was spent of the cap.

    Rehearsed jobs are apart from real ones. Where the vendor cannot be reached, the journal in
    RUN says what was known last.
    """
    from qt_hw.hardware.status import standings

    def look() -> list[Standing]:
        return standings(run, asking=not offline, say=say)

    found = look()
    if not any(standing.lines or standing.evaluations for standing in found):
        study = (run / "study.json").exists()  # a study sends its jobs itself
        print(f"no jobs in {run}" + ("" if study else f"; qt-hw submit {run} sends some"))
    elif watch:
        with interruptible(f"stopped watching; jobs go on; fetch them with: qt-hw collect {run}"):
            _watch(found, look, everything)
    else:
        _print(found, everything)


def _watch(found: list[Standing], look: object, everything: bool) -> None:
    from rich.console import Console
    from rich.live import Live

    assert callable(look)
    console, pause = Console(), _FIRST
    if not console.is_terminal:
        while any(standing.n_moving for standing in found):
            time.sleep(pause)
            pause, found = min(_LONGEST, pause * _GROWTH), look()
        _print(found, everything)
        return
    with Live(_picture(found, everything), console=console, auto_refresh=False) as live:
        while any(standing.n_moving for standing in found):
            time.sleep(pause)
            pause, found = min(_LONGEST, pause * _GROWTH), look()
            live.update(_picture(found, everything), refresh=True)


def _print(found: list[Standing], everything: bool) -> None:
    from qt_hw.cli.table import print_table

    for number, standing in enumerate(found):
        if number:
            print()
        for text in _head(standing):
            print(text)
        if standing.lines:
            print_table(_table(standing, everything))
        for text in _foot(standing, everything):
            print(text)


def _picture(found: list[Standing], everything: bool) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    for standing in found:
        parts += [Text(text) for text in _head(standing)]
        parts.append(_table(standing, everything))
        parts += [Text(text) for text in _foot(standing, everything)]
    return Group(*parts)


def _head(standing: Standing) -> list[str]:
    from qt_hw.cli.money import spending

    spent = spending(standing.totals, standing.caps)
    return [f"{standing.home.label}{f': {spent}' if spent else ''}"]


def _foot(standing: Standing, everything: bool) -> list[str]:
    hidden = 0 if everything else len(standing.lines) - len(_listed(standing))
    return [
        *([f"and {hidden:,} jobs before that are done (--all)"] if hidden else []),
        *(f"{e.label} was refused: {e.refused}" for e in standing.evaluations if e.refused),
        *standing.problems,
    ]


def _listed(standing: Standing) -> list[JobLine]:
    """Return the jobs that are not done, and the last ones that are."""
    lines = list(standing.lines)
    done = [line for line in lines if line.row.state == "done"][-_LISTED:]
    kept = {line.row.token for line in done}
    return [line for line in lines if line.row.state != "done" or line.row.token in kept]


def _table(standing: Standing, everything: bool) -> Table:
    from qt_hw.cli.table import simple_table

    headers = ("for", "backend", "state", "shots", "price", "when", "job", "queue")
    lines = list(standing.lines) if everything else _listed(standing)
    shown = len(headers) if any(line.place for line in lines) else len(headers) - 1
    return simple_table(headers[:shown], [_cells(line)[:shown] for line in lines], wrap=True)


def _cells(line: JobLine) -> tuple[str, ...]:
    from qt_hw.cli.money import charged, span
    from qt_hw.hardware.sources import short_id

    row = line.row
    known = charged(row.usd, row.qpu_seconds)
    estimate = (
        f"~{span(row.usd_low, row.usd_high)} USD"
        if row.usd_high
        else f"~{span(row.qpu_seconds_low, row.qpu_seconds_high)} QPU s"
    )
    attempt = f", attempt {row.attempt + 1}" if row.attempt else ""
    return (
        f"{line.request.label}{attempt}",
        line.request.backend,
        line.state,
        f"{row.shots:,}",
        known or estimate,
        _when(row),
        short_id(row.id) or row.token[:_TOKEN],
        line.place,
    )


def _when(row: JobRow) -> str:
    """Return when the last thing happened, in the local time."""
    from datetime import datetime

    stamp = datetime.fromisoformat(row.ended or row.submitted or row.created)
    return stamp.astimezone().strftime("%m-%d %H:%M")
