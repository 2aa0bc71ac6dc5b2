"""Studies: cells per minute on one and two cores, Ray beside processes, a sweep with PennyLane.

    python -m benchmarks.study [--part workers|ray|pennylane] [--rounds 2]

The first two compare how long the same cells take, each route with a folder of its own, in turn
and back (1-2-2-1); the start of workers counts, that of a Ray cluster is told apart. The third
compares a training step with one written with PennyLane. Results are written when all three ran.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

from benchmarks import _sweep
from benchmarks._peers import ENVIRONMENT, PeerMissing
from benchmarks._study_cells import OpenPool, equal_cells, in_turn, rows_of
from benchmarks._timing import Row, Table, show, write
from qt_hw.study.pools.local import LocalPool
from qt_hw.study.pools.ray_pool import RayPool

WORKERS_BAR, RAY_CEILING = 1.7, 1.15
WORKERS_CELLS, WORKERS_STEPS = 12, 600
RAY_CELLS, RAY_STEPS = 4, 2500
PARTS = ("workers", "ray", "pennylane")


def workers(rounds: int) -> Table:
    """Compare one worker with two."""
    study = equal_cells(WORKERS_CELLS, WORKERS_STEPS)
    routes: dict[str, OpenPool] = {
        f"{n} worker{'s' * (n > 1)}": partial(LocalPool, jobs=n) for n in (1, 2)
    }
    rows = rows_of(in_turn(study, routes, rounds), "2 workers", bar=WORKERS_BAR)
    title = f"{WORKERS_CELLS} trainings of digits, {WORKERS_STEPS} steps each"
    return Table(title=title, rows=rows, repetitions=rounds)


def ray(rounds: int) -> Table:
    """Compare a Ray cluster of this machine with processes."""
    study = equal_cells(RAY_CELLS, RAY_STEPS)
    routes: dict[str, OpenPool] = {
        "2 processes": partial(LocalPool, jobs=2),
        "Ray, local, 2 CPUs": partial(RayPool, address="local", jobs=2),
    }
    rows = rows_of(in_turn(study, routes, rounds), "2 processes", ceiling=RAY_CEILING)
    title = f"{RAY_CELLS} trainings of digits, {RAY_STEPS:,} steps each"
    return Table(title=title, rows=rows, repetitions=rounds)


def pennylane(rounds: int, environment: Path) -> Table:
    """Compare a training step with PennyLane's, if it is installed."""
    try:
        return _sweep.measure(rounds, environment)
    except PeerMissing as missing:
        row = Row(name=f"PennyLane ({missing})", seconds=None, note="not installed")
        return Table(title="One training step", rows=(row,), repetitions=0)


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=PARTS, action="append")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", type=Path, default=ENVIRONMENT, help="their environment")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    parts, rounds = arguments.part or PARTS, arguments.rounds
    load, tables = [os.getloadavg()[0]], []
    for part in parts:
        print(f"{part}, load average {load[-1]:.2f}", flush=True)
        run = {"workers": workers, "ray": ray}.get(part)
        tables.append(run(rounds) if run else pennylane(rounds, arguments.peers))
        load.append(os.getloadavg()[0])
    for table in tables:
        show(table)
    if set(parts) == set(PARTS):
        write("study", tables, load=[round(value, 2) for value in load])


if __name__ == "__main__":
    main()
