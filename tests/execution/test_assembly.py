"""What a vendor returns is believed only if it is exactly what was asked for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from qiskit import AncillaRegister, QuantumCircuit, QuantumRegister

from qt_hw.errors import BadResult
from qt_hw.execution.assembly import assemble, check_counts, missing
from qt_hw.execution.backend import Batch, Counts, Item
from qt_hw.execution.splitting import Piece

TWO_OF_THREE = QuantumCircuit(QuantumRegister(2), AncillaRegister(1))
BATCH = Batch(
    items=(
        Item(QuantumCircuit(2), np.zeros((3, 0)), 10),
        Item(TWO_OF_THREE, np.zeros((1, 0)), 5, "shift", 1),
    ),
    seed=(4,),
)
FIRST = np.array([[10, 0, 0, 0], [3, 3, 3, 1], [0, 0, 0, 10]])
SECOND = np.array([[1, 1, 1, 2]])


def counts(*arrays) -> Counts:
    return Counts(arrays=tuple(np.asarray(array) for array in arrays), shots=(10, 5))


@pytest.mark.parametrize("first", [FIRST, FIRST.astype(float), FIRST / 3 * 3, FIRST.astype("u4")])
def test_what_was_asked_for_is_accepted(first):
    check_counts(counts(first, SECOND), BATCH, complete=True)


def changed(row: int, column: int, value: float) -> np.ndarray:
    out = FIRST.astype(float)
    out[row, column] = value
    return out


WRONG = {
    "an item less": (FIRST,),
    "an item more": (FIRST, SECOND, SECOND),
    "items exchanged": (SECOND, FIRST),
    "a row less": (FIRST[:2], SECOND),
    "a row more": (np.vstack([FIRST, FIRST[:1]]), SECOND),
    "a qubit less": (FIRST.reshape(3, 2, 2).sum(axis=1), SECOND),
    "a qubit more": (np.hstack([FIRST, 0 * FIRST]), SECOND),
    "an ancilla measured too": (FIRST, np.hstack([SECOND, 0 * SECOND])),
    "flat": (FIRST.flatten(), SECOND),
    "a shot less": (changed(1, 0, 2), SECOND),
    "a shot more": (changed(1, 0, 4), SECOND),
    "a negative count": (changed(0, 0, 11) + changed(0, 1, -1) - FIRST, SECOND),
    "not a number": (changed(0, 0, np.nan), SECOND),
    "infinite": (changed(0, 0, np.inf), SECOND),
}


@pytest.mark.parametrize("complete", [True, False])
@pytest.mark.parametrize("name", WRONG)
def test_anything_else_is_not(name, complete):
    with pytest.raises(BadResult, match="the result has") as caught:
        check_counts(counts(*WRONG[name]), BATCH, complete=complete)
    assert "\n" not in str(caught.value)


def test_a_row_of_zeros_is_missing_which_only_a_failed_job_may_have():
    gap = FIRST.copy()
    gap[1] = 0
    check_counts(counts(gap, 0 * SECOND), BATCH, complete=False)
    with pytest.raises(BadResult, match=r"rows of \[0, 10\] shots, asked for were 10"):
        check_counts(counts(gap, SECOND), BATCH, complete=True)


@dataclass(frozen=True)
class Row:
    """The fields of a job's row that count here."""

    pieces: tuple[Piece, ...]
    part: int = 0
    repetition: int = 0
    attempt: int = 0


def row(*pieces: tuple[int, int, int, int], **place) -> Row:
    return Row(tuple(Piece(item=i, start=a, stop=b, shots=s) for i, a, b, s in pieces), **place)


def test_counts_of_parts_and_repetitions_add_up():
    found = assemble(
        BATCH,
        [
            (row((0, 1, 3, 10)), counts(FIRST[1:])),
            (row((0, 0, 1, 4), (1, 0, 1, 5)), counts([[4, 0, 0, 0]], SECOND)),
            (row((0, 0, 1, 6)), counts([[1, 2, 3, 0]])),
        ],
    )
    assert found is not None and found.shots == (10, 5)
    assert found.arrays[0].tolist() == [[5, 2, 3, 0], [3, 3, 3, 1], [0, 0, 0, 10]]
    assert found.arrays[0].dtype.kind == "i"
    assert found.arrays[1].tolist() == SECOND.tolist()


def test_whole_and_broken_numbers_add_up_to_broken_ones():
    halves = np.array([[2.5, 2.5, 0, 0]])
    batch = Batch(items=(Item(QuantumCircuit(2), np.zeros((2, 0)), 5),))
    found = assemble(
        batch, [(row((0, 0, 1, 5)), counts([[5, 0, 0, 0]])), (row((0, 1, 2, 5)), counts(halves))]
    )
    assert found is not None and found.arrays[0].tolist() == [[5, 0, 0, 0], [2.5, 2.5, 0, 0]]


@pytest.mark.parametrize(
    "results",
    [
        [],
        [(row((0, 0, 3, 10)), counts(FIRST))],
        [(row((0, 0, 2, 10), (1, 0, 1, 5)), counts(FIRST[:2], SECOND))],
        [(row((0, 0, 3, 10), (1, 0, 1, 5)), counts(FIRST * [[1], [0], [1]], SECOND))],
        [(row((0, 0, 3, 10), (1, 0, 1, 5)), counts(FIRST, SECOND))] * 2,
    ],
    ids=["nothing", "an item", "a row", "a row of zeros", "twice"],
)
def test_counts_are_there_only_if_every_binding_has_exactly_its_shots(results):
    assert assemble(BATCH, results) is None


def places(job) -> list[tuple[int, int, int]]:
    return [(piece.item, piece.start, piece.stop) for piece in job.pieces]


def test_what_is_missing_is_what_came_back_as_zeros():
    many = Batch(items=(Item(QuantumCircuit(1), np.zeros((9, 0)), 2),) * 2)
    got = np.array([[2, 0], [0, 0], [0, 0], [1, 1], [0, 0]])
    of = row((0, 2, 7, 2), (1, 0, 1, 2), part=3, repetition=1, attempt=2)
    job = missing(many, of, Counts(arrays=(got, np.array([[0, 2]])), shots=(2, 2)))
    assert places(job) == [(0, 3, 5), (0, 6, 7)]
    assert (job.part, job.repetition) == (3, 1)
    assert [len(item.bindings) for item in job.batch.items] == [2, 1]
    assert places(missing(many, of, None)) == [(0, 2, 7), (1, 0, 1)]
    whole = Counts(arrays=(np.ones((5, 2), int), np.array([[0, 2]])), shots=(2, 2))
    assert missing(many, of, whole).pieces == ()
