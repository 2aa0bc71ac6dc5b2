"""Circuits in a device's own gates: made once from our lowering, checked before each request.

A prepared circuit holds the qubits it uses only, the measured ones first; its metadata names the
physical qubit of each. A request takes the same circuit on all qubits of the device, measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from qt_hw.errors import InputError, PermanentError, PreflightError
from qt_hw.execution.transpile import Compiled, transpile

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.transpiler import Target

    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["compile_ansatz", "full_width", "instructions_per_qubit", "physical_qubits"]

#: Name of the classical register; its bit i is logical qubit i.
REGISTER = "meas"

#: Larger circuits are not compared: the check would take longer than it is worth.
_MAX_VERIFIED_QUBITS = 12

#: Low-level instructions by which IBM counts a job's size, on each qubit of a gate
#: (quantum.cloud.ibm.com/docs/guides/job-limits).
_WEIGHTS = {
    "rz": 1, "delay": 1, "sx": 2, "x": 2, "rx": 2, "cx": 5, "cz": 5, "ecr": 5, "rzz": 5,
    "measure": 10, "reset": 17,
}  # fmt: skip
_START_WEIGHT = 50


def compile_ansatz(
    ansatz: Ansatz,
    target: Target,
    device: str,
    *,
    optimization_level: int,
    seed_transpiler: int,
    layout: Sequence[int] | None,
) -> Compiled:
    """Return the ansatz in the gates and on the qubits of ``target``.

    Raises:
        PreflightError: The device has too few qubits, no RZ gate, or the circuit cannot be placed.
        InputError: A layout with wrong qubits.
        PermanentError: The result is another circuit: a fault of the transpiler.
    """
    n_device = target.num_qubits
    if "rz" not in target.operation_names:
        raise PreflightError([f"{device} has no RZ gate; choose a newer device"])
    if ansatz.n_qubits > n_device:
        raise PreflightError([f"the circuit has {ansatz.n_qubits} qubits, {device} has {n_device}"])
    if layout is not None and len(layout) != ansatz.n_qubits:
        raise InputError(f"layout has {len(layout)} qubits, the circuit {ansatz.n_qubits}")
    if layout is not None and max(layout, default=0) >= n_device:
        raise InputError(f"layout names qubit {max(layout)}, {device} has 0 to {n_device - 1}")
    compiled = transpile(
        ansatz.form("lowered", "cz" if "cz" in target.operation_names else "cx"),
        target,
        optimization_level=optimization_level,
        seed_transpiler=seed_transpiler,
        layout=layout,
    )
    _verify(ansatz, compiled)
    return compiled


def _verify(ansatz: Ansatz, compiled: Compiled) -> None:
    """Compare the noiseless laws before and after, at one point."""
    circuit = compiled.form.circuit
    if circuit.num_qubits > _MAX_VERIFIED_QUBITS:
        return
    from qiskit.quantum_info import Statevector

    angles = np.random.default_rng(20240519).uniform(-np.pi, np.pi, (1, ansatz.n_angles))
    before = Statevector(ansatz.circuit().assign_parameters(angles[0])).probabilities()
    bound = circuit.assign_parameters(compiled.form.gate_angles(angles)[0])
    after = Statevector(bound).probabilities(list(range(ansatz.n_qubits)))
    error = float(np.abs(after - before).max())
    if error > 1e-8:
        raise PermanentError(
            f"the transpiled circuit's law is off by {error:.1e}: please report the circuit and "
            "the versions that 'qt-hw doctor' prints"
        )


def physical_qubits(circuit: QuantumCircuit, device: str) -> tuple[int, ...]:
    """Return the physical qubit of each qubit of a prepared circuit.

    Raises:
        InputError: Not a circuit from ``prepare``, or made from one.
    """
    physical = (circuit.metadata or {}).get("physical_qubits")
    if physical is None or len(physical) != circuit.num_qubits:
        raise InputError(
            f"{device} needs circuits made from Backend.prepare(ansatz).circuit, which carry "
            "metadata['physical_qubits']"
        )
    return tuple(physical)


def full_width(circuit: QuantumCircuit, target: Target, device: str) -> QuantumCircuit:
    """Return a prepared circuit on all qubits of the device, measured, every gate checked.

    Bit i of the result is logical qubit i. The client posts whatever it is given, so the check
    against the device's gates has to be made here.

    Raises:
        InputError: Not a circuit from ``prepare``, or a gate that the device lacks.
    """
    from qiskit import ClassicalRegister, QuantumCircuit

    physical = physical_qubits(circuit, device)
    n_measured = circuit.num_qubits - circuit.num_ancillas
    index = {qubit: physical[i] for i, qubit in enumerate(circuit.qubits)}
    out = QuantumCircuit(target.num_qubits)
    out.add_register(ClassicalRegister(n_measured, REGISTER))
    for entry in circuit.data:
        where = tuple(index[qubit] for qubit in entry.qubits)
        _check(entry.operation.name, where, target, device)
        out.append(entry.operation, where)
    out.barrier(physical)
    for bit, qubit in enumerate(physical[:n_measured]):
        _check("measure", (qubit,), target, device)
        out.measure(qubit, bit)
    return out


def _check(name: str, where: tuple[int, ...], target: Target, device: str) -> None:
    if name != "barrier" and not target.instruction_supported(name, where):
        raise InputError(f"{device} has no gate {name!r} on the qubits {where}")


def instructions_per_qubit(circuit: QuantumCircuit) -> int:
    """Return IBM's count of low-level instructions on the busiest qubit, for one binding."""
    load: Counter[int] = Counter()
    index = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    for entry in circuit.data:
        for qubit in entry.qubits:
            load[index[qubit]] += _WEIGHTS.get(entry.operation.name, 0)
    return _START_WEIGHT + _WEIGHTS["measure"] + max(load.values(), default=0)
