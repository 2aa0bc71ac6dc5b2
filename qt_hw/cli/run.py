"""``qt-hw run``: train with shots beside the noiseless twin."""

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
from qt_hw.cli.watching import Watcher

if TYPE_CHECKING:
    from qt_hw.training.config import RunConfig
    from qt_hw.training.quote import Quote

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
    rehearse: Rehearse = False,
    queue_seconds: QueueSeconds = None,
    fault: Fault = None,
) -> None:
    """Train a model with shots and without, and compare the two.

    DIR gets a run folder for each, noiseless and sampled, with the comparison and its figures
    beside them. A backend that costs money needs a cap (budget.max_usd or budget.max_qpu_seconds);
    the training may be left at any point and gone on with: qt-hw collect DIR --continue.
    """
    rehearsal = rehearsal_of(rehearse, queue_seconds, fault)

    from qt_hw.training.loading import load_config

    settings = load_config(config, changes or [])  # before the slow imports, for quick refusals

    from qt_hw.cli.table import comparison_table, print_table
    from qt_hw.training.compare import train_pair
    from qt_hw.training.config import BudgetConfig
    from qt_hw.training.folder import free_folder
    from qt_hw.training.paid import Hardware

    folder = out or _default_folder(Path(config).stem, free_folder(Path(config).stem), resume)
    go_on = shlex.join(["qt-hw", "collect", str(folder), "--continue"])
    watcher = Watcher(live=False)
    hardware = Hardware(
        rehearsal=rehearsal,
        go_on=f"go on with: {go_on}",
        say=watcher.say,
        report=watcher.report,
        quoted=_say_price,
    )
    again = _command(config, changes or [], folder, rehearse)
    hint = "to go on, --resume with a higher --set budget.max_usd=… or budget.max_qpu_seconds=…"
    messages = [f"stopped; go on with: {again}"]
    if settings.budget != BudgetConfig():
        messages.insert(0, f"jobs that were sent go on; without waiting: {go_on}")
    with interruptible(*messages), explained(hint):
        comparison = train_pair(
            settings, out=folder, resume=resume, progress=not quiet, hardware=hardware
        )
    metric = comparison.runs["noiseless"].metric
    print_table(comparison_table(comparison.results(), metric))
    print(f"figures and tables: {folder}")


def _say_price(config: RunConfig, quote: Quote) -> None:
    """Say what a training on a device would cost, and how far the cap reaches."""
    from qt_hw.cli.money import counted, price

    total = quote.total
    say(
        f"{config.backend.name}: {counted(quote.steps, 'step')}, "
        f"{counted(total.circuits, 'circuit')}, {counted(total.jobs, 'job')}; "
        f"price: {price(total)} ({total.source})"
    )
    budget = config.budget
    for most, unit in ((budget.max_usd, "usd"), (budget.max_qpu_seconds, "qpu_seconds")):
        if most is not None and (n := quote.affordable_steps(most, unit)) < quote.steps:
            say(f"budget.max_{unit} = {most:,.2f} ends it after about {counted(n, 'step')}")


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


def _command(config: str, changes: list[str], folder: Path, rehearse: bool) -> str:
    options = [part for change in changes for part in ("--set", change)]
    if rehearse:
        options.append("--rehearse")
    return shlex.join(["qt-hw", "run", config, *options, "--out", str(folder), "--resume"])
