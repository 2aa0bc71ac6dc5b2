"""Checks and cuts of the circuits that a client sends: they are as wide as the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import PermanentError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.transpiler import Target

__all__ = ["NOT_NATIVE", "Rejected", "check_native", "check_rzz", "measured_part"]

#: The service's code for a circuit that the device cannot run.
NOT_NATIVE = 1517


class Rejected(PermanentError):
    """The service refuses to run a job."""

    def __init__(self, message: str, code: int) -> None:
        """Refuse with the service's error code."""
        super().__init__(message)
        self.code = code


def check_native(circuit: QuantumCircuit, target: Target) -> None:
    """Check every instruction against the device.

    Raises:
        Rejected: The device has no such instruction on these qubits.
    """
    if circuit.num_qubits > target.num_qubits:
        raise Rejected(
            f"The circuit has {circuit.num_qubits} qubits but the target system requires "
            f"{target.num_qubits} qubits.",
            NOT_NATIVE,
        )
    for entry in circuit.data:
        name = entry.operation.name
        qubits = tuple(circuit.find_bit(qubit).index for qubit in entry.qubits)
        if name != "barrier" and not target.instruction_supported(name, qubits):
            raise Rejected(
                f"The instruction {name} on qubits {qubits} is not supported by the target system.",
                NOT_NATIVE,
            )


def check_rzz(circuit: QuantumCircuit, values: NDArray[np.float64]) -> None:
    """Check that the angles of RZZ lie in [0, π/2]: devices do no other.

    Args:
        circuit: Native, with plain parameters.
        values: Radians, ``(..., n_parameters)``.

    Raises:
        Rejected: One does not.
    """
    columns = {parameter: index for index, parameter in enumerate(circuit.parameters)}
    for entry in circuit.data:
        if entry.operation.name != "rzz":
            continue
        angle = entry.operation.params[0]
        angles = values[..., columns[angle]] if angle in columns else float(angle)
        if np.any(np.abs(np.asarray(angles) - np.pi / 4) > np.pi / 4 + 1e-9):
            raise Rejected("The angle of rzz must be between 0 and pi/2.", NOT_NATIVE)


def measured_part(circuit: QuantumCircuit, *, keep_width: bool) -> QuantumCircuit:
    """Return the circuit without the qubits that cannot influence a measured one.

    Dynamical decoupling fills all idle qubits of a device with gates; a simulator could not hold
    them. Barriers are left out.

    Args:
        circuit: As wide as the device.
        keep_width: Whether qubits keep their number, as a noise model needs it; otherwise only
            those that matter are left, and delays are dropped.
    """
    entries = [entry for entry in circuit.data if entry.operation.name != "barrier"]
    needed = {qubit for entry in entries if entry.clbits for qubit in entry.qubits}
    grown = True
    while grown:
        before = len(needed)
        for entry in entries:
            if not needed.isdisjoint(entry.qubits):
                needed.update(entry.qubits)
        grown = len(needed) > before
    if keep_width:
        out = circuit.copy_empty_like()
    else:
        qubits = [qubit for qubit in circuit.qubits if qubit in needed]
        entries = [entry for entry in entries if entry.operation.name != "delay"]
        out = type(circuit)(qubits, circuit.clbits, *circuit.cregs)
    for entry in entries:
        if not needed.isdisjoint(entry.qubits):
            out.append(entry)
    return out
