"""Stored calibrations of IBM's devices: the fake backends of ``qiskit_ibm_runtime``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qt_hw.errors import InputError, PreflightError, UnknownName
from qt_hw.execution.transpile import Compiled, transpile
from qt_hw_aer.fake import known_devices
from qt_hw_aer.noise import Noise, noise_of_target
from qt_hw_aer.scale import scaled_target, scaled_text

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.transpiler import Target

    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["Snapshot", "reduced"]


def reduced(target: Target, physical: Sequence[int]) -> Target:
    """Return the part of a device on some of its qubits, which become 0, 1, … in this order."""
    from qiskit.circuit import Gate, Measure, Reset
    from qiskit.transpiler import Target

    place = {qubit: i for i, qubit in enumerate(physical)}
    qubits = target.qubit_properties
    out = Target(
        num_qubits=len(physical),
        dt=target.dt,
        qubit_properties=None if qubits is None else [qubits[q] for q in physical],
    )
    for name, entries in target.items():
        operation = target.operation_from_name(name)
        if entries is None or not isinstance(operation, Gate | Measure | Reset):
            continue
        kept = {
            tuple(place[q] for q in where): properties
            for where, properties in entries.items()
            if where is not None and all(q in place for q in where)
        }
        if kept:
            out.add_instruction(operation, kept, name=name)
    return out


class Snapshot:
    """One fake backend, with what circuits need of it."""

    def __init__(
        self,
        name: str,
        *,
        optimization_level: int = 3,
        seed_transpiler: int = 0,
        layout: Sequence[int] | None = None,
        noise_scale: float = 1.0,
    ) -> None:
        """Load the device.

        Args:
            name: For example ``"fake_torino"``.
            optimization_level: Qiskit's, 0 to 3.
            seed_transpiler: Seed of layout and routing.
            layout: Physical qubit of each logical qubit; None lets the transpiler choose.
            noise_scale: Factor on all error rates. Circuits are compiled for the device as it
                is, so that they are the same at every factor.

        Raises:
            UnknownName: No such fake backend.
            MissingExtra: qiskit-ibm-runtime is not installed.
            PreflightError: A chip of an old kind, without RZ gates.
            InputError: A layout with wrong qubits.
        """
        devices = known_devices()
        if name not in devices:
            raise UnknownName("device of the backend 'aer'", name, list(devices))
        device = devices[name]()
        self.name = name
        self.target: Target = device.target
        if "rz" not in self.target.operation_names:
            raise PreflightError([f"{name} has no RZ gate; choose a newer device (fake_torino)"])
        self.calibration_date = str(device.properties().last_update_date.isoformat())
        self.scale = noise_scale
        self._noisy = self.target if noise_scale == 1.0 else scaled_target(self.target, noise_scale)
        self._level, self._seed = optimization_level, seed_transpiler
        self._layout = None if layout is None else [int(q) for q in layout]
        self._noises: dict[tuple[int, ...], Noise] = {}
        n_device = self.target.num_qubits
        if self._layout is not None and (
            len(set(self._layout)) < len(self._layout)
            or any(not 0 <= q < n_device for q in self._layout)
        ):
            raise InputError(f"layout {layout!r} needs different qubits from 0 to {n_device - 1}")

    def compile(self, ansatz: Ansatz) -> Compiled:
        """Return the ansatz as this device runs it.

        Raises:
            PreflightError: More qubits than the device has.
            InputError: The layout has another number of qubits than the ansatz.
        """
        n_device = self.target.num_qubits
        if ansatz.n_qubits > n_device:
            raise PreflightError(
                [f"the circuit has {ansatz.n_qubits} qubits, {self.name} has {n_device}"]
            )
        if self._layout is not None and len(self._layout) != ansatz.n_qubits:
            raise InputError(
                f"layout has {len(self._layout)} qubits, the circuit {ansatz.n_qubits}"
            )
        return transpile(
            ansatz.form("lowered", "cz" if "cz" in self.target.operation_names else "cx"),
            self.target,
            optimization_level=self._level,
            seed_transpiler=self._seed,
            layout=self._layout,
        )

    def noise(self, physical: tuple[int, ...]) -> Noise:
        """Return the noise of these physical qubits, numbered as in the circuit."""
        if physical not in self._noises:
            text = scaled_text(f"{self.name}@{self.calibration_date}", self.scale)
            self._noises[physical] = noise_of_target(reduced(self._noisy, physical), text)
        return self._noises[physical]

    def check(self, circuit: QuantumCircuit) -> tuple[int, ...]:
        """Return the circuit's physical qubits, after a check that the device has its gates.

        Raises:
            InputError: Not a circuit from ``prepare`` (or made from one), or a gate that this
                device lacks: Aer would run it without noise.
        """
        physical = (circuit.metadata or {}).get("physical_qubits")
        if physical is None or len(physical) != circuit.num_qubits:
            raise InputError(
                f"{self.name} needs circuits made from Backend.prepare(ansatz).circuit, which "
                "carry metadata['physical_qubits']"
            )
        for item in circuit.data:
            name = item.operation.name
            where = tuple(physical[circuit.find_bit(q).index] for q in item.qubits)
            if name == "delay":
                raise InputError(
                    f"{self.name}: the noise of a delay is not simulated; leave it out"
                )
            if name != "barrier" and not self.target.instruction_supported(name, where):
                raise InputError(f"{self.name} has no gate {name!r} on the qubits {where}")
        return tuple(physical)

    def properties(self, compiled: Compiled) -> dict[str, Any]:
        """Return layout, calibration and gates of a circuit, JSON-ready; times in seconds.

        Times are those of ``layout`` then ``ancillas``, readout errors those of ``layout``: where
        the logical qubits are measured. They start on ``initial_layout``. Errors of gates are given
        for the qubits on which the circuit has them. Rates are those of the scaled noise.
        """
        physical, n_measured = compiled.physical, len(compiled.start)
        noise = self.noise(physical)
        qubits = self._noisy.qubit_properties
        scaled = {} if self.scale == 1.0 else {"noise_scale": self.scale}
        return {
            "device": self.name,
            **scaled,
            "n_device_qubits": int(self.target.num_qubits),
            "initial_layout": list(compiled.start),
            "layout": list(physical[:n_measured]),
            "ancillas": list(physical[n_measured:]),
            "t1_s": [_number(qubits[q].t1) for q in physical],
            "t2_s": [_number(qubits[q].t2) for q in physical],
            "readout_p01": [float(noise.readout[i][0, 1]) for i in range(n_measured)],
            "readout_p10": [float(noise.readout[i][1, 0]) for i in range(n_measured)],
            "gate_errors": compiled.gate_errors(self._noisy),
            "optimization_level": self._level,
            "seed_transpiler": self._seed,
            **compiled.statistics(),
        }


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)
