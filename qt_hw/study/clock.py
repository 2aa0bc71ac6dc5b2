"""How long cells take on one core: a few steps of each kind are timed, not guessed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from functools import cache, partial
from itertools import pairwise
from pathlib import Path
from statistics import median

from qt_hw.execution.executor import LocalExecutor
from qt_hw.model.measurement import Measurement
from qt_hw.model.setup import Usage
from qt_hw.study.approximation import fit_weights
from qt_hw.study.cell import PERMUTED, Cell
from qt_hw.study.gradients import measure_gradient
from qt_hw.study.measuring import prepared, task_and_data
from qt_hw.training.build import make_backend, make_model, make_quantum, make_target
from qt_hw.training.config import RunConfig
from qt_hw.training.run import train
from qt_hw.training.trainer import Trainer

__all__ = ["Clock"]

_TIMED_STEPS = 12
_FIT_STEPS = (5, 25)


class Clock:
    """Times each condition once.

    Args:
        say: Told what is being timed.
    """

    def __init__(self, say: Callable[[str], None] = lambda text: None) -> None:
        self._say = say
        self._known: dict[object, float] = {}

    def seconds(self, cell: Cell) -> float:
        """Return how long a cell takes on one core."""
        condition = cell.condition
        # An evaluation's time hardly depends on its shots.
        alike = condition.without("shots") if cell.kind == "evaluate" else condition
        key = (alike, cell.repeats, cell.steps)
        if key not in self._known:
            self._say(f"timing: {condition.label}")
            self._known[key] = _measured(cell)
        return self._known[key]


def _measured(cell: Cell) -> float:
    if cell.kind == "evaluate":
        return _evaluation(cell)
    if cell.kind == "gradient":
        return _timed(lambda: measure_gradient(cell.config, repeats=cell.repeats))
    if cell.kind == "approximation":
        return _fit(cell)
    if cell.control == PERMUTED:
        return 0.0
    return _around_training() + _training(cell.config)


def _timed(what: Callable[[], object]) -> float:
    start = time.perf_counter()
    what()
    return time.perf_counter() - start


def _training(config: RunConfig) -> float:
    """Return the time of all steps and evaluations, from the median of a few."""
    optimizer = config.optimizer
    steps = min(optimizer.steps, _TIMED_STEPS)
    update = {"steps": steps, "eval_every": steps, "checkpoint_every": steps}
    short = config.model_copy(update={"optimizer": optimizer.model_copy(update=update)})
    task, data = task_and_data(config.task)
    trainer = Trainer(short, make_model(short), task, data)
    times = [time.perf_counter()]
    trainer.fit(
        on_step=lambda step, loss, shots: times.append(time.perf_counter()),
        on_row=lambda row: times.append(time.perf_counter()),
        on_checkpoint=lambda: None,
    )
    # The first time is that of the evaluation, the last again.
    each = median([b - a for a, b in pairwise(times[1:-1])])
    evaluation = times[1] - times[0]
    return optimizer.steps * each + (1 + optimizer.steps // optimizer.eval_every) * evaluation


@cache
def _around_training() -> float:
    """Return the time of what is around the steps of a run: folder, manifest, figures."""
    from qt_hw.training.loading import load_config

    changes = ["optimizer.steps=1", "backend.name=statevector", "backend.shots="]
    config = load_config("digits-quick", changes)
    with tempfile.TemporaryDirectory(prefix="qt-hw-") as folder:
        return _timed(lambda: train(config, out=Path(folder) / "run", progress=False))


def _fit(cell: Cell) -> float:
    task, data = task_and_data(cell.config.task)
    network = make_target(cell.config)
    fit = partial(fit_weights, cell.config, network, task=task, data=data)
    few, more = (_timed(lambda n=n: fit(steps=n)) for n in _FIT_STEPS)  # type: ignore[misc]
    each = max(more - few, 0.0) / (_FIT_STEPS[1] - _FIT_STEPS[0])
    return few + each * max(cell.steps - _FIT_STEPS[0], 0)


def _evaluation(cell: Cell) -> float:
    model = make_quantum(cell.config.noiseless())
    angles = model.generator.angles.detach().numpy()[None].copy()
    executor = LocalExecutor(make_backend(cell.config))
    setup = prepared(cell, model, executor)  # once in a process: backends are kept open
    once = _timed(lambda: Measurement(setup, angles, (0, 0), Usage()).measure(with_shifts=False))
    each = _timed(lambda: Measurement(setup, angles, (0, 1), Usage()).measure(with_shifts=False))
    again = _timed(lambda: prepared(cell, model, executor))
    return again + once + (cell.repeats - 1) * each
