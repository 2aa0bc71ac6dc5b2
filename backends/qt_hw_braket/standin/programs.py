"""Reads, checks and simulates the OpenQASM that the rehearsed device is sent.

Gate matrices are the SDK's own, so that this shares nothing with the code that wrote the text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw_braket.standin.capabilities import GATES, N_QUBITS, NATIVE_GATES
from qt_hw_braket.standin.refusal import Refusal

__all__ = ["Parsed", "parse", "probabilities"]

_GATE = re.compile(r"(?P<name>[A-Za-z]\w*)\s*(?:\((?P<angles>[^)]*)\))?\s+(?P<qubits>[q$].*)")
_QUBIT = re.compile(r"q\[(\d+)\]|\$(\d+)")
_MEASURE = re.compile(r"b\[(\d+)\]\s*=\s*measure\s+(\S+)")
_MODIFIER = re.compile(r"\s*(ctrl|negctrl|pow|inv)\b[^;]*@")
_DECLARED = re.compile(r"(OPENQASM 3(\.0)?|bit\[\d+\] b|qubit\[\d+\] q|#pragma braket verbatim)")

_CLASSES = {
    "cnot": "CNot",
    "gpi": "GPi",
    "gpi2": "GPi2",
    "xx": "XX",
    "yy": "YY",
    "zz": "ZZ",
}


@dataclass(frozen=True)
class Parsed:
    """A program: (name, angles, qubits) in time order, and the qubits that are measured."""

    gates: tuple[tuple[str, tuple[float, ...], tuple[int, ...]], ...]
    measured: tuple[int, ...]


def parse(source: str) -> Parsed:
    """Return the program.

    Raises:
        Refusal: The device does not take it, in the words of the service.
    """
    gates, measured = [], dict[int, int]()
    allowed = {*GATES, *(name.lower() for name in NATIVE_GATES)}
    for line in re.split(r"[;\n]+|box\s*\{|\}", source):
        text = line.strip()
        if not text or _DECLARED.fullmatch(text):
            continue
        if modifier := _MODIFIER.match(text):
            raise Refusal.invalid(f"uses an unsupported GateModifier: '{modifier[1]}'")
        if read := _MEASURE.fullmatch(text):
            measured[int(read[1])] = _qubits(read[2])[0]
            continue
        gate = _GATE.fullmatch(text)
        if gate is None or gate["name"] not in allowed:
            raise Refusal.invalid(f"uses an unsupported gate or statement: {text[:60]}")
        angles = tuple(float(angle) for angle in (gate["angles"] or "").split(",") if angle)
        gates.append((gate["name"], angles, _qubits(gate["qubits"])))
    places = tuple(measured[bit] for bit in sorted(measured))
    used = {qubit for _, _, qubits in gates for qubit in qubits}
    if not places or not used <= set(places):
        raise Refusal.invalid("all qubits must be measured")
    if max(places) >= N_QUBITS:
        raise Refusal.invalid(f"the device has {N_QUBITS} qubits")
    return Parsed(tuple(gates), places)


def _qubits(text: str) -> tuple[int, ...]:
    return tuple(int(virtual or physical) for virtual, physical in _QUBIT.findall(text))


def probabilities(program: Parsed) -> NDArray[np.float64]:
    """Return the law of the measured bits, ``(2**n,)``; the first bit is the most significant."""
    places = {qubit: axis for axis, qubit in enumerate(program.measured)}
    n = len(places)
    state: NDArray[Any] = np.zeros((2,) * n, dtype=np.complex128)
    state[(0,) * n] = 1.0
    for name, angles, qubits in program.gates:
        axes = [places[qubit] for qubit in qubits]
        matrix = _matrix(name, angles).reshape((2,) * (2 * len(axes)))
        inner = range(len(axes), 2 * len(axes))
        state = np.moveaxis(np.tensordot(matrix, state, (inner, axes)), range(len(axes)), axes)
    law = np.abs(state.reshape(-1)) ** 2
    return np.asarray(law / law.sum(), dtype=np.float64)


def _matrix(name: str, angles: tuple[float, ...]) -> NDArray[Any]:
    from braket.circuits import Gate

    gate = getattr(Gate, _CLASSES.get(name, name.capitalize()))
    return np.asarray(gate(*angles).to_matrix())
