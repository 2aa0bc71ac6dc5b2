"""Backend ``ibm``: the name is reserved, this version runs on simulators only."""

from __future__ import annotations

from typing import NoReturn

from qt_hw.errors import PreflightError

__all__ = ["open"]


def open(device: str | None = None, **options: object) -> NoReturn:
    """Refuse: IBM devices are not available in this version.

    Args:
        device: Text after the colon of ``ibm:<device>``.
        **options: Ignored.

    Raises:
        PreflightError: Always; for a fake device the message names its ``aer:`` twin.
    """
    name = "ibm" if device is None else f"ibm:{device}"
    twin = device if device is not None and device.startswith("fake_") else "fake_torino"
    raise PreflightError(
        [
            f"backend {name!r} is not available: this version runs on simulators only; "
            f"use 'statevector', 'aer' or 'aer:{twin}' (see: qt-hw backends)"
        ]
    )
