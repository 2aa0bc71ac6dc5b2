"""Mitigation techniques at equal total shots: distance of the measured vector to the ideal one.

    python -m benchmarks.mitigation [--repetitions 25] [--noise depolarizing torino coherent]

Every number goes through ``qt_hw.probabilities``; the noisy laws are computed exactly (density
matrices) and sampled. The shots of a vector are divided over the circuits of a technique. What
calibrations take comes on top, once; the last table says how much.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._mitigation_cells import Cell, KnownLaws, cells
from benchmarks._mitigation_table import show_accuracy, show_verdicts
from benchmarks._timing import RESULTS
from qt_hw.mitigation import Cdr, Mitigation, Pec, Readout, Rescale, Twirling, Zne
from qt_hw.mitigation.calibrating import exact_vectors
from qt_hw.mitigation.combination import Combination
from qt_hw.mitigation.techniques import Technique
from qt_hw.model.measurement import Measurement, Setup, Usage

Array = NDArray[np.float64]

SHOTS = (1_000, 4_000, 16_000, 100_000)
CALIBRATION_SHOTS = 8192
SAMPLES = 200
"""Circuits of PEC for one vector."""

METHODS: dict[str, tuple[Technique, ...]] = {
    "raw": (),
    "readout": (Readout(),),
    "zne": (Zne(),),
    "readout+zne": (Readout(), Zne()),
    "rescale": (Rescale(fit="data"),),
    "readout+rescale": (Readout(), Rescale(fit="data")),
    "readout+rescale, calibrated": (Readout(), Rescale()),
    "twirled": (Readout(), Twirling()),
    "twirled+rescale, calibrated": (Readout(), Twirling(), Rescale()),
    "twirled+zne": (Readout(), Twirling(), Zne()),
}


@dataclass(frozen=True)
class Result:
    """Distances of one technique in one cell at one number of shots."""

    cell: str
    method: str
    shots: int
    total_variation: tuple[float, ...]
    l2: tuple[float, ...]
    calibration_shots: int
    choices: tuple[str, ...] = ()


def main() -> None:
    arguments = _arguments()
    out: list[Result] = []
    chosen = cells(tuple(arguments.kind), tuple(arguments.qubits), tuple(arguments.noise))
    for cell in chosen:
        start = time.perf_counter()
        found = list(measure(cell, arguments.shots, arguments.repetitions, arguments.points))
        out += found
        show_accuracy(cell.name, found, time.perf_counter() - start)
        _write(arguments.out, out)
    show_verdicts(out)


def measure(cell: Cell, shots: Sequence[int], repetitions: int, n_points: int) -> Iterator[Result]:
    """Yield the distances of all techniques in one cell."""
    backend, n_angles = KnownLaws(cell.open()), cell.ansatz.n_angles
    points = np.random.default_rng(5).uniform(-np.pi, np.pi, (n_points, n_angles))
    ideal = exact_vectors(cell.ansatz, points)
    for name, mitigation in _mitigations(cell, backend):
        for n in shots:
            yield _repeat(cell, name, mitigation, backend, n, points, ideal, repetitions)


def _mitigations(cell: Cell, backend: KnownLaws) -> Iterator[tuple[str, Mitigation | None]]:
    for name, techniques in METHODS.items():
        combination = Combination(techniques)
        if not techniques:
            yield name, None
            continue
        yield name, Mitigation(combination=combination, calibration_shots=CALIBRATION_SHOTS)
    if cell.ansatz.n_qubits <= 5 and cell.pec is not None:
        for technique in (Cdr(), Pec(noise=cell.pec, model="global", samples=SAMPLES)):
            yield (
                f"readout+{technique.name}",
                Mitigation(combination=Combination((Readout(), technique))),
            )
    yield "auto", Mitigation(auto=True, calibration_shots=CALIBRATION_SHOTS)


def _repeat(
    cell: Cell,
    name: str,
    mitigation: Mitigation | None,
    backend: KnownLaws,
    shots: int,
    points: Array,
    ideal: Array,
    repetitions: int,
) -> Result:
    """Measure each point again and again, each time with a calibration of its own."""
    distances, squares, choices, calibration = list[float](), list[float](), list[str](), 0
    for k in range(repetitions):
        i = k % len(points)
        # One seed for all techniques and shots: the circuits of PEC are then the same.
        setup = Setup(cell.ansatz, backend, shots, "parameter-shift", mitigation)
        measurement = Measurement(setup, points[i : i + 1], (1000 + k, 0), Usage())
        error = measurement.base(setup.factors[0])[0] - ideal[i]
        distances.append(0.5 * float(np.abs(error).sum()))
        squares.append(float(np.linalg.norm(error)))
        if setup.mitigator is not None and setup.mitigator.calibration is not None:
            calibration = setup.mitigator.calibration.n_shots
            choices.append(setup.mitigator.calibration.circuits[0].choice)
    return Result(
        cell=cell.name,
        method=name,
        shots=shots,
        total_variation=tuple(distances),
        l2=tuple(squares),
        calibration_shots=calibration,
        choices=tuple(choices),
    )


def _write(path: Path, results: Sequence[Result]) -> None:
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps([asdict(one) for one in results]) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kind", nargs="+", default=["RyCnot", "U3Cu3"])
    parser.add_argument("--qubits", nargs="+", type=int, default=[5, 8])
    parser.add_argument("--noise", nargs="+", default=["depolarizing", "torino", "coherent"])
    parser.add_argument("--shots", nargs="+", type=int, default=list(SHOTS))
    parser.add_argument("--repetitions", type=int, default=25)
    parser.add_argument("--points", type=int, default=5, help="Different angles among them.")
    parser.add_argument("--out", type=Path, default=RESULTS / "mitigation.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
