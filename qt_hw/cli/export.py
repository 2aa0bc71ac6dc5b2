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
        Which, typer.Option("--from", help="Which of the two runs in RUN.")
    ] = Which.noiseless,
) -> None:
    """Write the trained network's weights to FILE and its description beside it.

    FILE is the state_dict of the ordinary target network in safetensors form: loading it needs
    neither qt-hw nor a quantum computer. FILE with .json instead says which network it is.
    """
    from qt_hw.training.export import export_run
    from qt_hw.training.run import Run

    inner = run / which.value
    described = export_run(Run.open(inner if inner.is_dir() else run), file)
    print(f"{file}: {described['weights']:,} weights of {described['target']['name']}")
