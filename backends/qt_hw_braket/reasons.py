"""Why a request must not be sent: account, device, circuits, size."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from qt_hw_braket.devices import is_ionq
from qt_hw_braket.request import n_gates

if TYPE_CHECKING:
    from qt_hw.execution.backend import Batch, Item
    from qt_hw_braket.cloud_options import CloudOptions
    from qt_hw_braket.devices import Device

__all__ = [
    "account_reasons",
    "circuit_reasons",
    "device_reasons",
    "request_reasons",
    "variables_set",
]

#: Variables with which the SDK silently changes a request. A reservation is billed by the hour.
_RESERVED_DEVICE = "AMZN_BRAKET_RESERVATION_DEVICE_ARN"
_RESERVATION = "AMZN_BRAKET_RESERVATION_TIME_WINDOW_ARN"
_JOB_TOKEN = "AMZN_BRAKET_JOB_TOKEN"

#: Circuits whose gates cancel on purpose.
_REPEATED = re.compile(r"(fold|twirl)\(")


def variables_set() -> list[str]:
    """Return which variables are set that change requests; their values may be secret."""
    names = (_RESERVED_DEVICE, _RESERVATION, _JOB_TOKEN)
    return [name for name in names if os.environ.get(name)]


def account_reasons(arn: str, bucket: str | None) -> Iterator[str]:
    """Yield what is wrong with the account or the environment."""
    if bucket is None:
        yield (
            "no S3 bucket for the results: set [account] bucket, e.g. "
            "--set account.bucket=amazon-braket-NAME"
        )
    if os.environ.get(_RESERVATION) and os.environ.get(_RESERVED_DEVICE) == arn:
        yield (
            f"{_RESERVATION} is set: tasks would run under a reservation, for which the prices "
            "and limits here do not hold; unset it"
        )


def device_reasons(name: str, device: Device, options: CloudOptions) -> Iterator[str]:
    """Yield which options the device does not offer."""
    if options.program_sets is True and device.sets is None:
        yield f"{name} takes no program sets; leave out program_sets=True"
    if options.debias and device.debias_shots is None:
        yield f"{name} offers no debiasing now; leave out debias=True"
    if options.verbatim and not {"gpi2", "zz"} <= device.native_gates:
        yield f"{name} has no native gates gpi2 and zz now; leave out verbatim=True"


def circuit_reasons(
    batch: Batch, name: str, device: Device, options: CloudOptions
) -> Iterator[str]:
    """Yield what the device's compiler and its cap on gates × shots rule out.

    Raises:
        InputError: A circuit cannot be sent.
    """
    ionq = is_ionq(device.arn)
    for item in batch.items:
        if _REPEATED.match(item.role) and not options.verbatim:
            if ionq:
                yield f"{item.role}: IonQ's compiler would undo it; set verbatim=True"
            else:
                yield f"{item.role}: the compiler of {name} would undo it; use an IonQ device"
        yield from _gate_shots(item, device, options) if ionq else ()


def _gate_shots(item: Item, device: Device, options: CloudOptions) -> Iterator[str]:
    cap, gates = options.gateshot_cap, n_gates(item, options.verbatim)
    shots = min(int(item.shots or 0), device.shots[1])  # more are spread over several tasks
    if cap and gates * shots > cap:
        yield (
            f"{gates} gates × {shots} shots = {gates * shots:,} gate-shots of a circuit, above "
            f"gateshot_cap={cap:,} (gates counted as they are sent, which Amazon does not "
            f"specify): at most {cap // gates} shots fit; a larger gateshot_cap, or 0, lifts this "
            "check"
        )


def request_reasons(
    batch: Batch, size: int, name: str, device: Device, options: CloudOptions
) -> Iterator[str]:
    """Yield why the batch does not fit into one request of ``size`` bytes."""
    n, sets, most = batch.n_circuits, device.sets, options.payload_bytes
    if n > 1 and sets is not None and batch.n_shots < sets.min_shots:
        yield (
            f"{batch.n_shots} shots in a program set of {n} circuits, {name} takes at least "
            f"{sets.min_shots}: raise the shots, or pass program_sets=False"
        )
    if n > 1 and sets is not None and batch.n_shots > sets.max_shots:
        yield (
            f"{batch.n_shots} shots in a program set of {n} circuits, {name} takes at most "
            f"{sets.max_shots}: submit fewer circuits at a time"
        )
    if size > most:
        yield (
            f"the request of {n} circuits has {size:,} bytes, above payload_bytes={most:,}: submit "
            "fewer at a time, or raise payload_bytes (Amazon does not document its own limit)"
        )
