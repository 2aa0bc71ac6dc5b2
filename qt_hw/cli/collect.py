"""``qt-hw collect``: fetch what devices have measured, and go on with it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qt_hw.cli.shared import RunFolder, explained, interruptible, say
from qt_hw.cli.watching import Watcher
from qt_hw.errors import Pending, QtHwError

if TYPE_CHECKING:
    from qt_hw.hardware.collect import Collected

__all__ = ["collect"]


def collect(
    run: RunFolder,
    go_on: Annotated[
        bool,
        typer.Option("--continue", help="Take the next step of a training and submit the next."),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait for jobs that are queued or running.")
    ] = False,
) -> None:
    """Fetch the results of RUN's jobs; rebuild the weights and evaluate the target model.

    Evaluations that are complete are put beside the noiseless run and the one with simulated
    shots. Of a training on a device, --continue takes the steps whose jobs are done and submits
    the next; with --wait, to the end. Exit code 8: jobs are still queued or running.
    """
    command = f"qt-hw collect {run}{' --continue' if go_on else ''}"
    message = f"stopped; the jobs go on at the vendor; go on with: {command} --wait"
    with interruptible(message):
        collected = _evaluations(run, waiting=wait and not go_on)
        errors = _print(collected)
        if go_on:
            _say(errors)
            _go_on(run, wait, command)
        else:
            errors += _look_at_training(run, empty=not collected.outcomes)
            _say(errors)
    if errors:
        first = next((e for e in errors if not isinstance(e, Pending)), errors[0])
        raise typer.Exit(first.exit_code)


def _evaluations(run: Path, *, waiting: bool) -> Collected:
    from qt_hw.hardware.collect import collect as fetch

    with Watcher(live=waiting) as watcher:
        return fetch(run, waiting=waiting, say=watcher.say, report=watcher.report)


def _print(collected: Collected) -> list[QtHwError]:
    """Print tables and what is not finished; return what goes into the exit code."""
    from qt_hw.cli.table import evaluations_table, print_table

    for number, columns in enumerate(collected.tables.values()):
        if number:
            print()
        print_table(evaluations_table(columns, collected.metric))
    errors: list[QtHwError] = []
    only_refused = all(outcome.state == "refused" for outcome in collected.outcomes)
    for outcome in collected.outcomes:
        mark = "(rehearsal) " if outcome.home.rehearsed else ""
        if outcome.error is not None:
            errors.append(_marked(outcome.error, f"{mark}{outcome.text}"))
        elif outcome.state == "open":
            errors.append(Pending(f"{mark}{outcome.text}"))
        elif outcome.state == "cancelled" or only_refused:
            print(f"{mark}{outcome.text}")
    return errors


def _marked(error: QtHwError, text: str) -> QtHwError:
    """Return an error with another text and the same exit code."""
    marked = QtHwError(text)
    marked.exit_code = error.exit_code
    return marked


def _go_on(run: Path, wait: bool, command: str) -> None:
    """Go on with the training, to its end or to the next jobs."""
    from qt_hw.cli.table import comparison_table, print_table
    from qt_hw.hardware.training import go_on
    from qt_hw.training.compare import Comparison
    from qt_hw.training.paid import Hardware

    watcher = Watcher(live=False)  # the training has a bar of its own
    hardware = Hardware(
        waiting=wait, go_on=f"go on with: {command}", say=watcher.say, report=watcher.report
    )
    hint = "to go on: the same qt-hw run with --resume and a higher cap, or qt-hw retry --max-usd"
    with explained(hint):
        done = go_on(run, hardware=hardware, progress=wait)
    runs = done.runs if isinstance(done, Comparison) else {done.folder.name: done}
    results = {name: run.results() for name, run in runs.items()}
    print_table(comparison_table(results, next(iter(runs.values())).metric))
    print(f"figures and tables: {run}")


def _look_at_training(run: Path, *, empty: bool) -> list[QtHwError]:
    """Store what is done of the step that a training waits for, and say where it stands."""
    from qt_hw.hardware.training import fetch
    from qt_hw.training.paid import Hardware

    found = fetch(run, Hardware(say=say))
    if found is None:
        if empty:
            print(f"nothing to collect in {run}: qt-hw submit {run} sends its circuit to a device")
        return []
    text, error = found
    if error is None:
        print(text)
        return []
    return [error]


def _say(errors: list[QtHwError]) -> None:
    """Say what went wrong or is still to come."""
    for error in errors:
        say(f"{'pending' if isinstance(error, Pending) else 'error'}: {error}")
