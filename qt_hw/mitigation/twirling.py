"""Pauli twirling: the average over random Paulis turns any error of a gate into a Pauli error.

Each two-qubit gate G gets a Pauli P before it and G P G† after it, which leaves its unitary as it
is; the error of G then acts as its twirl (Wallman and Emerson, Phys. Rev. A 94, 052325).
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError, UnsupportedGate

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.circuit import CircuitInstruction, Qubit

__all__ = ["twirled"]

#: Gates that map Paulis to Paulis, as they are named on devices.
_TWIRLED = ("cx", "cz", "ecr")

_PAULIS = ("I", "X", "Y", "Z")


def twirled(circuit: QuantumCircuit, variants: int, *, seed: int) -> tuple[QuantumCircuit, ...]:
    """Return copies of ``circuit`` with random Paulis around each cx, cz and ecr.

    The Paulis are x and rz(π) gates. In each run of 16 variants every gate gets each of the 16
    pairs of Paulis once, in an order of its own; so the average over 16 variants is exact to
    first order in the errors. The first k of more variants are those of ``variants=k``.

    Args:
        circuit: ``Prepared.circuit``, or a folded one; its angles may be open.
        variants: Number of copies, 1 or more; 16 or a multiple of it is best.
        seed: 0 or more.

    Returns:
        Circuits with the unitary (up to a global phase), the registers, metadata and parameters
        of the original.

    Raises:
        InputError: A wrong number.
        UnsupportedGate: Another gate on two or more qubits, whose error would stay untwirled.

    >>> from qiskit import QuantumCircuit
    >>> circuit = QuantumCircuit(2)
    >>> _ = circuit.cx(0, 1)
    >>> copies = twirled(circuit, 16, seed=7)
    >>> len(copies), all(copy.count_ops()["cx"] == 1 for copy in copies)
    (16, True)
    """
    _check_whole("variants", variants, 1)
    _check_whole("seed", seed, 0)
    data = list(circuit.data)
    places = [i for i, item in enumerate(data) if _is_entangling(item)]
    known: dict[tuple[str, tuple[Qubit, ...]], list[list[CircuitInstruction]]] = {}
    for i in places:
        key = (data[i].operation.name, tuple(data[i].qubits))
        if key not in known:
            known[key] = [_dressed(data[i], pair) for pair in range(16)]
    dressed = [known[data[i].operation.name, tuple(data[i].qubits)] for i in places]
    out = []
    for choice in _choices(variants, len(places), seed).tolist():
        parts = [[item] for item in data]
        for i, options, pair in zip(places, dressed, choice, strict=True):
            parts[i] = options[pair]
        copy = circuit.copy_empty_like()
        copy.data = [item for part in parts for item in part]
        out.append(copy)
    return tuple(out)


def _check_whole(name: str, value: int, least: int) -> None:
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if not whole or value < least:
        raise InputError(
            f"twirling: {name} must be a whole number of at least {least}, not {value!r}"
        )


def _is_entangling(item: CircuitInstruction) -> bool:
    if len(item.qubits) < 2 or item.operation.name == "barrier":
        return False
    name = item.operation.name
    if name not in _TWIRLED:
        raise UnsupportedGate(
            f"cannot twirl {name!r}: only {', '.join(_TWIRLED)} map Paulis to Paulis; use "
            "ansatz.lowered(), or a device without fractional gates"
        )
    return True


def _choices(variants: int, n_gates: int, seed: int) -> NDArray[np.int64]:
    """Return the pair of Paulis of each gate in each variant, ``(variants, n_gates)``, 0 to 15."""
    runs = [
        np.random.default_rng(np.random.SeedSequence([seed, run])).permuted(
            np.repeat(np.arange(16)[:, None], n_gates, axis=1), axis=0
        )
        for run in range(-(-variants // 16))
    ]
    return np.asarray(np.concatenate(runs)[:variants])


def _dressed(item: CircuitInstruction, pair: int) -> list[CircuitInstruction]:
    """Return a gate with pair number ``pair`` of Paulis before it and their images after it."""
    before = (_PAULIS[pair // 4], _PAULIS[pair % 4])
    after = _images(item.operation.name)[pair]
    return [*_paulis(item, before), item, *_paulis(item, after)]


def _paulis(item: CircuitInstruction, names: tuple[str, str]) -> list[CircuitInstruction]:
    gates = _gates()
    return [
        item.replace(operation=gates[part], qubits=(qubit,))
        for qubit, name in zip(item.qubits, names, strict=True)
        for part in {"I": "", "X": "x", "Y": "zx", "Z": "z"}[name]
    ]


@cache
def _gates() -> dict[str, object]:
    from qiskit.circuit.library import RZGate, XGate

    return {"x": XGate(), "z": RZGate(math.pi)}


@cache
def _images(name: str) -> tuple[tuple[str, str], ...]:
    """Return G P G† without its sign, for each pair of Paulis P, of the gate of this name."""
    from qiskit.circuit.library import CXGate, CZGate, ECRGate
    from qiskit.quantum_info import Clifford, Pauli

    gate = Clifford({"cx": CXGate, "cz": CZGate, "ecr": ECRGate}[name]())
    out = []
    for first in _PAULIS:
        for second in _PAULIS:
            # Labels read from the last qubit to the first.
            image = Pauli(second + first).evolve(gate, frame="s").to_label().lstrip("-")
            out.append((image[1], image[0]))
    return tuple(out)
