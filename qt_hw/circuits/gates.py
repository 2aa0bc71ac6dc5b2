"""The supported gates, reduced to a dozen elementary operations.

Every elementary operation with an angle a is ``K0 + cos(f·a) K1 + sin(f·a) K2`` with constant
matrices K and a factor f of 1/2 (rotations) or 1 (phases). Fusion, derivatives and shifts all
follow from that one formula. Global phases are dropped throughout.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import UnsupportedGate

__all__ = ["ELEMENTARY", "SUPPORTED", "Angle", "Elementary", "Op", "elementary", "expand"]

PI = math.pi

#: A gate angle: index of the open gate angle, or None, and a constant in radians.
Angle = tuple[int | None, float]


@dataclass(frozen=True, slots=True)
class Op:
    """One elementary operation: ``a = (open angle number slot, if any) + offset``.

    The first qubit of ``qubits`` is the control of a controlled operation.
    """

    kind: str
    qubits: tuple[int, ...]
    slot: int | None = None
    offset: float = 0.0


@dataclass(frozen=True, eq=False)
class Elementary:
    """What the engine needs to know of one kind of operation.

    Attributes:
        n_qubits: 1 or 2.
        factor: f of the module's formula; 0 for a gate without an angle.
        matrices: K0, K1, K2, each ``(2**n_qubits, 2**n_qubits)`` with the operation's first
            qubit as the most significant bit.
        paulis: Commuting Pauli words that generate the operation, first qubit first.
        terms: Terms of its shift rule (2 or 4; 0 without an angle).
    """

    n_qubits: int
    factor: float
    matrices: tuple[NDArray[np.complex128], ...]
    paulis: tuple[str, ...]
    terms: int


_PAULI = {
    "I": np.eye(2, dtype=complex),
    "X": np.array([[0, 1], [1, 0]], dtype=complex),
    "Y": np.array([[0, -1j], [1j, 0]], dtype=complex),
    "Z": np.array([[1, 0], [0, -1]], dtype=complex),
}
_UP, _DOWN = np.diag([1.0 + 0j, 0.0]), np.diag([0.0 + 0j, 1.0])


def _word(word: str) -> NDArray[np.complex128]:
    matrix = np.eye(1, dtype=complex)
    for letter in word:
        matrix = np.kron(matrix, _PAULI[letter])
    return matrix


def _rotation(word: str) -> Elementary:
    pauli = _word(word)
    zero, one = np.zeros_like(pauli), np.eye(len(pauli), dtype=complex)
    return Elementary(len(word), 0.5, (zero, one, -1j * pauli), (word,), 2)


def _controlled(axis: str) -> Elementary:
    parts = (np.kron(_UP, np.eye(2)), np.kron(_DOWN, np.eye(2)), np.kron(_DOWN, -1j * _word(axis)))
    return Elementary(2, 0.5, parts, ("I" + axis, "Z" + axis), 4)


def _fixed(matrix: NDArray[np.complex128], *paulis: str) -> Elementary:
    zero = np.zeros_like(matrix)
    return Elementary(2, 0.0, (matrix, zero, zero), paulis, 0)


_CP = np.diag([0.0, 0.0, 0.0, 1.0]).astype(complex)

#: Elementary operations by kind. The generators of cx and cz all come with the angle π/2.
ELEMENTARY: dict[str, Elementary] = {
    "rx": _rotation("X"),
    "ry": _rotation("Y"),
    "rz": _rotation("Z"),
    "rxx": _rotation("XX"),
    "ryy": _rotation("YY"),
    "rzz": _rotation("ZZ"),
    "crx": _controlled("X"),
    "cry": _controlled("Y"),
    "crz": _controlled("Z"),
    "cp": Elementary(2, 1.0, (np.eye(4) - _CP, _CP, 1j * _CP), ("ZI", "IZ", "ZZ"), 2),
    "cx": _fixed(np.kron(_UP, np.eye(2)) + np.kron(_DOWN, _PAULI["X"]), "ZI", "IX", "ZX"),
    "cz": _fixed(np.diag([1.0 + 0j, 1, 1, -1]), "ZI", "IZ", "ZZ"),
}

# Fixed gates as products of elementary ones: (kind, places in the gate's qubits, constant angle).
_FIXED: dict[str, tuple[tuple[str, tuple[int, ...], float], ...]] = {
    "id": (),
    "x": (("rx", (0,), PI),),
    "y": (("ry", (0,), PI),),
    "z": (("rz", (0,), PI),),
    "h": (("rz", (0,), PI), ("ry", (0,), PI / 2)),
    "s": (("rz", (0,), PI / 2),),
    "sdg": (("rz", (0,), -PI / 2),),
    "t": (("rz", (0,), PI / 4),),
    "tdg": (("rz", (0,), -PI / 4),),
    "sx": (("rx", (0,), PI / 2),),
    "sxdg": (("rx", (0,), -PI / 2),),
    "cx": (("cx", (0, 1), 0.0),),
    "cz": (("cz", (0, 1), 0.0),),
    "cy": (("rz", (1,), -PI / 2), ("cx", (0, 1), 0.0), ("rz", (1,), PI / 2)),
    "swap": (("cx", (0, 1), 0.0), ("cx", (1, 0), 0.0), ("cx", (0, 1), 0.0)),
    "iswap": (("rxx", (0, 1), -PI / 2), ("ryy", (0, 1), -PI / 2)),
    "dcx": (("cx", (0, 1), 0.0), ("cx", (1, 0), 0.0)),
    "ecr": (
        ("rz", (0,), PI / 2),
        ("rx", (1,), PI / 2),
        ("cx", (0, 1), 0.0),
        ("rx", (0,), PI),
    ),
}

# Gates with angles: for each angle in turn, the elementary operation that carries it.
_ANGLED: dict[str, tuple[tuple[str, tuple[int, ...], int], ...]] = {
    "rx": (("rx", (0,), 0),),
    "ry": (("ry", (0,), 0),),
    "rz": (("rz", (0,), 0),),
    "p": (("rz", (0,), 0),),
    "u1": (("rz", (0,), 0),),
    "u": (("rz", (0,), 2), ("ry", (0,), 0), ("rz", (0,), 1)),
    "u3": (("rz", (0,), 2), ("ry", (0,), 0), ("rz", (0,), 1)),
    "rxx": (("rxx", (0, 1), 0),),
    "ryy": (("ryy", (0, 1), 0),),
    "rzz": (("rzz", (0, 1), 0),),
    "crx": (("crx", (0, 1), 0),),
    "cry": (("cry", (0, 1), 0),),
    "crz": (("crz", (0, 1), 0),),
    "cp": (("cp", (0, 1), 0),),
    "cu1": (("cp", (0, 1), 0),),
    "cu": (("rz", (0,), 3), ("cp", (0, 1), 2), ("cry", (0, 1), 0), ("cp", (0, 1), 1)),
    "cu3": (("cp", (0, 1), 2), ("cry", (0, 1), 0), ("cp", (0, 1), 1)),
}

#: Names of all gates that a circuit may hold.
SUPPORTED: tuple[str, ...] = tuple(sorted({*_FIXED, *_ANGLED}))


def expand(name: str, qubits: Sequence[int], angles: Sequence[Angle]) -> Iterator[Op]:
    """Yield the elementary operations of one gate, in time order.

    Args:
        name: Qiskit's name of the gate.
        qubits: Its qubits.
        angles: Its angles, each ``(slot or None, constant)``.

    Raises:
        UnsupportedGate: The gate is not one of ``SUPPORTED``.
    """
    if name in _FIXED:
        for kind, places, constant in _FIXED[name]:
            yield Op(kind, tuple(qubits[i] for i in places), None, constant)
    elif name in _ANGLED:
        for kind, places, which in _ANGLED[name]:
            slot, constant = angles[which]
            if slot is not None or constant:
                yield Op(kind, tuple(qubits[i] for i in places), slot, constant)
    else:
        raise UnsupportedGate(
            f"gate {name!r} is not supported (supported: {', '.join(SUPPORTED)}); "
            "if it is a composite, pass circuit.decompose()"
        )


@cache
def elementary(kind: str, first_is_low: bool) -> Elementary:
    """Return the elementary operation, with its two qubits exchanged if ``first_is_low``."""
    entry = ELEMENTARY[kind]
    if not first_is_low or entry.n_qubits == 1:
        return entry
    order = np.array([0, 2, 1, 3])
    swapped = tuple(matrix[np.ix_(order, order)] for matrix in entry.matrices)
    return Elementary(
        2, entry.factor, swapped, tuple(word[::-1] for word in entry.paulis), entry.terms
    )
