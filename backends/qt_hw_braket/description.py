"""A device's stored properties, and the noise that the SDK's emulator makes of them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from qt_hw.errors import InputError, PermanentError

__all__ = ["Description", "Rates", "read_description"]

_STORED = "forte-1.json"
_NATIVE = frozenset(("gpi2", "zz"))


@dataclass(frozen=True, kw_only=True)
class Rates:
    """What the emulator adds to gpi2, zz and the measurement, in Amazon Braket's convention.

    Attributes:
        pulse: By qubit, probability of ``Depolarizing`` after a gpi2.
        pair: By qubits, probability of ``TwoQubitDepolarizing`` after a zz.
        readout: By qubit, probability of ``BitFlip`` before the measurement.
    """

    pulse: dict[int, float]
    pair: dict[tuple[int, int], float]
    readout: dict[int, float]


class Description:
    """The properties of an IonQ device, as the SDK's ``LocalEmulator`` reads them.

    Attributes:
        source: Where the properties are from.
        emulator: The SDK's ``LocalEmulator``.
        n_qubits: Qubits of the device.
        updated: ISO 8601 time of the properties, or None.
        sha256: Of the text.
    """

    def __init__(self, text: str, source: str) -> None:
        """Read the JSON text of a device's properties.

        Raises:
            InputError: It is not the description of a device with the gates gpi2 and zz.
        """
        from braket.emulation.local_emulator import LocalEmulator

        content = _parsed(text, source)
        try:
            gates = {str(gate).lower() for gate in content["paradigm"]["nativeGateSet"]}
            self.n_qubits = int(content["paradigm"]["qubitCount"])
        except (KeyError, TypeError, ValueError) as error:
            raise _unreadable(source, "it has no paradigm with gates and qubits") from error
        if not gates >= _NATIVE:
            raise InputError(
                f"{source} has the native gates {', '.join(sorted(gates))}; the emulator needs "
                "gpi2 and zz, as IonQ's Forte devices have"
            )
        try:
            self.emulator = LocalEmulator.from_json(text)
        except (AttributeError, ImportError, KeyError, TypeError, ValueError) as error:
            raise _unreadable(source, " ".join(str(error).split())[:200]) from error
        self.source = source
        self.updated = content.get("service", {}).get("updatedAt")
        self.sha256 = hashlib.sha256(text.encode()).hexdigest()

    def rates(self, n_qubits: int, pairs: Iterable[tuple[int, int]]) -> Rates:
        """Return the noise on the qubits 0 … n-1, by asking the SDK's noise model.

        Raises:
            PermanentError: This version of the SDK makes another kind of noise.
        """
        from braket.circuits import Circuit

        probe = Circuit()
        for qubit in range(n_qubits):
            probe.gpi2(qubit, 0.0)
        for first, second in pairs:
            probe.zz(first, second, 0.0)
        probe.measure(range(n_qubits))
        rates = Rates(pulse={}, pair={}, readout={})
        for entry in self.emulator.noise_model.apply(probe).instructions:
            _add(rates, entry.operator, tuple(int(qubit) for qubit in entry.target))
        return rates


def _add(rates: Rates, operator: Any, qubits: tuple[int, ...]) -> None:
    """Take one instruction of the noisy probe; each gate occurs once per place."""
    if operator.name in ("GPi2", "ZZ", "Measure"):
        return
    places: dict[str, dict[Any, float]] = {
        "Depolarizing": rates.pulse,
        "TwoQubitDepolarizing": rates.pair,
        "BitFlip": rates.readout,
    }
    where = qubits if len(qubits) > 1 else qubits[0]
    if operator.name not in places or where in places[operator.name]:
        raise PermanentError(
            f"the SDK's emulator adds the noise {operator.name} to qubits {list(qubits)}, which "
            "this version does not know; use the version of amazon-braket-sdk in constraints.txt"
        )
    places[operator.name][where] = float(operator.probability)


def _parsed(text: str, source: str) -> dict[str, Any]:
    try:
        content = json.loads(text)
    except ValueError as error:
        raise _unreadable(source, "it is not JSON") from error
    if not isinstance(content, dict):
        raise _unreadable(source, "it is not a JSON object")
    return content


def _unreadable(source: str, why: str) -> InputError:
    return InputError(
        f"cannot read {source} as a device's properties: {why}; save them with "
        "AwsDevice(arn).properties.json()"
    )


def read_description(path: str | Path | None) -> Description:
    """Return the description in a file, or the stored one of Forte-1.

    The stored one is made by hand from public documentation; it says so itself.

    Raises:
        InputError: The file cannot be read or is not a device's properties.
    """
    if path is None:
        text = resources.files("qt_hw_braket").joinpath(_STORED).read_text()
        return Description(text, f"the stored {_STORED}")
    try:
        text = Path(path).expanduser().read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read properties={str(path)!r}: {error}") from error
    return Description(text, str(path))
