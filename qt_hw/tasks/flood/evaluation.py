"""From a network's outputs to the numbers of an evaluation, in the unit of the series."""

from __future__ import annotations

from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from qt_hw.errors import DataError
from qt_hw.tasks.flood import scores
from qt_hw.tasks.task import Data

__all__ = ["in_order", "in_units", "last", "now", "scored", "some"]

Array = NDArray[np.float64]


def some(samples: tuple[Tensor, Tensor], most: int) -> tuple[Tensor, Tensor]:
    """Return at most ``most`` of the samples, always the same ones, in their order.

    They are drawn: every k-th sample of a periodic series might show one phase alone.
    """
    x, y = samples
    if len(x) <= most:
        return samples
    # RandomState's stream is frozen by numpy's compatibility policy, that of Generator is not.
    kept = np.sort(np.random.RandomState(0).choice(len(x), most, replace=False))
    return x[kept], y[kept]


def in_order(model: nn.Module, x: Tensor, batch: int) -> Tensor:
    """Return the outputs for all of ``x``, made in slices of ``batch``."""
    return torch.cat([model(part) for part in torch.split(x, batch)]).detach()


def last(values: Tensor) -> Array:
    """Return what belongs to the last step of each window, ``(N, H)``."""
    ends = values[:, -1] if values.ndim == 3 else values
    array: Array = ends.detach().double().cpu().numpy()
    return array


def now(x: Tensor, column: int = 0) -> Array:
    """Return a column of the inputs at the last step of each window, ``(N, 1)``."""
    return last(x[:, :, column : column + 1])


def in_units(data: Data, values: Array, column: int = 0) -> Array:
    """Return normalised values of a column of the series in its own unit.

    Raises:
        DataError: The data were not made by the task.
    """
    known = data.description
    if not {"offset", "scale"} <= known.keys():
        raise DataError("the data's description has no offset and scale: load them with the task")
    offset, scale = (cast("list[float]", known[key])[column] for key in ("offset", "scale"))
    return values * scale + offset


def scored(observed: Array, forecast: Array, now: Array | None = None) -> dict[str, float]:
    """Return the scores of forecasts ``(N, H)``, means over the lead times.

    With the last observations ``now`` ``(N, 1)`` the efficiency of persistence is among them.
    """
    found = {
        "nse": scores.nash_sutcliffe(observed, forecast),
        "kge": scores.kling_gupta(observed, forecast),
        "rmse": scores.rmse(observed, forecast),
        "peak_error": scores.peak_error(observed, forecast),
    }
    if now is not None:
        same = np.repeat(now, observed.shape[1], axis=1)
        found["persistence_nse"] = scores.nash_sutcliffe(observed, same)
    return {name: float(values.mean()) for name, values in found.items()}
