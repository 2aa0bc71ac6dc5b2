"""A study from beginning to end: make its folder, run its cells, write its report."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from qt_hw.errors import BudgetExceeded, InputError, MissingExtra
from qt_hw.execution.budget import Cap, Totals
from qt_hw.execution.journal import Journal
from qt_hw.storage import locked
from qt_hw.study.config import StudyConfig
from qt_hw.study.folder import Failure, StudyFolder
from qt_hw.study.grid import cells_of, read_bases
from qt_hw.study.loading import load_study
from qt_hw.study.pools.local import LocalPool
from qt_hw.study.pools.pool import Pool
from qt_hw.study.progress import make_display
from qt_hw.study.quote import StudyQuote, quote_study
from qt_hw.study.results import make_report
from qt_hw.study.runner import Runner, paid_cells
from qt_hw.training.paid import Hardware

__all__ = [
    "Finished",
    "check_installed",
    "open_study",
    "quote",
    "run_study",
    "usual_folder",
]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """What a study came to.

    Attributes:
        folder: Where everything is.
        done: Number of finished cells.
        failures: Why the others have no result.
        report: The page, None where no cell is finished.
        open: Number of cells that are not done and did not fail.
    """

    folder: Path
    done: int
    failures: list[Failure]
    report: Path | None
    open: int = 0


def run_study(
    study: str | Path | StudyConfig | Mapping[str, Any],
    *,
    out: str | Path,
    resume: bool = False,
    jobs: int | None = None,
    ray: str | None = None,
    progress: bool = True,
    hardware: Hardware | None = None,
    quoted: Callable[[StudyQuote], None] = lambda quote: None,
    name: str | None = None,
) -> Finished:
    """Run the cells of a study that are not finished, then write its report.

    Args:
        study: A ready-made study's name, a TOML file, a dict, or a configuration.
        out: Its folder.
        resume: Go on with what is in ``out``; cells of further seeds or blocks are added, failed
            ones are computed again.
        jobs: Worker processes; None: one for each core.
        ray: Address of a Ray cluster, or ``"local"``; None: processes of this machine.
        progress: Whether to show anything.
        hardware: How to go about jobs that cost money.
        quoted: Told what paid cells would cost, before anything is sent.
        name: What the study is called; by default that of its file.

    Raises:
        ConfigError: The study is wrong, or another one than that in ``out``.
        InputError: ``out`` is in use or holds something else.
        MissingExtra: Packages of the extra ``study`` are missing.
        BudgetExceeded: Its paid cells cost more than its cap; nothing was sent.
        StorageError: Another process is at work in ``out``, or the disk is full.
        Pending: Jobs are on their way, and ``hardware`` says not to wait.

    >>> run_study("digits-quick", out="study", jobs=2)  # doctest: +SKIP
    """
    check_installed(ray)
    hardware = hardware or Hardware()
    with locked(Path(out), "wait for it, or choose another --out"):
        folder = open_study(
            study, Path(out), resume=resume, rehearsal=hardware.rehearsal, name=name
        )
        for base in folder.changed_bases(folder.config):
            hardware.say(
                f"{base} is not any more what this study began with; it goes on with what it "
                "began with (study.json)"
            )
        _check_money(folder, hardware, quoted)
        with make_display(folder.path, progress=progress) as display:
            pool = partial(_pool, folder.path, jobs, ray)
            board = Runner(folder, pool, hardware=hardware, show=display.show).run()
        return Finished(
            folder=folder.path,
            done=len(board.ids("done")),
            failures=folder.failures(),
            report=make_report(folder),
        )


def open_study(
    study: str | Path | StudyConfig | Mapping[str, Any],
    out: Path,
    *,
    resume: bool,
    rehearsal: Mapping[str, Any] | None = None,
    name: str | None = None,
) -> StudyFolder:
    """Return the folder of a study, made or gone on with; the caller holds its lock.

    Raises:
        ConfigError: See ``run_study``.
        InputError: See ``run_study``.
    """
    config, folder = load_study(study), StudyFolder(out)
    if name is None:
        name = Path(study).stem if isinstance(study, str | Path) else "study"
    if folder.exists and folder.begun:
        if not resume:
            raise InputError(
                f"{out} already exists; add --resume to go on with it, or choose another --out"
            )
        _check_kind(folder, rehearsal)
        folder.check_same(config)
    folder.create(config, name, rehearsal)
    return folder


def quote(
    study: StudyConfig,
    out: Path,
    *,
    rehearsal: Mapping[str, Any] | None = None,
    timed: bool = True,
    say: Callable[[str], None] = lambda text: None,
) -> tuple[StudyQuote, int]:
    """Return what is left to do of a study in ``out`` would take, and how many cells are done.

    Nothing is written; ``out`` need not exist.

    Raises:
        ConfigError: The study is wrong, or another one than that in ``out``.
        InputError: A rehearsal of a real study.
    """
    folder = StudyFolder(out)
    begun = folder.exists and folder.begun
    if begun:
        rehearsal = rehearsal or folder.rehearsal
        _check_kind(folder, rehearsal)
        folder.check_same(study)
    cells = cells_of(study, folder.bases if begun else read_bases(study))
    left = [cell for cell in cells if not begun or folder.state(cell.id) != "done"]
    quoted = quote_study(
        left,
        cap=Cap(**study.budget.model_dump()),
        spent=_spent(folder) if begun else None,
        rehearsal=rehearsal,
        timed=timed,
        say=say,
    )
    return quoted, len(cells) - len(left)


def check_installed(ray: str | None) -> None:
    """Refuse to begin what could not be brought to an end.

    Raises:
        MissingExtra: Packages of the extra ``study`` are missing.
    """
    if ray is not None and find_spec("ray") is None:
        raise MissingExtra("--ray", "study")
    if find_spec("plotly") is None or find_spec("pyarrow") is None:
        raise MissingExtra("a study's report", "study")


def _check_kind(folder: StudyFolder, rehearsal: Mapping[str, Any] | None) -> None:
    """Refuse to go on for real with a rehearsed study, and the other way round."""
    if folder.rehearsal is not None and rehearsal is None:
        raise InputError(
            f"{folder.path} is a rehearsal: go on with --rehearse, or choose another --out"
        )
    if folder.rehearsal is None and rehearsal is not None:
        raise InputError(f"{folder.path} is a real study; choose another --out for a rehearsal")


def _check_money(
    folder: StudyFolder, hardware: Hardware, quoted: Callable[[StudyQuote], None]
) -> None:
    """Tell what paid cells cost of which nothing was asked for yet; refuse if the cap is too low.

    What was begun is held against the cap job by job.
    """
    asked = folder.asked()
    left = [
        cell
        for cell in paid_cells(folder.cells)
        if cell.id not in asked and folder.state(cell.id) != "done"
    ]
    if not left:
        return
    found = quote_study(
        left,
        cap=Cap(**folder.config.budget.model_dump()),
        spent=_spent(folder),
        rehearsal=hardware.rehearsal,
        timed=False,
    )
    quoted(found)
    if found.reasons:
        raise BudgetExceeded(found.reasons)


def _spent(folder: StudyFolder) -> Totals:
    if not folder.ledger.exists():
        return Totals()
    with Journal(folder.ledger) as journal:
        return journal.totals()


def _pool(study: Path, jobs: int | None, ray: str | None) -> Pool:
    if ray is None:
        return LocalPool(study.absolute(), jobs)
    from qt_hw.study.pools.ray_pool import RayPool

    return RayPool(study.absolute(), ray, jobs)


def usual_folder(name: str) -> Path:
    """Return where a study of this name goes unless its user says otherwise."""
    return Path("studies") / name
