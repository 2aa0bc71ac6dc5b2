"""A training on a device, one step at a time: leave it at any point, go on with it later."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from torch import nn

from qt_hw.errors import InputError, Pending, QtHwError
from qt_hw.hardware.home import Home, homes, last_attempts, state_of
from qt_hw.hardware.shared_ledger import refuse_study
from qt_hw.tasks import Data, Task
from qt_hw.training.compare import Comparison, train_pair
from qt_hw.training.paid import Hardware, open_dispatcher, rehearsed
from qt_hw.training.run import Run, train

__all__ = ["fetch", "go_on", "unfinished"]


def unfinished(folder: Path) -> Home | None:
    """Return where the paid training in a run or a pair is recorded, None if none is under way.

    Raises:
        StorageError: ``folder`` holds no run.
    """
    refuse_study(folder)
    for home in homes(folder):
        if not (home.run / "config.toml").is_file() or Run.open(home.run).finished:
            continue
        if home.rehearsed == (rehearsed(home.run) is not None):
            return home
    return None


def go_on(
    folder: str | Path,
    *,
    target: nn.Module | None = None,
    data: Data | Task | None = None,
    hardware: Hardware | None = None,
    progress: bool = False,
) -> Comparison | Run:
    """Fetch the jobs that are done, take the steps they allow, submit the next.

    Interrupted and gone on with, a training gives the numbers that it would have given otherwise,
    on the same counts.

    Args:
        folder: Of a run or a pair whose training uses a paid backend.
        target: The target that the run was given, where it was given one.
        data: The data that the run was given, where it was given some.
        hardware: How to go about it; by default it does not wait. Whether it is a rehearsal is
            found in the folder.
        progress: Whether to show a bar.

    Returns:
        The finished run, or the comparison of the finished pair.

    Raises:
        Pending: Jobs are queued or running; those of the next step were submitted.
        InputError: There is no such training in ``folder``.
        QtHwError: As in ``train``.
    """
    folder = Path(folder)
    home = unfinished(folder)
    if home is None:
        raise InputError(
            f"no training on a device is under way in {folder}; one that has not come to its first "
            "job goes on with qt-hw run … --resume"
        )
    how = replace(
        hardware or Hardware(waiting=False, go_on=f"qt-hw collect {folder} --continue goes on"),
        rehearsal=home.training_rehearsal(),
    )
    config = Run.open(home.run).config
    if home.run == folder:
        return train(
            config,
            target=target,
            data=data,
            out=folder,
            resume=True,
            progress=progress,
            hardware=how,
        )
    return train_pair(
        config, out=folder, target=target, data=data, resume=True, progress=progress, hardware=how
    )


def fetch(folder: str | Path, hardware: Hardware) -> tuple[str, QtHwError | None] | None:
    """Store what is done of the step that a training waits for; take no step, submit nothing.

    Returns:
        Where it stands, for a user, and what went wrong or is still to come; None if no training
        is under way.
    """
    home = unfinished(Path(folder))
    if home is None:
        return None
    steps = [(request, rows) for request, rows in home.requests() if request.step >= 0]
    if not steps:
        return "no step of the training was submitted yet; --continue does", None
    request, rows = steps[-1]
    problem: QtHwError | None = None
    if any(row.state == "submitted" for row in rows):
        with open_dispatcher(
            Run.open(home.run).config,
            home.run,
            rehearsal=home.training_rehearsal(),
            say=hardware.say,
        ) as dispatcher:
            for _, error in dispatcher.poll(request):
                problem = problem or error
            rows = dispatcher.journal.jobs(request.id)
    if problem is not None:
        return f"{request.label}: {problem}", problem
    if state_of(rows) in ("failed", "cancelled"):
        return f"{request.label} {state_of(rows)}; qt-hw retry pays for it once more", None
    last = last_attempts(rows)
    if any(row.state in ("planned", "submitting") for row in last):
        return f"{request.label} is planned but not all sent; --continue does", None
    n_open = sum(row.state == "submitted" for row in last)
    if not n_open:
        return f"{request.label} is measured; --continue takes it and submits the next", None
    text = f"{request.label}: {n_open} of {len(last)} jobs queued or running"
    return text, Pending(text)
