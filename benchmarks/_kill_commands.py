"""What is killed: an evaluation and a short training on hardware; and what they leave behind."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from benchmarks._kill_processes import forked_service
from benchmarks._kill_vendors import Entry, Vendor
from qt_hw.execution.journal import Journal, RequestRow
from qt_hw.execution.loopback import Fault, Loopback, Request
from qt_hw.hardware.billing import bills
from qt_hw.hardware.collect import collect
from qt_hw.hardware.evaluate import submit
from qt_hw.hardware.evaluation import records, save
from qt_hw.hardware.home import Home
from qt_hw.hardware.planning import order
from qt_hw.storage import append_line
from qt_hw.training.loading import load_config
from qt_hw.training.paid import Hardware
from qt_hw.training.run import Run, train

__all__ = ["COMMANDS", "Command", "Evaluate", "Left", "Train", "make_trained"]

_RUN = "0123456789abcdef0123456789abcdef"
_CAPS = {"max_usd": 5000.0, "max_qpu_seconds": 5000.0}
_STEPS, _TRAINING_SHOTS = 3, 100

_FACTOR = {"name": "RyCnot", "n_qubits": 2, "n_layers": 1}
_TABLES: dict[str, Any] = {
    "task": {"name": "digits", "options": {"train_size": 100, "test_size": 100}},
    "target": {"name": "mlp-64-32-10"},
    "ansatz": {"name": "product", "factors": [_FACTOR, _FACTOR]},
    "mapping": {"name": "mlp", "hidden": [4], "chunk_size": 151},
    "optimizer": {"steps": _STEPS, "batch_size": 32, "eval_every": 2},
    "seeds": {"data": 1, "init": 2, "sampling": 3},
}


def make_trained(folder: Path) -> None:
    """Make the run whose circuit is evaluated."""
    train(load_config(_TABLES), out=folder, progress=False)


@dataclass(frozen=True, kw_only=True)
class Left:
    """What a command leaves behind.

    Attributes:
        at_vendor: Jobs in the stand-in's folder.
        tokens: Of all jobs in the journal, in the order of the plan.
        unfinished: Jobs in the journal that are not done, or were never sent, by state.
        recorded: What the journal says that they cost, in the vendor's unit.
        low: The least that was estimated, in the same.
        high: The most that was estimated.
        results: sha256 of each result.
        again: Requests for a job whose token had one already.
    """

    at_vendor: Sequence[Entry]
    tokens: Sequence[str]
    unfinished: Sequence[str]
    recorded: float
    low: float
    high: float
    results: Mapping[str, str]
    again: int

    @property
    def billed(self) -> float:
        """What the vendor charged."""
        return sum(entry.billed for entry in self.at_vendor)

    @property
    def duplicates(self) -> int:
        """Number of jobs beyond the first of each token."""
        return len(self.at_vendor) - len({entry.token for entry in self.at_vendor})


class Command:
    """Something that a user does in a folder; repeated until it succeeds.

    Attributes:
        title: As printed.
    """

    title: str

    def __init__(self, vendor: Vendor, trained: Path) -> None:
        """Use a vendor, and a copy of the run in ``trained`` where one is needed."""
        self.vendor, self._trained = vendor, trained

    def begin(self, folder: Path, variant: int = 1) -> None:
        """Make the folder; tokens follow from the identity of the run that is put into it.

        Args:
            folder: To make.
            variant: Which of several correct results an undisturbed run shall come to.
        """
        with Journal(folder / "rehearsal" / "journal.sqlite") as journal:
            journal.remember("run", _RUN)

    def run(self, folder: Path) -> None:
        """Run to the end; for a process of its own, which may be killed."""
        start, log = importlib.import_module(self.vendor.start), folder.parent / "again"
        before = partial(_watch_requests, self.vendor, self.vendor.state(folder), log)
        start.child = partial(forked_service, before=before)  # type: ignore[attr-defined]
        Figure.savefig = _draw_nothing  # type: ignore[method-assign]
        self._act(folder)
        for bill in bills(folder):
            if bill.problem is not None:
                raise bill.problem

    def _act(self, folder: Path) -> None:
        raise NotImplementedError

    def left(self, folder: Path) -> Left:
        """Return what is there after the end."""
        home, column = folder / "rehearsal", self.vendor.column
        with Journal(home / "journal.sqlite") as journal:
            wanted = {request.id for request in self._requests(journal, folder)}
            rows = [row for row in journal.jobs() if row.request in wanted]
            totals = journal.totals()
        again = folder.parent / "again"
        return Left(
            at_vendor=self.vendor.jobs(self.vendor.state(folder)),
            tokens=[row.token for row in rows],
            unfinished=[row.state for row in rows if row.state != "done"],
            recorded=getattr(totals, f"{column}_spent") + getattr(totals, f"{column}_queued"),
            low=sum(getattr(row, f"{column}_low") for row in rows),
            high=sum(getattr(row, f"{column}_high") for row in rows),
            results=self._results(folder),
            again=len(again.read_text().splitlines()) if again.exists() else 0,
        )

    def _requests(self, journal: Journal, folder: Path) -> Iterator[RequestRow]:
        yield from journal.requests()

    def _results(self, folder: Path) -> dict[str, str]:
        raise NotImplementedError

    def variant(self, folder: Path) -> int:
        """Return which of several correct results is in ``folder``."""
        return 1


class Train(Command):
    """A training on hardware, resumed until it is finished."""

    title = "train"

    def _act(self, folder: Path) -> None:
        vendor = self.vendor
        backend = {
            "name": vendor.backend,
            "shots": _TRAINING_SHOTS,
            "options": dict(vendor.options),
        }
        train(
            load_config({**_TABLES, "backend": backend, "budget": _CAPS}),
            out=folder,
            resume=True,
            progress=False,
            hardware=Hardware(rehearsal=vendor.rehearsal),
        )

    def _results(self, folder: Path) -> dict[str, str]:
        run = Run.open(folder)
        rows = [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics]
        found = {key: v for key, v in run.results().items() if key != "seconds"}
        return {
            "weights": _digest((folder / "results" / "weights.safetensors").read_bytes()),
            "metrics": _digest(json.dumps([rows, found]).encode()),
            **{name: _digest(array.tobytes()) for name, array in run.arrays().items()},
        }


class Evaluate(Command):
    """A trained run, evaluated on hardware: submitted, waited for, compared.

    A vendor that cannot be reached when nothing has been sent yet is a refusal, which ends the
    evaluation; to repeat the command then begins the next, with a number and tokens of its own.
    """

    title = "evaluate"

    def begin(self, folder: Path, variant: int = 1) -> None:
        shutil.copytree(self._trained, folder)
        super().begin(folder)
        home, run = Home(run=folder, rehearsed=True), Run.open(folder)
        for number in range(1, variant):
            wanted = order(run, self.vendor.backend, shots=self.vendor.shots)
            save(home, replace(wanted, number=number, refused="the vendor was not there"))

    def _act(self, folder: Path) -> None:
        vendor = self.vendor
        submit(
            folder,
            vendor.backend,
            shots=vendor.shots,
            options=vendor.options,
            rehearsal=vendor.rehearsal,
            max_usd=_CAPS["max_usd"],
            max_qpu_seconds=_CAPS["max_qpu_seconds"],
        )
        last = collect(folder, waiting=True).outcomes[-1]
        if last.state != "finished":
            raise RuntimeError(last.text)

    def variant(self, folder: Path) -> int:
        return records(Home(run=folder, rehearsed=True))[-1].number

    def _requests(self, journal: Journal, folder: Path) -> Iterator[RequestRow]:
        yield from (row for row in journal.requests() if row.step == -self.variant(folder))

    def _results(self, folder: Path) -> dict[str, str]:
        place = folder / "rehearsal" / "evaluations" / f"{self.variant(folder):03d}"
        result = json.loads((place / "result.json").read_text())
        kept = {key: result[key] for key in sorted(result) if key not in _CHANGING}
        with np.load(place / "probabilities.npz", allow_pickle=False) as file:
            arrays = {name: _digest(file[name].tobytes()) for name in file.files}
        return {
            "weights": _digest((place / "weights.safetensors").read_bytes()),
            "result": _digest(json.dumps(kept).encode()),
            **arrays,
        }


#: What differs between two evaluations that measured the same.
_CHANGING = ("created", "finished", "evaluation", "jobs", "device")

COMMANDS: tuple[type[Command], ...] = (Evaluate, Train)


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _draw_nothing(*args: Any, **kwargs: Any) -> None:
    """Draw no figure: that would take half of the time of a command."""


def _watch_requests(vendor: Vendor, state: Path, log: Path) -> None:
    """Let a stand-in note requests for a job whose token has one already."""
    original = Loopback.take_fault

    def take_fault(self: Loopback, request: Request) -> Fault | None:
        token = vendor.token_in(request)
        if token is not None and any(entry.token == token for entry in vendor.jobs(state)):
            append_line(log, token)
        return original(self, request)

    Loopback.take_fault = take_fault  # type: ignore[method-assign]
