"""Faults that a user can ask a rehearsal for, by name; each happens once, ever.

A fault that the client's own retries would hide hits all of its three attempts.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qt_hw.errors import UnknownName
from qt_hw.execution.loopback import Fault
from qt_hw.storage import read_json, write_json

__all__ = ["FAULTS", "OF_RESULTS", "OF_TASKS", "FaultBook", "NamedFault"]

_CREATE = r"^/quantum-task$"
_ATTEMPTS = 3


def _error(status: int, code: str, message: str) -> dict[str, Any]:
    body = json.dumps({"message": message}).encode()
    return {"status": status, "body": body, "headers": {"x-amzn-ErrorType": code}}


def _create(action: str, times: int = 1, **fields: Any) -> dict[str, Any]:
    return {"method": "POST", "path": _CREATE, "action": action, "times": times, **fields}


_INTERNAL = "InternalServiceException"

#: Faults of a request, as fields of ``Fault``.
_OF_REQUESTS: dict[str, dict[str, Any]] = {
    "reply-lost": _create("drop_after", _ATTEMPTS),
    "500": _create("status", _ATTEMPTS, **_error(500, _INTERNAL, "internal error")),
    "503": _create("status", _ATTEMPTS, **_error(503, "ServiceUnavailable", "unavailable")),
    "504-after": _create("status_after", _ATTEMPTS, **_error(504, "GatewayTimeout", "timeout")),
    "429": _create("status", _ATTEMPTS, **_error(429, "ThrottlingException", "rate exceeded")),
    "401": _create(
        "status", **_error(403, "ExpiredTokenException", "the security token is expired")
    ),
    "offline": _create("status", **_error(424, "DeviceOfflineException", "device is offline")),
    "retired": _create("status", **_error(410, "DeviceRetiredException", "device is retired")),
    "truncated": {
        "method": "GET",
        "path": r"/results\.json$",
        "action": "truncate",
        "times": 1,
    },
}
#: Faults of the next task that is created, and of the next result that is read.
OF_TASKS = ("job-fails", "job-cancelled", "stuck", "partial", "partial-completed")
OF_RESULTS = ("wrong-shape", "result-missing")

FAULTS = (*_OF_REQUESTS, *OF_TASKS, *OF_RESULTS)


@dataclass(kw_only=True)
class NamedFault(Fault):
    """A fault of a request that remembers its name."""

    name: str = ""


class FaultBook:
    """Which faults are still to come; those that have been are kept in a file."""

    def __init__(self, path: Path) -> None:
        """Read which faults have been."""
        self._path = path
        self._used: dict[str, int] = read_json(path) if path.exists() else {}
        self._left: dict[str, int] = {}

    def expect(self, name: str, *, again: bool = False) -> list[Fault]:
        """Let a fault happen, and return what it does to requests.

        Args:
            name: One of ``FAULTS``.
            again: Whether it happens although it has been.

        Raises:
            UnknownName: No such fault.
        """
        if name not in FAULTS:
            raise UnknownName("fault", name, FAULTS)
        fields = _OF_REQUESTS.get(name)
        times = 1 if fields is None else int(fields["times"])
        left = times if again else max(0, times - self._used.get(name, 0))
        self._left[name] = self._left.get(name, 0) + left
        if fields is None or not left:
            return []
        return [NamedFault(**{**fields, "times": left}, name=name)]

    def take(self, *names: str) -> str:
        """Return the first of ``names`` that is still to come, counted; empty if none is."""
        for name in names:
            if self._left.get(name, 0) > 0:
                self._left[name] -= 1
                self._used[name] = self._used.get(name, 0) + 1
                write_json(self._path, self._used)
                return name
        return ""
