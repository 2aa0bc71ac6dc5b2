"""A sweep of finite-shot trainings: cells of a study beside the same written with PennyLane.

Both train U3Cu3(6, 2) by the parameter-shift rule, with the mapping, target and optimiser of
``digits``. Before any timing, PennyLane's circuit is held against the exact engine, without and
with shots, and its number of parameters against that of the cells.
"""

from __future__ import annotations

import statistics
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks._peers import Peer
from benchmarks._study_cells import Timed, equal_cells, spread, timed
from benchmarks._timing import Row, Table, verdict
from qt_hw import U3Cu3, probabilities
from qt_hw.study.config import StudyConfig, TrainBlock
from qt_hw.study.pools.local import LocalPool

QUBITS, LAYERS, SHOTS = 6, 2, 1024
SEEDS, STEPS, PEER_STEPS = 2, 500, 3
BACKENDS = ("statevector", "aer")
BAR = 20.0
#: Sum of the squared coefficients of a parameter-shift rule, with two terms or with four (the
#: angles of a controlled U3 stand in two gates): the variance of a derivative of ``c·p`` is at
#: most this times ``max c² / shots``.
RULE = 0.5


def sweep(backend: str) -> StudyConfig:
    """Return the sweep as a study: for each seed a training with shots and its noiseless twin."""
    changes = (f"ansatz.name=U3Cu3 ansatz.n_layers={LAYERS}").split()
    study = equal_cells(SEEDS, STEPS, *changes)
    block = TrainBlock(backend=(backend,), shots=(SHOTS,), gradient=("parameter-shift",))
    return study.model_copy(update={"train": (block,)})


def measure(rounds: int, environment: Path) -> Table:
    """Time both in turn.

    Raises:
        PeerMissing: PennyLane is not installed.
    """
    rng = np.random.default_rng(0)
    angles, cotangent = rng.uniform(-np.pi, np.pi, 72), rng.normal(size=2**QUBITS)
    problem: dict[str, Any] = {
        "n_qubits": QUBITS,
        "n_layers": LAYERS,
        "shots": SHOTS,
        "threads": 1,
        "angles": angles.tolist(),
        "cotangent": cotangent.tolist(),
    }
    ours: dict[str, list[Timed]] = {name: [] for name in BACKENDS}
    theirs: list[float] = []
    with Peer("sweep", problem, environment, worker="_sweep_worker.py") as peer:
        _check(peer, angles, cotangent)
        peer.run()
        for _ in range(rounds):
            before = [peer.run() for _ in range(PEER_STEPS)]
            for name, own in ours.items():
                own.append(timed(sweep(name), partial(LocalPool, jobs=1)))
                print(f"  ours on {name}: {own[-1].wall:.1f} s", flush=True)
            theirs.append(statistics.mean([*before, *(peer.run() for _ in range(PEER_STEPS))]))
            print(f"  PennyLane {theirs[-1]:.2f} s a step", flush=True)
        for own in ours.values():
            assert own[0].parameters == {peer.reply["parameters"]}, own[0].parameters
    return _table(ours, theirs)


def _check(peer: Peer, angles: NDArray[np.float64], cotangent: NDArray[np.float64]) -> None:
    """Make sure that PennyLane does the same job, and that its shots are shots."""
    given = torch.tensor(angles, requires_grad=True)
    p = probabilities(U3Cu3(QUBITS, LAYERS), given)
    p.backward(torch.from_numpy(cotangent))  # type: ignore[no-untyped-call]
    assert given.grad is not None
    exact, gradient = p.detach().numpy(), given.grad.numpy()
    np.testing.assert_allclose(peer.probabilities, exact, atol=1e-6)
    np.testing.assert_allclose(peer.gradient, gradient, atol=1e-6)
    counts = SHOTS * np.array(peer.reply["sampled_probabilities"])
    np.testing.assert_allclose(counts, counts.round(), atol=1e-6)
    noise = np.sqrt(exact * (1 - exact) / SHOTS)
    assert (np.abs(counts / SHOTS - exact) < 6 * noise + 1 / SHOTS).all()
    off = np.array(peer.reply["sampled_gradient"]) - gradient
    most = np.abs(cotangent).max() * np.sqrt(RULE / SHOTS)
    assert 0 < np.sqrt((off**2).mean()) < 1.5 * most, (off, most)


def _table(ours: dict[str, list[Timed]], theirs: list[float]) -> Table:
    """Hold a step of PennyLane against one inside a cell, and against whole studies."""
    steps = SEEDS * STEPS
    rows = [Row(name="PennyLane, lightning.qubit, parameter-shift", seconds=_middle(theirs),
                fastest=min(theirs), note="one thread")]  # fmt: skip
    for backend, own in ours.items():
        inside = [sum(t.cells["train"]) / steps for t in own]
        whole = [t.wall / steps for t in own]
        note = "with its evaluations and checkpoints"
        rows.append(_row(f"qt_hw on {backend}, in a cell", inside, theirs, note))
        note = "with start of the worker, twins, folders"
        rows.append(_row(f"qt_hw on {backend}, in a whole study", whole, theirs, note))
    title = f"One training step, U3Cu3({QUBITS}, {LAYERS}), {SHOTS:,} shots, one thread"
    return Table(title=title, rows=tuple(rows), repetitions=len(theirs))


def _row(name: str, own: list[float], theirs: list[float], note: str) -> Row:
    ratios = [b / a for a, b in zip(own, theirs, strict=True)]
    return Row(
        name=name,
        seconds=_middle(own),
        fastest=min(own),
        ratio=_middle(ratios),
        verdict=verdict(_middle(ratios), bar=BAR),
        note=f"{note}; rounds {spread(ratios)} times as fast",
    )


def _middle(values: list[float]) -> float:
    return statistics.median(values)
