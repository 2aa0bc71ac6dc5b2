"""Whatever the limits: every binding gets exactly its shots, and no job exceeds them."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter

from qt_hw.errors import PreflightError
from qt_hw.execution.backend import Batch, Item, Limits
from qt_hw.execution.checks import check_job
from qt_hw.execution.splitting import split

CIRCUIT = QuantumCircuit(1)
CIRCUIT.ry(Parameter("t"), 0)


def item(rows: int, shots: int | None, number: int = 0) -> Item:
    """An item whose every binding is another number."""
    bindings = 100.0 * number + np.arange(rows)[:, None]
    return Item(CIRCUIT, bindings, shots, role=f"item {number}", part=number)


def random_case(seed: int):
    """A batch, limits, and how many bindings of each item fit into a job."""
    rng = np.random.default_rng(seed)

    def maybe(low, high):
        return int(rng.integers(low, high)) if rng.random() < 0.6 else None

    shots = [int(value) for value in rng.integers(10, 400, rng.integers(1, 6))]
    items = tuple(
        item(int(rng.integers(1, 40)), int(rng.choice(shots)), number)
        for number in range(rng.integers(1, 6))
    )
    limits = Limits(
        split_shots=maybe(40, 300),
        max_bindings=maybe(1, 30),
        max_executions=maybe(400, 5000),
        one_shot_count=bool(rng.random() < 0.5),
    )
    sizes = {i.part: maybe(1, 20) for i in items}
    return Batch(items=items, seed=(seed,)), limits, lambda i: sizes[i.part]


@pytest.mark.parametrize("seed", range(300))
def test_random_batches_are_covered_exactly_within_the_limits(seed):
    batch, limits, per_job = random_case(seed)
    given = [np.zeros(len(i.bindings), dtype=int) for i in batch.items]
    places = set()
    for job in split(batch, limits, per_job):
        check_job(job.batch, limits)
        load = 0.0
        assert (job.part, job.repetition) not in places
        places.add((job.part, job.repetition))
        for piece, part in zip(job.pieces, job.batch.items, strict=True):
            source = batch.items[piece.item]
            assert part.role == source.role and part.part == source.part
            assert part.shots == piece.shots
            assert len(part.bindings) == piece.stop - piece.start > 0
            assert np.array_equal(part.bindings, source.bindings[piece.start : piece.stop])
            given[piece.item][piece.start : piece.stop] += piece.shots
            size = per_job(source)
            load += 0.0 if size is None else len(part.bindings) / size
        assert load <= 1 + 1e-9
    for shots, source in zip(given, batch.items, strict=True):
        assert shots.tolist() == [source.shots] * len(source.bindings)


@pytest.mark.parametrize("seed", range(0, 300, 10))
def test_the_same_batch_is_split_the_same_way(seed):
    batch, limits, per_job = random_case(seed)
    first, second = split(batch, limits, per_job), split(batch, limits, per_job)
    assert [job.pieces for job in first] == [job.pieces for job in second]
    assert len({job.batch.seed for job in first}) == len(first)


def pieces(batch, limits, per_job=None):
    return [
        [(p.item, p.start, p.stop, p.shots) for p in job.pieces]
        for job in split(batch, limits, per_job)
    ]


def test_shots_are_spread_evenly_over_repetitions():
    assert pieces(Batch(items=(item(2, 1001),)), Limits(split_shots=500)) == [
        [(0, 0, 2, 334)],
        [(0, 0, 2, 334)],
        [(0, 0, 2, 333)],
    ]
    jobs = split(Batch(items=(item(2, 1001),)), Limits(split_shots=500))
    assert [(job.part, job.repetition) for job in jobs] == [(0, 0), (0, 1), (0, 2)]


def test_only_what_has_too_many_shots_is_repeated():
    batch = Batch(items=(item(1, 900), item(2, 100, 1)))
    assert pieces(batch, Limits(split_shots=500)) == [
        [(0, 0, 1, 450), (1, 0, 2, 100)],
        [(0, 0, 1, 450)],
    ]


def test_one_number_of_shots_per_job_where_the_vendor_wants_it():
    batch = Batch(items=(item(2, 100), item(1, 50, 1), item(3, 100, 2)))
    assert pieces(batch, Limits(one_shot_count=True)) == [
        [(0, 0, 2, 100), (2, 0, 3, 100)],
        [(1, 0, 1, 50)],
    ]


def test_circuits_of_different_size_share_a_job_by_what_each_takes_of_it():
    batch = Batch(items=(item(6, 10), item(6, 10, 1)))
    sizes = {0: 4, 1: 2}
    assert pieces(batch, Limits(), lambda i: sizes[i.part]) == [
        [(0, 0, 4, 10)],
        [(0, 4, 6, 10), (1, 0, 1, 10)],
        [(1, 1, 3, 10)],
        [(1, 3, 5, 10)],
        [(1, 5, 6, 10)],
    ]


def test_a_circuit_too_large_for_any_job_is_a_job_by_itself():
    assert len(split(Batch(items=(item(3, 10),)), Limits(), lambda i: 0)) == 3


def test_executions_bound_the_shots_of_a_repetition():
    batch = Batch(items=(item(2, 1000),))
    found = pieces(batch, Limits(split_shots=800, max_executions=500))
    assert found == [[(0, 0, 1, 500)], [(0, 1, 2, 500)]] * 2
    with pytest.raises(PreflightError, match="a job takes 500 executions"):
        split(batch, Limits(max_executions=500))


def test_shots_that_cannot_be_spread_are_refused_with_what_could():
    limits = Limits(min_shots=100, split_shots=120)
    with pytest.raises(PreflightError, match=r"150 shots.*need 2 jobs.*ask for 200 or more"):
        split(Batch(items=(item(1, 150),)), limits)
    assert len(split(Batch(items=(item(1, 200),)), limits)) == 2


def test_exact_items_are_never_repeated():
    batch = Batch(items=(item(3, None),))
    limits = Limits(exact=True, split_shots=10, max_executions=10, max_bindings=2)
    assert pieces(batch, limits) == [[(0, 0, 2, None)], [(0, 2, 3, None)]]


def test_nothing_needs_no_job():
    assert split(Batch(items=()), Limits()) == []
