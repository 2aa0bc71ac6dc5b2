"""What the rehearsed device says of itself: a description that the SDK's schemas accept."""

from __future__ import annotations

from typing import Any

__all__ = ["GATES", "GATE_SHOTS", "MIN_DEBIAS_SHOTS", "N_QUBITS", "capabilities"]

#: Gates of IonQ's Forte devices on Amazon Braket: those that are compiled, and native ones.
GATES = (
    *("x", "y", "z", "rx", "ry", "rz", "h", "cnot", "s"),
    *("si", "t", "ti", "v", "vi", "xx", "yy", "zz", "swap"),
)
NATIVE_GATES = ("GPI", "GPI2", "ZZ")

N_QUBITS = 36
MIN_DEBIAS_SHOTS = 2500
#: Most gates × shots of a task on demand.
GATE_SHOTS = 1_000_000

_PROGRAM = "braket.ir.openqasm.program"


def _header(name: str) -> dict[str, str]:
    return {"name": f"braket.device_schema.{name}", "version": "1"}


def capabilities(
    shots: tuple[int, int] = (100, 5000),
    *,
    program_sets: bool = True,
    max_executables: int = 100,
    max_total_shots: int = 100_000,
    min_total_shots: int | None = None,
) -> dict[str, Any]:
    """Return ``deviceCapabilities`` of a Forte-like device.

    The layout is that of ``IonqDeviceCapabilities`` (amazon-braket-schemas); calibration figures
    and the limits of program sets are made up.

    Args:
        shots: Fewest and most shots of a circuit.
        program_sets: Whether the device takes program sets.
        max_executables: Most circuits of a program set.
        max_total_shots: Most shots of a program set.
        min_total_shots: Fewest shots of a program set.
    """
    actions: dict[str, Any] = {_PROGRAM: _program_action(shots[1])}
    if program_sets:
        actions[f"{_PROGRAM}_set"] = {
            "actionType": f"{_PROGRAM}_set",
            "version": ["1"],
            "maximumExecutables": max_executables,
            "maximumTotalShots": max_total_shots,
            "minimumTotalShots": min_total_shots,
        }
    return {
        "braketSchemaHeader": _header("ionq.ionq_device_capabilities"),
        "action": actions,
        "service": _service(shots),
        "paradigm": {
            "braketSchemaHeader": _header("gate_model_qpu_paradigm_properties"),
            "qubitCount": N_QUBITS,
            "nativeGateSet": list(NATIVE_GATES),
            "connectivity": {"fullyConnected": True, "connectivityGraph": {}},
        },
        "provider": _provider(),
        "deviceParameters": {},
    }


def _program_action(max_shots: int) -> dict[str, Any]:
    result_type = {"name": "Probability", "observables": None, "minShots": 1, "maxShots": max_shots}
    return {
        "actionType": _PROGRAM,
        "version": ["1"],
        "supportedOperations": list(GATES),
        "supportedModifiers": [],
        "supportedPragmas": ["verbatim"],
        "forbiddenPragmas": [],
        "maximumQubitArrays": 1,
        "maximumClassicalArrays": 1,
        "forbiddenArrayOperations": [],
        "requiresAllQubitsMeasurement": True,
        "supportPhysicalQubits": True,
        "requiresContiguousQubitIndices": False,
        "supportsPartialVerbatimBox": False,
        "supportsUnassignedMeasurements": True,
        "disabledQubitRewiringSupported": True,
        "supportedResultTypes": [result_type],
    }


def _service(shots: tuple[int, int]) -> dict[str, Any]:
    window = {"executionDay": "Everyday", "windowStartHour": "00:00", "windowEndHour": "23:59:59"}
    return {
        "braketSchemaHeader": _header("device_service_properties"),
        "executionWindows": [window],
        "shotsRange": list(shots),
        "deviceCost": {"price": 0.08, "unit": "shot"},
        "deviceDocumentation": {"imageUrl": "", "summary": "", "externalDocumentationUrl": ""},
        "deviceLocation": "",
        "updatedAt": "2026-01-01T00:00:00",
        "getTaskPollIntervalMillis": 200,
    }


def _provider() -> dict[str, Any]:
    debias = "braket.device_schema.error_mitigation.debias.Debias"
    return {
        "braketSchemaHeader": _header("ionq.ionq_provider_properties"),
        "fidelity": {"1Q": {"mean": 0.9998}, "2Q": {"mean": 0.995}, "spam": {"mean": 0.995}},
        "timing": {
            "T1": 100,
            "T2": 1,
            "1Q": 1.3e-4,
            "2Q": 9.7e-4,
            "readout": 1.5e-4,
            "reset": 5e-5,
        },
        "errorMitigation": {debias: {"minimumShots": MIN_DEBIAS_SHOTS}},
    }
