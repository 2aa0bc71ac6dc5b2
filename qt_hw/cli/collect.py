"""``qt-hw collect``: fetch what devices have measured, and go on with it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from qt_hw.cli.shared import RunFolder, explained, interruptible
from qt_hw.cli.watching import Watcher

if TYPE_CHECKING:
    from qt_hw.errors import QtHwError
    from qt_hw.hardware.collect import Collected
    from qt_hw.training.paid import Hardware

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
    with interruptible(message), Watcher(live=not go_on) as watcher:
        from qt_hw.training.paid import Hardware  # takes a second or two

        hardware = Hardware(
            waiting=wait,
            go_on=f"go on with: {command}",
            say=watcher.say,
            report=watcher.report,
        )
        _collect(run, hardware, go_on)


def _collect(run: Path, hardware: Hardware, go_on: bool) -> None:
    from qt_hw.errors import Pending
    from qt_hw.hardware.collect import collect as fetch
    from qt_hw.hardware.training import unfinished

    collected = fetch(
        run, waiting=hardware.waiting and not go_on, say=hardware.say, report=hardware.report
    )
    errors = _print(collected)
    training = unfinished(run) is not None
    if go_on:
        hint = f"go on with: qt-hw retry or qt-hw run with a higher cap and --resume, --out {run}"
        with explained(hint):
            _go_on(run, hardware)
    elif training:
        errors += _fetch_step(run, hardware)
    if not collected.outcomes and not training and not go_on:
        print(f"nothing to collect in {run}: qt-hw submit {run} sends its circuit to a device")
    for error in errors:
        kind = "pending" if isinstance(error, Pending) else "error"
        print(f"{kind}: {error}", file=sys.stderr)
    if errors:
        first = next((e for e in errors if not isinstance(e, Pending)), errors[0])
        raise typer.Exit(first.exit_code)


def _print(collected: Collected) -> list[QtHwError]:
    """Print tables and what is not finished; return what goes into the exit code."""
    from qt_hw.cli.table import evaluations_table, print_table
    from qt_hw.errors import Pending

    for number, columns in enumerate(collected.tables.values()):
        if number:
            print()
        print_table(evaluations_table(columns))
    errors: list[QtHwError] = []
    for outcome in collected.outcomes:
        mark = "(rehearsal) " if outcome.home.rehearsed else ""
        if outcome.error is not None:
            errors.append(_marked(outcome.error, f"{mark}{outcome.text}"))
        elif outcome.state == "open":
            errors.append(Pending(f"{mark}{outcome.text}"))
        elif outcome.state == "cancelled":
            print(f"{mark}{outcome.text}")
    return errors


def _marked(error: QtHwError, text: str) -> QtHwError:
    """Return an error with another text and the same exit code."""
    from qt_hw.errors import QtHwError

    marked = QtHwError(text)
    marked.exit_code = error.exit_code
    return marked


def _go_on(run: Path, hardware: Hardware) -> None:
    """Go on with the training, to its end or to the next jobs."""
    from qt_hw.cli.table import comparison_table, print_table
    from qt_hw.hardware.training import go_on
    from qt_hw.training.compare import Comparison

    done = go_on(run, hardware=hardware, progress=hardware.waiting)
    if isinstance(done, Comparison):
        print_table(comparison_table(done.results()))
    else:
        print_table(comparison_table({done.folder.name: done.results()}))
    print(f"figures and tables: {run}")


def _fetch_step(run: Path, hardware: Hardware) -> list[QtHwError]:
    """Store what is done of the step that a training waits for, and say where it stands."""
    from qt_hw.hardware.training import fetch

    found = fetch(run, hardware)
    if found is None:
        return []
    text, error = found
    if error is None:
        print(text)
        return []
    return [error]
