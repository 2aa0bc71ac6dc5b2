"""``qt-hw run``: train with shots beside the noiseless twin."""

from __future__ import annotations

import contextlib
import shlex
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

__all__ = ["run"]

_SET_HELP = "Change one key, e.g. backend.shots=1024; KEY= takes it out."


def run(
    config: Annotated[
        str, typer.Argument(metavar="PRESET|FILE", help="A preset (qt-hw presets) or a TOML file.")
    ],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help=_SET_HELP),
    ] = None,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Folder of the runs; default: runs/PRESET.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the interrupted runs in DIR.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Show the table only.")] = False,
) -> None:
    """Train a model with shots and without, and compare the two.

    DIR gets a run folder for each, noiseless and sampled, with the comparison and its figures
    beside them.
    """
    from qt_hw.training.loading import load_config

    settings = load_config(config, changes or [])  # before the slow imports, for quick refusals

    from qt_hw.cli.table import comparison_table, print_table
    from qt_hw.training.compare import train_pair
    from qt_hw.training.folder import free_folder

    folder = out or _default_folder(Path(config).stem, free_folder(Path(config).stem), resume)
    try:
        with _sigterm_as_exception():
            comparison = train_pair(settings, out=folder, resume=resume, progress=not quiet)
    except KeyboardInterrupt as stop:
        again = _command(config, changes or [], folder)
        print(f"\nstopped; go on with: {again}", file=sys.stderr)
        raise typer.Exit(143 if isinstance(stop, _Terminated) else 130) from None
    print_table(comparison_table(comparison.results()))
    print(f"figures and tables: {folder}")


class _Terminated(KeyboardInterrupt):
    """The process was asked to end."""


@contextlib.contextmanager
def _sigterm_as_exception() -> Iterator[None]:
    """Have SIGTERM end the work as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _default_folder(name: str, free: Path, resume: bool) -> Path:
    """Return a new folder under ``runs``, to resume the newest that is there."""
    if not resume:
        return free
    taken = [p for p in Path("runs").glob(f"{name}*") if _belongs(p.name, name)]
    return max(taken, key=lambda path: path.stat().st_mtime, default=free)


def _belongs(folder: str, name: str) -> bool:
    """Say whether ``folder`` is ``name`` or ``name-2`` and so on."""
    rest = folder.removeprefix(name)
    return rest == "" or (rest.startswith("-") and rest[1:].isdigit())


def _command(config: str, changes: list[str], folder: Path) -> str:
    options = [part for change in changes for part in ("--set", change)]
    return shlex.join(["qt-hw", "run", config, *options, "--out", str(folder), "--resume"])
