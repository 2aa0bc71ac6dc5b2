"""Options of the backend, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any

from qt_hw.errors import InputError, UnknownName
from qt_hw_aer.checks import default_memory_limit
from qt_hw_aer.scale import check_scale

__all__ = ["FORMS", "Options", "read_options"]

FORMS = ("auto", "native", "lowered")


@dataclass(frozen=True, kw_only=True)
class Options:
    """What ``qt.backend("aer", …)`` takes.

    Attributes:
        noise: A specification (see ``qt_hw_aer.spec``) or a ``qiskit_aer`` ``NoiseModel``; only
            without a device.
        calibration: What was measured of a device, as noise: a ``Confusion``, a mapping, or the
            path of a JSON file (see ``qt_hw_aer.calibrated``); only without a device.
        noise_scale: Factor on all error rates of the device or of noise given as text, at least 0
            (see ``qt_hw_aer.scale``); 0 is noiseless. The circuit is the same at all factors
            above 0, and on a device at 0 too.
        form: The form to differentiate; ``"auto"`` takes the native one on an ideal device
            where Aer can bind its gates, else the lowered one.
        max_density_qubits: Most qubits (ancillas included) of a noisy circuit whose exact law
            is computed as a density matrix; larger ones run one trajectory per shot.
        memory_limit: Bytes for results and states, default half of the machine's.
        optimization_level: Of the transpiler, 0 to 3; for a device.
        seed_transpiler: Of the transpiler; for a device.
        layout: Physical qubit of each logical qubit; for a device.
    """

    noise: Any = None
    calibration: Any = None
    noise_scale: float = 1.0
    form: str = "auto"
    max_density_qubits: int = 9
    memory_limit: int = field(default_factory=default_memory_limit)
    optimization_level: int = 3
    seed_transpiler: int = 0
    layout: Sequence[int] | None = None


_RANGES = {
    "max_density_qubits": (0, 14),
    "memory_limit": (2**20, 2**60),
    "optimization_level": (0, 3),
    "seed_transpiler": (0, 2**31 - 1),
}
_DEVICE_ONLY = ("optimization_level", "seed_transpiler", "layout")


def read_options(options: Mapping[str, Any], device: str | None) -> Options:
    """Return the options, checked.

    Raises:
        UnknownName: No such option.
        InputError: A wrong value, or an option that does not go with (or without) a device.
    """
    known = [entry.name for entry in fields(Options)]
    for name in options:
        if name not in known:
            raise UnknownName("option of the backend 'aer'", name, known)
        if device is None and name in _DEVICE_ONLY:
            raise InputError(f"{name}= needs a device, e.g. 'aer:fake_torino'")
    result = Options(**options)
    if device is not None and result.noise is not None:
        raise InputError(f"'aer:{device}' takes its noise from the device; use 'aer' with noise=")
    if device is not None and result.calibration is not None:
        raise InputError(
            f"'aer:{device}' takes its noise from the device; use 'aer' with calibration="
        )
    result = replace(result, noise_scale=check_scale(result.noise_scale))
    _check_scalable(result, device)
    if result.form not in FORMS:
        raise UnknownName("form", str(result.form), FORMS)
    if device is not None and result.form == "native":
        raise InputError(f"'aer:{device}' runs the device's own gates; use form='auto'")
    for name, (low, high) in _RANGES.items():
        value = getattr(result, name)
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise InputError(f"{name} must be a whole number from {low} to {high}, not {value!r}")
    _check_layout(result.layout)
    return result


def _check_scalable(options: Options, device: str | None) -> None:
    if options.noise_scale == 1.0 or device is not None:
        return
    given = "nothing" if options.noise is None else type(options.noise).__name__
    if options.calibration is not None:
        given = "calibration="
    if given != "str":
        raise InputError(
            "noise_scale= scales noise given as text, e.g. noise='readout(p=0.02)', or a device's, "
            f"e.g. 'aer:fake_torino', not {given}; leave it out"
        )


def _check_layout(layout: Any) -> None:
    if layout is None:
        return
    if not isinstance(layout, list | tuple) or not all(type(q) is int for q in layout):
        raise InputError(f"layout must be a list of physical qubits, not {layout!r}")
