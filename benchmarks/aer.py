"""What the ``aer`` backend adds to Aer itself, and the cost of a stored calibration.

    python -m benchmarks.aer [--repetitions 7]

The raw route is ``save_probabilities`` + multinomial with the same circuit and bindings.
"""

from __future__ import annotations

import argparse

import numpy as np

import qt_hw as qt
from benchmarks._aer_routes import ProbabilitiesRoute
from benchmarks._timing import Route, Row, Table, clock, compare, show, verdict, write
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.execution.backend import Backend, Batch, Item

CEILING_MS = 6.0


def batch_for(backend: Backend, ansatz: Ansatz, n_bindings: int | None, shots: int) -> Batch:
    """Return random bindings of the prepared circuit, by default as many as a gradient takes."""
    form = backend.prepare(ansatz).form
    rows = 1 + form.n_shifts if n_bindings is None else n_bindings
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (rows, ansatz.n_angles))
    item = Item(circuit=form.circuit, bindings=form.gate_angles(angles), shots=shots)
    return Batch(items=(item,), seed=(0,))


def against_raw(ansatz: Ansatz, name: str, shots: int, repetitions: int) -> Table:
    """Compare the backend with the raw route."""
    backend = qt.backend("aer")
    batch = batch_for(backend, ansatz, None, shots)
    (item,) = batch.items
    raw = ProbabilitiesRoute(item.circuit, shots)
    ours = Route(
        name="qt_hw aer backend",
        run=clock(lambda: backend.submit(batch, "benchmark").result()),
        ceiling=1.15,
    )
    routes = [Route(name="raw Aer", run=clock(lambda: raw(item.bindings))), ours]
    title = f"aer backend, {name}, {len(item.bindings)} bindings, {shots} shots"
    return compare(title, routes, repetitions=repetitions)


def stored_calibration(repetitions: int) -> Table:
    """Time RyCnot(5, 4) on the snapshot of a 133-qubit device, in seconds per binding."""
    backend = qt.backend("aer:fake_torino")
    batch = batch_for(backend, qt.RyCnot(5, 4), None, 4096)
    run = clock(lambda: backend.submit(batch, "benchmark").result())
    run()
    seconds = [run() / batch.n_circuits for _ in range(repetitions)]
    median = float(np.median(seconds))
    row = Row(
        name="aer:fake_torino",
        seconds=median,
        fastest=min(seconds),
        verdict="ms per binding " + verdict(1e3 * median, ceiling=CEILING_MS),
        note=f"{batch.n_circuits} bindings",
    )
    table = Table(
        title="RyCnot(5, 4), 4096 shots, one binding", rows=(row,), repetitions=repetitions
    )
    show(table)
    return table


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    args = parser.parse_args()
    tables = [
        against_raw(qt.U3Cu3(8, 4), "U3Cu3(8, 4)", 8192, args.repetitions),
        against_raw(qt.RyCnot(6, 4), "RyCnot(6, 4)", 4096, args.repetitions),
        stored_calibration(args.repetitions),
    ]
    write("aer", tables)


if __name__ == "__main__":
    main()
