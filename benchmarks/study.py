"""Studies: cells per minute on one and two cores, Ray beside processes, a sweep with PennyLane.

    python -m benchmarks.study [--part workers|ray|pennylane] [--rounds 2]

The first two compare how long the same cells take, each route with a folder of its own, in turn
and back (1-2-2-1). The third compares a whole training step of the same sweep: U3Cu3(6, 2),
1,024 shots, parameter-shift, with the mapping, target and optimiser of ``digits``; ours from
whole cells of a study, their folders, checkpoints and evaluations included.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks._peers import ENVIRONMENT, Peer, PeerMissing
from benchmarks._timing import Row, Table, show, verdict, write
from qt_hw.study.config import StudyConfig
from qt_hw.study.loading import load_study
from qt_hw.study.pools.local import LocalPool
from qt_hw.study.pools.pool import Pool
from qt_hw.study.pools.ray_pool import RayPool
from qt_hw.study.runner import Runner
from qt_hw.study.study import open_study

WORKERS_BAR, RAY_CEILING, PENNYLANE_BAR = 1.7, 1.15, 20.0
SWEEP_STEPS = 100


def cells(count: int, steps: int, *changes: str) -> StudyConfig:
    """Return a study of ``count`` equal trainings, each of another seed."""
    sizes = [f"optimizer.steps={steps}", f"optimizer.eval_every={steps}"]
    study = {"base": "digits", "set": [*sizes, *changes], "seeds": count, "controls": []}
    return load_study(study)


def seconds_of(study: StudyConfig, pool: Callable[[Path], Pool]) -> tuple[float, float]:
    """Run a study; return the seconds of its cells and those until the pool was there."""
    with tempfile.TemporaryDirectory(prefix="qt-hw-") as home:
        out = Path(home) / "study"
        folder = open_study(study, out, resume=False)
        start = time.perf_counter()
        opened = pool(out)
        begun = time.perf_counter()
        board = Runner(folder, lambda: opened).run()
        assert set(board.states.values()) == {"done"}, board.errors
        return time.perf_counter() - begun, begun - start


def in_turn(
    study: StudyConfig, routes: dict[str, Callable[[Path], Pool]], rounds: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
    """Return the seconds of cells and of start-up by route, forwards and backwards in turn."""
    times: dict[str, list[float]] = {name: [] for name in routes}
    starts: dict[str, list[float]] = {name: [] for name in routes}
    for number in range(rounds):
        order = list(routes) if number % 2 == 0 else list(routes)[::-1]
        for name in order:
            spent, start = seconds_of(study, routes[name])
            times[name].append(spent)
            starts[name].append(start)
            print(f"  {name}: {spent:.1f} s, opened in {start:.1f} s", flush=True)
    return times, starts


def rows_of(times: dict[str, list[float]], count: int, reference: str) -> tuple[Row, ...]:
    base = statistics.median(times[reference])
    return tuple(
        Row(
            name=f"{name}: {60 * count / statistics.median(own):.1f} cells per minute",
            seconds=statistics.median(own),
            fastest=min(own),
            ratio=statistics.median(own) / base,
        )
        for name, own in times.items()
    )


def table_of(title: str, rows: tuple[Row, ...], rounds: int) -> Table:
    return Table(title=title, rows=rows, repetitions=rounds)


def workers(rounds: int) -> Table:
    study, count = cells(12, 400), 12
    routes: dict[str, Callable[[Path], Pool]] = {
        "1 worker": lambda out: LocalPool(out, 1),
        "2 workers": lambda out: LocalPool(out, 2),
    }
    times, _ = in_turn(study, routes, rounds)
    speedup = statistics.median(times["1 worker"]) / statistics.median(times["2 workers"])
    print(f"  2 workers: {speedup:.2f} times as fast; {verdict(speedup, bar=WORKERS_BAR)}")
    rows = rows_of(times, count, "2 workers")
    return table_of("12 trainings of digits, 400 steps each", rows, rounds)


def ray(rounds: int) -> Table:
    study, count = cells(6, 1200), 6
    routes: dict[str, Callable[[Path], Pool]] = {
        "2 processes": lambda out: LocalPool(out, 2),
        "Ray, local, 2 CPUs": lambda out: RayPool(out, "local", 2),
    }
    times, starts = in_turn(study, routes, rounds)
    ratio = statistics.median(times["Ray, local, 2 CPUs"]) / statistics.median(times["2 processes"])
    opened = statistics.median(starts["Ray, local, 2 CPUs"])
    print(
        f"  Ray: {ratio:.2f} times the processes' time, and {opened:.1f} s to start; "
        f"{verdict(ratio, ceiling=RAY_CEILING)}"
    )
    rows = rows_of(times, count, "2 processes")
    return table_of("6 trainings of digits, 1,200 steps each", rows, rounds)


def pennylane(rounds: int, environment: Path) -> Table:
    import torch

    from qt_hw import U3Cu3, probabilities

    ansatz, shots = U3Cu3(6, 2), 1024
    rng = np.random.default_rng(0)
    angles, cotangent = rng.uniform(-np.pi, np.pi, 72), rng.normal(size=64)
    problem = {
        "n_qubits": 6,
        "n_layers": 2,
        "shots": shots,
        "threads": 1,
        "angles": angles.tolist(),
        "cotangent": cotangent.tolist(),
    }
    ours = torch.tensor(angles, requires_grad=True)
    p = probabilities(ansatz, ours)
    p.backward(torch.from_numpy(cotangent))  # type: ignore[no-untyped-call]
    assert ours.grad is not None
    changes = ("ansatz.name=U3Cu3", "ansatz.n_layers=2", f"backend.shots={shots}")
    study = cells(2, SWEEP_STEPS, *changes, "gradient.method=parameter-shift")
    trained = study.model_copy(
        update={"train": load_study({"base": "digits", "train": [{"shots": shots}]}).train}
    )
    mine, theirs = list[float](), list[float]()
    with Peer("sweep", problem, environment, worker="_sweep_worker.py") as peer:
        np.testing.assert_allclose(peer.probabilities, p.detach().numpy(), atol=1e-6)
        np.testing.assert_allclose(peer.gradient, ours.grad.numpy(), atol=1e-6)
        for _ in range(rounds):
            theirs.append(statistics.mean(peer.run() for _ in range(3)))
            both, _ = seconds_of(trained, partial(LocalPool, jobs=1))
            twins, _ = seconds_of(study, partial(LocalPool, jobs=1))
            mine.append((both - twins) / (2 * SWEEP_STEPS))
            step = 1000 * mine[-1]
            print(f"  a step: PennyLane {theirs[-1]:.2f} s, ours {step:.1f} ms", flush=True)
    ratio = statistics.median(theirs) / statistics.median(mine)
    print(f"  {ratio:.0f} times; {verdict(ratio, bar=PENNYLANE_BAR)}")
    rows = (
        Row(name="cells of a study", seconds=statistics.median(mine), fastest=min(mine), ratio=1.0),
        Row(
            name="PennyLane, lightning.qubit, parameter-shift",
            seconds=statistics.median(theirs),
            fastest=min(theirs),
            ratio=ratio,
        ),
    )
    return table_of("one training step, U3Cu3(6, 2), 1,024 shots", rows, rounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--part", choices=["workers", "ray", "pennylane"], action="append")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--peers", type=Path, default=ENVIRONMENT, help="the peers' environment")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    print(f"load before: {os.getloadavg()[0]:.2f}")
    tables = []
    for part in arguments.part or ["workers", "ray", "pennylane"]:
        print(part, flush=True)
        if part == "pennylane":
            try:
                tables.append(pennylane(arguments.rounds, arguments.peers))
            except PeerMissing as missing:
                print(f"  no peers: {missing}; make bench installs them")
        else:
            tables.append({"workers": workers, "ray": ray}[part](arguments.rounds))
    for table in tables:
        show(table)
    write("study", tables)


if __name__ == "__main__":
    main()
