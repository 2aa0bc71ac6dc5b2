"""Faults that a user can ask a rehearsal for, by name; each happens once."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qt_hw.errors import UnknownName
from qt_hw.execution.loopback import Fault
from qt_hw.storage import read_json, write_json
from qt_hw_ibm.standin.replies import TRACE, error_body

__all__ = ["NAMES", "Faults", "NamedFault", "check_names"]

_POST = {"method": "POST", "path": r"/jobs$"}

#: Faults of the connection: what happens to which request.
_REQUESTS: dict[str, dict[str, Any]] = {
    "reply-lost": {**_POST, "action": "drop_after"},
    "500": {**_POST, "action": "status", "status": 500},
    "503": {**_POST, "action": "status", "status": 503},
    "504-after": {**_POST, "action": "status_after", "status": 504},
    "429": {**_POST, "action": "status", "status": 429},
    "401": {**_POST, "action": "status", "status": 401},
    "retired": {
        "method": "GET",
        "path": r"/backends/[^/]+/configuration$",
        "action": "status",
        "status": 404,
    },
    "truncated": {"method": "GET", "path": r"/jobs/[^/]+/results$", "action": "truncate"},
}

#: Faults of the service itself.
_SERVICE = ("offline", "maintenance", "job-fails", "job-cancelled", "wrong-shape", "stuck")

#: Every name.
NAMES = (*_REQUESTS, *_SERVICE)


def check_names(names: Sequence[str]) -> None:
    """Check names of faults.

    Raises:
        UnknownName: There is no such fault.
    """
    for name in names:
        if name not in NAMES:
            raise UnknownName("fault of an IBM rehearsal", name, NAMES)


@dataclass(kw_only=True)
class NamedFault(Fault):
    """A fault of the connection with its name."""

    name: str


class Faults:
    """The faults of one rehearsal; those that happened are noted in ``file``."""

    def __init__(self, names: Sequence[str], file: Path) -> None:
        """Let the faults ``names`` happen that did not happen yet.

        Raises:
            UnknownName: There is no such fault.
        """
        check_names(names)
        self._file, self._lock = file, threading.Lock()
        self._used: list[str] = read_json(file) if file.exists() else []
        self._pending = [name for name in dict.fromkeys(names) if name not in self._used]

    def of_requests(self) -> list[Fault]:
        """Return the faults of the connection that are to come."""
        faults: list[Fault] = []
        for name in self._pending:
            if name in _REQUESTS:
                fields = _REQUESTS[name]
                body = error_body(fields.get("status", 0), f"rehearsed fault {name!r}")
                faults.append(NamedFault(name=name, body=body, headers=TRACE, **fields))
        return faults

    def strikes(self, name: str) -> bool:
        """Whether fault ``name`` happens now; it is then used up."""
        with self._lock:
            if name not in self._pending:
                return False
            self._pending.remove(name)
            self._used.append(name)
            write_json(self._file, self._used)
        return True
