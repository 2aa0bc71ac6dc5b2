"""Qiskit Aer as a backend of qt-hw: ideal, noisy, and stored calibrations of IBM's devices.

Names: ``aer`` and ``aer:fake_torino`` (any fake backend of ``qiskit_ibm_runtime``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qt_hw.errors import MissingExtra

if TYPE_CHECKING:
    from qt_hw.execution.backend import Backend

__all__ = ["open"]


def open(device: str | None = None, **options: Any) -> Backend:
    """Return the backend ``aer`` or, with a device, ``aer:<device>``.

    Args:
        device: None, or a fake backend's name in snake case, e.g. ``"fake_torino"``.
        **options: See ``qt_hw_aer.backend.AerBackend``.

    Raises:
        MissingExtra: qiskit-aer is not installed (for a device: qiskit-ibm-runtime).
        UnknownName: No such device or option.
        InputError: An option has a wrong value.
    """
    try:
        import qiskit_aer  # noqa: F401
    except ImportError as error:
        raise MissingExtra("the backend 'aer'", "aer") from error
    from qt_hw_aer.backend import open_backend

    return open_backend(device, options)
