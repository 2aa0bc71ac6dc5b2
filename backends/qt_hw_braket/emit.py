"""Circuits as lists of rz, ry and cnot, as OpenQASM 3 and as the SDK's objects.

Every device and simulator of Amazon Braket knows these three gates. Gate modifiers are never
used: QPUs refuse them and the local simulators drop some of them silently.
"""

from __future__ import annotations

import math
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from qt_hw.circuits.gates import Op, expand
from qt_hw.circuits.native import instructions, plain
from qt_hw.errors import InputError, UnsupportedGate

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["Gate", "Program", "Step", "circuit", "compile_circuit", "gate_list", "openqasm"]

#: A gate with its angle: ``("rz" | "ry", qubit, radians)`` or ``("cnot", control, target)``.
Gate = tuple[str, int, float] | tuple[str, int, int]

#: A gate of a program: like ``Gate``, but a rotation holds the number of its angle.
Step = tuple[str, int, int]

_PI = math.pi


@dataclass(frozen=True, kw_only=True, eq=False)
class Program:
    """A circuit as rz, ry and cnot, its angles still open.

    Attributes:
        n_qubits: Number of qubits, all of them measured.
        steps: ``("rz" | "ry", qubit, number of the rotation)`` and ``("cnot", control, target)``
            in time order; rotations are numbered as they come.
        matrix: ``(rotations, parameters of the circuit)``, sparse.
        offsets: Radians, ``(rotations,)``.
    """

    n_qubits: int
    steps: tuple[Step, ...]
    matrix: csr_array
    offsets: NDArray[np.float64]

    def angles(self, bindings: ArrayLike) -> NDArray[np.float64]:
        """Return the angle of each rotation, ``(B, rotations)``, of bindings ``(B, P)``.

        Raises:
            InputError: The bindings have another number of columns.
        """
        rows = np.asarray(bindings, dtype=np.float64)
        if rows.ndim != 2 or rows.shape[1] != self.matrix.shape[1]:
            raise InputError(
                f"bindings of the shape {rows.shape} for a circuit with "
                f"{self.matrix.shape[1]} parameters"
            )
        return np.asarray((self.matrix @ rows.T).T + self.offsets)

    def gates(self, angles: Sequence[float]) -> list[Gate]:
        """Return the gates with the angles of one binding, ``(rotations,)``, filled in."""
        return [
            step if step[0] == "cnot" else (step[0], step[1], float(angles[step[2]]))
            for step in self.steps
        ]


# Programs of circuits that are still alive, by identity: circuits have no hash.
_COMPILED: dict[tuple[int, int], tuple[weakref.ref[QuantumCircuit], Program]] = {}


def compile_circuit(circuit: QuantumCircuit) -> Program:
    """Compile an unmeasured circuit, once; it must not be changed afterwards.

    Angles may be affine in the circuit's parameters (an inverted rotation has the angle -a).
    Gates are translated one by one, nothing is merged: a folded circuit stays folded.

    Raises:
        UnsupportedGate: A gate that is not a product of rotations of one qubit and cx.
        InputError: A measurement, or an angle that is not affine.
    """
    key = (id(circuit), len(circuit.data))
    known = _COMPILED.get(key)
    if known is None or known[0]() is not circuit:
        forget = weakref.ref(circuit, lambda _: _COMPILED.pop(key, None))
        known = _COMPILED[key] = (forget, _compile(circuit))
    return known[1]


def _compile(circuit: QuantumCircuit) -> Program:
    flat, matrix, offsets = plain(circuit)
    steps: list[Step] = []
    slots: list[int | None] = []
    constants: list[float] = []
    for name, qubits, values in instructions(flat):
        for op in expand(name, qubits, values):
            for kind, places, slot, angle in _elementary(op, name):
                if kind == "cnot":
                    steps.append(("cnot", places[0], places[1]))
                    continue
                steps.append((kind, places[0], len(slots)))
                slots.append(slot)
                constants.append(angle)
    rows = np.array([i for i, slot in enumerate(slots) if slot is not None], dtype=np.int64)
    columns = np.array([slot for slot in slots if slot is not None], dtype=np.int64)
    chosen = csr_array((np.ones(len(rows)), (rows, columns)), shape=(len(slots), len(offsets)))
    return Program(
        n_qubits=int(circuit.num_qubits),
        steps=tuple(steps),
        matrix=csr_array(chosen @ matrix),
        offsets=chosen @ offsets + np.array(constants, dtype=np.float64),
    )


_Piece = tuple[str, tuple[int, ...], int | None, float]


def _elementary(op: Op, name: str) -> Iterator[_Piece]:
    """Yield rz, ry and cnot, up to a global phase, in time order."""
    qubits = op.qubits
    if op.kind in ("rz", "ry"):
        yield op.kind, qubits, op.slot, op.offset
    elif op.kind == "rx":
        yield "rz", qubits, None, _PI / 2
        yield "ry", qubits, op.slot, op.offset
        yield "rz", qubits, None, -_PI / 2
    elif op.kind == "cx":
        yield "cnot", qubits, None, 0.0
    elif op.kind == "cz":
        hadamard: list[_Piece] = [
            ("rz", qubits[1:], None, _PI),
            ("ry", qubits[1:], None, _PI / 2),
        ]
        yield from hadamard
        yield "cnot", qubits, None, 0.0
        yield from hadamard
    else:
        raise UnsupportedGate(
            f"gate {name!r} does not go to Amazon Braket, which gets rz, ry and cnot; use "
            "ansatz.lowered()"
        )


def _program(source: Program | QuantumCircuit) -> Program:
    return source if isinstance(source, Program) else compile_circuit(source)


def gate_list(source: Program | QuantumCircuit, row: ArrayLike) -> list[Gate]:
    """Return the gates of one binding, in time order.

    Args:
        source: A program, or a circuit that is compiled once.
        row: Radians, ``(P,)``, in the order of ``circuit.parameters``.

    Raises:
        UnsupportedGate: See ``compile_circuit``.
        InputError: See ``compile_circuit``; or a row of another length.
    """
    program = _program(source)
    (angles,) = program.angles(np.atleast_2d(np.asarray(row, dtype=np.float64)))
    return program.gates(angles.tolist())


def openqasm(source: Program | QuantumCircuit, row: ArrayLike) -> str:
    """Return one binding as OpenQASM 3, every qubit measured explicitly.

    The text is the SDK's own serialisation of the same circuit, so it is what a device of Amazon
    Braket takes; angles are printed so that reading them gives the same numbers.

    Args:
        source: See ``gate_list``.
        row: See ``gate_list``.
    """
    program = _program(source)
    n = program.n_qubits
    lines = [f"bit[{n}] b;", f"qubit[{n}] q;"]
    for name, first, second in gate_list(program, row):
        if name == "cnot":
            lines.append(f"cnot q[{first}], q[{second}];")
        else:
            lines.append(f"{name}({second!r}) q[{first}];")
    lines += [f"b[{qubit}] = measure q[{qubit}];" for qubit in range(n)]
    return "\n".join(["OPENQASM 3.0;", *lines])


def circuit(source: Program | QuantumCircuit, row: ArrayLike, *, measured: bool = True) -> Any:
    """Return one binding as the SDK's ``Circuit``, by default with all qubits measured.

    Args:
        source: See ``gate_list``.
        row: See ``gate_list``.
        measured: Whether the measurements are in it.
    """
    from braket.circuits import Circuit

    program, out = _program(source), Circuit()
    for name, first, second in gate_list(program, row):
        getattr(out, name)(first, second)
    return out.measure(range(program.n_qubits)) if measured else out
