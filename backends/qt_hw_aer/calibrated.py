"""A measured calibration as noise: the simulator misreads each qubit as the device did."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError, UnknownName
from qt_hw.storage import read_json
from qt_hw_aer.noise import Noise, make_noise

__all__ = ["with_calibration"]

_KEYS = ("confusion", "decay", "two_qubit_gates")
_USE = "use the dict of a Confusion, or the file that Calibration.save wrote"


def with_calibration(noise: Any, calibration: Any, scale: float = 1.0) -> Noise | None:
    """Return the noise of the option ``noise`` together with what was measured of a device.

    The calibration, or the JSON file at a path, holds:

    - ``confusion``: ``{"matrices": …}`` with entries ``[q, observed, true]``, as
      ``Confusion.to_dict()`` gives them. Only circuits of as many measured qubits are run.
    - ``decay`` and ``two_qubit_gates``, both or neither: ``{"value": f}``, the part of the signal
      that m two-qubit gates leave. Each two-qubit gate then depolarizes with p2 = 4/3 (1 -
      f**(1/m)), at most 1: a measured vector is made of Z strings, of which 3/4 touch a given
      pair, so that m gates leave about (1 - 3/4 p2)**m = f. An estimate: circuits of ``RyCnot``
      and ``U3Cu3`` with 4 and 6 qubits were left with 0.61 to 0.69 for f = 0.6. The circuit that
      runs may have another number of gates, which then decides what is left.

    Of a file that ``qt_hw.mitigation.Calibration.save`` wrote for one circuit, the readout is
    taken; its decays are not, since it does not say of how many gates they are.

    Args:
        noise: The option ``noise``: text or None; its errors act before the calibration's.
        calibration: A mapping, an object with ``to_dict()``, a path, or None.
        scale: Factor on the error rates of ``noise``, as text.

    Raises:
        InputError: Not such a calibration, or a second readout beside it.
        StorageError: The file cannot be read.
    """
    base = make_noise(noise, scale)
    if calibration is None:
        return base
    if base is not None and (base.given is not None or base.readout):
        raise InputError(
            "calibration= brings the readout; beside it noise= may be text without readout and "
            "median, e.g. noise='depolarizing(p1=1e-3)'"
        )
    stored = _stored(calibration)
    matrices, p2 = _matrices(stored.get("confusion")), _depolarizing(stored)
    digest = hashlib.sha256(json.dumps([matrices.tolist(), p2]).encode()).hexdigest()
    text = f"calibration({len(matrices)} qubits, sha256:{digest})"
    result = base or Noise(text="")
    if p2 is not None:
        result = _followed_by(result, f"depolarizing(p2={p2!r})")
    return replace(
        result,
        text=text if base is None else f"{base.text} + {text}",
        readout={qubit: matrix.T.copy() for qubit, matrix in enumerate(matrices)},
        n_measured=len(matrices),
    )


def _stored(calibration: Any) -> Mapping[str, Any]:
    """Return the calibration as a mapping of ``_KEYS``."""
    if isinstance(calibration, str | Path):
        stored = read_json(Path(calibration))
    else:
        stored = calibration.to_dict() if hasattr(calibration, "to_dict") else calibration
    if not isinstance(stored, Mapping):
        raise InputError(f"a calibration is a mapping, not {type(stored).__name__}; {_USE}")
    if "matrices" in stored or "pairs" in stored:
        return {"confusion": stored}
    if "circuits" in stored:
        circuits = stored["circuits"]
        one = circuits[0] if isinstance(circuits, list) and len(circuits) == 1 else None
        if not isinstance(one, Mapping):
            raise InputError("the calibration is not of one circuit; pass that circuit's confusion")
        return {"confusion": one.get("confusion")}
    for key in stored:
        if key not in _KEYS:
            raise UnknownName("key of a calibration", str(key), _KEYS)
    return stored


def _matrices(confusion: Any) -> NDArray[np.float64]:
    """Return the confusion of each qubit, ``(n, 2, 2)``, ``[q, observed, true]``."""
    from qt_hw.mitigation.confusion import Confusion, load_confusion

    if not isinstance(confusion, Mapping):
        raise InputError(f"the calibration lacks a confusion; {_USE}")
    found = load_confusion(confusion)
    if not isinstance(found, Confusion):
        raise InputError(
            "the calibration is of pairs of qubits; calibrate without correlated readout"
        )
    return np.asarray(found.matrices)


def _depolarizing(stored: Mapping[str, Any]) -> float | None:
    """Return p2 of the calibration's decay, None without one."""
    decay, gates = stored.get("decay"), stored.get("two_qubit_gates")
    if decay is None and gates is None:
        return None
    if decay is None or gates is None:
        raise InputError(
            "a calibration holds both decay and two_qubit_gates (of the circuit that was "
            "calibrated), or neither"
        )
    value = decay.get("value") if isinstance(decay, Mapping) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise InputError(f"decay of a calibration is {{'value': f}} with 0 < f <= 1, not {decay!r}")
    if type(gates) is not int or gates < 1:
        raise InputError(f"two_qubit_gates must be a whole number of at least 1, not {gates!r}")
    return float(min(4.0 / 3.0 * (1.0 - value ** (1.0 / gates)), 1.0))


def _followed_by(noise: Noise, text: str) -> Noise:
    """Return ``noise`` with the gate errors of the specification ``text`` after its own."""
    own = make_noise(text)
    assert own is not None
    errors = {place: (*noise.errors.get(place, ()), *more) for place, more in own.errors.items()}
    return replace(noise, errors=errors, gates=own.gates)
