"""The contract suite fails on backends with the faults that it is there to find."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.execution.backend import Backend, Batch, Cost, Counts, Item, Job, Prepared
from qt_hw.execution.statevector_backend import StatevectorBackend
from qt_hw.testing import BackendContract, assert_sampled_from

Rows = NDArray[Any]


class Faulty(Backend):
    """The exact engine with one fault in what goes in or what comes out."""

    name = "faulty"

    def __init__(
        self,
        *,
        bindings: Callable[[Rows], Rows] = lambda rows: rows,
        counts: Callable[[Rows], Rows] = lambda rows: rows,
        seed: Callable[[Batch, Item], tuple[int, int]] = lambda batch, item: (
            batch.seed[0],
            item.part,
        ),
    ) -> None:
        self._good = StatevectorBackend()
        self.limits = self._good.limits
        self._bindings, self._counts, self._seed = bindings, counts, seed

    def prepare(self, ansatz: Ansatz) -> Prepared:
        return self._good.prepare(ansatz)

    def estimate(self, batch: Batch) -> Cost:
        return self._good.estimate(batch)

    def submit(self, batch: Batch, token: str) -> Job:
        parts = []
        for item in batch.items:
            seed, part = self._seed(batch, item)
            changed = replace(item, bindings=self._bindings(item.bindings), part=part, origin=None)
            parts.append(self._good.submit(Batch(items=(changed,), seed=(seed,)), token).result())
        arrays = tuple(self._counts(counts.arrays[0]) for counts in parts)
        shots = tuple(item.shots for item in batch.items)
        return _Done(Counts(arrays=arrays, shots=shots))

    def find(self, token: str) -> list[Job]:
        return []

    def job(self, id: str) -> Job:
        raise KeyError(id)


class _Done(Job):
    id = "done"

    def __init__(self, counts: Counts) -> None:
        self._counts = counts

    def status(self) -> Any:
        raise NotImplementedError

    def result(self) -> Counts:
        return self._counts

    def cancel(self) -> None:
        raise NotImplementedError


SUITE = BackendContract()


def reversed_bits(counts: Rows) -> Rows:
    n = SUITE.n_qubits
    axes = counts.reshape(len(counts), *[2] * n)
    return axes.transpose(0, *range(n, 0, -1)).reshape(counts.shape)


def two_qubits_exchanged(counts: Rows) -> Rows:
    axes = counts.reshape(len(counts), 2, 2, 2)
    return axes.transpose(0, 1, 3, 2).reshape(counts.shape)


LAWS = ["test_forward_follows_the_law", "test_exact_forward_equals_the_law"]
GRADIENTS = ["test_sampled_gradient_follows_the_law", "test_exact_gradient_equals_the_law"]


@pytest.mark.parametrize("name", [*LAWS, *GRADIENTS])
@pytest.mark.parametrize(
    "fault",
    [
        {"counts": reversed_bits},
        {"counts": two_qubits_exchanged},
        {"bindings": lambda rows: rows[:, ::-1].copy()},
        {"bindings": lambda rows: 0 * rows},
    ],
    ids=["bit order", "layout", "parameter order", "angles of 0"],
)
def test_a_wrong_law_is_found_forward_and_in_the_gradient(name: str, fault: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        getattr(SUITE, name)(Faulty(**fault))


@pytest.mark.parametrize("name", [*LAWS, *GRADIENTS])
def test_the_same_backend_without_a_fault_passes(name: str) -> None:
    getattr(SUITE, name)(Faulty())


def test_bit_order_and_order_of_bindings_have_tests_of_their_own() -> None:
    with pytest.raises(AssertionError):
        SUITE.test_a_one_on_qubit_q_is_outcome_two_to_the_q(Faulty(counts=reversed_bits))
    with pytest.raises(AssertionError):
        SUITE.test_many_bindings_keep_their_order(Faulty(counts=lambda rows: rows[::-1]))


def test_lost_shots_are_found() -> None:
    with pytest.raises(AssertionError):
        SUITE.test_counts_are_whole_numbers_that_add_up_to_the_shots(
            Faulty(counts=lambda rows: np.maximum(rows - 1, 0))
        )


@pytest.mark.parametrize(
    ("fault", "test"),
    [
        (lambda batch, item: (0, item.part), "test_other_seed_and_other_part_give_other_counts"),
        (
            lambda batch, item: (batch.seed[0], 0),
            "test_other_seed_and_other_part_give_other_counts",
        ),
        (
            lambda batch, item: (batch.seed[0] % 2113, item.part),
            "test_other_seed_and_other_part_give_other_counts",
        ),
        (
            lambda batch, item: (batch.seed[0], len(batch.items)),
            "test_an_item_does_not_depend_on_the_others",
        ),
    ],
    ids=["seed ignored", "part ignored", "period of 2113", "depends on the batch"],
)
def test_wrong_seeds_are_found(fault: Any, test: str) -> None:
    backend = Faulty(seed=fault)
    prepared = backend.prepare(SUITE.flips())
    angles = np.full((4, SUITE.n_qubits), np.pi / 2)

    def sampled(seed: int, part: int = 0, others: int = 0) -> Rows:
        extra = [SUITE.item(prepared, angles, part=100 + k) for k in range(others)]
        item = SUITE.item(prepared, angles, part=part)
        return SUITE.run(backend, *extra, item, seed=(seed,)).arrays[-1]

    with pytest.raises(AssertionError):
        getattr(SUITE, test)(sampled)


def test_samples_of_the_law_pass_and_of_a_law_one_percent_off_fail() -> None:
    rng = np.random.default_rng(5)
    law = rng.dirichlet(np.ones(16), size=200)
    counts = rng.multinomial(20_000, law)
    assert_sampled_from(counts, law)
    with pytest.raises(AssertionError):
        assert_sampled_from(counts, 0.98 * law + 0.02 / 16)
    impossible = np.zeros((1, 4))
    impossible[0, 0] = 1.0
    with pytest.raises(AssertionError, match="row 0"):
        assert_sampled_from(np.array([[900, 100, 0, 0]]), impossible)
