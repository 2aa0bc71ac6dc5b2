"""Pictures of track forecasts: a map of some storms, and the error by lead time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.tasks.typhoon.samples import N_STATE, state, truth

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_lead_times", "draw_tracks"]

Array = NDArray[np.float64]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
_STYLES = {"network": "-", "CLIPER-like": "--", "persistence": ":"}
_STORMS = 6
_FORECASTS = 3


def draw_tracks(y: Tensor, forecast: Tensor) -> Figure:
    """Return a map of up to six storms: observed tracks, and forecasts from three times of each.

    Args:
        y: Of the test samples; see ``Samples``.
        forecast: Their forecast positions, ``(N, L, 2)``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    axes = figure.subplots()
    numbers = torch.unique(y[:, N_STATE - 1])
    chosen = numbers[torch.linspace(0, len(numbers) - 1, min(_STORMS, len(numbers))).long()]
    for colour, number in zip(_COLOURS, chosen.tolist(), strict=False):
        rows = y[:, N_STATE - 1] == number
        _draw_storm(axes, y[rows].double(), forecast[rows], colour)
    axes.plot([], [], color="0.4", linewidth=2.5, alpha=0.5, label="observed")
    axes.plot([], [], color="0.2", marker="o", markersize=3, linewidth=1, label="forecast")
    _graticule(axes)
    axes.set_title(
        f"forecasts of {len(chosen)} of {len(numbers)} test storms", loc="left", fontsize=10
    )
    axes.legend(frameon=False, loc="upper left")
    return figure


def draw_lead_times(leads: Sequence[int], errors: Mapping[str, Sequence[float]]) -> Figure:
    """Return the mean error in km of each method against the lead time.

    Args:
        leads: Hours, ``(L,)``.
        errors: By method, ``(L,)`` each.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.8), layout="constrained")
    axes = figure.subplots()
    for colour, (name, values) in zip(_COLOURS, errors.items(), strict=False):
        style = _STYLES.get(name, "-")
        axes.plot(leads, values, style, color=colour, marker="o", markersize=4, label=name)
    axes.set_xticks(list(leads))
    axes.set_ylim(bottom=0)
    axes.set_xlabel("lead time (h)")
    axes.set_ylabel("mean track error (km)")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure


def _draw_storm(axes: Axes, y: Tensor, forecast: Tensor, colour: str) -> None:
    """Draw the samples of one storm."""
    track = torch.cat((state(y), truth(y)[-1])).numpy()
    turns = 360.0 * np.floor(track[0, 1] / 360.0)
    axes.plot(track[:, 1] - turns, track[:, 0], color=colour, linewidth=2.5, alpha=0.4)
    for k in torch.linspace(0, len(y) - 1, min(_FORECASTS, len(y))).long().tolist():
        path = torch.cat((state(y[k : k + 1]), forecast[k].double())).numpy()
        axes.plot(path[:, 1] - turns, path[:, 0], color=colour, linewidth=1, alpha=0.9)
        axes.plot(path[1:, 1] - turns, path[1:, 0], "o", color=colour, markersize=3)
        axes.plot(path[0, 1] - turns, path[0, 0], "s", color=colour, markersize=4)


def _graticule(axes: Axes) -> None:
    """Give a map lines of longitude and latitude, and about the right proportions."""
    axes.margins(0.05)
    low, high = axes.get_ylim()
    axes.set_aspect(1 / max(0.2, float(np.cos(np.deg2rad((low + high) / 2)))), adjustable="datalim")
    axes.grid(color="0.85", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.xaxis.set_major_formatter(lambda value, _: _degrees(value, "E", "W"))
    axes.yaxis.set_major_formatter(lambda value, _: _degrees(value, "N", "S"))


def _degrees(value: float, positive: str, negative: str) -> str:
    """Return a coordinate as maps show it.

    >>> _degrees(190.0, "E", "W"), _degrees(-5.0, "N", "S"), _degrees(0.0, "N", "S")
    ('170°W', '5°S', '0°')
    """
    value = (value + 180.0) % 360.0 - 180.0
    side = "" if value == 0 else positive if value > 0 else negative
    return f"{abs(value):g}°{side}"
