"""From a series to samples: windows, a split in time, standardisation by the training part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import DataError
from qt_hw.tasks.flood.series import Series

__all__ = ["Normalisation", "Split", "normalisation", "split_windows", "windows"]

_TEST_SHARE = 5  # a fifth of the windows is for testing if nobody says otherwise

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class Split:
    """First steps of the windows of each part, in order of time, and the windows' reach."""

    train: NDArray[np.int64]
    test: NDArray[np.int64]
    length: int
    leads: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Normalisation:
    """Stored value = (value − offset) / scale, per column of the series."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def applied(self, values: Array) -> Array:
        """Return ``values`` ``(N, F)`` normalised."""
        result: Array = (values - np.array(self.offset)) / np.array(self.scale)
        return result


def split_windows(
    series: Series,
    length: int,
    leads: Sequence[int],
    train_size: int | None,
    test_size: int | None,
) -> Split:
    """Choose windows of which none crosses a gap and no training window meets a test window.

    A window is ``length`` steps of input and the steps up to the longest lead time after them.
    One whose last input is interpolated would know what follows the gap, and one with an
    interpolated flow to forecast would measure a straight line: both are left out.
    The last ``test_size`` windows are for testing (a fifth, if None), the last ``train_size`` of
    those that end before the first of these begins for training (all, if None).

    Raises:
        DataError: There is no window without a gap, or there are fewer than asked for.
    """
    reach = length + max(leads)
    stretches = series.stretches
    starts = [np.arange(a, b - reach + 1, dtype=np.int64) for a, b in stretches]
    all_starts = _measured(series, np.concatenate([np.empty(0, np.int64), *starts]), length, leads)
    if not len(all_starts):
        longest = max((b - a for a, b in stretches), default=0)
        raise DataError(
            f"{series.source}: the longest stretch without a gap has {longest:,} steps, a window "
            f"needs {reach:,} (length {length} + lead {max(leads)}) that ends in measured values: "
            "raise max_gap, or lower length or lead"
        )
    n_test = max(1, len(all_starts) // _TEST_SHARE) if test_size is None else test_size
    test = all_starts[-n_test:]
    before = all_starts[all_starts + reach <= test[0]]
    train = before if train_size is None else before[-train_size:]
    _check_enough(series, len(all_starts), (len(train), train_size), (len(test), n_test))
    return Split(train=train, test=test, length=length, leads=tuple(leads))


def _measured(
    series: Series, starts: NDArray[np.int64], length: int, leads: Sequence[int]
) -> NDArray[np.int64]:
    """Return the windows whose last input and whose flows to forecast are not interpolated."""
    if series.filled is None:
        return starts
    now = starts + length - 1
    filled = series.filled[now].any(axis=1)
    for lead in leads:
        filled |= series.filled[now + lead, 0]
    return starts[~filled]


def _check_enough(
    series: Series, available: int, train: tuple[int, int | None], test: tuple[int, int]
) -> None:
    for name, (found, wanted) in (("train_size", train), ("test_size", test)):
        if found < (wanted or 1):
            raise DataError(
                f"{series.source}: {name} = {wanted or 1:,} windows asked for, {found:,} found "
                f"({available:,} in all; training windows end before the first test window "
                "begins): lower train_size, test_size or length, or raise max_gap"
            )


def normalisation(series: Series, split: Split, *, to_range: bool) -> Normalisation:
    """Return mean and deviation of the training steps, or what maps their range to [-1, 1].

    Steps count once, however many windows hold them.
    """
    used = np.zeros(len(series.values), dtype=bool)
    for step in range(split.length + max(split.leads)):
        used[split.train + step] = True
    values = series.values[used]
    if to_range:
        low, high = values.min(axis=0), values.max(axis=0)
        offset, scale = (low + high) / 2, (high - low) / 2
    else:
        offset, scale = values.mean(axis=0), values.std(axis=0)
    scale = np.where(scale > 1e-12, scale, 1.0)  # a column that never changes stays at 0
    return Normalisation(offset=tuple(offset.tolist()), scale=tuple(scale.tolist()))


def windows(
    values: Array, starts: NDArray[np.int64], split: Split, *, every_step: bool
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return inputs ``(N, T, F)`` and what follows, ``(N, H)``, of the first column.

    With ``every_step`` the latter is ``(N, T, H)``: what follows each step of the window.
    """
    steps = np.arange(split.length) if every_step else np.array([split.length - 1])
    stored = values.astype(np.float32)
    x = stored[starts[:, None] + np.arange(split.length)]
    at = starts[:, None, None] + steps[:, None] + np.array(split.leads)
    y = stored[:, 0][at]
    return x, y if every_step else y[:, 0]
