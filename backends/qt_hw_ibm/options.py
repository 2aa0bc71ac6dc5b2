"""Options of the backend, checked."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from qt_hw.errors import InputError, UnknownName

__all__ = ["DECOUPLING", "MODES", "PLANS", "Options", "read_options"]

MODES = ("batch", "job", "session")
DECOUPLING = ("", "XX", "XpXm", "XY4")
PLANS = ("open", "pay-as-you-go", "flex", "premium")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What ``qt.backend("ibm:…", …)`` takes.

    Attributes:
        instance: Name or CRN of the account's instance; None leaves it to the saved account.
        mode: ``"batch"`` submits the jobs of a step that needs several as one batch, ``"job"``
            each by itself, ``"session"`` reserves the device, which bills idle time too: IBM tells
            it of no job, so neither estimates nor spent device time contain it.
        session_seconds: Longest time of a session; mode ``"session"`` needs it.
        optimization_level: Of the transpiler, 0 to 3.
        seed_transpiler: Of the transpiler.
        layout: Physical qubit of each logical qubit; None lets the transpiler choose.
        dynamical_decoupling: Sequence for idle qubits, ``"XX"``, ``"XpXm"`` or ``"XY4"``; empty
            for none.
        twirling: Whether to twirl two-qubit gates and measurements with random Paulis.
        rep_delay: Seconds between shots; None for the device's default.
        max_seconds: Device time after which IBM stops a job; a cap that leaves less counts first.
        max_executions: Most bindings × shots of one job.
        settle_seconds: How long after a request the search by tag may still miss its job.
        plan: The account's plan, ``"open"``, ``"pay-as-you-go"``, ``"flex"`` or ``"premium"``: its
            price turns seconds into dollars.
        usd_per_second: A price of your own, in place of the plan's.
        prices: TOML file in place of the table ``prices.toml``.
        retry_posts: Leave the client's own retry of requests switched on: after a server error
            it may make a second job.
    """

    instance: str | None = None
    mode: str = "batch"
    session_seconds: int | None = None
    optimization_level: int = 3
    seed_transpiler: int = 0
    layout: list[int] | tuple[int, ...] | None = None
    dynamical_decoupling: str = ""
    twirling: bool = False
    rep_delay: float | None = None
    max_seconds: int | None = None
    max_executions: int = 5_000_000
    settle_seconds: float = 60.0
    plan: str = ""
    usd_per_second: float | None = None
    prices: str | None = None
    retry_posts: bool = False


_RANGES = {
    "session_seconds": (1, 28_800),
    "optimization_level": (0, 3),
    "seed_transpiler": (0, 2**31 - 1),
    "max_seconds": (1, 10_800),
    "max_executions": (1, 10_000_000),
}
_NUMBERS = ("rep_delay", "settle_seconds", "usd_per_second")
_CHOICES = {"mode": MODES, "dynamical_decoupling": DECOUPLING, "plan": ("", *PLANS)}
_TEXTS = ("instance", "prices")
_FLAGS = ("twirling", "retry_posts")
_OPTIONAL = (
    "instance", "layout", "max_seconds", "prices", "rep_delay", "session_seconds", "usd_per_second",
)  # fmt: skip

#: What a device on this machine takes; an account's instance does not concern it.
_FAKE = (
    "instance", "optimization_level", "seed_transpiler", "layout", "dynamical_decoupling",
    "twirling", "max_executions",
)  # fmt: skip


def read_options(options: Mapping[str, Any], *, fake: bool = False) -> Options:
    """Return the options, checked.

    Args:
        options: As the user wrote them.
        fake: Whether they are for a device on this machine.

    Raises:
        UnknownName: No such option, or a word that is none of those allowed.
        InputError: A wrong value, or an option that does not go with the others.
    """
    known = [entry.name for entry in fields(Options)]
    for name, value in options.items():
        if name not in known:
            raise UnknownName("option of the backend 'ibm'", name, known)
        if fake and name not in _FAKE:
            raise InputError(f"{name}= is for IBM's devices; 'ibm:fake_…' runs on this machine")
        if value is not None or name not in _OPTIONAL:
            _check(name, value)
    result = Options(**options)
    if (result.mode == "session") != (result.session_seconds is not None):
        raise InputError(
            "mode='session' and session_seconds= (its longest time) go together: a session bills "
            "idle time too"
        )
    return result


def _check(name: str, value: Any) -> None:
    if name in _RANGES:
        low, high = _RANGES[name]
        if type(value) is not int or not low <= value <= high:
            raise InputError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    elif name in _NUMBERS:
        if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
            raise InputError(f"{name} must be a number of at least 0, not {value!r}")
    elif name in _CHOICES:
        if value not in _CHOICES[name]:
            allowed = [choice for choice in _CHOICES[name] if choice]
            raise UnknownName(name.replace("_", " "), str(value), allowed)
    elif name in _FLAGS and type(value) is not bool:
        raise InputError(f"{name} must be true or false, not {value!r}")
    elif name in _TEXTS and (not isinstance(value, str) or not value.strip()):
        raise InputError(f"{name} must be a text, not {value!r}")
    elif name == "layout":
        whole = isinstance(value, list | tuple) and all(type(qubit) is int for qubit in value)
        if not whole or len(set(value)) < len(value) or min(value, default=0) < 0:
            raise InputError(f"layout must be a list of different physical qubits, not {value!r}")
