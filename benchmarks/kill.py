"""Random SIGKILLs while paid jobs are submitted and collected: nothing is lost, nothing paid twice.

python -m benchmarks.kill [--kills 200] [--seed 0]

A command (an evaluation of a trained run, a short training) runs on a stand-in of a vendor's
service, with the vendor's own client over HTTP, and is killed again and again until it has
finished: after a random time, or soon after a random write to the journal. Now and then the
stand-in is killed too, with the command or a while before it, and goes on with the same jobs in
the next attempt. What the journal, the vendor and the results then hold is compared with a run
that was not disturbed. Linux only.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import os
import shutil
import sqlite3
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import torch

from benchmarks._kill_commands import COMMANDS, Command, Left, make_trained
from benchmarks._kill_processes import Process, wait_for_end
from benchmarks._kill_table import Tally, show
from benchmarks._kill_vendors import VENDORS
from benchmarks._timing import RESULTS, write

#: After so many kills a command is let run to its end.
MOST_KILLS = 12
#: Share of the kills that hit the stand-in too: at once, or a while before the command.
TOGETHER, BEFORE = 0.15, 0.15
#: Share of the kills that come soon after a write to the journal, the how many-th at most, and
#: how soon, seconds; the others come at any time.
AIMED, MOST_WRITES, LATER = 0.6, 12, 0.05
#: Seconds after which a command hangs; within which a stand-in ends that lost its parent.
LONGEST, TO_END = 120.0, 20.0

#: What the commands and the stand-ins import, once for all of them.
_IMPORTS = (
    "boto3.s3.inject",
    "braket.aws",
    "braket.circuits",
    "braket.device_schema.ionq",
    "braket.tasks.program_set_quantum_task_result",
    "ibm_quantum_schemas.executor",
    "matplotlib.pyplot",
    "qiskit.transpiler.passes.synthesis.hls_plugins",
    "qiskit_aer.primitives",
    "qiskit_ibm_runtime.executor_sampler",
    "qiskit_ibm_runtime.fake_provider.executor.broadcast_sample",
    "qiskit_ibm_runtime.transpiler.plugin",
    "qt_hw_braket.cloud",
    "qt_hw_braket.standin.server",
    "qt_hw_ibm.device",
    "qt_hw_ibm.standin.server",
    "sklearn.datasets",
)


class Trial:
    """One command at one vendor: undisturbed runs to compare with, and rounds of kills."""

    def __init__(self, command: Command, place: Path, rng: np.random.Generator) -> None:
        """Use folders below ``place``."""
        self.command, self._place, self._rng = command, place, rng
        vendor = command.vendor
        self.tally = Tally(vendor=vendor.title, command=command.title, unit=vendor.unit)
        self.problems: list[str] = []
        self._truths: dict[int, Left] = {}
        self._seconds, self._rounds = LONGEST, 0
        self._truth(1)

    def _truth(self, variant: int) -> Left:
        """Return what an undisturbed run leaves behind."""
        if variant not in self._truths:
            folder = self._place / f"undisturbed-{variant}" / "run"
            folder.parent.mkdir(parents=True)
            self.command.begin(folder, variant)
            start = time.monotonic()
            process = self._start(folder)
            if not process.wait(LONGEST) or process.status != 0:
                raise SystemExit(f"an undisturbed run failed: {folder.parent / 'log'}")
            self._seconds = min(self._seconds, time.monotonic() - start)
            self._truths[variant] = self.command.left(folder)
        return self._truths[variant]

    def _start(self, folder: Path) -> Process:
        return Process(lambda: self.command.run(folder), folder.parent / "log")

    def round(self) -> None:
        """Kill a command until it has finished, then look at what it left behind."""
        self._rounds += 1
        folder = self._place / f"round-{self._rounds}" / "run"
        folder.parent.mkdir(parents=True)
        self.command.begin(folder)
        before = len(self.problems)
        for attempt in range(100):
            if self._attempt(folder, harmless=attempt >= MOST_KILLS):
                break
        else:
            self._complain(folder, "it does not come to its end")
            return
        left = self.command.left(folder)
        truth = self._truth(self.command.variant(folder))
        self._compare(folder, left, truth)
        self.tally.add(left, left.results == truth.results)
        if len(self.problems) == before:
            shutil.rmtree(folder.parent)

    def _attempt(self, folder: Path, *, harmless: bool) -> bool:
        """Start the command and kill it; return whether it finished before."""
        process = self._start(folder)
        kind = self._rng.random()
        if process.wait(LONGEST) if harmless else self._wait(folder, process):
            return self._ended(folder, process, excused=False)
        if harmless:
            self._complain(folder, f"it ran for {LONGEST:.0f} s")
        elif kind < BEFORE:
            services = process.kill_services()
            self.tally.services += len(services)
            if process.wait(self._rng.uniform(0.0, 2.0)):
                return self._ended(folder, process, excused=bool(services))
        together = BEFORE <= kind < BEFORE + TOGETHER
        orphans = process.kill(services_too=together)
        self.tally.services += len(orphans) if together else 0
        self.tally.kills += 1
        self.tally.states[state_of(folder / "rehearsal" / "journal.sqlite")] += 1
        if wait_for_end(orphans, TO_END):
            self._complain(folder, "its stand-in goes on without it")
        return False

    def _wait(self, folder: Path, process: Process) -> bool:
        """Let a command run for a random while; return whether it ended."""
        if self._rng.random() >= AIMED:
            return process.wait(self._rng.uniform(0.0, self._seconds))
        log = folder / "rehearsal" / "journal.sqlite-wal"
        if process.wait_for_writes(log, int(self._rng.integers(1, MOST_WRITES))):
            return True
        return process.wait(self._rng.uniform(0.0, LATER))

    def _ended(self, folder: Path, process: Process, *, excused: bool) -> bool:
        if process.status != 0:
            self.tally.failed += 1
            if not excused:
                self._complain(folder, f"it ended with status {process.status}")
        return process.status == 0

    def _compare(self, folder: Path, left: Left, truth: Left) -> None:
        if [entry.token for entry in left.at_vendor] != list(left.tokens):
            self._complain(folder, "jobs at the vendor are not those of the plan")
        if left.tokens != truth.tokens:
            self._complain(folder, "the plan is another one")
        if left.unfinished or left.duplicates or left.again:
            self._complain(folder, f"{left.unfinished}, {left.duplicates} second, {left.again}")
        if abs(left.recorded - left.billed) > 1e-6 or abs(left.billed - truth.billed) > 1e-6:
            self._complain(folder, f"recorded {left.recorded}, billed {left.billed}")
        for name in truth.results:
            if left.results.get(name) != truth.results[name]:
                self._complain(folder, f"{name} differ from those of an undisturbed run")

    def _complain(self, folder: Path, what: str) -> None:
        self.problems.append(f"{folder.parent}: {what}")
        print(self.problems[-1], file=sys.stderr, flush=True)


def state_of(journal: Path) -> str:
    """Return the last transition that a dead process recorded, from a copy of its journal."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in journal.parent.glob(f"{journal.name}*"):
            shutil.copy(path, scratch)
        with closing(sqlite3.connect(Path(scratch) / journal.name)) as db:
            row = db.execute("select state from events order by number desc").fetchone()
    return "none" if row is None else str(row[0])


