"""Arguments that several commands have, and how a command is interrupted."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qt_hw.errors import BudgetExceeded, InputError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "Bucket",
    "CalibrationShots",
    "Fault",
    "From",
    "Instance",
    "JobName",
    "MaxQpuSeconds",
    "MaxUsd",
    "Mitigation",
    "MitigationOptions",
    "Options",
    "QueueSeconds",
    "Region",
    "Rehearse",
    "RunFolder",
    "Which",
    "account_of",
    "explained",
    "interruptible",
    "read_mitigation_options",
    "read_options",
    "rehearsal_of",
    "say",
    "sigterm_as_exception",
]


class Which(StrEnum):
    """Which of the two runs in a folder."""

    noiseless = "noiseless"
    sampled = "sampled"


RunFolder = Annotated[Path, typer.Argument(metavar="RUN", help="Folder made by qt-hw run.")]
From = Annotated[
    Which | None, typer.Option("--from", help="Which of the two runs in RUN; default: noiseless.")
]
MaxUsd = Annotated[
    float | None,
    typer.Option(
        "--max-usd", metavar="USD", help="Cap on all that is recorded for this run, US dollars."
    ),
]
MaxQpuSeconds = Annotated[
    float | None,
    typer.Option("--max-qpu-seconds", metavar="S", help="The same cap in seconds of the device."),
]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", metavar="KEY=VALUE", help="Option of the backend; may be repeated."),
]
Bucket = Annotated[
    str | None, typer.Option(metavar="NAME", help="S3 bucket for results (Amazon Braket).")
]
Region = Annotated[str | None, typer.Option(metavar="NAME", help="AWS region (Amazon Braket).")]
Instance = Annotated[
    str | None, typer.Option(metavar="CRN", help="Instance of the account (IBM Quantum).")
]
Mitigation = Annotated[
    str,
    typer.Option(
        metavar="NAME[+NAME]",
        help="Error mitigation: none, auto, or techniques joined by +: readout, zne, rescale, "
        "twirling, ddd, cdr, pec, lre.",
    ),
]
MitigationOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--mitigation-option",
        metavar="NAME.KEY=VALUE",
        help="Option of a technique, e.g. zne.scales=1,3,5; may be repeated.",
    ),
]
CalibrationShots = Annotated[
    int | None,
    typer.Option(metavar="N", help="Shots of each calibration circuit; default: as --shots."),
]
Rehearse = Annotated[
    bool,
    typer.Option(
        "--rehearse", help="Talk to a stand-in of the vendor on this machine; costs nothing."
    ),
]
QueueSeconds = Annotated[
    float | None,
    typer.Option("--queue-seconds", metavar="S", help="How long a rehearsed job is queued."),
]
Fault = Annotated[
    list[str] | None,
    typer.Option("--fault", metavar="NAME", help="What goes wrong once in the rehearsal."),
]
JobName = Annotated[
    str | None, typer.Option("--job", metavar="ID", help="One job: its id or its token.")
]


def say(text: str) -> None:
    """Tell the user something in one line, apart from the command's own output."""
    print(text, file=sys.stderr, flush=True)


def read_options(pairs: Sequence[str] | None) -> dict[str, Any]:
    """Return ``KEY=VALUE`` pairs as a dict, the values read as in ``--set``.

    Raises:
        InputError: A pair has no key, or a key comes twice.
    """
    return _pairs(pairs, "--option", "KEY=VALUE, e.g. prices=mine.toml")


def read_mitigation_options(pairs: Sequence[str] | None) -> dict[str, dict[str, Any]]:
    """Return ``NAME.KEY=VALUE`` pairs as a dict for each technique; commas make a list.

    Raises:
        InputError: A pair has no name or no key, or comes twice.

    >>> read_mitigation_options(["zne.scales=1,3,5", "zne.fit=richardson"])
    {'zne': {'scales': [1, 3, 5], 'fit': 'richardson'}}
    """
    form = "NAME.KEY=VALUE, e.g. zne.scales=1,3,5"
    read: dict[str, dict[str, Any]] = {}
    for path, value in _pairs(pairs, "--mitigation-option", form).items():
        name, dot, key = (part.strip() for part in path.partition("."))
        if not (name and dot and key):
            raise InputError(f"--mitigation-option {path}: write {form}")
        read.setdefault(name, {})[key] = _listed(value)
    return read


def _pairs(pairs: Sequence[str] | None, option: str, form: str) -> dict[str, Any]:
    from qt_hw.training.loading import parse_value

    read: dict[str, Any] = {}
    for pair in pairs or ():
        key, equals, text = pair.partition("=")
        key = key.strip()
        if not equals or not key or not text.strip():
            raise InputError(f"{option} {pair}: write {form}")
        if key in read:
            raise InputError(f"{option} {key} is given twice")
        read[key] = parse_value(text)
    return read


def _listed(value: Any) -> Any:
    from qt_hw.training.loading import parse_value

    if not isinstance(value, str) or "," not in value:
        return value
    return [parse_value(part) for part in value.split(",") if part.strip()]


def account_of(bucket: str | None, region: str | None, instance: str | None) -> dict[str, str]:
    """Return what is given of an account."""
    given = {"bucket": bucket, "region": region, "instance": instance}
    return {name: value for name, value in given.items() if value is not None}


def rehearsal_of(
    rehearse: bool, queue_seconds: float | None, faults: Sequence[str] | None
) -> Mapping[str, Any] | None:
    """Return the options of a rehearsal, None if none is asked for.

    Raises:
        InputError: Options of a rehearsal without one, or a negative time.
    """
    options: dict[str, Any] = {}
    if queue_seconds is not None:
        if not 0.0 <= queue_seconds < float("inf"):
            raise InputError(f"--queue-seconds {queue_seconds}: at least 0, e.g. 2")
        options["queue_seconds"] = queue_seconds
    if faults:
        options["faults"] = list(faults)
    if options and not rehearse:
        raise InputError("--queue-seconds and --fault belong to --rehearse")
    return options if rehearse else None


@contextlib.contextmanager
def explained(hint: str) -> Iterator[None]:
    """Add to a refusal for a cap that would be crossed what to do about it."""
    try:
        yield
    except BudgetExceeded as error:
        crossed = any(" above max_" in reason for reason in error.reasons)
        raise BudgetExceeded([*error.reasons, hint] if crossed else error.reasons) from None


@contextlib.contextmanager
def interruptible(*messages: str) -> Iterator[None]:
    """Have Ctrl-C and SIGTERM end the command with ``messages``, each in a line of its own."""
    try:
        with sigterm_as_exception():
            yield
    except KeyboardInterrupt as stop:
        print("", *messages, sep="\n", file=sys.stderr)
        raise typer.Exit(143 if isinstance(stop, _Terminated) else 130) from None


class _Terminated(KeyboardInterrupt):
    """The process was asked to end."""


@contextlib.contextmanager
def sigterm_as_exception() -> Iterator[None]:
    """Have SIGTERM end the work as Ctrl-C does."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Terminated

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
