"""A run with shots beside its noiseless twin: same seeds, same order of the data."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from qt_hw.errors import BudgetExceeded, ConfigError
from qt_hw.execution.budget import refusals
from qt_hw.execution.executor import JournalledExecutor
from qt_hw.storage import write_json, write_text
from qt_hw.tasks import Data, Task
from qt_hw.training import figures
from qt_hw.training.build import make_mitigation, make_model
from qt_hw.training.checks import check_model
from qt_hw.training.config import RunConfig
from qt_hw.training.folder import check_folder, check_same, run_folder
from qt_hw.training.paid import Hardware, open_executor, rehearsed
from qt_hw.training.quote import quote_training
from qt_hw.training.run import Run, read_config, train

__all__ = ["Comparison", "compare", "train_pair"]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Finished runs side by side.

    Attributes:
        folder: Where ``comparison.csv``, ``comparison.json`` and the figures are.
        runs: By name: ``noiseless``, and ``sampled`` where there are shots.
    """

    folder: Path
    runs: Mapping[str, Run]

    def results(self) -> dict[str, dict[str, Any]]:
        """Return the final figures of each run."""
        return {name: run.results() for name, run in self.runs.items()}


def train_pair(
    config: RunConfig | str | Path | Mapping[str, Any],
    *,
    out: str | Path | None = None,
    target: nn.Module | None = None,
    data: Data | Task | None = None,
    resume: bool = False,
    progress: bool = True,
    hardware: Hardware | None = None,
) -> Comparison:
    """Train ``out/noiseless`` and ``out/sampled`` and compare them.

    Without shots and noise there is nothing to compare: only ``out/noiseless`` is made.

    Args:
        config: As in ``train``.
        out: Folder for both; without it a new one under ``runs``.
        target: As in ``train``.
        data: As in ``train``.
        resume: Go on with what is in ``out``.
        progress: As in ``train``.
        hardware: As in ``train``.

    Raises:
        InputError: ``out`` holds something else, or ``resume`` is missing.
        QtHwError: As in ``train``.
    """
    folder = run_folder(config, out, resume=resume)
    config = read_config(config, target, data)
    check_folder(folder, config, resume=resume, kind="pair")
    if config.is_noiseless and (folder / "sampled").exists():
        raise ConfigError(f"{folder / 'sampled'} has shots, this configuration has none")
    plans = {"noiseless": config.noiseless()} | ({} if config.is_noiseless else {"sampled": config})
    # What is wrong with the second shows before the first is trained.
    for name, plan in reversed(plans.items()):
        how = Hardware() if name == "noiseless" else hardware or Hardware()
        _check_plan(folder / name, plan, target, how)
    runs = {
        name: train(
            plan,
            target=target,
            data=data,
            out=folder / name,
            resume=resume and (folder / name).exists(),
            progress=progress,
            title=name,
            hardware=None if name == "noiseless" else hardware,
        )
        for name, plan in plans.items()
    }
    return compare(folder, runs)


def _check_plan(
    folder: Path, plan: RunConfig, target: nn.Module | None, hardware: Hardware
) -> None:
    """Refuse a plan that its folder or its backend cannot take; tell what it would cost."""
    if (folder / "config.toml").exists():
        check_same(folder, plan)
        if Run.open(folder).finished:
            return
    with open_executor(plan, folder, hardware) as executor:
        if not isinstance(executor, JournalledExecutor):
            check_model(plan, make_model(plan, target, executor))
            return
        quote = quote_training(plan, executor, target)
        hardware.quoted(plan, quote)
        journal, cap = executor.dispatcher.journal, executor.dispatcher.cap
        begun = bool(journal.requests())  # its next step may be paid for already
        if not begun and (reasons := refusals(quote.step, journal.totals(), cap)):
            raise BudgetExceeded(reasons)


def compare(folder: Path, runs: Mapping[str, Run]) -> Comparison:
    """Write the comparison of finished ``runs`` into ``folder``."""
    comparison = Comparison(folder=folder, runs=dict(runs))
    results = comparison.results()
    write_json(folder / "comparison.json", results)
    write_text(folder / "comparison.csv", _csv(results))
    labels = {name: _label(name, run) for name, run in runs.items()}
    last = list(runs.values())[-1]
    figures.draw_pair(
        folder / "figures",
        last.metric,
        {labels[name]: run.metrics for name, run in runs.items()},
        {labels[name]: run.arrays() for name, run in runs.items()},
        last.config.backend.shots,
    )
    return comparison


def _label(name: str, run: Run) -> str:
    backend = run.config.backend
    if run.config.control.name != "none":
        return run.config.control.name
    if name == "noiseless":
        return name
    where = backend.name if rehearsed(run.folder) is None else f"rehearsal of {backend.name}"
    made = make_mitigation(run.config.mitigation)
    mitigated = "" if made is None else f", {made.name}"
    return f"{where}, {backend.shots:,} shots{mitigated}" if backend.shots else f"{where}, exact"


def _csv(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one line for each run."""
    buffer = io.StringIO()
    columns = ["run", *next(iter(results.values()))]
    writer = csv.DictWriter(buffer, columns, lineterminator="\n")
    writer.writeheader()
    for name, values in results.items():
        writer.writerow({"run": name, **values})
    return buffer.getvalue()
