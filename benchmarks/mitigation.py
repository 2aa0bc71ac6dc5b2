"""Mitigation techniques at equal total shots: distance of the measured vector to the ideal one.

    python -m benchmarks.mitigation [--repetitions 25] [--noise depolarizing torino coherent]

Every number goes through ``qt_hw.probabilities``; the noisy laws are computed exactly (density
matrices) and sampled. The shots of a vector are divided over the circuits of a technique. What
calibrations take comes on top, once; the last table says how much.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks._mitigation_cells import Cell, KnownLaws, cells
from benchmarks._mitigation_table import Prediction, Result, show_accuracy, show_verdicts
from benchmarks._timing import RESULTS
from qt_hw.errors import MitigationWarning
from qt_hw.mitigation import Cdr, Mitigation, Pec, Readout, Rescale, Twirling, Zne
from qt_hw.mitigation.calibrating import exact_vectors
from qt_hw.mitigation.combination import Combination
from qt_hw.mitigation.forecast import forecasts
from qt_hw.mitigation.situation import Situation
from qt_hw.mitigation.techniques import Technique
from qt_hw.mitigation.variants import make_variants
from qt_hw.model.measurement import Measurement
from qt_hw.model.setup import Setup, Usage

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

#: Techniques of which a break-even is expected, and against which.
PAIRS = (
    ("readout", "raw"),
    ("readout+rescale, calibrated", "readout"),
    ("readout+zne", "readout"),
    ("readout+zne", "raw"),
)
PREDICTED = ("raw", "readout", "readout+rescale, calibrated", "readout+zne")
NAMES = {name: Combination(METHODS[name]).name for name in PREDICTED}


def main() -> None:
    arguments = _arguments()
    if arguments.show:
        _show(arguments.show)
        return
    results, predictions = list[Result](), list[Prediction]()
    warnings.simplefilter("ignore", MitigationWarning)  # it is what the last table is about
    for cell in cells(tuple(arguments.kind), tuple(arguments.qubits), tuple(arguments.noise)):
        bench = Bench(cell, arguments.points)
        found = list(bench.measure(arguments.shots, arguments.repetitions))
        predictions += bench.predict(arguments.shots)
        results += found
        show_accuracy(cell.name, found)
        _write(arguments.out, results, predictions)
    show_verdicts(results, predictions)


class Bench:
    """One cell, with its laws computed once."""

    def __init__(self, cell: Cell, n_points: int) -> None:
        self.cell, self.backend = cell, KnownLaws(cell.open())
        shape = (n_points, cell.ansatz.n_angles)
        self.points = np.random.default_rng(5).uniform(-np.pi, np.pi, shape)
        self.ideal = exact_vectors(cell.ansatz, self.points)

    def measure(self, shots: Sequence[int], repetitions: int) -> Iterator[Result]:
        """Yield the distances of all techniques."""
        for name, mitigation in self._mitigations():
            for n in shots:
                yield self._repeat(name, mitigation, n, repetitions)

    def _mitigations(self) -> Iterator[tuple[str, Mitigation | None]]:
        methods = dict(METHODS)
        if self.cell.ansatz.n_qubits <= 5 and self.cell.pec is not None:
            pec = Pec(noise=self.cell.pec, model="global", samples=SAMPLES)
            methods |= {"readout+cdr": (Readout(), Cdr()), "readout+pec": (Readout(), pec)}
        for name, techniques in methods.items():
            made = Mitigation(
                combination=Combination(techniques), calibration_shots=CALIBRATION_SHOTS
            )
            yield name, made if techniques else None
        yield "auto", Mitigation(auto=True)

    def _repeat(
        self, name: str, mitigation: Mitigation | None, shots: int, repetitions: int
    ) -> Result:
        """Measure each point again and again, all with the one calibration of that point."""
        distances, squares, choices, calibration = list[float](), list[float](), list[str](), 0
        setups = [
            Setup(self.cell.ansatz, self.backend, shots, "parameter-shift", mitigation)
            for _ in self.points
        ]
        for k in range(repetitions):
            i = k % len(self.points)
            # The seeds of all techniques and shots are the same, and so are the circuits of PEC.
            setup = setups[i]
            measurement = Measurement(setup, self.points[i : i + 1], (1000 + i, k), Usage())
            error = measurement.base(setup.factors[0])[0] - self.ideal[i]
            distances.append(0.5 * float(np.abs(error).sum()))
            squares.append(float(np.linalg.norm(error)))
            if setup.mitigator is not None and setup.mitigator.calibration is not None:
                calibration = setup.mitigator.calibration.n_shots
                choices.append(setup.mitigator.calibration.circuits[0].choice)
        return Result(
            cell=self.cell.name,
            method=name,
            shots=shots,
            total_variation=tuple(distances),
            l2=tuple(squares),
            calibration_shots=calibration,
            choices=tuple(choices),
        )

    def predict(self, shots: Sequence[int]) -> Iterator[Prediction]:
        """Yield what a calibration lets expect, of each technique against a part of it."""
        mitigation = Mitigation(auto=True, calibration_shots=CALIBRATION_SHOTS)
        setup = Setup(self.cell.ansatz, self.backend, 1000, "parameter-shift", mitigation)
        found = setup.calibrate(7, self.points[0], Usage())
        assert found is not None
        one, circuit = found.circuits[0], setup.factors[0].prepared.circuit
        methods = [
            Combination(METHODS[name]).method(make_variants(METHODS[name], circuit, equal=False))
            for name in PREDICTED
        ]
        for n in shots:
            situation = Situation(
                self.ideal,
                n,
                one.confusion,
                one.decays["readout"],
                {name: value for name, value in one.biases.items() if name != "raw"},
            )
            expected = {f.method.name: f.total_variation for f in forecasts(methods, situation)}
            for method, other in PAIRS:
                yield Prediction(
                    cell=self.cell.name,
                    shots=n,
                    method=method,
                    other=other,
                    expected=expected[NAMES[method]],
                    expected_other=expected[NAMES[other]],
                )


def _show(paths: Sequence[Path]) -> None:
    """Print the tables of results that were written before."""
    results, predictions = list[Result](), list[Prediction]()
    for path in paths:
        content = json.loads(path.read_text())
        results += [Result(**one) for one in content["results"]]
        predictions += [Prediction(**one) for one in content["predictions"]]
    for cell in dict.fromkeys(one.cell for one in results):
        show_accuracy(cell, [one for one in results if one.cell == cell])
    show_verdicts(results, predictions)


def _write(path: Path, results: Sequence[Result], predictions: Sequence[Prediction]) -> None:
    path.parent.mkdir(exist_ok=True)
    content = {
        "results": [asdict(one) for one in results],
        "predictions": [asdict(one) for one in predictions],
    }
    path.write_text(json.dumps(content) + "\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kind", nargs="+", default=["RyCnot", "U3Cu3"])
    parser.add_argument("--qubits", nargs="+", type=int, default=[5, 8])
    parser.add_argument("--noise", nargs="+", default=["depolarizing", "torino", "coherent"])
    parser.add_argument("--shots", nargs="+", type=int, default=list(SHOTS))
    parser.add_argument("--repetitions", type=int, default=25)
    parser.add_argument("--points", type=int, default=5, help="Different angles among them.")
    parser.add_argument("--out", type=Path, default=RESULTS / "mitigation.json")
    parser.add_argument("--show", nargs="+", type=Path, help="Print results written before.")
    return parser.parse_args()


if __name__ == "__main__":
    main()
