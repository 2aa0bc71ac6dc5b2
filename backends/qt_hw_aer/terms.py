"""From the terms of a noise specification to Aer's errors after a gate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qt_hw_aer.median import median_terms
from qt_hw_aer.spec import Term

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["expanded", "gate_errors"]


def expanded(terms: Sequence[Term]) -> tuple[list[Term], str]:
    """Return the terms without ``median``, and the text of all with its numbers."""
    plain: list[Term] = []
    texts: list[str] = []
    for term in terms:
        if term.device is None:
            plain.append(term)
            texts.append(str(term))
            continue
        parts = median_terms(term.device)
        plain.extend(parts)
        texts.append(f"median({term.device}: {', '.join(str(part) for part in parts)})")
    return plain, " + ".join(texts)


def gate_errors(term: Term) -> tuple[Any, Any]:
    """Return the errors of one term after a one- and after a two-qubit gate."""
    from qiskit_aer.noise import depolarizing_error, thermal_relaxation_error

    v = term.values
    if term.kind == "depolarizing":
        return depolarizing_error(v["p1"], 1), depolarizing_error(v["p2"], 2)
    if term.kind == "coherent":
        return _coherent_errors(v)
    one = thermal_relaxation_error(v["t1"], v["t2"], v["gate_time_1q"])
    each = thermal_relaxation_error(v["t1"], v["t2"], v["gate_time_2q"])
    return one, each.expand(each)


def _coherent_errors(angles: Mapping[str, float]) -> tuple[Any, Any]:
    """Return the over-rotations after a one- and after a two-qubit gate."""
    from qiskit import QuantumCircuit
    from qiskit_aer.noise import QuantumError

    one, two = QuantumCircuit(1), QuantumCircuit(2)
    one.rx(angles["rx"], 0)
    one.rz(angles["rz"], 0)
    two.rzz(angles["zz"], 0, 1)
    # Aer's coherent_unitary_error would make an error of one qubit of a tiny angle on two.
    return tuple(QuantumError([(_unitary(circuit), 1.0)]) for circuit in (one, two))


def _unitary(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return the circuit as one gate, which no noise model takes for a noisy one."""
    from qiskit.circuit.library import UnitaryGate
    from qiskit.quantum_info import Operator

    out = circuit.copy_empty_like()
    out.append(UnitaryGate(Operator(circuit)), range(circuit.num_qubits))
    return out
