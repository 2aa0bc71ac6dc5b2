"""``qt-hw export``: the trained network as an ordinary file."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

__all__ = ["export"]


class Which(StrEnum):
    """Which of the two runs in a folder."""

    noiseless = "noiseless"
    sampled = "sampled"


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder made by qt-hw run.")],
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="Where the weights go, e.g. model.safetensors.")
    ],
    which: Annotated[
        Which | None,
        typer.Option("--from", help="Which of the two runs in RUN; default: noiseless."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Write the trained network's weights to FILE and its description beside it.

    FILE is the state_dict of the ordinary target network in safetensors form: loading it needs
    neither qt-hw nor a quantum computer. FILE with .json instead says which network it is.
    """
    from qt_hw.training.export import export_run
    from qt_hw.training.run import Run

    described = export_run(Run.open(_chosen(run, which)), file, force=force)
    print(f"{file}: {described['weights']:,} weights of {described['target']['name']}")


def _chosen(run: Path, which: Which | None) -> Path:
    """Return the folder of the single run that is meant."""
    from qt_hw.errors import InputError
    from qt_hw.training.run import Run

    if not (run / "config.toml").is_file():
        inner = run / (which or Which.noiseless).value
        return inner if inner.is_dir() else run
    own = Which.noiseless if Run.open(run).config.is_noiseless else Which.sampled
    if which not in (None, own):
        raise InputError(f"{run} is a single run, the {own.value} one; leave out --from {which}")
    return run
