"""What a training shows while it runs: a bar on a terminal, sparse lines elsewhere."""

from __future__ import annotations

import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from typing import Any

from qt_hw.tasks.metric import Metric

__all__ = ["Reporter", "Silent", "make_reporter"]

_LINE_SECONDS = 10.0


class Reporter(AbstractContextManager["Reporter"], ABC):
    """Is told of each step and of each row of the metrics."""

    @abstractmethod
    def on_step(self, step: int, loss: float, shots: int) -> None:
        """Take note of a finished step."""

    @abstractmethod
    def on_row(self, row: Mapping[str, Any]) -> None:
        """Take note of an evaluation."""

    def __exit__(self, *_: object) -> None:
        """Leave the terminal as it was."""


class Silent(Reporter):
    """Shows nothing."""

    def on_step(self, step: int, loss: float, shots: int) -> None:
        """Do nothing."""

    def on_row(self, row: Mapping[str, Any]) -> None:
        """Do nothing."""


class _Lines(Reporter):
    """One line now and then, for logs and pipes."""

    def __init__(self, title: str, steps: int, metric: Metric) -> None:
        self._title, self._steps, self._metric = title, steps, metric
        self._last = -_LINE_SECONDS

    def on_step(self, step: int, loss: float, shots: int) -> None:
        """Do nothing: rows are often enough."""

    def on_row(self, row: Mapping[str, Any]) -> None:
        """Print the first row, the last, and between them one each ten seconds."""
        now = time.monotonic()
        if now - self._last >= _LINE_SECONDS or row["step"] >= self._steps:
            self._last = now
            value = self._metric.text(row[self._metric.test])
            loss = row.get("train_loss", row["batch_loss"])
            print(
                f"{self._title}: step {row['step']}/{self._steps}  "
                f"{'' if loss is None else f'loss {loss:.3f}  '}{self._metric.title} {value}  "
                f"{_short(row['shots'])}  {row['seconds']:.0f} s",
                file=sys.stderr,
                flush=True,
            )


class _Bar(Reporter):
    """A bar with loss, headline metric, shots used and time left."""

    def __init__(self, title: str, steps: int, metric: Metric) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

        self._progress = Progress(
            TextColumn("{task.description:<9}"),
            BarColumn(bar_width=None),
            TextColumn("{task.completed}/{task.total}"),
            TextColumn(f"loss {{task.fields[loss]}}  {metric.title} {{task.fields[value]}}"),
            TextColumn("{task.fields[shots]}"),
            TimeRemainingColumn(compact=True),
            console=Console(stderr=True),
        )
        self._task = self._progress.add_task(title, total=steps, loss="-", value="-", shots="")
        self._metric = metric

    def __enter__(self) -> _Bar:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def on_step(self, step: int, loss: float, shots: int) -> None:
        """Move the bar."""
        text = _short(shots)
        self._progress.update(self._task, completed=step, loss=f"{loss:.3f}", shots=text)

    def on_row(self, row: Mapping[str, Any]) -> None:
        """Show the headline metric; after a resume, also where the bar stands."""
        value = self._metric.text(row[self._metric.test])
        self._progress.update(self._task, completed=row["step"], value=value)


def make_reporter(title: str, steps: int, metric: Metric, *, progress: bool) -> Reporter:
    """Return what fits the place: a bar on a terminal, lines elsewhere, nothing if not asked."""
    if not progress:
        return Silent()
    kind = _Bar if sys.stderr.isatty() else _Lines
    return kind(title, steps, metric)


def _short(number: int) -> str:
    """Return a number of shots in few letters.

    >>> _short(950), _short(1_234_567), _short(0)
    ('950 shots', '1.23M shots', 'exact')
    """
    if not number:
        return "exact"
    value = float(number)
    for unit in ("", "k", "M", "G", "T"):
        if value < 1000 or unit == "T":
            break
        value /= 1000
    return f"{value:.3g}{unit} shots"