def trials_in(place: Path, seed: int) -> list[Trial]:
    """Return the commands at the vendors, each with a generator of its own."""
    make_trained(place / "trained")
    pairs = [(vendor, kind) for kind in COMMANDS for vendor in VENDORS]
    return [
        Trial(
            kind(vendor, place / "trained"),
            place / f"{kind.title}-{vendor.column}",
            np.random.default_rng([seed, number]),
        )
        for number, (vendor, kind) in enumerate(pairs)
    ]


def main() -> None:
    """Parse the command line, kill, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    # Pools of threads do not survive a fork.
    os.environ |= {"OMP_NUM_THREADS": "1", "QISKIT_IN_PARALLEL": "TRUE"}
    logging.getLogger("qt_hw").setLevel(logging.ERROR)
    for name in _IMPORTS:
        importlib.import_module(name)
    start = time.monotonic()
    place = Path(tempfile.mkdtemp(prefix="qt-hw-kill-"))
    trials = trials_in(place, args.seed)
    while (kills := sum(trial.tally.kills for trial in trials)) < args.kills:
        min(trials, key=lambda trial: trial.tally.kills).round()
        print(f"{kills} kills, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)
    problems = [problem for trial in trials for problem in trial.problems]
    table = show([trial.tally for trial in trials])
    print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "kill.md").write_text(table)
    rows = [{**vars(t.tally), "states": dict(t.tally.states)} for t in trials]
    seconds = round(time.monotonic() - start)
    write("kill", [], rows=rows, seed=args.seed, seconds=seconds, problems=problems)
    if problems:
        raise SystemExit("\n".join(problems))
    shutil.rmtree(place)


if __name__ == "__main__":
    main()
