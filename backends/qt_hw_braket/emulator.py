"""``ionq:emulator``: the SDK's local emulator of an IonQ device, with seeds and exact laws.

The SDK's ``LocalEmulator`` runs verbatim circuits of gpi2 and zz on the density-matrix simulator
with uniform depolarizing noise and readout errors; no crosstalk, no drift, no coherent errors.
Here the same gates with the same noise run without its front end.
"""

from __future__ import annotations

import cmath
import math
from collections.abc import Iterator, Mapping, Sequence
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw_braket.density import infidelity, law, noisy_rotation, noisy_two_qubit_gate, repeated
from qt_hw_braket.description import Description, Rates, read_description
from qt_hw_braket.emit import Program
from qt_hw_braket.fast import evolve
from qt_hw_braket.local import SimulatorBackend
from qt_hw_braket.native import NativeGate, native_gates
from qt_hw_braket.options import EmulatorOptions, read_options

__all__ = ["EmulatorBackend", "open_emulator"]

Array = NDArray[np.float64]


def open_emulator(options: Mapping[str, Any]) -> EmulatorBackend:
    """Return ``ionq:emulator``; see ``qt_hw_braket.open_ionq``."""
    checked = read_options(EmulatorOptions, options, "ionq:emulator")
    return EmulatorBackend(checked, read_description(checked.properties))


class EmulatorBackend(SimulatorBackend):
    """An IonQ device on this machine: native gates, the noise of its stored properties.

    Attributes:
        name: ``"ionq:emulator"``.
        limits: Qubits by the device and by ``max_density_qubits``.
    """

    def __init__(self, options: EmulatorOptions, description: Description) -> None:
        """Take checked options and the device."""
        most = min(options.max_density_qubits, description.n_qubits)
        super().__init__("ionq:emulator", options, most, "max_density_qubits")
        self._device = description

    def law(self, program: Program, bindings: Array) -> Array:
        n = program.n_qubits
        pairs = {(a, b) for name, a, b in program.steps if name == "cnot"}
        rates = self._device.rates(n, sorted(pairs))
        readout = [rates.readout.get(qubit, 0.0) for qubit in range(n)]
        return np.array([law(n, row, readout) for row in _rows(program, bindings, rates)])

    def ideal_law(self, program: Program, bindings: Array) -> Array:
        rows = _rows(program, bindings, Rates(pulse={}, pair={}, readout={}))
        return np.array([evolve(program.n_qubits, row) for row in rows])

    def errors(self, n_qubits: int) -> dict[str, Any]:
        rates = self._device.rates(n_qubits, permutations(range(n_qubits), 2))
        readout = [rates.readout.get(qubit, 0.0) for qubit in range(n_qubits)]
        return {
            "gate_errors": {
                "rz": {"*": 0.0},
                # Two pulses make any rotation of one qubit.
                "ry": {str(q): 2.0 * infidelity(p, 1) for q, p in rates.pulse.items()},
                "cx": {f"{a},{b}": infidelity(p, 2) for (a, b), p in rates.pair.items()},
            },
            "readout_p01": readout,
            "readout_p10": readout,
        }

    def properties(self) -> dict[str, Any]:
        return {
            "device": {
                "source": self._device.source,
                "sha256": self._device.sha256,
                "updated": self._device.updated,
            },
            "noise": "the SDK's LocalEmulator: depolarizing after gpi2 and zz, readout flips",
            "gates": "gpi2, zz; rz is virtual",
        }


def _rows(program: Program, bindings: Array, rates: Rates) -> Iterator[list[Any]]:
    """Yield the operations of the simulator for each binding."""
    n = program.n_qubits
    for row in program.angles(bindings).tolist():
        yield _operations(n, native_gates(n, program.gates(row)), rates)


def _operations(n_qubits: int, gates: Sequence[NativeGate], rates: Rates) -> list[Any]:
    """Return operations of the simulator; consecutive pulses on a qubit are one."""
    out: list[Any] = []
    waiting: dict[int, list[float]] = {}

    def flush(qubit: int) -> None:
        phases = waiting.pop(qubit, [])
        if phases:
            error = repeated(rates.pulse.get(qubit, 0.0), len(phases))
            out.append(noisy_rotation(n_qubits, qubit, _pulses(phases), error))

    for gate in gates:
        if len(gate) == 3:
            waiting.setdefault(gate[1], []).append(gate[2])
            continue
        _, first, second, angle = gate
        flush(first)
        flush(second)
        turn = cmath.exp(-0.5j * angle)
        matrix = np.diag([turn, turn.conjugate(), turn.conjugate(), turn])
        error = rates.pair.get((first, second), 0.0)
        out.append(noisy_two_qubit_gate(n_qubits, first, second, matrix, error))
    for qubit in range(n_qubits):
        flush(qubit)
    return out


def _pulses(phases: Sequence[float]) -> NDArray[np.complex128]:
    """Return the product of GPi2 gates, the first one rightmost."""
    total = np.eye(2, dtype=np.complex128)
    for phase in phases:
        off = -1j * cmath.exp(1j * phase)
        pulse = np.array([[1, -off.conjugate()], [off, 1]])
        total = pulse @ total / math.sqrt(2)
    return total
