"""Studies of equal trainings, and the time that a pool takes for their cells."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks._timing import Row, verdict
from qt_hw.study.config import StudyConfig
from qt_hw.study.loading import load_study
from qt_hw.study.pools.pool import Pool
from qt_hw.study.runner import Runner
from qt_hw.study.study import open_study

OpenPool = Callable[[Path], Pool]


@dataclass(frozen=True, kw_only=True)
class Timed:
    """One study, once.

    Attributes:
        wall: Seconds from an open pool to the last cell; the start of its workers included.
        opening: Seconds until the pool was there.
        cells: Seconds that each training says it took, by kind of cell.
        parameters: Number of trained parameters of each training.
    """

    wall: float
    opening: float
    cells: dict[str, list[float]]
    parameters: set[int]


def equal_cells(count: int, steps: int, *changes: str) -> StudyConfig:
    """Return a study of ``count`` noiseless trainings of ``digits``, each of another seed."""
    sizes = [f"optimizer.steps={steps}", f"optimizer.eval_every={steps}"]
    study = {"base": "digits", "set": [*sizes, *changes], "seeds": count, "controls": []}
    return load_study(study)


def timed(study: StudyConfig, pool: OpenPool) -> Timed:
    """Compute the cells of ``study`` in a folder of its own; no report is made."""
    with tempfile.TemporaryDirectory(prefix="qt-hw-") as home:
        out = Path(home) / "study"
        folder = open_study(study, out, resume=False)
        start = time.perf_counter()
        opened = pool(out)
        begun = time.perf_counter()
        board = Runner(folder, lambda: opened).run()
        end = time.perf_counter()
        assert set(board.states.values()) == {"done"}, board.errors
        seconds: dict[str, list[float]] = {}
        parameters = set()
        for cell in folder.cells:
            values = folder.result(cell.id)["values"]
            seconds.setdefault(cell.kind, []).append(values["seconds"][0])
            parameters.add(int(values["trained_parameters"][0]))
        return Timed(wall=end - begun, opening=begun - start, cells=seconds, parameters=parameters)


def in_turn(study: StudyConfig, routes: dict[str, OpenPool], rounds: int) -> dict[str, list[Timed]]:
    """Return each route's times, one of each a round, forwards and backwards in turn."""
    times: dict[str, list[Timed]] = {name: [] for name in routes}
    for number in range(rounds):
        for name in list(routes)[:: 1 if number % 2 == 0 else -1]:
            found = timed(study, routes[name])
            times[name].append(found)
            print(f"  {name}: {found.wall:.1f} s, opened in {found.opening:.1f} s", flush=True)
    return times


def rows_of(
    times: dict[str, list[Timed]],
    reference: str,
    *,
    bar: float | None = None,
    ceiling: float | None = None,
) -> tuple[Row, ...]:
    """Return one line for each route; the other one is held against ``bar`` or ``ceiling``.

    The ratio is the median of those of the rounds, whose runs stood side by side.
    """
    rows = []
    for name, own in times.items():
        ratios = [a.wall / b.wall for a, b in zip(own, times[reference], strict=True)]
        wall, each = statistics.median(t.wall for t in own), own[0].cells["noiseless"]
        inside = statistics.median(s for t in own for s in t.cells["noiseless"])
        opening = statistics.median(t.opening for t in own)
        note = f"{60 * len(each) / wall:.1f} cells per minute, {inside:.1f} s in a cell"
        note += f", {opening:.1f} s to open" if opening > 0.1 else ""
        other = name != reference
        ratio = statistics.median(ratios)
        rows.append(
            Row(
                name=name,
                seconds=wall,
                fastest=min(t.wall for t in own),
                ratio=ratio,
                verdict=verdict(ratio, bar=bar, ceiling=ceiling) if other else "",
                note=f"{note}; rounds {spread(ratios)}" if other else note,
            )
        )
    return tuple(rows)


def spread(values: Sequence[float]) -> str:
    """Return the least and the greatest of ``values`` as text."""
    return f"{min(values):.3g} to {max(values):.3g}"
