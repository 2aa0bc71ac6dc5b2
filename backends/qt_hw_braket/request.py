"""Requests for tasks: the same body that the SDK's ``AwsDevice.run`` sends, plus token and tags.

The SDK's ``run`` cannot set ``clientToken``, which makes a repeated request the same task.
Everything that is needed to read the result later, by another process, travels as tags.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from qt_hw.errors import InputError
from qt_hw_braket import native
from qt_hw_braket.emit import Gate, compile_circuit, gate_list, openqasm

if TYPE_CHECKING:
    from qt_hw.execution.backend import Batch, Item
    from qt_hw_braket.cloud_options import CloudOptions

__all__ = [
    "TOKEN",
    "Shape",
    "body_of",
    "check_token",
    "most_bytes",
    "n_gates",
    "shape_of",
    "tags_of",
]

#: Tag of the token.
TOKEN = "qt-hw"

#: Tags of the shape: ``2x448@8 1@8`` is two items of 448 bindings on 8 qubits, then one of 1.
_SHAPE = "qt-hw-items"
_GROUP = re.compile(r"(?:(\d+)x)?(\d+)@(\d+)")
_MOST_TAG = 250

#: (bindings, qubits) of each item of a batch.
Shape = tuple[tuple[int, int], ...]

# Bytes of a line of OpenQASM, in JSON in JSON: with the longest angle, and of what surrounds it.
_ROTATION, _TWO_QUBIT, _MEASURE, _ENVELOPE = 40, 30, 28, 260


def tags_of(batch: Batch, token: str) -> dict[str, str]:
    """Return the tags of the task that runs ``batch``."""
    shape = [(len(item.bindings), item.circuit.num_qubits) for item in batch.items]
    words = []
    for (rows, qubits), group in groupby(shape):
        n = len([*group])
        words.append(f"{rows}@{qubits}" if n == 1 else f"{n}x{rows}@{qubits}")
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) >= _MOST_TAG:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    names = [_SHAPE, *(f"{_SHAPE}-{i}" for i in range(2, len(lines) + 1))]
    return {TOKEN: token, **dict(zip(names, lines, strict=True))}


def shape_of(tags: Mapping[str, str]) -> Shape | None:
    """Return the shape of the batch behind a task, None where it is not one of ours.

    >>> shape_of({"qt-hw": "qthw-1", "qt-hw-items": "2x448@8 1@8"})
    ((448, 8), (448, 8), (1, 8))
    """
    if TOKEN not in tags or _SHAPE not in tags:
        return None
    text, number = tags[_SHAPE], 2
    while (more := tags.get(f"{_SHAPE}-{number}")) is not None:
        text, number = f"{text} {more}", number + 1
    shape: list[tuple[int, int]] = []
    for word in text.split():
        group = _GROUP.fullmatch(word)
        if group is None:
            return None
        shape += int(group[1] or 1) * [(int(group[2]), int(group[3]))]
    return tuple(shape)


def body_of(
    batch: Batch, token: str, arn: str, bucket: str, options: CloudOptions
) -> dict[str, Any]:
    """Return the arguments of CreateQuantumTask for a checked batch.

    One circuit makes a single task, several make a program set.

    Raises:
        InputError: A circuit cannot be sent.
    """
    from braket.ir.openqasm import Program, ProgramSet

    sources = [text for item in batch.items for text in _sources(item, options.verbatim)]
    programs = [Program(source=source, inputs={}) for source in sources]
    body: dict[str, Any] = {
        "deviceArn": arn,
        "outputS3Bucket": bucket,
        "outputS3KeyPrefix": options.prefix,
        "shots": int(batch.n_shots),
        "clientToken": token,
        "tags": tags_of(batch, token),
    }
    if len(programs) > 1:
        return {**body, "action": ProgramSet(programs=programs).json()}
    n_qubits = int(batch.items[0].circuit.num_qubits)
    return {
        **body,
        "action": programs[0].json(),
        "deviceParameters": _parameters(arn, n_qubits, options),
    }


def _sources(item: Item, verbatim: bool) -> list[str]:
    program = compile_circuit(item.circuit)
    if not verbatim:
        return [openqasm(program, row) for row in np.asarray(item.bindings)]
    n = program.n_qubits
    return [native.openqasm(n, _native(item, row)) for row in np.asarray(item.bindings)]


def _native(item: Item, row: Any) -> list[native.NativeGate]:
    gates: Sequence[Gate] = gate_list(compile_circuit(item.circuit), row)
    return native.native_gates(item.circuit.num_qubits, gates)


def _parameters(arn: str, n_qubits: int, options: CloudOptions) -> str:
    from braket.device_schema import GateModelParameters
    from braket.device_schema.ionq import IonqDeviceParameters
    from braket.device_schema.oqc import OqcDeviceParameters
    from braket.device_schema.rigetti import RigettiDeviceParameters
    from braket.device_schema.simulators import GateModelSimulatorDeviceParameters
    from braket.error_mitigation import Debias

    paradigm = GateModelParameters(qubitCount=n_qubits, disableQubitRewiring=options.verbatim)
    fields: dict[str, Any] = {"paradigmParameters": paradigm}
    if options.debias:
        fields["errorMitigation"] = Debias().serialize()
    for provider, kind in (
        ("ionq", IonqDeviceParameters),
        ("rigetti", RigettiDeviceParameters),
        ("oqc", OqcDeviceParameters),
    ):
        if provider in arn:
            return str(kind(**fields).json(exclude_none=True))
    return str(GateModelSimulatorDeviceParameters(**fields).json(exclude_none=True))


def n_gates(item: Item, verbatim: bool) -> int:
    """Return the most gates of any of the circuits of ``item``, as they are sent.

    Raises:
        InputError: The circuit cannot be sent.
    """
    program = compile_circuit(item.circuit)
    if not verbatim:
        return len(program.steps)
    return max(len(_native(item, row)) for row in np.asarray(item.bindings))


def most_bytes(item: Item, verbatim: bool) -> int:
    """Return an upper bound of what one circuit of ``item`` takes in a request.

    Raises:
        InputError: The circuit cannot be sent.
    """
    program = compile_circuit(item.circuit)
    pairs = sum(name == "cnot" for name, *_ in program.steps)
    rotations = len(program.steps) - pairs
    two = _TWO_QUBIT
    if verbatim:  # at most two pulses on a qubit before each zz, and at the end
        rotations, two = 2 * (program.n_qubits + 2 * pairs), _ROTATION
    lines = rotations * _ROTATION + pairs * two + program.n_qubits * _MEASURE
    return _ENVELOPE + lines


def check_token(token: Any) -> None:
    """Check that AWS takes a token.

    Raises:
        InputError: It does not.
    """
    if not isinstance(token, str) or not re.fullmatch(r"[\w.:/=+@-]{1,64}", token):
        raise InputError(f"a token is a text of 1 to 64 characters, not {token!r}")
