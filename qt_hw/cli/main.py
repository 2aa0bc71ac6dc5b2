"""The program's commands and its one place for errors.

Nothing heavy is imported here: each command imports what it needs, so that help comes at once.
"""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Callable
from typing import TextIO

import typer

from qt_hw.cli import collect, estimate, export, info, jobs, run, status, study, submit
from qt_hw.errors import MitigationWarning, Pending, QtHwError, StorageError

__all__ = ["app", "main"]

app = typer.Typer(
    name="qt-hw",
    help="Train PyTorch models whose weights come from a quantum circuit with finite shots.",
    epilog="Start with: qt-hw run digits",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("run", rich_help_panel="Training")(run.run)
app.command("export", rich_help_panel="Training")(export.export)
app.command("study", rich_help_panel="Studies")(study.study)
app.command("report", rich_help_panel="Studies")(study.report)
app.command("estimate", rich_help_panel="Hardware")(estimate.estimate)
app.command("submit", rich_help_panel="Hardware")(submit.submit)
app.command("status", rich_help_panel="Hardware")(status.status)
app.command("collect", rich_help_panel="Hardware")(collect.collect)
app.command("cancel", rich_help_panel="Hardware")(jobs.cancel)
app.command("retry", rich_help_panel="Hardware")(jobs.retry)
app.command("cost", rich_help_panel="Hardware")(jobs.cost)
app.command("presets", rich_help_panel="What there is")(info.presets)
app.command("backends", rich_help_panel="What there is")(info.backends)
app.command("doctor", rich_help_panel="What there is")(info.doctor)


def main() -> None:
    """Run the program; errors of this package end in one line and their exit code."""
    # Threads that wait by spinning make training some ten times slower beside other programs.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    logging.basicConfig(format="warning: %(message)s", level=logging.WARNING)
    try:
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _shown(warnings.showwarning)
                app()
        finally:
            sys.stdout.flush()  # what cannot be written shows here, not after the end
    except QtHwError as error:
        kind = "pending" if isinstance(error, Pending) else "error"
        print(f"{kind}: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        _drop_output()
        sys.exit(1)
    except OSError as error:
        _drop_output()
        print(f"error: {error}", file=sys.stderr)
        sys.exit(StorageError.exit_code)


def _shown(others: Callable[..., None]) -> Callable[..., None]:
    """Return what shows a warning of this package in one line, and leaves others as they are."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, MitigationWarning):
            print(f"warning: {message}", file=sys.stderr)
        else:
            others(message, category, filename, lineno, file, line)

    return show


def _drop_output() -> None:
    """Let the interpreter's last flush go nowhere, since it would fail as well."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), sys.stdout.fileno())
