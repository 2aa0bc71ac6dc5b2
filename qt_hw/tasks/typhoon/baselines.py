"""What a forecast has to beat: constant motion, and a regression on climate and persistence."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from qt_hw.tasks.typhoon.geodesy import encode, moved
from qt_hw.tasks.typhoon.samples import N_STATE, state, truth
from qt_hw.tasks.typhoon.storm import STEP_HOURS

__all__ = ["cliper", "persistence"]


def persistence(y: Tensor, leads: Sequence[int]) -> Tensor:
    """Return the positions ``(N, L, 2)`` at which the motion of the last 12 hours ends.

    Args:
        y: See ``Samples``.
        leads: Lead times, hours.
    """
    start = state(y).to(torch.float64)
    motion = y[:, 2:4].to(torch.float64)
    steps = torch.tensor([lead / STEP_HOURS for lead in leads], dtype=torch.float64)
    return moved(start[:, None], steps[:, None] * motion[:, None])


def cliper(train: Tensor, y: Tensor) -> Tensor:
    """Return the positions ``(N, L, 2)`` of a regression fitted to ``train``.

    Displacements are linear in latitude, longitude, motion and sine and cosine of the day of the
    year: a short form of CLIPER (Neumann, NOAA Tech. Memo. NWS SR-62 (1972)).

    Args:
        train: y of the training samples; see ``Samples``.
        y: y of the samples to forecast.
    """
    start = state(train).to(torch.float64)[:, None]
    wanted = encode(start, truth(train).to(torch.float64)).flatten(1)
    # QR needs full rank: a data set of one season of storms may not have it.
    fit = torch.linalg.lstsq(_predictors(train), wanted, driver="gelsd").solution
    displacement = (_predictors(y) @ fit).reshape(len(y), -1, 2)
    return moved(state(y).to(torch.float64)[:, None], displacement)


def _predictors(y: Tensor) -> Tensor:
    known = y[:, : N_STATE - 1].to(torch.float64)
    # Offsets of the basin's middle keep the columns of like size.
    centred = known - known.new_tensor([20.0, 140.0, 0.0, 0.0, 0.0, 0.0])
    return torch.cat((torch.ones_like(known[:, :1]), centred), dim=1)
