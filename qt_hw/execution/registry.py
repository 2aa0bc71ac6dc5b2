"""Backends by the name that users type."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from qt_hw.errors import InputError, UnknownName
from qt_hw.execution.backend import Backend

__all__ = ["known_backends", "open_backend"]

#: Packages announce backends in this group; an entry's name is the prefix before the colon.
GROUP = "qt_hw.backends"


def known_backends() -> dict[str, str]:
    """Return prefix → where it comes from, of all installed backends.

    >>> "statevector" in known_backends()
    True
    """
    found = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    return {"statevector": "qt_hw", **dict(sorted(found.items()))}


def open_backend(name: str | Backend, **options: Any) -> Backend:
    """Return the backend called ``name``.

    Args:
        name: ``"statevector"``, ``"aer"``, ``"aer:fake_torino"``, …: a prefix and, after a
            colon, a device. A backend object is returned as it is.
        **options: Options of that backend.

    Raises:
        UnknownName: No such backend, device or option.
        MissingExtra: The backend's packages are not installed.
        InputError: An option has a wrong value.

    >>> open_backend("statevector", dtype="complex64").name
    'statevector'
    """
    if isinstance(name, Backend):
        if options:
            raise InputError("options go with a backend's name, not with a backend object")
        return name
    if not isinstance(name, str):
        raise InputError(f"a backend is a name or a Backend object, not {type(name).__name__}")
    prefix, colon, device = name.partition(":")
    if colon and not device.strip():
        raise InputError(f"backend {name!r} has an empty device; write {prefix!r} or a device too")
    opener = _opener(prefix, name)
    backend = opener(device or None, **_checked(opener, prefix, options))
    if not isinstance(backend, Backend):
        raise InputError(f"the entry point {prefix!r} gave {type(backend).__name__}, no Backend")
    return backend


def _opener(prefix: str, name: str) -> Callable[..., Any]:
    if prefix == "statevector":
        return _open_statevector
    entries: dict[str, EntryPoint] = {entry.name: entry for entry in entry_points(group=GROUP)}
    if prefix not in entries:
        raise UnknownName("backend", name, sorted(known_backends()))
    loaded: Callable[..., Any] = entries[prefix].load()
    return loaded


def _open_statevector(address: str | None, /, **options: Any) -> Backend:
    from qt_hw.execution.statevector_backend import StatevectorBackend

    if address is not None:
        raise InputError(f"'statevector' takes no device, so not 'statevector:{address}'")
    if "noise" in options:
        raise InputError("'statevector' has no noise; use the backend 'aer', e.g. backend.name=aer")
    allowed = sorted(set(inspect.signature(StatevectorBackend).parameters))
    for key in options:
        if key not in allowed:
            raise UnknownName("option of the backend 'statevector'", key, allowed)
    return StatevectorBackend(**options)


def _checked(opener: Callable[..., Any], prefix: str, options: dict[str, Any]) -> dict[str, Any]:
    """Refuse options that an opener without ``**options`` does not know."""
    parameters = inspect.signature(opener).parameters
    if "device" in options and "device" in parameters:
        raise InputError(f"write the device into the name: '{prefix}:{options['device']}'")
    if any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values()):
        return options
    allowed = [p for p in parameters if p != "device"]
    for key in options:
        if key not in allowed:
            raise UnknownName(f"option of the backend {prefix!r}", key, allowed)
    return options
