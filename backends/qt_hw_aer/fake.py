"""The fake backends of ``qiskit_ibm_runtime``: devices as they were on one day."""

from __future__ import annotations

import inspect
from typing import Any

from qt_hw.errors import MissingExtra

__all__ = ["known_devices"]


def known_devices() -> dict[str, type[Any]]:
    """Return the classes of the fake backends by name (``"fake_torino"``).

    Raises:
        MissingExtra: qiskit-ibm-runtime is not installed.
    """
    try:
        from qiskit_ibm_runtime import fake_provider
    except ImportError as error:
        raise MissingExtra("a stored calibration ('aer:fake_…')", "ibm") from error
    classes = [value for _, value in inspect.getmembers(fake_provider, inspect.isclass)]
    named = {getattr(cls, "backend_name", None): cls for cls in classes}
    return {name: named[name] for name in sorted(filter(None, named))}
