"""Rehearsals: the same command, the same client, a stand-in of the vendor's service."""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from qt_hw.errors import InputError
from qt_hw.execution.registry import open_backend

__all__ = ["costs_money", "rehearse"]

#: Packages announce stand-ins in this group, under the prefix of their backend.
GROUP = "qt_hw.rehearsals"


def rehearse(name: str, state: Path, **options: Any) -> AbstractContextManager[None]:
    """Return a context in which backend ``name`` talks to a stand-in of its vendor's service.

    The stand-in runs in a process of its own and keeps its jobs in ``state``, where the next
    rehearsal finds them again.

    Args:
        name: A backend's name, e.g. ``"ionq:forte-1"``.
        state: Folder of the stand-in's jobs, kept from one command to the next.
        **options: ``queue_seconds``, how long a job waits; ``faults``, names of faults that will
            happen once each; what else the backend's stand-in takes.

    Raises:
        InputError: There is no stand-in for this backend, or it does not know an option.
        MissingExtra: The backend's packages are not installed.
    """
    prefix, _, device = name.partition(":")
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if prefix not in found:
        raise InputError(f"{name!r} needs no rehearsal: it runs on this machine, free of charge")
    context: AbstractContextManager[None] = found[prefix].load()(device or None, state, **options)
    return context


def costs_money(name: str) -> bool:
    """Return whether circuits on backend ``name`` cost money; nobody is asked over the network.

    Raises:
        UnknownName: There is no such backend.
        MissingExtra: The backend's packages are not installed.
    """
    prefix, _, device = name.partition(":")
    found = {entry.name: entry for entry in entry_points(group=GROUP)}
    if prefix not in found:
        return open_backend(name).limits.paid
    try:
        found[prefix].load()(device or None, Path())
    except InputError:  # it needs no rehearsal, or there is no such device: opening it tells
        return open_backend(name).limits.paid
    return True
