"""Robustness studies: grids of runs, their statistics, and the report."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qt_hw.study.folder import StudyFolder
    from qt_hw.study.loading import known_studies, load_study
    from qt_hw.study.results import make_report
    from qt_hw.study.study import run_study
    from qt_hw.study.summary import summarise
    from qt_hw.study.table import rows_of

_HOME = {
    "StudyFolder": "folder",
    "known_studies": "loading",
    "load_study": "loading",
    "make_report": "results",
    "rows_of": "table",
    "run_study": "study",
    "summarise": "summary",
}

__all__ = [
    "StudyFolder",
    "known_studies",
    "load_study",
    "make_report",
    "rows_of",
    "run_study",
    "summarise",
]


def __getattr__(name: str) -> Any:
    # The program lists ready-made studies without importing torch.
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return list(__all__)
