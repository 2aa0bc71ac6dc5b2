"""Every error that this package raises on purpose.

    QtHwError
    ├── InputError            something the caller passed is wrong (also a ValueError)
    │   ├── UnknownName       a backend, preset, task, option … that does not exist
    │   ├── UnsupportedGate   a circuit holds a gate that has no shift rule here
    │   └── ConfigError       a TOML file or a --set has a wrong key or value
    ├── PreflightError        the request cannot run on this backend: every reason at once
    │   └── BudgetExceeded    it would cross a cap, or there is no cap
    ├── MissingExtra          an optional dependency is not installed
    ├── BackendError          the backend failed while it ran
    │   ├── TransientError    worth trying again; a refused request made no job
    │   ├── PermanentError    not worth trying again; a refused request made no job
    │   ├── AmbiguousSubmission   a request may or may not have made a job
    │   ├── JobFailed         the vendor says that a job failed or was cancelled
    │   └── BadResult         a result is damaged or has the wrong shape
    ├── Pending               jobs are still queued or running: come back later
    ├── StorageError          a run folder or a checkpoint cannot be read or written
    │   └── CheckpointError   a checkpoint is damaged or belongs to another run
    └── DataError             a data file is missing, damaged or has the wrong checksum

``MitigationWarning`` is the one warning. Messages are one line: what was wrong, what is allowed,
what to type next.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from typing import Any

__all__ = [
    "AmbiguousSubmission",
    "BackendError",
    "BadResult",
    "BudgetExceeded",
    "CheckpointError",
    "ConfigError",
    "DataError",
    "InputError",
    "JobFailed",
    "MissingExtra",
    "MitigationWarning",
    "Pending",
    "PermanentError",
    "PreflightError",
    "QtHwError",
    "StorageError",
    "TransientError",
    "UnknownName",
    "UnsupportedGate",
    "nearest",
]


class QtHwError(Exception):
    """Base of all errors of this package; ``exit_code`` is what the program returns."""

    exit_code = 1


class InputError(QtHwError, ValueError):
    """An argument has a wrong value, shape or type."""

    exit_code = 2


class MitigationWarning(UserWarning):
    """Mitigation is expected to make the vectors worse, or rests on an old calibration."""


def nearest(name: str, allowed: Iterable[str]) -> str | None:
    """Return the allowed name closest to ``name``, or None if none is close.

    >>> nearest("statevektor", ["statevector", "aer"])
    'statevector'
    """
    hits = difflib.get_close_matches(name, list(allowed), n=1, cutoff=0.6)
    return hits[0] if hits else None


_MOST_LISTED = 12


class UnknownName(InputError):
    """A name that does not exist; the message suggests the nearest one that does.

    A kind "X of Y" puts the name in its middle; a long list is cut to its nearest names.

    >>> print(UnknownName("option of the backend 'aer'", "nois", ["noise"]))
    unknown option 'nois' of the backend 'aer'; did you mean 'noise'? (known: noise)
    """

    def __init__(self, kind: str, name: str, allowed: Sequence[str]) -> None:
        guess = nearest(name, allowed)
        hint = f"; did you mean {guess!r}?" if guess else ""
        what, of, owner = kind.partition(" of ")
        super().__init__(f"unknown {what} {name!r}{of}{owner}{hint} ({_listed(name, allowed)})")
        self.kind, self.name, self.allowed, self.suggestion = kind, name, tuple(allowed), guess


def _listed(name: str, allowed: Sequence[str]) -> str:
    if len(allowed) <= _MOST_LISTED:
        return f"known: {', '.join(allowed) or 'none'}"
    close = difflib.get_close_matches(name, allowed, n=5, cutoff=0.0)
    return f"nearest: {', '.join(close)}; {len(allowed)} in all"


class UnsupportedGate(InputError):
    """A circuit holds a gate outside the supported set."""


class ConfigError(InputError):
    """A configuration file or a ``--set`` is wrong."""


class PreflightError(QtHwError):
    """The request cannot run on this backend; ``reasons`` holds every problem found."""

    exit_code = 3

    def __init__(self, reasons: Sequence[str]) -> None:
        super().__init__("; ".join(reasons))
        self.reasons = tuple(reasons)


class BudgetExceeded(PreflightError):
    """A paid request would cross its cap, or has none."""


class MissingExtra(QtHwError, ImportError):
    """An optional dependency is missing; the message holds the command that installs it."""

    exit_code = 4

    def __init__(self, what: str, extra: str) -> None:
        super().__init__(f"{what} needs the extra {extra!r}: pip install 'qt-hw[{extra}]'")
        self.extra = extra


class BackendError(QtHwError):
    """A backend failed while it ran a job."""

    exit_code = 5


class TransientError(BackendError):
    """A failure that may pass when tried again."""


class PermanentError(BackendError):
    """A failure that will come back when tried again."""


class AmbiguousSubmission(BackendError):
    """The reply to a request was lost: there may be a job. Search before sending again."""


class JobFailed(BackendError):
    """A job ended without a result; ``partial`` holds what there is of it.

    Attributes:
        cancelled: Whether it was cancelled rather than failed.
        partial: Counts as of ``Job.result``, with rows of zeros where there is no result;
            None where nothing came back.
    """

    def __init__(self, message: str, *, cancelled: bool = False, partial: Any = None) -> None:
        super().__init__(message)
        self.cancelled, self.partial = cancelled, partial


class BadResult(BackendError):
    """A result is damaged, truncated or has the wrong shape; the job itself is not lost."""


class Pending(QtHwError):
    """Jobs are queued or running; the same command goes on when they are done."""

    exit_code = 8


class StorageError(QtHwError):
    """A run folder cannot be read or written."""

    exit_code = 6


class CheckpointError(StorageError):
    """A checkpoint is damaged, or belongs to another configuration."""


class DataError(QtHwError):
    """A data file is missing, damaged, or has another checksum than expected."""

    exit_code = 7
