"""Which samples, in which order: class-balanced subsets and batches that need no state."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.errors import InputError

__all__ = ["batches", "stratified_order", "subset"]


def batches(n: int, batch_size: int, seed: int, step: int) -> Tensor:
    """Return the sample indices ``(≤ batch_size,)``, int64, of one training step.

    Every epoch is one permutation of the ``n`` samples, drawn from
    ``SeedSequence([seed, epoch])``; its last batch is the shorter one. So the batch of a step
    depends on the arguments alone, and a resumed run sees the data of the undisturbed one.

    Args:
        n: Number of training samples.
        batch_size: Samples per step; more than ``n`` means all of them.
        seed: Seed of the data order.
        step: Index of the training step, from 0.

    Raises:
        InputError: A number is not whole or too small.

    >>> [len(batches(10, 4, seed=0, step=k)) for k in range(4)]
    [4, 4, 2, 4]
    """
    _check_whole(("n", n, 1), ("batch_size", batch_size, 1), ("seed", seed, 0), ("step", step, 0))
    epoch, place = divmod(step, -(-n // batch_size))
    order = np.random.default_rng(np.random.SeedSequence([seed, epoch])).permutation(n)
    return torch.from_numpy(order[place * batch_size : (place + 1) * batch_size].copy())


def _check_whole(*arguments: tuple[str, object, int]) -> None:
    for name, value, least in arguments:
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")


def stratified_order(labels: NDArray[np.integer], seed: int) -> NDArray[np.int64]:
    """Return an order of the samples of which every prefix holds each class in its share.

    A prefix of k samples holds each class to within one sample of ``k · share``, and the
    prefixes are nested: a larger subset contains the smaller one.

    Args:
        labels: Classes ``(N,)``.
        seed: Seed of the order inside each class.
    """
    # RandomState's stream is frozen by numpy's compatibility policy, that of Generator is not.
    # Splits must stay the same from one numpy version to the next.
    shuffled = np.random.RandomState(seed).permutation(len(labels))
    place = np.empty(len(labels))
    for kind in np.unique(labels):
        members = shuffled[labels[shuffled] == kind]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    order: NDArray[np.int64] = np.lexsort((labels, place)).astype(np.int64)
    return order


def subset(labels: NDArray[np.integer], size: int | None, what: str) -> NDArray[np.int64]:
    """Return the indices of ``size`` samples, class-balanced, in the order of the file.

    Args:
        labels: Classes ``(N,)`` of all samples.
        size: Number of samples to keep; None keeps all.
        what: Name of the option, for the message.

    Raises:
        InputError: ``size`` is larger than the number of samples.
    """
    if size is None:
        return np.arange(len(labels))
    if size > len(labels):
        raise InputError(f"{what} must be at most {len(labels):,} for this task, got {size:,}")
    return np.sort(stratified_order(labels, seed=0)[:size])
