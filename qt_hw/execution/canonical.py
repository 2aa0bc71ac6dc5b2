"""What a request asks for, as bytes: the base of tokens and of the names of results.

Two requests have the same bytes exactly if they run the same gates on the same qubits with the
same angles, shots and roles. Every field carries its length, so that no two can run together.
"""

from __future__ import annotations

import hashlib
import json
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw.execution.backend import Batch, Item

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["circuit_bytes", "digest", "key_of", "payload", "token_of"]


def circuit_bytes(circuit: QuantumCircuit) -> bytes:
    """Return gates, qubits, angles and metadata of a circuit; its names do not matter.

    Raises:
        InputError: The circuit holds control flow, or an angle that is neither a number nor a
            plain parameter.
    """
    columns = {parameter: i for i, parameter in enumerate(circuit.parameters)}
    index = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    metadata = json.dumps(circuit.metadata or {}, sort_keys=True).encode()
    parts = [b"circuit", _number(circuit.num_qubits), _number(len(columns)), metadata]
    for entry in circuit.data:
        parts += _operation(entry.operation, columns)
        parts.append(np.array([index[q] for q in entry.qubits], dtype="<i8").tobytes())
        parts.append(_number(len(entry.clbits)))
    return _join(parts)


def _operation(operation: Any, columns: dict[Any, int]) -> list[bytes]:
    if getattr(operation, "blocks", ()):
        raise InputError(f"control flow ({operation.name}) cannot be submitted")
    parts = [operation.name.encode(), _number(len(operation.params))]
    parts += [_value(value, columns) for value in operation.params]
    parts.append(str(getattr(operation, "unit", "")).encode())
    if not type(operation).__module__.startswith("qiskit.circuit"):
        if operation.definition is None:
            raise InputError(f"the gate {operation.name!r} has no definition; decompose it")
        parts.append(circuit_bytes(operation.definition))
    return parts


def _value(value: Any, columns: dict[Any, int]) -> bytes:
    if value in columns:
        return b"p" + _number(columns[value])
    try:
        return b"f" + struct.pack("<d", float(value))
    except (TypeError, ValueError):
        raise InputError(f"the angle {value} is neither a number nor a plain parameter") from None


def payload(batch: Batch) -> str:
    """Return the hash of everything in ``batch`` but its seed, 64 hex digits."""
    return digest(*(_item(item) for item in batch.items))


def _item(item: Item) -> bytes:
    bindings: NDArray[np.float64] = np.ascontiguousarray(item.bindings, dtype="<f8")
    shape = np.array(bindings.shape, dtype="<i8").tobytes()
    shots = b"exact" if item.shots is None else _number(item.shots)
    return _join(
        [circuit_bytes(item.circuit), shape, bindings.tobytes(), shots, item.role.encode()]
    )


def token_of(run: str, step: int, part: int, repetition: int, attempt: int, payload: str) -> str:
    """Return the token that travels with a request: at most one job may ever carry it.

    >>> token_of("r", 0, 0, 0, 0, "p")
    'qthw-2ce0a6d0c8a6a9fd1ee7fdc0d2a2dbba6c9b2d3c'
    """
    return "qthw-" + digest(run, step, part, repetition, attempt, payload)[:40]


def key_of(
    run: str, step: int, part: int, repetition: int, payload: str, backend: str, calibration: str
) -> str:
    """Return the name of a result: as the token, without the attempt, with the device."""
    return digest(run, step, part, repetition, payload, backend, calibration)


def digest(*fields: str | int | bytes) -> str:
    """Return the sha256 of fields, each with its type and length."""
    parts = []
    for value in fields:
        kind = type(value).__name__.encode()
        raw = value if isinstance(value, bytes) else str(value).encode()
        parts += [kind, raw]
    return hashlib.sha256(_join(parts)).hexdigest()


def _number(value: int) -> bytes:
    return struct.pack("<q", value)


def _join(parts: list[bytes]) -> bytes:
    return b"".join(_number(len(part)) + part for part in parts)
