"""What a request asks for, as bytes: the base of tokens and of the names of results.

Two requests have the same bytes exactly if they run the same gates on the same qubits with the
same angles, shots and roles. Every field carries its length, so that no two can run together.
The bytes are those of the circuit after a way through QPY too, and do not depend on the process.
"""

from __future__ import annotations

import hashlib
import json
import struct
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw.execution.backend import Batch, Item

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["circuit_bytes", "digest", "key_of", "payload", "token_of"]


def circuit_bytes(circuit: QuantumCircuit) -> bytes:
    """Return gates, qubits, ancillas, angles and metadata of a circuit; its names do not matter.

    A gate that is not one of Qiskit's standard ones stands for its definition.

    Raises:
        InputError: The circuit holds control flow, or an angle that is neither a number nor a
            plain parameter, or metadata that are not JSON.
    """
    columns = {parameter: i for i, parameter in enumerate(circuit.parameters)}
    index = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    ancillas = _numbers([index[qubit] for qubit in circuit.ancillas])
    body = _gates(circuit, columns)
    return _join([b"circuit", _metadata(circuit), ancillas, _number(len(columns)), body])


def _metadata(circuit: QuantumCircuit) -> bytes:
    try:
        # Twice, because keys that are not text become text on the way.
        plain = json.loads(json.dumps(circuit.metadata or {}))
    except (TypeError, ValueError) as error:
        raise InputError(f"the metadata of the circuit are not JSON: {error}") from None
    return json.dumps(plain, sort_keys=True).encode()


def _gates(circuit: QuantumCircuit, columns: dict[Any, int]) -> bytes:
    index = {qubit: i for i, qubit in enumerate(circuit.qubits)}
    bits = {bit: i for i, bit in enumerate(circuit.clbits)}
    parts = [_number(circuit.num_qubits)]
    for entry in circuit.data:
        parts += _operation(entry.operation, columns)
        parts.append(_numbers([index[qubit] for qubit in entry.qubits]))
        parts.append(_numbers([bits[bit] for bit in entry.clbits]))
    return _join(parts)


def _operation(operation: Any, columns: dict[Any, int]) -> list[bytes]:
    from qiskit.circuit import Instruction

    if getattr(operation, "blocks", ()):
        raise InputError(f"control flow ({operation.name}) cannot be submitted")
    if not isinstance(operation, Instruction):
        raise InputError(f"the operation {operation.name!r} cannot be submitted; decompose it")
    parts = [operation.name.encode(), _number(len(operation.params))]
    parts += [_value(value, columns) for value in operation.params]
    parts.append(str(getattr(operation, "unit", "")).encode())
    if _standard_gates().get(operation.name) is not operation.base_class:
        definition = operation.definition
        parts.append(b"opaque" if definition is None else _gates(definition, columns))
    return parts


@lru_cache(maxsize=1)
def _standard_gates() -> dict[str, type]:
    """Return the gates that their name describes in full."""
    from qiskit.circuit.library.standard_gates import get_standard_gate_name_mapping

    return {name: gate.base_class for name, gate in get_standard_gate_name_mapping().items()}


def _value(value: Any, columns: dict[Any, int]) -> bytes:
    try:
        if not isinstance(value, float) and value in columns:
            return b"p" + _number(columns[value])
        return b"f" + struct.pack("<d", float(value))
    except (TypeError, ValueError):
        if (affine := _affine(value, columns)) is not None:
            return affine
        text = " ".join(str(value).split())[:60]
        raise InputError(
            f"the angle {text} is neither a number nor affine in the parameters; decompose its gate"
        ) from None


def _affine(value: Any, columns: dict[Any, int]) -> bytes | None:
    """Return an angle such as ``-a`` of an inverse gate; None if it is none of that kind."""
    used = getattr(value, "parameters", None)
    if not used or not used <= columns.keys():
        return None
    slopes = {columns[parameter]: value.gradient(parameter) for parameter in used}
    if any(getattr(slope, "parameters", ()) for slope in slopes.values()):
        return None
    start = float(value.bind(dict.fromkeys(used, 0.0)))
    terms = [_number(i) + struct.pack("<d", float(slopes[i])) for i in sorted(slopes)]
    return _join([b"a", struct.pack("<d", start), *terms])


def payload(batch: Batch) -> str:
    """Return the hash of everything in ``batch`` but its seed, 64 hex digits."""
    circuits = {id(item.circuit): item.circuit for item in batch.items}
    known = {key: circuit_bytes(circuit) for key, circuit in circuits.items()}
    return digest(*(_item(item, known[id(item.circuit)]) for item in batch.items))


def _item(item: Item, circuit: bytes) -> bytes:
    bindings: NDArray[np.float64] = np.ascontiguousarray(item.bindings, dtype="<f8")
    shots = b"exact" if item.shots is None else _number(int(item.shots))
    shape = _numbers(bindings.shape)
    return _join([circuit, shape, bindings.tobytes(), shots, item.role.encode()])


def token_of(run: str, step: int, part: int, repetition: int, attempt: int, payload: str) -> str:
    """Return the token that travels with a request: at most one job may ever carry it.

    >>> token_of("r", 0, 0, 0, 0, "p")
    'qthw-162970d20fbc5fdca5b32be1929feab0c26abc75'
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
        kind = "bytes" if isinstance(value, bytes) else "str" if isinstance(value, str) else "int"
        raw = value if isinstance(value, bytes) else str(value).encode()
        parts += [kind.encode(), raw]
    return hashlib.sha256(_join(parts)).hexdigest()


def _number(value: int) -> bytes:
    return struct.pack("<q", value)


def _numbers(values: Any) -> bytes:
    return np.array(values, dtype="<i8").tobytes()


def _join(parts: list[bytes]) -> bytes:
    return b"".join(_number(len(part)) + part for part in parts)
