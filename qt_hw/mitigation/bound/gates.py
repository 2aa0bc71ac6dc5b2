"""Bound circuits to Cirq, which mitiq works on, and back: gate by gate, nothing optimised.

mitiq's own way leads over OpenQASM 2, which rounds angles to ten digits, drops idle qubits,
registers and metadata, and does not know ECR. Here each gate becomes one gate: the way back to
the circuit's own gates is exact up to a global phase.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from qt_hw.errors import InputError, MissingExtra, PermanentError, UnsupportedGate

if TYPE_CHECKING:
    import cirq
    from qiskit import QuantumCircuit

__all__ = [
    "BARRIER",
    "Gates",
    "built",
    "from_cirq",
    "gates_of",
    "require_mitiq",
    "to_cirq",
]

#: Tag of an operation whose moment a barrier separates from the one before.
BARRIER = "barrier before"

#: Name, qubits and angles of each gate.
Gates = Sequence[tuple[str, tuple[int, ...], tuple[float, ...]]]


def require_mitiq() -> None:
    """Check that mitiq can be imported.

    Raises:
        MissingExtra: It is not installed.
    """
    try:
        import mitiq  # noqa: F401
    except ImportError as error:
        raise MissingExtra("mitigation of bound circuits by mitiq", "mitigation") from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed the global random numbers that mitiq reads here and there; put their states back."""
    states = random.getstate(), np.random.get_state()
    random.seed(seed)
    np.random.seed(seed)
    try:
        yield
    finally:
        random.setstate(states[0])
        np.random.set_state(states[1])


def to_cirq(circuit: QuantumCircuit) -> cirq.Circuit:
    """Return a bound circuit as a Cirq circuit, qubit i as ``LineQubit(i)``.

    Barriers and identities are left out.

    Args:
        circuit: Gates {rz, ry, rx, sx, x, cx, cz, ecr}, no open angle, unmeasured.

    Raises:
        MissingExtra: mitiq is not installed.
        InputError: An angle is open.
        UnsupportedGate: Another gate.
    """
    require_mitiq()
    import cirq

    if circuit.num_parameters:
        raise InputError(
            f"mitiq needs a bound circuit, {circuit.num_parameters} angles are open: call "
            "circuit.assign_parameters(angles) first"
        )
    qubits = cirq.LineQubit.range(circuit.num_qubits)
    plain: dict[str, Any] = {"sx": cirq.X**0.5, "x": cirq.X, **_pairs()}
    turns = {"rx": cirq.rx, "ry": cirq.ry, "rz": cirq.rz}
    operations = []
    for item in circuit.data:
        name = str(item.operation.name)
        if name in ("barrier", "id"):
            continue
        if name in turns:
            gate = turns[name](float(item.operation.params[0]))
        elif name in plain:
            gate = plain[name]
        else:
            raise UnsupportedGate(
                f"mitiq is given circuits of {', '.join((*turns, *plain))}, not {name!r}: use "
                "the circuit of Backend.prepare, or lower it first"
            )
        operations.append(gate(*(qubits[circuit.find_bit(q).index] for q in item.qubits)))
    return cirq.Circuit(operations)


def _pairs() -> dict[str, Any]:
    """Return the two-qubit gates; Cirq has no ECR, so it goes by its matrix."""
    import cirq
    from qiskit.circuit.library import ECRGate
    from qiskit.quantum_info import Operator

    # The first qubit is the most significant one in Cirq, the least in Qiskit.
    matrix = Operator(ECRGate()).reverse_qargs().data
    return {"cx": cirq.CNOT, "cz": cirq.CZ, "ecr": cirq.MatrixGate(matrix)}


def from_cirq(converted: cirq.Circuit, like: QuantumCircuit) -> QuantumCircuit:
    """Return a Cirq circuit in the gates of ``like``, with its registers and metadata.

    Identities are left out. The Paulis that mitiq inserts become x and rz(π), which every device
    has. A barrier stands before each moment with an operation tagged ``BARRIER``.

    Args:
        converted: Of ``to_cirq(like)``, possibly changed by mitiq.
        like: The circuit that was converted.

    Raises:
        PermanentError: mitiq made a gate that ``like`` has not.
    """
    return built(gates_of(converted, like), like)


def gates_of(converted: cirq.Circuit, like: QuantumCircuit) -> Gates:
    """Return the gates of ``from_cirq``, before a circuit is made of them."""
    allowed = {str(name) for name in like.count_ops()} | {"rz", "x"}
    everything = tuple(range(like.num_qubits))
    pairs = _pairs()
    out: list[tuple[str, tuple[int, ...], tuple[float, ...]]] = []
    for moment in converted:
        if any(BARRIER in operation.tags for operation in moment):
            out.append(("barrier", everything, ()))
        for operation in moment:
            gate, lines = operation.gate, list[Any](operation.qubits)
            made = [(_pair(gate, pairs), ())] if len(lines) == 2 else list(_single(gate))
            for name, angles in made:
                if name not in allowed:
                    raise PermanentError(f"mitiq made a gate {name!r}, which the circuit has not")
                out.append((name, tuple(int(line.x) for line in lines), angles))
    return out


def built(gates: Gates, like: QuantumCircuit) -> QuantumCircuit:
    """Return a circuit of these gates with the registers and metadata of ``like``."""
    from qiskit.circuit.library import get_standard_gate_name_mapping

    known = get_standard_gate_name_mapping()
    out = like.copy_empty_like()
    for name, qubits, angles in gates:
        if name == "barrier":
            out.barrier(qubits)
        elif angles:
            out.append(type(known[name])(*angles), qubits)
        else:
            out.append(known[name], qubits)
    return out


def _single(gate: Any) -> Iterator[tuple[str, tuple[float, ...]]]:
    """Yield name and angles of the gates that make a one-qubit gate, up to a phase."""
    import cirq

    angle = math.pi * float(getattr(gate, "exponent", 0.0))
    if isinstance(gate, cirq.IdentityGate):
        return
    if isinstance(gate, cirq.ZPowGate):
        yield "rz", (angle,)
    elif isinstance(gate, cirq.Ry):
        yield "ry", (angle,)
    elif isinstance(gate, cirq.Rx):
        yield "rx", (angle,)
    elif _is_power(gate, cirq.XPowGate, 1.0):
        yield "x", ()
    elif _is_power(gate, cirq.YPowGate, 1.0):
        yield "rz", (math.pi,)
        yield "x", ()
    elif _is_power(gate, cirq.XPowGate, 0.5):
        yield "sx", ()
    elif _is_power(gate, cirq.XPowGate, -0.5):
        yield "rz", (math.pi,)
        yield "sx", ()
        yield "rz", (math.pi,)
    else:
        raise PermanentError(f"mitiq made a gate of unknown kind: {gate}")


def _is_power(gate: Any, kind: type[Any], exponent: float) -> bool:
    if not isinstance(gate, kind):
        return False
    return abs(math.remainder(float(getattr(gate, "exponent", 0.0)) - exponent, 2.0)) < 1e-12


def _pair(gate: Any, pairs: dict[str, Any]) -> str:
    import cirq

    matrix = cirq.unitary(gate, None)
    for name, known in pairs.items():
        if matrix is not None and np.allclose(matrix, cirq.unitary(known), rtol=0.0, atol=1e-12):
            return name
    raise PermanentError(f"mitiq made a two-qubit gate of unknown kind: {gate}")
