"""``results.json`` of a task, read into counts with qubit 0 as the least significant bit.

Amazon Braket writes qubit 0 first. IonQ's devices return probabilities only; the SDK's counts are
rebuilt from them by rounding and need not add up to the shots, so they are not used.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import BadResult
from qt_hw.execution.backend import Counts
from qt_hw_braket.request import Shape

__all__ = ["Failure", "counts_of", "document", "read_circuits"]

#: How far a probability times the shots may be from a whole number that it stands for.
_WHOLE = 0.05

_BITS = frozenset("01")

_SET = "braket.task_result.program_set_task_result"
_DONE = "braket.task_result.program_set_executable_result"

#: Why a circuit of a program set has no result.
Failure = str

Row = NDArray[np.int64] | NDArray[np.float64]


def document(data: bytes, place: str) -> dict[str, Any]:
    """Return a file of a result as JSON.

    Raises:
        BadResult: It is none.
    """
    try:
        content = json.loads(data)
    except ValueError as error:
        raise BadResult(f"{place} is damaged: {error}") from None
    if not isinstance(content, dict):
        raise BadResult(f"{place} is damaged: it is no JSON object")
    return content


def read_circuits(
    result: Mapping[str, Any], fetch: Callable[[str], dict[str, Any]]
) -> list[dict[str, Any] | Failure]:
    """Return the result of each circuit of a task, in order, or why there is none.

    Args:
        result: Content of ``results.json``.
        fetch: Returns another file of the same bucket: large results are spread over several.

    Raises:
        BadResult: A part is missing.
    """
    try:
        if result["braketSchemaHeader"]["name"] != _SET:
            return [dict(result)]
        return _set_circuits(result, fetch)
    except (KeyError, TypeError, ValueError) as error:
        raise BadResult(f"the result lacks a part: {type(error).__name__} {error}") from None


def _set_circuits(
    result: Mapping[str, Any], fetch: Callable[[str], dict[str, Any]]
) -> list[dict[str, Any] | Failure]:
    _, folder = result.get("s3Location") or ("", "")
    circuits: list[dict[str, Any] | Failure] = []
    for entry in result["programResults"]:
        program, below = entry, folder
        if isinstance(entry, str):
            program = fetch(f"{folder}/{entry}")
            below = f"{folder}/{entry}".removesuffix("/results.json")
        (one,) = program["executableResults"]  # every program has its angles bound
        circuits.append(_circuit(fetch(f"{below}/{one}") if isinstance(one, str) else one))
    return circuits


def _circuit(entry: dict[str, Any]) -> dict[str, Any] | Failure:
    if entry["braketSchemaHeader"]["name"] == _DONE:
        return entry
    return str(entry.get("failureMetadata", {}).get("failureReason") or "no reason was given")


def counts_of(circuits: Sequence[dict[str, Any] | Failure], shape: Shape, shots: int) -> Counts:
    """Return the counts of a batch; rows without a result are zeros.

    Args:
        circuits: See ``read_circuits``.
        shape: (bindings, qubits) of each item.
        shots: Shots of each circuit.

    Raises:
        BadResult: Circuits, outcomes or shots are not those that were asked for.
    """
    n_rows = sum(rows for rows, _ in shape)
    if len(circuits) != n_rows:
        raise BadResult(f"the result has {len(circuits)} circuits instead of {n_rows}")
    arrays, at = [], 0
    for rows, n_qubits in shape:
        zeros = np.zeros(1 << n_qubits, dtype=np.int64)
        part = [
            zeros if isinstance(circuit, Failure) else _row(circuit, n_qubits, shots)
            for circuit in circuits[at : at + rows]
        ]
        arrays.append(np.array(part))
        at += rows
    return Counts(arrays=tuple(arrays), shots=(shots,) * len(shape))


def _row(circuit: Mapping[str, Any], n_qubits: int, shots: int) -> Row:
    try:
        qubits = [int(qubit) for qubit in circuit["measuredQubits"]]
        if sorted(qubits) != list(range(n_qubits)):
            raise BadResult(f"the result is of the qubits {qubits}, not of 0 to {n_qubits - 1}")
        weights = np.array([1 << qubit for qubit in qubits], dtype=np.int64)
        if circuit.get("measurements"):
            return _from_measurements(circuit["measurements"], weights, shots)
        return _from_probabilities(circuit["measurementProbabilities"], weights, shots)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadResult(f"the result of a circuit is damaged: {error}") from None


def _from_measurements(
    measurements: Sequence[Sequence[int]], weights: NDArray[np.int64], shots: int
) -> Row:
    bits = np.array(measurements, dtype=np.int64)
    if bits.shape != (shots, len(weights)) or not np.isin(bits, (0, 1)).all():
        raise BadResult(f"the result has measurements of the shape {bits.shape}, {shots} shots")
    return np.bincount(bits @ weights, minlength=1 << len(weights)).astype(np.int64)


def _from_probabilities(
    probabilities: Mapping[str, float], weights: NDArray[np.int64], shots: int
) -> Row:
    n = len(weights)
    for outcome in probabilities:
        if len(outcome) != n or not _BITS.issuperset(outcome):
            raise BadResult(f"the result has the outcome {outcome!r} for {n} qubits")
    bits = np.frombuffer("".join(probabilities).encode(), dtype=np.uint8).reshape(-1, n) - ord("0")
    values = np.array([float(value) for value in probabilities.values()])
    law = np.bincount(bits @ weights, values, minlength=1 << n)
    total = law.sum()
    if not (law >= 0).all() or not abs(total - 1) < 1e-3:
        raise BadResult(f"the result has probabilities that add up to {total}")
    return _as_counts(law / total * shots, shots)


def _as_counts(expected: NDArray[np.float64], shots: int) -> Row:
    """Return whole numbers where the device counted, else the numbers as they are.

    After error mitigation probabilities are no multiples of 1/shots.
    """
    whole = np.floor(expected + 0.5)
    if np.abs(expected - whole).max() > _WHOLE:
        return expected
    missing = shots - int(whole.sum())
    if missing:  # largest remainders first
        order = np.argsort(whole - expected if missing > 0 else expected - whole, kind="stable")
        whole[order[: abs(missing)]] += np.sign(missing)
    return whole.astype(np.int64)
