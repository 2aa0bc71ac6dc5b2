"""Devices of Amazon Braket: their names, and what they say of themselves."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qt_hw.errors import InputError, PermanentError, PreflightError

__all__ = [
    "FORTE_1",
    "FORTE_ENTERPRISE_1",
    "IONQ",
    "Device",
    "ProgramSets",
    "arn_of",
    "is_ionq",
    "read_device",
    "region_of",
    "stated_errors",
    "uniform_errors",
]

FORTE_1 = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-1"
FORTE_ENTERPRISE_1 = "arn:aws:braket:us-east-1::device/qpu/ionq/Forte-Enterprise-1"

#: Short names, after ``ionq:``.
IONQ: Mapping[str, str] = {"forte-1": FORTE_1, "forte-enterprise-1": FORTE_ENTERPRISE_1}

#: Gates that circuits are sent in.
_NEEDED = frozenset({"rz", "ry", "cnot"})

_ARN = re.compile(r"arn:aws[\w-]*:braket:([\w-]*)::device/[\w-]+/[\w.-]+/[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class ProgramSets:
    """Limits of a program set: many circuits in one task.

    Attributes:
        max_executables: Most circuits.
        max_shots: Most shots of all circuits together.
        min_shots: Fewest.
    """

    max_executables: int
    max_shots: int
    min_shots: int


@dataclass(frozen=True, kw_only=True)
class Device:
    """What a device says of itself; limits hold on demand, not under a reservation.

    Attributes:
        arn: Amazon's name of it.
        provider: Who built it.
        status: ``"ONLINE"``, ``"OFFLINE"`` or ``"RETIRED"``.
        n_qubits: Number of qubits.
        shots: Fewest and most shots of a circuit.
        sets: Limits of program sets, None if it takes none.
        native_gates: In lower case.
        debias_shots: Fewest shots of a debiased circuit, None if it has no debiasing.
        updated: ISO 8601 date of the properties, None if there is none.
        calibration: The provider's fidelities and times, as far as there are any.
    """

    arn: str
    provider: str
    status: str
    n_qubits: int
    shots: tuple[int, int]
    sets: ProgramSets | None
    native_gates: frozenset[str]
    debias_shots: int | None
    updated: str | None
    calibration: dict[str, Any]


def arn_of(device: str) -> str:
    """Return the ARN of a device that is given by its ARN or its short name.

    Raises:
        InputError: It is neither.
    """
    if device in IONQ:
        return IONQ[device]
    if not _ARN.fullmatch(device):
        raise InputError(
            f"{device!r} is not the ARN of a device; write 'braket:local', 'braket:local-dm', "
            f"'ionq:forte-1' or e.g. 'braket:{FORTE_1}'"
        )
    return device


def region_of(arn: str) -> str | None:
    """Return the region in an ARN, None if it has none (on-demand simulators)."""
    return arn.split(":")[3] or None


def is_ionq(arn: str) -> bool:
    """Whether a device is IonQ's."""
    return "/ionq/" in arn


def read_device(reply: Mapping[str, Any]) -> Device:
    """Return the device that a reply of GetDevice describes.

    Raises:
        PreflightError: It does not run circuits of rz, ry and cnot.
        PermanentError: The installed schemas do not know its description.
    """
    from braket.schema_common import BraketSchemaBase
    from pydantic.v1 import ValidationError

    arn = str(reply["deviceArn"])
    try:
        caps = BraketSchemaBase.parse_raw_schema(reply["deviceCapabilities"])
    except (ValidationError, ValueError, ImportError, AttributeError) as error:
        raise PermanentError(
            f"the description of {arn} cannot be read ({type(error).__name__}): "
            "update the package amazon-braket-schemas"
        ) from None
    _check_gates(arn, caps)
    paradigm, service, provider = caps.paradigm, caps.service, getattr(caps, "provider", None)
    updated = getattr(service, "updatedAt", None)
    return Device(
        arn=arn,
        provider=str(reply["providerName"]),
        status=str(reply["deviceStatus"]),
        n_qubits=int(paradigm.qubitCount),
        shots=(int(service.shotsRange[0]), int(service.shotsRange[1])),
        sets=_program_sets(caps),
        native_gates=frozenset(
            str(gate).lower() for gate in getattr(paradigm, "nativeGateSet", None) or ()
        ),
        debias_shots=_debias_shots(provider),
        updated=None if updated is None else updated.isoformat(),
        calibration={
            name: getattr(provider, name)
            for name in ("fidelity", "timing")
            if isinstance(getattr(provider, name, None), dict)
        },
    )


def uniform_errors(single: float, pair: float, readout: Sequence[float]) -> dict[str, Any]:
    """Return errors that are the same for all qubits as the properties of a circuit, JSON-ready.

    An error is one less the average fidelity of a gate.

    Args:
        single: Of a ry; rz is done in software.
        pair: Of a cx.
        readout: Of each measured qubit: both outcomes are misread alike.
    """
    return {
        "gate_errors": {"rz": {"*": 0.0}, "ry": {"*": single}, "cx": {"*": pair}},
        "readout_p01": list(readout),
        "readout_p10": list(readout),
    }


def stated_errors(calibration: Mapping[str, Any], n_qubits: int) -> dict[str, Any]:
    """Return what the provider's mean fidelities say of a circuit's errors, JSON-ready.

    The fidelity ``spam`` is that of preparing and reading a qubit; all of it counts as readout.
    Empty where the fidelities of gates and readout are not all there, as with other providers.
    """
    fidelity = calibration.get("fidelity") or {}
    found = [(fidelity.get(name) or {}).get("mean") for name in ("1Q", "2Q", "spam")]
    means = [float(mean) for mean in found if isinstance(mean, int | float)]
    if len(means) < len(found) or not all(0.5 < mean <= 1.0 for mean in means):
        return {}
    single, pair, readout = (1.0 - mean for mean in means)
    # Up to two native pulses make a rotation, one native gate of two qubits a cx.
    return uniform_errors(2.0 * single, pair, [readout] * n_qubits)


def _check_gates(arn: str, caps: Any) -> None:
    from braket.device_schema import DeviceActionType

    action = caps.action.get(DeviceActionType.OPENQASM)
    if action is None:
        raise PreflightError([f"{arn} runs no circuits; choose a gate-model device"])
    missing = _NEEDED - {str(gate).lower() for gate in action.supportedOperations}
    if missing:
        raise PreflightError([f"{arn} does not know the gates {', '.join(sorted(missing))}"])


def _program_sets(caps: Any) -> ProgramSets | None:
    from braket.device_schema import DeviceActionType

    limits = caps.action.get(DeviceActionType.OPENQASM_PROGRAM_SET)
    if limits is None:
        return None
    return ProgramSets(
        max_executables=limits.maximumExecutables,
        max_shots=limits.maximumTotalShots,
        min_shots=limits.minimumTotalShots or 1,
    )


def _debias_shots(provider: Any) -> int | None:
    from braket.device_schema.error_mitigation.debias import Debias

    schemes = getattr(provider, "errorMitigation", None) or {}
    return int(schemes[Debias].minimumShots) if Debias in schemes else None
