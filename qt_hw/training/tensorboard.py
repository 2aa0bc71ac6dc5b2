"""The metrics of a run as TensorBoard events, in its folder ``tensorboard``."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from qt_hw.errors import MissingExtra

__all__ = ["Events", "open_events"]

_NOT_SHOWN = ("step", "epoch")


class Events(AbstractContextManager["Events"]):
    """Writes nothing."""

    def on_row(self, row: Mapping[str, Any]) -> None:
        """Take note of an evaluation: one row of the metrics."""

    def __exit__(self, *_: object) -> None:
        """Finish the file."""


class _TensorBoard(Events):
    def __init__(self, folder: Path, step: int) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingExtra("logging.tensorboard", "study") from error
        # What an interrupted run wrote after its last checkpoint is hidden: it is written anew.
        self._writer = SummaryWriter(str(folder), purge_step=step)

    def on_row(self, row: Mapping[str, Any]) -> None:
        for name, value in row.items():
            if value is not None and name not in _NOT_SHOWN:
                self._writer.add_scalar(name, float(value), row["step"])

    def __exit__(self, *_: object) -> None:
        self._writer.close()


def open_events(folder: Path, *, wanted: bool, step: int) -> Events:
    """Return where rows of the metrics go besides ``metrics.csv``.

    Args:
        folder: The run folder.
        wanted: Whether TensorBoard events are asked for.
        step: From which step on rows are written; those of an earlier call stay.

    Raises:
        MissingExtra: tensorboard is not installed.
    """
    return _TensorBoard(folder / "tensorboard", step) if wanted else Events()
