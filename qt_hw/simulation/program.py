"""A circuit compiled to few dense blocks.

Two levels of greedy fusion. Elementary operations are first gathered into pairs of qubits (4×4
matrices, all built in one batch), pairs then into blocks of about five qubits: applying one
32×32 block to the state is far quicker than its twenty gates one by one.
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

from qt_hw.circuits.gates import Op, elementary
from qt_hw.circuits.native import operations

__all__ = [
    "BLOCK_QUBITS",
    "Block",
    "PairTable",
    "Program",
    "compile_any",
    "compile_circuit",
    "compile_operations",
]

#: Qubits of a dense block: on a CPU, 4 and 5 take about the same time.
BLOCK_QUBITS = 4


@dataclass(frozen=True, slots=True)
class Block:
    """A dense block: its qubits (most significant first) and the pairs in it.

    Attributes:
        qubits: Qubits of the block, k of them.
        pairs: Numbers of the pairs, in time order.
        places: For each pair, the places of its two qubits within ``qubits``, ascending.
    """

    qubits: tuple[int, ...]
    pairs: tuple[int, ...]
    places: tuple[tuple[int, int], ...]


@dataclass(frozen=True, eq=False)
class PairTable:
    """All pairs as stacks of ``S`` steps: ``(S, G)`` and ``(S, G, 4, 4)`` arrays.

    Step s of pair g is the matrix ``K0 + cos(f a) K1 + sin(f a) K2`` with
    ``a = angles[slot] + offset`` (slot -1: the offset alone). Short pairs end in identities.
    """

    slot: NDArray[np.int64]
    offset: NDArray[np.float64]
    factor: NDArray[np.float64]
    matrices: tuple[NDArray[np.complex128], NDArray[np.complex128], NDArray[np.complex128]]
    terms: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Program:
    """A compiled circuit.

    Attributes:
        n_qubits: Qubits of the circuit.
        width: Qubits that are simulated: at least 2, so that a pair always exists.
        n_slots: Number of open gate angles.
        pairs: The 4×4 level.
        blocks: The dense level, in time order; each has the same number of qubits.
    """

    n_qubits: int
    width: int
    n_slots: int
    pairs: PairTable
    blocks: tuple[Block, ...]

    @property
    def block_qubits(self) -> int:
        """Number of qubits of each block."""
        return len(self.blocks[0].qubits)


def _fuse(gates: Sequence[tuple[int, ...]], size: int) -> list[tuple[list[int], list[int]]]:
    """Gather gates into groups of at most ``size`` qubits; return ``[(qubits, gate numbers)]``.

    Single-qubit gates wait for the next larger gate on their qubit, so that they never open a
    group of their own unless nothing else touches the qubit.
    """
    groups: list[tuple[list[int], list[int]]] = []
    last: dict[int, int] = {}
    waiting: dict[int, list[int]] = {}

    def place(number: int, qubits: Sequence[int]) -> None:
        earliest = max((last.get(q, -1) for q in qubits), default=-1)
        for at in range(max(earliest, 0), len(groups)):
            if len({*groups[at][0], *qubits}) <= size:
                break
        else:
            at = len(groups)
            groups.append(([], []))
        members = groups[at][0]
        members.extend(q for q in qubits if q not in members)
        for q in qubits:
            groups[at][1].extend(waiting.pop(q, ()))
            last[q] = at
        groups[at][1].append(number)

    for number, qubits in enumerate(gates):
        if len(qubits) == 1:
            waiting.setdefault(qubits[0], []).append(number)
        else:
            place(number, qubits)
    for q in sorted(waiting):
        *earlier, final = waiting[q]
        waiting[q] = earlier
        place(final, (q,))
    return groups


def _padded(qubits: Sequence[int], size: int, width: int) -> tuple[int, ...]:
    others = [q for q in range(width - 1, -1, -1) if q not in qubits]
    return (*qubits, *others[: size - len(qubits)])


def _pair_table(ops: Sequence[Op], pairs: Sequence[tuple[tuple[int, int], list[int]]]) -> PairTable:
    steps = max(1, *(len(numbers) for _, numbers in pairs))
    shape = (steps, len(pairs))
    slot, offset = np.full(shape, -1), np.zeros(shape)
    factor, terms = np.zeros(shape), np.zeros(shape, dtype=np.int64)
    k0 = np.broadcast_to(np.eye(4, dtype=complex), (*shape, 4, 4)).copy()
    k1, k2 = np.zeros_like(k0), np.zeros_like(k0)
    for g, (qubits, numbers) in enumerate(pairs):
        for s, number in enumerate(numbers):
            op = ops[number]
            entry = elementary(op.kind, len(op.qubits) == 2 and op.qubits[0] != qubits[0])
            high = op.qubits[0] == qubits[0]
            for target, matrix in zip((k0, k1, k2), entry.matrices, strict=True):
                target[s, g] = matrix if entry.n_qubits == 2 else _embed(matrix, high)
            slot[s, g] = -1 if op.slot is None else op.slot
            offset[s, g], factor[s, g] = op.offset, entry.factor
            terms[s, g] = 0 if op.slot is None else entry.terms
    return PairTable(slot, offset, factor, (k0, k1, k2), terms)


def _embed(matrix: NDArray[np.complex128], high: bool) -> NDArray[np.complex128]:
    eye = np.eye(2)
    both = np.kron(matrix, eye) if high else np.kron(eye, matrix)
    return both.astype(np.complex128)


@lru_cache(maxsize=64)
def compile_operations(
    ops: tuple[Op, ...], n_qubits: int, n_slots: int, block_qubits: int = BLOCK_QUBITS
) -> Program:
    """Compile elementary operations; see ``compile_circuit``."""
    width = max(n_qubits, 2)
    size = min(max(block_qubits, 2), width)
    level_1 = _fuse([op.qubits for op in ops], 2) or [([0, 1], [])]
    rough = [_padded(qubits, 2, width) for qubits, _ in level_1]
    level_2 = _fuse(rough, size)
    blocks: list[Block] = []
    pairs: list[tuple[tuple[int, int], list[int]]] = []
    for members, numbers in level_2:
        qubits = _padded(members, size, width)
        first = len(pairs)
        places = []
        for number in numbers:
            a, b = sorted(qubits.index(q) for q in rough[number])
            pairs.append(((qubits[a], qubits[b]), level_1[number][1]))
            places.append((a, b))
        blocks.append(Block(qubits, tuple(range(first, len(pairs))), tuple(places)))
    return Program(n_qubits, width, n_slots, _pair_table(ops, pairs), tuple(blocks))


def compile_any(circuit: QuantumCircuit, block_qubits: int = BLOCK_QUBITS) -> Program:
    """Compile any circuit with plain parameters as it is now; equal gates share a program.

    Raises:
        UnsupportedGate: A gate outside the supported set.
    """
    ops = tuple(operations(circuit))
    return compile_operations(ops, circuit.num_qubits, circuit.num_parameters, block_qubits)


# Programs of circuits that are still alive, by identity: circuits have no hash, and reading the
# gates of a large one takes as long as running it.
_COMPILED: dict[tuple[int, int, int], tuple[weakref.ref[QuantumCircuit], Program]] = {}


def compile_circuit(circuit: QuantumCircuit, block_qubits: int = BLOCK_QUBITS) -> Program:
    """Compile the circuit of a ``Form``, once; it must not be changed afterwards.

    A circuit from elsewhere goes through ``compile_any``.

    Raises:
        UnsupportedGate: A gate outside the supported set.
    """
    key = (id(circuit), len(circuit.data), block_qubits)
    if key not in _COMPILED:
        program = compile_any(circuit, block_qubits)
        forget = weakref.ref(circuit, lambda _: _COMPILED.pop(key, None))
        _COMPILED[key] = (forget, program)
    return _COMPILED[key][1]
