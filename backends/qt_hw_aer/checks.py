"""What must hold before a circuit goes to Aer, beyond what every backend checks."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from qt_hw.errors import InputError, PreflightError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qt_hw.execution.backend import Batch

__all__ = ["check_bindable", "check_memory", "default_memory_limit", "n_measured", "unbindable"]


def default_memory_limit() -> int:
    """Return half of the machine's memory, bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


def unbindable(circuit: QuantumCircuit) -> list[str]:
    """Return the gates whose parameters Aer would silently read as 0.

    Those for which an angle is open but ``is_parameterized()`` is False: crx, cry, crz, cp, …
    (Qiskit/qiskit-aer#2323).
    """
    return sorted(
        {
            str(item.operation.name)
            for item in circuit.data
            if any(getattr(value, "parameters", None) for value in item.operation.params)
            and not item.operation.is_parameterized()
        }
    )


def check_bindable(circuit: QuantumCircuit) -> None:
    """Refuse a circuit that Aer would run with angles of 0.

    Raises:
        InputError: Names the gates.
    """
    gates = unbindable(circuit)
    if gates:
        raise InputError(
            f"Aer cannot bind the angles of {', '.join(gates)}; use the form 'lowered'"
        )


def n_measured(circuit: QuantumCircuit) -> int:
    """Return the number of measured qubits: all but the ancillas, which come last.

    Raises:
        InputError: An ancilla stands before a measured qubit.
    """
    n = int(circuit.num_qubits - circuit.num_ancillas)
    if any(circuit.find_bit(ancilla).index < n for ancilla in circuit.ancillas):
        raise InputError("the ancilla qubits must come after the measured ones")
    return n


def check_memory(batch: Batch, memory_limit: int) -> None:
    """Refuse a batch whose results would not fit.

    Raises:
        PreflightError: Says how much is needed.
    """
    needed = sum(len(item.bindings) * 8 << n_measured(item.circuit) for item in batch.items)
    if needed > memory_limit:
        raise PreflightError(
            [
                f"the results need {needed / 2**30:.1f} GiB, above memory_limit "
                f"({memory_limit / 2**30:.1f} GiB): submit fewer bindings at a time"
            ]
        )
