"""A batch as the requests of the vendor's sampler, and its results as counts again.

All bindings of one circuit become the parameter array of one PUB, whatever items they are from.
What belongs where travels in the circuit's metadata, which the service returns with the result:
a job can be decoded by a process that knows no more than its id.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import BadResult, InputError
from qt_hw.execution.backend import Batch, Counts, Item
from qt_hw.execution.canonical import circuit_bytes, digest
from qt_hw_ibm.isa import REGISTER

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["Request", "counts_of", "make_request"]

_KEY = "qt_hw"


@dataclass(frozen=True, kw_only=True, eq=False)
class Request:
    """What one job runs.

    Attributes:
        pubs: (measured circuit, bindings ``(rows, parameters)``) each.
        shots: Shots of every binding.
    """

    pubs: list[tuple[QuantumCircuit, NDArray[np.float64]]]
    shots: int


def make_request(batch: Batch, widen: Callable[[QuantumCircuit], QuantumCircuit]) -> Request:
    """Return ``batch`` as one request.

    Args:
        batch: Checked; all items with the same number of shots.
        widen: Makes the circuit of a request from a prepared one, once per circuit.

    Raises:
        InputError: Items with different numbers of shots; or see ``widen``.
    """
    numbers_of_shots = {int(item.shots or 0) for item in batch.items}
    if len(numbers_of_shots) != 1:
        found = sorted(numbers_of_shots)
        raise InputError(f"all items of a job need the same number of shots, not {found}")
    (shots,) = numbers_of_shots
    groups: dict[str, list[int]] = {}
    for number, item in enumerate(batch.items):
        groups.setdefault(digest(circuit_bytes(item.circuit)), []).append(number)
    pubs = []
    for numbers in groups.values():
        circuit = widen(batch.items[numbers[0]].circuit)
        for parts in _parts(batch.items, numbers):
            rows = [batch.items[number].bindings[start:stop] for number, start, stop in parts]
            one = circuit.copy()
            one.metadata = {
                _KEY: {
                    "parts": parts,
                    "items": [len(item.bindings) for item in batch.items],
                    "shots": shots,
                }
            }
            pubs.append((one, np.concatenate(rows).astype(np.float64, copy=False)))
    return Request(pubs=pubs, shots=shots)


def _parts(items: Sequence[Item], numbers: list[int]) -> list[list[list[int]]]:
    """Return for each PUB of one circuit the [item, first row, end] that it stacks.

    A circuit without parameters has one row per PUB: nothing else would tell how many to run.
    """
    if items[numbers[0]].bindings.shape[1]:
        return [[[number, 0, len(items[number].bindings)] for number in numbers]]
    return [
        [[number, row, row + 1]] for number in numbers for row in range(len(items[number].bindings))
    ]


def counts_of(result: Any) -> Counts:
    """Return the counts in a result of the vendor's sampler.

    Raises:
        BadResult: It is not a result, of another program, or parts of it are missing.
    """
    from qiskit.primitives import PrimitiveResult

    if not isinstance(result, PrimitiveResult) or not len(result):
        raise BadResult(f"no result came back, only {type(result).__name__}")
    plans = [pub.metadata.get("circuit_metadata", {}).get(_KEY) for pub in result]
    if not all(isinstance(plan, dict) for plan in plans):
        raise BadResult("the result does not say to which bindings it belongs")
    sizes, shots = plans[0]["items"], int(plans[0]["shots"])
    matrices = [
        _matrix(pub, sum(stop - start for _, start, stop in plan["parts"]), shots)
        for pub, plan in zip(result, plans, strict=True)
    ]
    arrays: list[NDArray[np.int64] | None] = [None] * len(sizes)
    filled = [0] * len(sizes)
    for matrix, plan in zip(matrices, plans, strict=True):
        at = 0
        for number, start, stop in plan["parts"]:
            if arrays[number] is None:
                arrays[number] = np.zeros((sizes[number], matrix.shape[1]), dtype=np.int64)
            arrays[number][start:stop] = matrix[at : at + stop - start]
            filled[number] += stop - start
            at += stop - start
    if filled != sizes:
        raise BadResult(f"{sum(filled)} bindings came back of {sum(sizes)}")
    return Counts(
        arrays=tuple(array for array in arrays if array is not None), shots=(shots,) * len(sizes)
    )


def _matrix(pub: Any, n_rows: int, shots: int) -> NDArray[np.int64]:
    """Return the counts of one PUB, ``(n_rows, 2**bits)``; bit i of the column is qubit i."""
    from qiskit.primitives import BitArray

    data = getattr(pub.data, REGISTER, None)
    if not isinstance(data, BitArray):
        raise BadResult(f"the result has no register {REGISTER!r}")
    if len(data.shape) > 1 or math.prod(data.shape) != n_rows:
        raise BadResult(f"the result has the shape {data.shape} for {n_rows} bindings")
    if data.num_shots < shots:
        raise BadResult(f"{data.num_shots} shots came back of {shots}")
    packed = data.array.reshape(n_rows, data.num_shots, -1)[:, :shots]
    n_bits, n_bytes = int(data.num_bits), packed.shape[-1]
    if n_bytes != -(-n_bits // 8):
        raise BadResult(f"the result holds {n_bytes} bytes for {n_bits} qubits")
    outcome = np.zeros((n_rows, shots), dtype=np.int64)
    for byte in range(n_bytes):
        outcome = (outcome << 8) | packed[..., byte]
    if outcome.max(initial=0) >> n_bits:
        raise BadResult(f"the result holds outcomes of more than {n_bits} qubits")
    outcome += np.arange(n_rows, dtype=np.int64)[:, None] << n_bits
    counts = np.bincount(outcome.ravel(), minlength=n_rows << n_bits)
    return counts.reshape(n_rows, 1 << n_bits)
