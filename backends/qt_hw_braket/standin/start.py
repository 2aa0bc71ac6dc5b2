"""Starts the stand-in in a process of its own, and sends the AWS client there."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from qt_hw.errors import UnknownName
from qt_hw.execution.loopback import child
from qt_hw_braket.devices import FORTE_1, arn_of, region_of
from qt_hw_braket.standin.faults import FAULTS

__all__ = ["redirected", "rehearse"]

#: What else a rehearsal takes: see ``qt_hw_braket.standin.server.Standin``.
_MORE = ("max_executables", "program_sets", "run_seconds", "search_lag", "shots", "split_results")

#: Settings of the client that have nothing to do with where it goes and who asks.
_KEPT = ("AWS_MAX_ATTEMPTS", "AWS_RETRY_MODE")
_NO_PROXY = ("NO_PROXY", "no_proxy")


@contextlib.contextmanager
def rehearse(
    device: str,
    state: Path,
    *,
    queue_seconds: float = 2.0,
    faults: Sequence[str] = (),
    **more: Any,
) -> Iterator[None]:
    """Let the AWS client of this process talk to a stand-in of ``device``.

    Args:
        device: ``"forte-1"``, … or an ARN.
        state: Folder of the stand-in's tasks.
        queue_seconds: How long a task waits in the queue.
        faults: Names of faults that happen once each, see ``qt_hw_braket.standin.FAULTS``.
        **more: ``run_seconds``, ``shots`` (fewest, most), ``program_sets``, ``max_executables``,
            ``split_results``, ``search_lag``.

    Raises:
        UnknownName: No such fault or option.
        InputError: No such device.
        BackendError: The stand-in did not start.
    """
    arn = arn_of(device)
    for name in faults:
        if name not in FAULTS:
            raise UnknownName("fault", name, FAULTS)
    for name in more:
        if name not in _MORE:
            raise UnknownName("option of the rehearsal", name, _MORE)
    options = {
        "device": arn,
        "queue_seconds": queue_seconds,
        "run_seconds": 0.5,
        "faults": list(faults),
        **more,
    }
    arguments = [str(state), json.dumps(options)]
    with child("qt_hw_braket.standin", arguments) as url, redirected(url, arn):
        yield


@contextlib.contextmanager
def redirected(url: str, arn: str = FORTE_1) -> Iterator[None]:
    """Send the AWS clients that are made inside to ``url``, with credentials that mean nothing.

    Variables of the environment are put back at the end. No other one of AWS is seen inside, so
    that no profile and no credentials of the user take part.
    """
    before = {name: value for name, value in os.environ.items() if _is_touched(name)}
    region = region_of(arn) or "us-east-1"
    inside = {
        "AWS_ENDPOINT_URL_BRAKET": url,
        "AWS_ENDPOINT_URL_S3": url,
        "AWS_ENDPOINT_URL_STS": url,
        "AWS_ACCESS_KEY_ID": "rehearsal",
        "AWS_SECRET_ACCESS_KEY": "rehearsal",
        "AWS_REGION": region,
        "AWS_DEFAULT_REGION": region,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AMZN_BRAKET_OUT_S3_BUCKET": "amazon-braket-rehearsal",
    }
    for name in _NO_PROXY:
        inside[name] = ",".join(filter(None, [before.get(name), "127.0.0.1,localhost"]))
    _replace(inside)
    try:
        yield
    finally:
        _replace(before)


def _is_touched(name: str) -> bool:
    ours = name.startswith(("AWS_", "AMZN_BRAKET_", "BRAKET_")) and name not in _KEPT
    return ours or name in _NO_PROXY


def _replace(wanted: Mapping[str, str]) -> None:
    """Let ``wanted`` be all variables of the kinds that are touched here."""
    for name in [name for name in os.environ if _is_touched(name)]:
        del os.environ[name]
    os.environ.update(wanted)
