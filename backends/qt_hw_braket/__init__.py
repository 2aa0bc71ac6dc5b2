"""Backends ``braket`` and ``ionq``: names are reserved, this version runs on simulators only."""

from __future__ import annotations

from typing import NoReturn

from qt_hw.errors import PreflightError

__all__ = ["open", "open_ionq"]


def open(device: str | None = None, **options: object) -> NoReturn:
    """Refuse: Amazon Braket devices are not available in this version.

    Args:
        device: Text after the colon of ``braket:<device>``.
        **options: Ignored.

    Raises:
        PreflightError: Always.
    """
    _refuse("braket", device)


def open_ionq(device: str | None = None, **options: object) -> NoReturn:
    """Refuse: IonQ devices are not available in this version.

    Args:
        device: Text after the colon of ``ionq:<device>``.
        **options: Ignored.

    Raises:
        PreflightError: Always.
    """
    _refuse("ionq", device)


def _refuse(prefix: str, device: str | None) -> NoReturn:
    name = prefix if device is None else f"{prefix}:{device}"
    raise PreflightError(
        [
            f"backend {name!r} is not available: this version runs on simulators only; "
            "use 'statevector', 'aer' or 'aer:<fake device>' (see: qt-hw backends)"
        ]
    )
