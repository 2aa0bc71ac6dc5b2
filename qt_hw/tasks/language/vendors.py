"""The two packages that are needed only here, imported when they are used."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from qt_hw.errors import MissingExtra

__all__ = ["vendor"]


def vendor(package: str) -> ModuleType:
    """Return ``transformers`` or ``peft``.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtra(package, "tasks") from error
