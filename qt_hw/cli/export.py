"""``qt-hw export``: the trained network as an ordinary file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from qt_hw.cli.shared import Which

__all__ = ["export"]


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="Folder made by qt-hw run.")],
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            help="Where the weights go, e.g. model.safetensors; a folder for adapters of PEFT.",
        ),
    ],
    which: Annotated[
        Which | None,
        typer.Option("--from", help="Which of the two runs in RUN; default: noiseless."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
) -> None:
    """Write the trained network's weights to FILE and its description beside it.

    FILE is the state_dict of the ordinary target network in safetensors form: loading it needs
    neither qt-hw nor a quantum computer. FILE with .json instead says which network it is. The
    adapters of a language model go to a folder that PEFT loads, if FILE has another ending.
    """
    from qt_hw.hardware.home import chosen_run
    from qt_hw.training.export import export_run

    described = export_run(chosen_run(run, which and which.value), file, force=force)
    print(f"{file}: {described['weights']:,} weights of {described['target']['name']}")
