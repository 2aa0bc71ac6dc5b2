"""What a study would take, found out without running it: circuits, shots, time, money."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qt_hw.execution.backend import Backend, Cost
from qt_hw.execution.budget import Cap, Totals, refusals
from qt_hw.execution.dispatch import estimate
from qt_hw.execution.executor import LocalExecutor
from qt_hw.execution.rehearsal import costs_money
from qt_hw.model.measurement import Measurement
from qt_hw.model.setup import Usage
from qt_hw.study.cell import Cell
from qt_hw.study.clock import Clock
from qt_hw.study.condition import Condition
from qt_hw.study.measuring import prepared
from qt_hw.training.build import make_backend, make_quantum
from qt_hw.training.config import RunConfig
from qt_hw.training.paid import open_stand_in
from qt_hw.training.quote import Planned, Planner, quote_training, total

__all__ = ["Line", "StudyQuote", "quote_study"]

Say = Callable[[str], None]

_FREE = Cost(circuits=0, shots=0)


@dataclass(frozen=True, kw_only=True)
class Line:
    """All cells that differ by their seeds alone.

    Attributes:
        condition: Of all of them; that of another line too, where an option tells them apart.
        cells: Their number.
        cost: Of all of them.
        seconds: Time of all of them on one core; None where a vendor's queue decides.
    """

    condition: Condition
    cells: int
    cost: Cost
    seconds: float | None

    @property
    def paid(self) -> bool:
        """Whether they cost money."""
        return self.seconds is None


@dataclass(frozen=True, kw_only=True)
class StudyQuote:
    """What a study would take.

    Attributes:
        lines: By condition.
        reasons: Why its caps do not allow it; empty if they do.
    """

    lines: Sequence[Line]
    reasons: Sequence[str] = ()

    @property
    def total(self) -> Cost:
        """The cost of all cells."""
        return total([(line.cost, 1) for line in self.lines])

    @property
    def seconds(self) -> float:
        """Time of all free cells on one core."""
        return sum(line.seconds or 0.0 for line in self.lines)

    @property
    def cells(self) -> int:
        """Number of cells."""
        return sum(line.cells for line in self.lines)


def quote_study(
    cells: Sequence[Cell],
    *,
    cap: Cap,
    spent: Totals | None = None,
    rehearsal: Mapping[str, Any] | None = None,
    timed: bool = True,
    say: Say = lambda text: None,
) -> StudyQuote:
    """Return what ``cells`` would take; a few steps of each kind of training are timed.

    Args:
        cells: Those that are left to do.
        cap: What the study may cost in all.
        spent: What it has cost so far.
        rehearsal: Options of a rehearsal, whose stand-in then tells the prices.
        timed: Whether to time anything.
        say: Told what is being looked at.

    Raises:
        PreflightError: A backend cannot run a cell; with every reason.
        QtHwError: A configuration does not fit together.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in cells:
        groups.setdefault(_but_for_seeds(cell), []).append(cell)
    paid = {c.config.backend.name: costs_money(c.config.backend.name) for c in cells}
    clock, lines = Clock(say) if timed else None, list[Line]()
    with contextlib.ExitStack() as stack:
        backends = _Backends(stack, rehearsal)
        for own in groups.values():
            cell, costs = own[0], paid[own[0].config.backend.name]
            each = _cost(cell, backends.get(cell.config, rehearsed=costs))
            seconds = None if costs else len(own) * (clock.seconds(cell) if clock else 0.0)
            lines.append(
                Line(
                    condition=cell.condition,
                    cells=len(own),
                    cost=total([(each, len(own))]),
                    seconds=seconds,
                )
            )
    reasons = (
        refusals(total([(line.cost, 1) for line in lines if line.paid]), spent or Totals(), cap)
        if any(paid.values())
        else ()
    )
    return StudyQuote(lines=lines, reasons=tuple(reasons))


def _but_for_seeds(cell: Cell) -> str:
    """Return what cells of one price share; conditions leave out repeats, calibration, options."""
    values = cell.to_dict()
    del values["twin"], values["config"]["seeds"]
    return json.dumps(values, sort_keys=True)


class _Backends:
    """Opens each backend once, in a rehearsal with a stand-in of which nothing remains."""

    def __init__(self, stack: contextlib.ExitStack, rehearsal: Mapping[str, Any] | None) -> None:
        self._stack, self._rehearsal = stack, rehearsal
        self._open: dict[str, Backend] = {}

    def get(self, config: RunConfig, *, rehearsed: bool) -> Backend:
        key = config.backend.model_copy(update={"shots": None}).model_dump_json()
        if key not in self._open:
            if rehearsed and self._rehearsal is not None:
                state = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="qt-hw-"))
                self._stack.enter_context(open_stand_in(config, Path(state), self._rehearsal))
            self._open[key] = make_backend(config)
        return self._open[key]


def _cost(cell: Cell, backend: Backend) -> Cost:
    """Return circuits, shots and price of one cell."""
    if cell.kind in ("noiseless", "train"):
        return quote_training(cell.config, backend).total
    if cell.kind == "evaluate":
        return _cost_of_evaluation(cell, backend)
    if cell.kind == "gradient" and cell.config.backend.shots is not None:
        return total([(quote_training(cell.config, backend).step, cell.repeats)])
    return _FREE


def _cost_of_evaluation(cell: Cell, backend: Backend) -> Cost:
    model = make_quantum(cell.config.noiseless())
    setup = prepared(cell, model, Planner(LocalExecutor(backend)))
    parts = []
    mitigator, seed = setup.mitigator, cell.config.seeds.sampling
    if mitigator is not None and not mitigator.ready:
        parts.append((estimate(backend, mitigator.calibration_batch(seed)), 1))
        mitigator.assume()
    angles = model.generator.angles.detach().numpy()[None].copy()
    try:
        Measurement(setup, angles, (seed, 0), Usage()).measure(with_shifts=False)
    except Planned as planned:
        parts.append((estimate(backend, planned.batch), cell.repeats))
    return total(parts)
