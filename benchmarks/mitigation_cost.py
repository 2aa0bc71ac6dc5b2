"""What mitigation costs on this machine, for vectors of 13 qubits, beside mitiq's own route.

    python -m benchmarks.mitigation_cost [--repetitions 20]

Our steps act on a batch of 32 vectors; seconds are for one vector. mitiq extrapolates one number
at a time: every 64th component is run and the seconds are scaled.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import numpy as np

from benchmarks._timing import Row, Table, show, verdict, write
from qt_hw.mitigation import Confusion, correct, project
from qt_hw.mitigation.extrapolation import coefficients

N, VECTORS, SCALES = 13, 32, (1.0, 3.0, 5.0)
READOUT_SECONDS, PROJECTION_SECONDS, EXTRAPOLATION_SECONDS = 1e-3, 5e-3, 1e-3
PART = 64


def median_seconds(work: Callable[[], object], repetitions: int) -> float:
    """Return the median time of one call."""
    work()
    seconds = []
    for _ in range(repetitions):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=20)
    repetitions = parser.parse_args().repetitions
    rng = np.random.default_rng(0)
    flips = rng.uniform(0.005, 0.05, (N, 2))
    matrices = np.array([[[1 - a, b], [a, 1 - b]] for a, b in flips])
    confusion = Confusion(matrices=matrices)
    vectors = rng.dirichlet(np.ones(2**N), (len(SCALES), VECTORS))
    corrected, c = correct(vectors[0], confusion), coefficients(SCALES, 1)

    def extrapolate() -> object:
        return np.tensordot(c, vectors, 1)

    def by_mitiq() -> object:
        from mitiq.zne.inference import LinearFactory

        some = vectors[:, 0, ::PART]
        return [LinearFactory.extrapolate(list(SCALES), list(column)) for column in some.T]

    ours = {
        "readout correction": (lambda: correct(vectors[0], confusion), READOUT_SECONDS),
        "projection": (lambda: project(corrected), PROJECTION_SECONDS),
        "extrapolation, 3 scales": (extrapolate, EXTRAPOLATION_SECONDS),
    }
    rows = []
    for name, (work, most) in ours.items():
        seconds = median_seconds(work, repetitions) / VECTORS
        rows.append(Row(name=name, seconds=seconds, verdict=verdict(seconds, ceiling=most)))
    theirs = median_seconds(by_mitiq, max(3, repetitions // 5)) * PART
    last = rows[-1].seconds or 1.0
    rows.append(Row(name="extrapolation, mitiq by component", seconds=theirs, ratio=theirs / last))
    table = Table(
        title=f"mitigation of one vector, {N} qubits", rows=tuple(rows), repetitions=repetitions
    )
    show(table)
    write("mitigation_cost", [table])


if __name__ == "__main__":
    main()
