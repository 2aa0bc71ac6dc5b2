"""What the journal costs: a job planned, reserved, recorded and ended, each durably.

Beside it the time in which the disk confirms one small write, of which a job needs four, and a
whole step of U3Cu3(8, 4) through the dispatcher, at a vendor that answers at once.

python -m benchmarks.journal [--repetitions 9]
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import os
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._timing import Route, Row, Table, clock, compare, show, verdict, write
from qt_hw.circuits.builtin import U3Cu3
from qt_hw.circuits.shift import shift_rows
from qt_hw.execution.backend import Batch, Charge, Cost, Counts, Item, Limits
from qt_hw.execution.budget import Cap
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import Journal, new_job, new_request
from qt_hw.execution.splitting import Piece
from qt_hw.execution.statevector_backend import StatevectorBackend

JOB_SECONDS = 0.010
SHOTS = 1000


class Instant(StatevectorBackend):
    """A vendor that has every result already."""

    def __init__(self) -> None:
        super().__init__(form="lowered")
        self.name, self.limits = "instant", Limits(paid=True)

    def _run(self, batch: Batch) -> Counts:
        arrays = []
        for item in batch.items:
            array = np.zeros((len(item.bindings), 1 << item.circuit.num_qubits), dtype=np.int64)
            array[:, 0] = item.shots or 0
            arrays.append(array)
        return Counts(arrays=tuple(arrays), shots=tuple(item.shots for item in batch.items))


def one_job(journal: Journal, number: int) -> None:
    """Take one job through all its states."""
    token, request = f"qthw-{number:040d}", f"{number:064d}"
    job = new_job(
        token=token,
        request=request,
        place=(0, 0, 0),
        payload="0" * 64,
        key="1" * 64,
        pieces=[Piece(item=0, start=0, stop=369, shots=SHOTS)],
        cost=Cost(circuits=369, shots=369 * SHOTS, usd_low=1.0, usd_high=1.0, source="list"),
    )
    row = new_request(
        id=request, run="r", step=number, label=f"step {number}", backend="b", payload="0" * 64
    )
    journal.plan(row, [job])
    journal.reserve(token, Cap(max_usd=1e9))
    journal.adopt(token, f"job-{number}")
    journal.end(token, "done", result=("counts.npz", "2" * 64), charge=Charge(usd=1.0))


def one_step(dispatcher: Dispatcher, batch: Batch, step: int) -> None:
    """Plan, submit and collect one step."""
    request = dispatcher.plan(batch, step, f"step {step}")
    dispatcher.submit(request)
    dispatcher.update(request)
    if dispatcher.counts(request) is None:
        raise SystemExit("the step has no counts")


def training_step() -> Batch:
    """Return base and shifted circuits of U3Cu3(8, 4): 369 bindings."""
    form = U3Cu3(8, 4).form("lowered")
    base = np.random.default_rng(0).uniform(-np.pi, np.pi, (1, len(form.b)))
    rows = shift_rows(form)
    shifted = np.repeat(base, len(rows.index), axis=0)
    shifted[np.arange(len(rows.index)), rows.index] += rows.shift
    return Batch(
        items=(
            Item(form.circuit, base, SHOTS),
            Item(form.circuit, shifted, SHOTS, "shift", 1),
        )
    )


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=9)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(dir=".")))
        file = stack.enter_context(open(folder / "probe", "wb"))
        journal = stack.enter_context(Journal(folder / "journal.sqlite"))
        dispatcher = Dispatcher(Instant(), folder / "run", cap=Cap(max_usd=1.0))
        stack.enter_context(contextlib.closing(dispatcher))
        numbers, batch = itertools.count(), training_step()

        def sync() -> None:
            file.write(b"x" * 100)
            file.flush()
            os.fsync(file.fileno())

        routes = [
            Route(name="one write that the disk confirms", run=clock(sync)),
            Route(
                name="a job in the journal",
                run=clock(lambda: one_job(journal, next(numbers))),
                note="plan, reserve, adopt, end",
            ),
            Route(
                name="a step of U3Cu3(8, 4), 369 circuits",
                run=clock(lambda: one_step(dispatcher, batch, next(numbers))),
                note="stored, planned, sent, collected, stored",
            ),
        ]
        table = compare("Journal, on this disk", routes, repetitions=args.repetitions)
    seconds = table.rows[1].seconds
    assert seconds is not None
    row = Row(
        name="a job in the journal",
        seconds=seconds,
        verdict="s " + verdict(seconds, ceiling=JOB_SECONDS),
    )
    absolute = Table(title="Absolute", rows=(row,), repetitions=args.repetitions)
    show(absolute)
    write("journal", [table, absolute])


if __name__ == "__main__":
    main()
