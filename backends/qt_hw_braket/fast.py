"""Exact probabilities on Amazon Braket's local state-vector simulator, without its front end.

``LocalSimulator.run`` spends nine tenths of its time on writing and parsing OpenQASM. Here its
``StateVectorSimulation`` is driven directly: a circuit is read once, each run of rotations on one
qubit becomes one 2×2 matrix, for all bindings at a time. The simulation class is internal to
amazon-braket-default-simulator, so the tests compare it with ``LocalSimulator``.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw_braket.emit import Program

__all__ = ["FusedProgram", "alone", "evolve", "fuse", "matrix_gate", "probabilities"]

#: Bytes of matrices that are made at a time.
_CHUNK_BYTES = 1 << 24

Array = NDArray[np.float64]


class _Lock:
    """One lock for the process; a forked child starts with a new one."""

    def __init__(self) -> None:
        self.renew()
        os.register_at_fork(after_in_child=self.renew)

    def renew(self) -> None:
        self.lock = threading.RLock()


_LOCK = _Lock()


@contextmanager
def alone() -> Iterator[None]:
    """Keep other threads out of Amazon Braket's local simulators.

    Two threads at a time in their numba kernels abort the process (the simulator chooses numba's
    threading layer "workqueue", which is not safe for threads).
    """
    with _LOCK.lock:
        yield


class FusedProgram:
    """A program whose rotations between two cnots are runs, one matrix each.

    Attributes:
        n_qubits: Number of qubits.
        sequence: ``(run number,)`` and ``(control, target)`` in time order.
        qubits: Qubit of each run.
        n_ry: Number of ry gates in each run.
    """

    def __init__(self, program: Program) -> None:
        """Read the structure of ``program``."""
        self.n_qubits = program.n_qubits
        self.sequence: list[tuple[int, ...]] = []
        self.qubits: list[int] = []
        self.n_ry: list[int] = []
        members: list[list[int]] = []
        is_z: list[bool] = []
        open_run: dict[int, int] = {}
        for kind, first, second in program.steps:
            if kind == "cnot":
                for qubit in (first, second):
                    if qubit in open_run:
                        self.sequence.append((open_run.pop(qubit),))
                self.sequence.append((first, second))
                continue
            if first not in open_run:
                open_run[first] = len(members)
                members.append([])
                self.qubits.append(first)
                self.n_ry.append(0)
            members[open_run[first]].append(second)
            self.n_ry[open_run[first]] += kind == "ry"
            is_z.append(kind == "rz")
        self.sequence += [(run,) for run in open_run.values()]
        self._is_z = np.array(is_z, dtype=bool)
        longest = max(map(len, members), default=0)
        # At place k: the runs that have a k-th rotation, and the numbers of these rotations.
        self._places = [
            (
                np.array([run for run, m in enumerate(members) if len(m) > k]),
                np.array([m[k] for m in members if len(m) > k]),
            )
            for k in range(longest)
        ]

    def matrices(self, angles: Array) -> NDArray[np.complex128]:
        """Return the matrix of each run, ``(B, runs, 2, 2)``, of angles ``(B, rotations)``."""
        cos, sin = np.cos(angles / 2), np.sin(angles / 2)
        # A rotation is [[p, -q*], [q, p*]].
        p = np.where(self._is_z, cos - 1j * sin, cos)
        q = np.where(self._is_z, 0.0, sin)
        a = np.ones((len(angles), len(self.qubits)), dtype=np.complex128)
        b = np.zeros_like(a)
        for runs, rotations in self._places:
            pk, qk, ak, bk = p[:, rotations], q[:, rotations], a[:, runs], b[:, runs]
            a[:, runs] = pk * ak - qk * bk
            b[:, runs] = qk * ak + pk.conj() * bk
        return np.stack([a, -b.conj(), b, a.conj()], axis=-1).reshape(*a.shape, 2, 2)

    def chunks(self, angles: Array) -> Iterator[tuple[int, NDArray[np.complex128]]]:
        """Yield the first row and the matrices of slices of the angles that fit into memory."""
        size = max(1, _CHUNK_BYTES // (64 * max(1, len(self.qubits))))
        for at in range(0, len(angles), size):
            yield at, self.matrices(angles[at : at + size])


_FUSED: weakref.WeakKeyDictionary[Program, FusedProgram] = weakref.WeakKeyDictionary()


def fuse(program: Program) -> FusedProgram:
    """Return ``program`` with its rotations fused, made once."""
    if program not in _FUSED:
        _FUSED[program] = FusedProgram(program)
    return _FUSED[program]


@cache
def matrix_gate() -> Callable[[tuple[int, ...]], Any]:
    """Return the class of a simulator's gate on some qubits whose ``matrix`` is set later."""
    from braket.default_simulator.operation import GateOperation

    class MatrixGate(GateOperation):  # type: ignore[misc]
        """A gate given by its matrix; unlike the simulator's own, it is not checked."""

        gate_type = "unitary"
        matrix: NDArray[np.complex128] | None = None

        @property
        def _base_matrix(self) -> Any:
            return self.matrix

    return MatrixGate


def evolve(n_qubits: int, operations: Sequence[Any]) -> Array:
    """Return the probabilities after the simulator's ``operations``, ``(2**n,)``.

    Its qubit 0 is the most significant bit of an outcome.
    """
    from braket.default_simulator.state_vector_simulation import StateVectorSimulation

    with alone():
        simulation = StateVectorSimulation(n_qubits, 0, 1)
        simulation.evolve(operations)
        return np.asarray(simulation.probabilities)


def probabilities(program: Program, bindings: Array) -> Array:
    """Return exact probabilities, ``(B, 2**n)``, qubit 0 the least significant bit.

    Args:
        program: See ``qt_hw_braket.emit.compile_circuit``.
        bindings: Radians, ``(B, P)``.
    """
    from braket.default_simulator.gate_operations import CX

    fused, angles = fuse(program), program.angles(bindings)
    n = fused.n_qubits
    # The simulator's qubit 0 is the most significant bit: count the qubits from the other end.
    gates = [matrix_gate()((n - 1 - qubit,)) for qubit in fused.qubits]
    operations = [
        gates[entry[0]] if len(entry) == 1 else CX([n - 1 - entry[0], n - 1 - entry[1]])
        for entry in fused.sequence
    ]
    out = np.empty((len(angles), 2**n))
    for at, matrices in fused.chunks(angles):
        for number, row in enumerate(matrices):
            for gate, matrix in zip(gates, row, strict=True):
                gate.matrix = matrix
            out[at + number] = evolve(n, operations)
    return out
