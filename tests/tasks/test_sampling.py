from __future__ import annotations

import numpy as np
import pytest
import torch

from qt_hw.errors import InputError
from qt_hw.tasks import batches
from qt_hw.tasks.sampling import stratified_order, subset


@pytest.mark.parametrize(("n", "size"), [(10, 4), (12, 4), (7, 7), (5, 9), (1, 1)])
def test_every_epoch_holds_every_sample_once(n, size):
    per_epoch = -(-n // size)
    for epoch in range(3):
        steps = range(epoch * per_epoch, (epoch + 1) * per_epoch)
        parts = [batches(n, size, seed=3, step=step) for step in steps]
        assert all(len(part) == min(size, n) for part in parts[:-1])
        assert sorted(torch.cat(parts).tolist()) == list(range(n))


def test_the_papers_epoch_has_469_steps():
    assert len(batches(60_000, 128, seed=0, step=468)) == 60_000 - 468 * 128
    assert len(batches(60_000, 128, seed=0, step=469)) == 128


def test_a_batch_depends_on_seed_and_step_only():
    forwards = [batches(100, 32, seed=5, step=step) for step in range(12)]
    backwards = [batches(100, 32, seed=5, step=step) for step in reversed(range(12))]
    assert all(torch.equal(a, b) for a, b in zip(forwards, reversed(backwards), strict=True))
    assert forwards[0].dtype == torch.int64


def test_an_epoch_is_the_permutation_of_its_seed_sequence():
    order = np.random.default_rng(np.random.SeedSequence([5, 2])).permutation(100)
    assert batches(100, 40, seed=5, step=7).tolist() == order[40:80].tolist()


def test_seeds_and_epochs_differ():
    first = batches(100, 100, seed=0, step=0)
    assert not torch.equal(first, batches(100, 100, seed=1, step=0))
    assert not torch.equal(first, batches(100, 100, seed=0, step=1))


def test_global_generators_are_left_alone():
    torch_state, numpy_state = torch.random.get_rng_state(), np.random.get_state()[1].copy()
    batches(100, 10, seed=0, step=3)
    stratified_order(np.arange(20) % 3, seed=0)
    assert torch.equal(torch_state, torch.random.get_rng_state())
    assert np.array_equal(numpy_state, np.random.get_state()[1])


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        ((0, 4, 0, 0), "n"),
        ((10, 0, 0, 0), "batch_size"),
        ((10, 4.0, 0, 0), "batch_size"),
        ((10, 4, -1, 0), "seed"),
        ((10, 4, 0, -1), "step"),
        ((10, 4, 0, True), "step"),
    ],
)
def test_wrong_numbers_are_refused(arguments, name):
    with pytest.raises(InputError, match=f"^{name} must be a whole number of at least"):
        batches(*arguments)


def test_every_prefix_is_balanced():
    labels = np.repeat([0, 1, 2], [50, 30, 21])[np.random.default_rng(0).permutation(101)]
    order = stratified_order(labels, seed=4)
    assert sorted(order) == list(range(101))
    shares = np.bincount(labels) / 101
    for k in range(1, 102):
        assert np.abs(np.bincount(labels[order[:k]], minlength=3) - k * shares).max() <= 1
    assert not np.array_equal(order, stratified_order(labels, seed=5))


def test_subsets_are_nested_and_in_file_order():
    labels = np.random.default_rng(0).integers(0, 10, 300)
    small, large = subset(labels, 40, "train_size"), subset(labels, 90, "train_size")
    assert set(small) < set(large)
    assert np.all(np.diff(large) > 0)
    assert subset(labels, None, "train_size").tolist() == list(range(300))
    with pytest.raises(InputError, match="train_size must be at most 300 for this task, got 1,000"):
        subset(labels, 1000, "train_size")
