"""IBM's devices as backends of qt-hw, and their stored calibrations run on this machine.

Names: ``ibm:<device>``, e.g. ``ibm:ibm_torino``, and ``ibm:fake_<name>``, e.g. ``ibm:fake_torino``
(any fake backend of ``qiskit_ibm_runtime``), which runs the same code in the vendor client's local
mode, free of charge.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qt_hw.errors import InputError, MissingExtra

if TYPE_CHECKING:
    from qt_hw.execution.backend import Backend

__all__ = ["open", "rehearse"]


def open(device: str | None = None, **options: Any) -> Backend:
    """Return the backend ``ibm:<device>``; nothing is asked of IBM before it is needed.

    Credentials are the vendor client's business: it takes them from the account that
    ``QiskitRuntimeService.save_account`` saved, or from its environment variables.

    Args:
        device: A device's name, e.g. ``"ibm_torino"``, or a fake backend's, ``"fake_torino"``.
        **options: See ``qt_hw_ibm.options.Options``.

    Raises:
        InputError: No device; or an option has a wrong value.
        MissingExtra: qiskit-ibm-runtime is not installed (for a fake device: qiskit-aer).
        UnknownName: No such fake device, or no such option.
    """
    if device is None:
        raise InputError(
            "'ibm' needs a device: 'ibm:<device>', e.g. 'ibm:ibm_torino', or a stored calibration "
            "on this machine, e.g. 'ibm:fake_torino'"
        )
    _check_client()
    if device.startswith("fake_"):
        from qt_hw_ibm.fake import open_fake

        return open_fake(device, options)
    from qt_hw_ibm.device import open_device

    return open_device(device, options)


def rehearse(device: str | None, state: Path, **options: Any) -> AbstractContextManager[None]:
    """Return a context in which ``ibm:<device>`` talks to a stand-in of IBM's service.

    Args:
        device: Text after the colon of ``ibm:<device>``.
        state: Folder of the stand-in's jobs.
        **options: See ``qt_hw_ibm.standin.start.rehearse``.

    Raises:
        InputError: No device, a fake one, or a wrong option.
        MissingExtra: qiskit-ibm-runtime or qiskit-aer is not installed.
    """
    if device is not None and device.startswith("fake_"):
        raise InputError(f"'ibm:{device}' needs no rehearsal: it runs on this machine, for nothing")
    _check_client()
    from qt_hw_ibm.standin.start import rehearse as start

    context: AbstractContextManager[None] = start(device, state, **options)
    return context


def _check_client() -> None:
    # Importing the client takes seconds, which opening a backend need not cost.
    if find_spec("qiskit_ibm_runtime") is None:
        raise MissingExtra("the backend 'ibm'", "ibm")
