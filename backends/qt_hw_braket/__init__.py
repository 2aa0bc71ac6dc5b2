"""Amazon Braket and IonQ as backends of qt-hw.

Names: ``braket:local`` (state vector), ``braket:local-dm`` (noise), ``braket:<ARN>`` (any
gate-based device of Amazon Braket), ``ionq:forte-1`` and ``ionq:forte-enterprise-1`` (the same
devices by their short names), ``ionq:emulator`` (their noise on this machine).
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qt_hw.errors import InputError, MissingExtra, PreflightError, UnknownName

if TYPE_CHECKING:
    from qt_hw.execution.backend import Backend

__all__ = ["open", "open_ionq", "rehearse", "rehearse_ionq"]

_LOCAL = ("local", "local-dm")
_ARN = "arn:aws:braket:"
_IONQ = ("forte-1", "forte-enterprise-1")
_RETIRED = ("harmony", "aria-1", "aria-2")


def open(device: str | None = None, **options: Any) -> Backend:
    """Return the backend ``braket:<device>``.

    Args:
        device: ``"local"``, ``"local-dm"``, or the ARN of a gate-based device.
        **options: See ``qt_hw_braket.options`` (local) and ``qt_hw_braket.cloud``.

    Raises:
        MissingExtra: amazon-braket-sdk is not installed.
        UnknownName: No such device or option.
        InputError: No device, or an option has a wrong value.
    """
    name = _braket_device(device)
    if name in _LOCAL:
        from qt_hw_braket.local import open_local

        return open_local(name, options)
    return _open_cloud(name, options)


def open_ionq(device: str | None = None, **options: Any) -> Backend:
    """Return the backend ``ionq:<device>``.

    Args:
        device: ``"forte-1"``, ``"forte-enterprise-1"`` (both through Amazon Braket) or
            ``"emulator"``.
        **options: See ``qt_hw_braket.options`` (emulator) and ``qt_hw_braket.cloud``.

    Raises:
        MissingExtra: amazon-braket-sdk is not installed.
        UnknownName: No such device or option.
        InputError: No device, or an option has a wrong value.
        PreflightError: The device has been retired.
    """
    name = _ionq_device(device)
    if name == "emulator":
        from qt_hw_braket.emulator import open_emulator

        return open_emulator(options)
    return _open_cloud(name, options)


def rehearse(device: str | None, state: Path, **options: Any) -> AbstractContextManager[None]:
    """Return a context in which ``open`` talks to a stand-in of Amazon Braket on loopback.

    Args:
        device: As of ``open``.
        state: Folder of the stand-in's jobs.
        **options: See ``qt_hw_braket.standin.start.rehearse``.

    Raises:
        MissingExtra: amazon-braket-sdk is not installed.
        UnknownName: No such device or option.
        InputError: No device, or one that needs no rehearsal.
    """
    return _rehearse("braket", _braket_device(device), state, options)


def rehearse_ionq(device: str | None, state: Path, **options: Any) -> AbstractContextManager[None]:
    """Return a context in which ``open_ionq`` talks to a stand-in of Amazon Braket on loopback.

    Args:
        device: As of ``open_ionq``.
        state: Folder of the stand-in's jobs.
        **options: See ``qt_hw_braket.standin.start.rehearse``.

    Raises:
        MissingExtra: amazon-braket-sdk is not installed.
        UnknownName: No such device or option.
        InputError: No device, or one that needs no rehearsal.
        PreflightError: The device has been retired.
    """
    return _rehearse("ionq", _ionq_device(device), state, options)


def _rehearse(
    prefix: str, device: str, state: Path, options: dict[str, Any]
) -> AbstractContextManager[None]:
    if device in (*_LOCAL, "emulator"):
        raise InputError(
            f"'{prefix}:{device}' needs no rehearsal: it runs on this machine, free of charge"
        )
    from qt_hw_braket.standin import start

    context: AbstractContextManager[None] = start.rehearse(device, state, **options)
    return context


def _open_cloud(device: str, options: dict[str, Any]) -> Backend:
    from qt_hw_braket import cloud

    backend: Backend = cloud.open_device(device, options)
    return backend


def _braket_device(device: str | None) -> str:
    _need_sdk("braket")
    if device is None:
        raise InputError(
            "'braket' needs a device: write 'braket:local', 'braket:local-dm' or "
            f"'braket:<ARN>', e.g. 'braket:{_ARN}us-east-1::device/qpu/ionq/Forte-1'"
        )
    if device in (*_IONQ, "emulator"):
        raise InputError(f"'braket:{device}' is called 'ionq:{device}'")
    if device not in _LOCAL and not device.startswith(_ARN):
        raise UnknownName("device of the backend 'braket'", device, [*_LOCAL, f"{_ARN}…"])
    return device


def _ionq_device(device: str | None) -> str:
    _need_sdk("ionq")
    if device is None:
        raise InputError(
            "'ionq' needs a device: write 'ionq:forte-1', 'ionq:forte-enterprise-1' or "
            "'ionq:emulator' (on this machine, free of charge)"
        )
    if device.lower() in _RETIRED:
        raise PreflightError([f"'ionq:{device}' has been retired; use 'ionq:forte-1'"])
    if device not in (*_IONQ, "emulator"):
        raise UnknownName("device of the backend 'ionq'", device, [*_IONQ, "emulator"])
    return device


def _need_sdk(prefix: str) -> None:
    from importlib.util import find_spec

    try:
        found = find_spec("braket.devices") is not None
    except ModuleNotFoundError:
        found = False
    if not found:
        raise MissingExtra(f"the backend {prefix!r}", "braket")
