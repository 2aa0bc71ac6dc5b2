"""Options of devices in the cloud, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from qt_hw.errors import InputError, UnknownName
from qt_hw_braket.devices import is_ionq

__all__ = ["CloudOptions", "read_cloud_options"]


@dataclass(frozen=True, kw_only=True)
class CloudOptions:
    """What ``qt.backend("ionq:forte-1", …)`` takes.

    Attributes:
        bucket: S3 bucket of the results; needed to submit. By default that of the environment
            variable ``AMZN_BRAKET_OUT_S3_BUCKET``, as in the SDK.
        prefix: Folder in the bucket.
        region: AWS region, for an ARN that names none (the on-demand simulators').
        debias: Whether IonQ's debiasing is asked for. One circuit per task then: program sets
            silently drop the parameters that ask for it.
        program_sets: ``"auto"`` puts many circuits into one task where the device offers that,
            True insists on it, False never does.
        verbatim: Whether circuits are sent in native gates (gpi2, zz) that the service's
            compiler leaves alone; IonQ only.
        gateshot_cap: Most gates × shots of a circuit on IonQ's devices; 0: no such check.
        payload_bytes: Most bytes of a request; the service's own limit is not documented.
        prices: A TOML file in place of the package's ``prices.toml``.
    """

    bucket: str | None = None
    prefix: str = "qt-hw"
    region: str | None = None
    debias: bool = False
    program_sets: bool | str = "auto"
    verbatim: bool = False
    gateshot_cap: int = 1_000_000
    payload_bytes: int = 1_000_000
    prices: str | Path | None = None


_WHOLE = {"gateshot_cap": (0, 10**12), "payload_bytes": (10_000, 10**9)}
_TEXTS = {"bucket": (3, 63), "prefix": (1, 900), "region": (1, 64)}


def read_cloud_options(name: str, arn: str, options: Mapping[str, Any]) -> CloudOptions:
    """Return the options of the backend ``name``.

    Raises:
        UnknownName: No such option.
        InputError: A wrong value, or options that do not go together or with the device.
    """
    known = [entry.name for entry in fields(CloudOptions)]
    for key in options:
        if key not in known:
            raise UnknownName(f"option of the backend {name!r}", key, known)
    result = CloudOptions(**options)
    _check_values(result)
    if not is_ionq(arn) and (result.debias or result.verbatim):
        which = "debias" if result.debias else "verbatim"
        raise InputError(f"{which}=True is for IonQ's devices; {name!r} is none")
    if result.debias and result.program_sets is True:
        raise InputError("debias=True takes single tasks; leave out program_sets=True")
    return result


def _check_values(options: CloudOptions) -> None:
    for name, (low, high) in _TEXTS.items():
        text = getattr(options, name)
        if text is None and name != "prefix":
            continue
        if not isinstance(text, str) or not low <= len(text) <= high or text.split() != [text]:
            raise InputError(f"{name} must be a text of {low} to {high} characters, not {text!r}")
    for name in ("debias", "verbatim"):
        if not isinstance(getattr(options, name), bool):
            raise InputError(f"{name} must be true or false, not {getattr(options, name)!r}")
    if not isinstance(options.program_sets, bool) and options.program_sets != "auto":
        raise InputError(
            f"program_sets must be 'auto', true or false, not {options.program_sets!r}"
        )
    for name, (low, high) in _WHOLE.items():
        value = getattr(options, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    if options.prices is not None and not isinstance(options.prices, str | Path):
        raise InputError(f"prices must be the name of a TOML file, not {options.prices!r}")
