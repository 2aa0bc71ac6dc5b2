"""``qt-hw study`` and ``qt-hw report``: grids of runs, their statistics, their report."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qt_hw.cli.shared import (
    Fault,
    QueueSeconds,
    Rehearse,
    explained,
    interruptible,
    rehearsal_of,
    say,
)
from qt_hw.errors import InputError, QtHwError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from qt_hw.study.config import StudyConfig
    from qt_hw.study.quote import StudyQuote
    from qt_hw.study.study import Finished

__all__ = ["CellsFailed", "report", "study"]

_SET_HELP = (
    "Change a setting of the study (seeds=3, budget.max_usd=50) or of its runs "
    "(optimizer.steps=200); may be repeated."
)


class CellsFailed(QtHwError):
    """Some cells of a study have no result."""

    exit_code = 9


def study(
    name: Annotated[
        str,
        typer.Argument(
            metavar="STUDY", help="A ready-made study, a TOML file, or the folder of a study."
        ),
    ],
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help=_SET_HELP)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Its folder; default: studies/STUDY.")
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on with what is in DIR; failed cells are computed again."
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print cells, circuits, shots, time, money; run none.")
    ] = False,
    jobs: Annotated[
        int | None, typer.Option(metavar="N", help="Worker processes; default: one for each core.")
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Run on this Ray cluster; local: start one here."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show the tables only.")] = False,
    rehearse: Rehearse = False,
    queue_seconds: QueueSeconds = None,
    fault: Fault = None,
) -> None:
    """Run a robustness study: shots, noise, mitigation, seeds and controls, with statistics.

    DIR gets a run folder for each cell, table.csv and table.parquet, summary.json, figures and
    report.html. It may be killed at any time and gone on with by --resume. Cells that cost money
    share one ledger and one cap (budget.max_usd or budget.max_qpu_seconds of the study).
    """
    rehearsal = rehearsal_of(rehearse, queue_seconds, fault)
    if jobs is not None and jobs < 1:
        raise InputError(f"--jobs {jobs}: at least 1")
    if jobs is not None and ray is not None:
        raise InputError("--jobs and --ray do not go together: a cluster has its own CPUs")

    from qt_hw.study.loading import load_study
    from qt_hw.study.study import usual_folder

    own = (Path(name) / "study.json").exists()
    folder = out or (Path(name) if own else usual_folder(Path(name).stem))
    settings = load_study(Path(name) / "study.toml" if own else name, changes or [])
    if dry_run:
        _dry_run(settings, folder, rehearsal, jobs)
        return

    from qt_hw.study.study import run_study
    from qt_hw.training.paid import Hardware

    again = _command(name, changes or [], folder, rehearse, jobs, ray)
    hint = "raise it with --set budget.max_usd=… or budget.max_qpu_seconds=…, or shrink the grid"
    with interruptible(f"stopped; go on with: {again}"), explained(hint):
        finished = run_study(
            settings,
            out=folder,
            resume=resume or (own and out is None),
            jobs=jobs,
            ray=ray,
            progress=not quiet,
            hardware=Hardware(rehearsal=rehearsal, go_on=f"go on with: {again}", say=say),
            quoted=_say_price,
            name=Path(name).stem,
        )
    _say_result(finished, again)


def report(
    folder: Annotated[Path, typer.Argument(metavar="STUDY", help="Folder made by qt-hw study.")],
) -> None:
    """Make table, figures and report.html of a study anew, from its folders alone."""
    from qt_hw.study.folder import StudyFolder
    from qt_hw.study.results import make_report
    from qt_hw.study.study import Finished, check_installed

    check_installed(None)
    found = StudyFolder(folder)
    states = [found.state(cell.id) for cell in found.cells]
    page = make_report(found)
    finished = Finished(
        folder=folder,
        done=states.count("done"),
        failures=found.failures(),
        report=page,
        open=states.count("open"),
    )
    _say_result(finished, shlex.join(["qt-hw", "study", str(folder)]))


def _say_result(finished: Finished, again: str) -> None:
    """Print the conclusions and where everything is; end with an error if cells failed."""
    from qt_hw.cli.study_tables import print_conclusions

    if finished.report is not None:
        print_conclusions(finished.folder)
        print(f"report: {finished.report}")
        print(f"table and figures: {finished.folder}")
    if finished.open:
        say(f"{finished.open} cells are not done yet; go on with: {again}")
    if finished.failures:
        first = finished.failures[0]
        raise CellsFailed(
            f"{len(finished.failures)} cells failed, first {first.cell}: {first.error}; "
            f"try them again with: {again}"
        )


def _dry_run(
    settings: StudyConfig, folder: Path, rehearsal: Mapping[str, Any] | None, jobs: int | None
) -> None:
    from qt_hw.cli.study_tables import print_quote
    from qt_hw.study.pools.local import cores
    from qt_hw.study.study import quote

    quoted, done = quote(settings, folder, rehearsal=rehearsal, say=say)
    print_quote(quoted, jobs or cores(), done)


def _say_price(quote: StudyQuote) -> None:
    from qt_hw.cli.money import counted, price

    total = quote.total
    say(
        f"paid: {counted(quote.cells, 'cell')}, {counted(total.circuits, 'circuit')}, "
        f"{total.shots:,} shots; price: {price(total)} ({total.source})"
    )


def _command(
    name: str, changes: list[str], folder: Path, rehearse: bool, jobs: int | None, ray: str | None
) -> str:
    options = [part for change in changes for part in ("--set", change)]
    options += ["--rehearse"] if rehearse else []
    options += ["--jobs", str(jobs)] if jobs is not None else []
    options += ["--ray", ray] if ray is not None else []
    return shlex.join(["qt-hw", "study", name, *options, "--out", str(folder), "--resume"])
