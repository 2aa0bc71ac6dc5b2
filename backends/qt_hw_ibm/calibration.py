"""What the run folder keeps of a device: layout, calibration and gates of one circuit."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from qt_hw.execution.transpile import Compiled, error_of

if TYPE_CHECKING:
    from qiskit.transpiler import Target

__all__ = ["calibration_date", "circuit_properties"]


def calibration_date(properties: Any) -> str | None:
    """Return when the device was calibrated last, ISO 8601 in UTC.

    Args:
        properties: The vendor's ``BackendProperties``, None where there are none.
    """
    moment = getattr(properties, "last_update_date", None)
    if not isinstance(moment, datetime):
        return None
    return moment.astimezone(UTC).isoformat()


def circuit_properties(
    compiled: Compiled, target: Target, properties: Any, device: str
) -> dict[str, Any]:
    """Return layout, coherence times, errors and gates of a circuit, JSON-ready.

    Times are in seconds. Coherence times are those of ``layout`` then ``ancillas``; errors of
    the readout those of ``layout``, where the logical qubits are measured. They start on
    ``initial_layout``. Errors of gates are given for the qubits on which the circuit has them.
    """
    physical, n_measured = compiled.physical, len(compiled.start)
    layout = list(physical[:n_measured])
    qubits = target.qubit_properties
    return {
        "device": device,
        "n_device_qubits": int(target.num_qubits),
        "initial_layout": list(compiled.start),
        "layout": layout,
        "ancillas": list(physical[n_measured:]),
        "t1_s": [_number(getattr(qubits[q], "t1", None)) for q in physical] if qubits else None,
        "t2_s": [_number(getattr(qubits[q], "t2", None)) for q in physical] if qubits else None,
        "readout_error": [error_of(target, "measure", (q,)) for q in layout],
        "readout_p01": [_readout(properties, q, "prob_meas1_prep0") for q in layout],
        "readout_p10": [_readout(properties, q, "prob_meas0_prep1") for q in layout],
        "gate_errors": compiled.gate_errors(target),
        **compiled.statistics(),
    }


def _readout(properties: Any, qubit: int, name: str) -> float | None:
    """Return a vendor's probability of reading a qubit wrongly."""
    if properties is None:
        return None
    return _number(properties.qubit_property(qubit).get(name, (None,))[0])


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
