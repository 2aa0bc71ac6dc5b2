"""What a model learns: data with a fixed split, loss, metrics, and the papers' target networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qt_hw.tasks.metric import Metric
    from qt_hw.tasks.sampling import batches
    from qt_hw.tasks.targets import build_target, check_fit, known_targets, target_info
    from qt_hw.tasks.task import (
        Classification,
        Data,
        Task,
        get_task,
        headline_of,
        known_tasks,
    )

__all__ = [
    "Classification",
    "Data",
    "Metric",
    "Task",
    "batches",
    "build_target",
    "check_fit",
    "get_task",
    "headline_of",
    "known_targets",
    "known_tasks",
    "target_info",
]

_HOME = {
    "Classification": "task",
    "Metric": "metric",
    "headline_of": "task",
    "Data": "task",
    "Task": "task",
    "batches": "sampling",
    "build_target": "targets",
    "check_fit": "targets",
    "get_task": "task",
    "known_targets": "targets",
    "known_tasks": "task",
    "target_info": "targets",
}


def __getattr__(name: str) -> object:
    # The program lists names without importing torch, so nothing is loaded before it is used.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
