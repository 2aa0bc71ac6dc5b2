"""Any parameterised circuit with one plain parameter per gate angle.

A parameter may occur in several gates and with numeric factors; the product and chain rule are
then the matrix of ``a = A θ + b``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression, ParameterVector
from scipy.sparse import coo_array, csr_array

from qt_hw.circuits.gates import SUPPORTED, Angle, Op, expand
from qt_hw.errors import InputError, UnsupportedGate

__all__ = ["Instruction", "Linear", "affine_map", "instructions", "operations", "plain"]

#: Coefficients by index, and a constant: an affine expression.
Linear = tuple[dict[int, float], float]

#: A gate's name, its qubits and its angles.
Instruction = tuple[str, tuple[int, ...], tuple[Angle, ...]]

_SKIPPED = ("barrier", "id")


def affine_map(rows: list[Linear], n_columns: int) -> tuple[csr_array, NDArray[np.float64]]:
    """Return ``(A, b)`` of a list of affine expressions, ``A`` sparse ``(rows, n_columns)``."""
    entries = [(i, j, c) for i, (linear, _) in enumerate(rows) for j, c in linear.items()]
    i, j, c = zip(*entries, strict=True) if entries else ((), (), ())
    matrix = coo_array(
        (np.array(c, dtype=float), (np.array(i, dtype=int), np.array(j, dtype=int))),
        shape=(len(rows), n_columns),
    )
    return csr_array(matrix), np.array([constant for _, constant in rows], dtype=float)


def _affine(value: Any, columns: dict[Parameter, int], gate: str) -> Linear:
    """Read one gate angle as an affine expression of the circuit's parameters."""
    if isinstance(value, Parameter):
        return {columns[value]: 1.0}, 0.0
    if not isinstance(value, ParameterExpression):
        return {}, _finite(float(value), gate)
    zero = dict.fromkeys(value.parameters, 0.0)
    linear = {}
    for parameter in value.parameters:
        slope = value.gradient(parameter)
        if isinstance(slope, ParameterExpression) and slope.parameters:
            raise InputError(
                f"the angle {value} of gate {gate!r} is not affine in {parameter.name}; "
                "allowed are sums of parameters with numeric factors"
            )
        slope = complex(slope)
        if slope.imag or not math.isfinite(slope.real):
            raise InputError(f"the angle {value} of gate {gate!r} has a complex or infinite factor")
        linear[columns[parameter]] = slope.real
    return linear, _finite(float(value.bind(zero)), gate)


def _finite(value: float, gate: str) -> float:
    if not math.isfinite(value):
        raise InputError(f"gate {gate!r} has the angle {value}; angles are finite, in radians")
    return value


def plain(circuit: QuantumCircuit) -> tuple[QuantumCircuit, csr_array, NDArray[np.float64]]:
    """Return ``(circuit, A, b)`` with one plain ``Parameter`` for each open gate angle.

    Raises:
        InputError: A measurement, a condition, or an angle that is not affine.
        UnsupportedGate: A gate outside the supported set.
    """
    columns = {parameter: i for i, parameter in enumerate(circuit.parameters)}
    found: list[tuple[str, list[int], list[Linear]]] = []
    for item in circuit.data:
        name = item.operation.name
        if name in _SKIPPED:
            continue
        if name == "measure" or item.clbits:
            raise InputError(
                f"the ansatz holds {name!r}; pass the unmeasured circuit "
                "(circuit.remove_final_measurements(inplace=False))"
            )
        if name not in SUPPORTED:
            list(expand(name, (), ()))  # raises with the list of supported gates
        if not item.operation.base_class.__module__.startswith("qiskit.circuit.library."):
            raise UnsupportedGate(
                f"gate {name!r} is a custom gate with the name of a standard one; "
                "pass circuit.decompose()"
            )
        if getattr(item.operation, "ctrl_state", None) not in (None, 1):
            raise UnsupportedGate(f"gate {name!r} with an open control is not supported; use x")
        qubits = [circuit.find_bit(qubit).index for qubit in item.qubits]
        found.append((name, qubits, [_affine(v, columns, name) for v in item.operation.params]))
    rows = [linear for _, _, angles in found for linear in angles if linear[0]]
    vector = iter(ParameterVector("a", len(rows)))
    out = QuantumCircuit(circuit.num_qubits)
    for name, qubits, angles in found:
        values = [next(vector) if linear else constant for linear, constant in angles]
        getattr(out, _METHOD.get(name, name))(*_arguments(name, values), *qubits)
    matrix, offsets = affine_map(rows, len(columns))
    return out, matrix, offsets


# QuantumCircuit has no method for these names; the current gates are the same unitaries.
_METHOD = {"u3": "u", "u1": "p", "cu3": "cu", "cu1": "cp"}


def _arguments(name: str, values: list[Any]) -> list[Any]:
    return [*values, 0.0] if name == "cu3" else values


def instructions(circuit: QuantumCircuit) -> list[Instruction]:
    """Return the gates of a circuit that ``plain`` or the lowering made."""
    slots = {parameter: i for i, parameter in enumerate(circuit.parameters)}
    return [
        (
            item.operation.name,
            tuple(circuit.find_bit(qubit).index for qubit in item.qubits),
            tuple(
                (slots[value], 0.0) if isinstance(value, Parameter) else (None, float(value))
                for value in item.operation.params
            ),
        )
        for item in circuit.data
        if item.operation.name not in _SKIPPED
    ]


def operations(circuit: QuantumCircuit) -> list[Op]:
    """Return the elementary operations of a circuit with plain parameters, in time order.

    Raises:
        UnsupportedGate: A gate outside the supported set.
    """
    return [
        op for name, qubits, angles in instructions(circuit) for op in expand(name, qubits, angles)
    ]
