"""Near-Clifford circuits for regression: mitiq chooses the angles, the gates stay as they are.

mitiq replaces angles of RZ gates only, and corrupts RY gates without a word. So it is given each
RY as an RZ between fixed Clifford gates; the angles that come back go into the original's gates.
The circuits then have the noise of the original (Czarnik et al., arXiv:2005.10189).
"""

from __future__ import annotations

import math
from collections import defaultdict, deque
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw.mitigation.bound.gates import built, to_cirq

if TYPE_CHECKING:
    import cirq
    from qiskit import QuantumCircuit

__all__ = ["exact_vector", "training_circuits"]

_TURNS = ("rx", "ry", "rz")

#: In half turns; rounding errors of transpiled angles are smaller by orders of magnitude.
_RIGHT_ANGLE = 1e-9


def training_circuits(
    circuit: QuantumCircuit, number: int, fraction_non_clifford: float, *, seed: int
) -> list[QuantumCircuit]:
    """Return copies of a bound circuit in which most angles are multiples of π/2.

    Args:
        circuit: Gates as ``to_cirq`` takes them.
        number: Of copies.
        fraction_non_clifford: Share of the other angles that are kept, 0 to 1.
        seed: Of the choice.

    Raises:
        MissingExtra: mitiq is not installed.
        InputError: An angle is open, or no angle would be replaced.
        UnsupportedGate: A gate that is not converted.
    """
    framed = _framed(to_cirq(circuit))
    import cirq
    from mitiq.cdr import generate_training_circuits

    free = sum(not cirq.has_stabilizer_effect(one) for one in framed.all_operations())
    if free and round(fraction_non_clifford * free) == free:
        raise InputError(
            f"cdr: fraction_non_clifford {fraction_non_clifford:g} keeps all of the {free} angles: "
            "give a smaller one"
        )
    made = generate_training_circuits(framed, number, fraction_non_clifford, random_state=seed)
    return [_with_angles(circuit, one) for one in made]


def _framed(circuit: cirq.Circuit) -> cirq.Circuit:
    """Replace each RY and RX by an RZ between Clifford gates."""
    import cirq

    out = []
    for operation in circuit.all_operations():
        gate, qubits = operation.gate, operation.qubits
        if isinstance(gate, cirq.Ry | cirq.Rx):
            # The first gate turns the gate's axis to z.
            turn = cirq.X**0.5 if isinstance(gate, cirq.Ry) else cirq.Y**-0.5
            rz = cirq.rz(math.pi * _snapped(float(gate.exponent)))
            out += [turn(*qubits), rz(*qubits), (turn**-1)(*qubits)]
        elif isinstance(gate, cirq.ZPowGate):
            out.append(cirq.rz(math.pi * _snapped(float(gate.exponent)))(*qubits))
        else:
            out.append(operation)
    return cirq.Circuit(out)


def _snapped(exponent: float) -> float:
    """Return a multiple of a right angle exactly: a transpiler leaves it off by rounding errors.

    Cirq would count such a gate among those that are no Clifford gates.
    """
    nearest = round(2.0 * exponent) / 2.0
    return nearest if abs(exponent - nearest) < _RIGHT_ANGLE else exponent


def _with_angles(circuit: QuantumCircuit, trained: cirq.Circuit) -> QuantumCircuit:
    """Return ``circuit`` with the angles of a circuit made of ``_framed``."""
    import cirq

    # The moments may differ, the order on each qubit does not.
    angles: dict[int, deque[float]] = defaultdict(deque)
    for operation in trained.all_operations():
        if isinstance(operation.gate, cirq.ZPowGate):
            qubit: Any = operation.qubits[0]
            angles[int(qubit.x)].append(math.pi * float(operation.gate.exponent))
    gates = []
    for item in circuit.data:
        name = str(item.operation.name)
        qubits = tuple(int(circuit.find_bit(q).index) for q in item.qubits)
        gates.append((name, qubits, (angles[qubits[0]].popleft(),) if name in _TURNS else ()))
    return built(gates, circuit)


def exact_vector(circuit: QuantumCircuit) -> NDArray[np.float64]:
    """Return the exact probabilities ``(2**n,)`` of the n qubits that are no ancillas."""
    from qiskit.quantum_info import Statevector

    measured = list(range(circuit.num_qubits - circuit.num_ancillas))
    vector = Statevector(circuit).probabilities(measured)
    return np.asarray(vector, dtype=np.float64)
