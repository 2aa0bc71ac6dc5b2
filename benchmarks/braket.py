"""What driving Amazon Braket's simulator directly saves: ``braket:local`` against its front end.

    python -m benchmarks.braket [--repetitions 7]

Both run the same bindings and shots on the same state-vector simulator. The front end is given
circuits with numbers for angles, its fastest way, built beforehand.
"""

from __future__ import annotations

import argparse

import numpy as np
from braket.devices import LocalSimulator

import qt_hw as qt
from benchmarks._timing import Route, Table, clock, compare, write
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.execution.backend import Batch, Item
from qt_hw_braket import emit

#: Bindings that the front end runs in one repetition: each takes it a tenth of a second.
FRONT_END_BINDINGS = 5
BAR = 10.0


def against_front_end(ansatz: Ansatz, name: str, shots: int, repetitions: int) -> Table:
    """Compare all bindings of one training step."""
    backend = qt.backend("braket:local")
    form = backend.prepare(ansatz).form
    rows = 1 + form.n_shifts
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (rows, ansatz.n_angles))
    item = Item(circuit=form.circuit, bindings=form.gate_angles(angles), shots=shots)
    batch = Batch(items=(item,), seed=(0,))
    simulator = LocalSimulator()
    built = [emit.circuit(form.circuit, row) for row in item.bindings[:FRONT_END_BINDINGS]]
    routes = [
        Route(
            name="qt_hw braket:local",
            run=clock(lambda: backend.submit(batch, "benchmark").result()),
            note=f"{rows} bindings",
        ),
        Route(
            name="LocalSimulator.run",
            run=clock(lambda: [simulator.run(one, shots=shots).result() for one in built]),
            scale=rows / len(built),
            note=f"{len(built)} of {rows} bindings run",
            bar=BAR,
        ),
    ]
    title = f"braket:local, {name}, {rows} bindings, {shots} shots"
    return compare(title, routes, repetitions=repetitions)


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=7)
    args = parser.parse_args()
    write("braket", [against_front_end(qt.U3Cu3(8, 4), "U3Cu3(8, 4)", 1000, args.repetitions)])


if __name__ == "__main__":
    main()
