"""Pictures of forecasts: the largest flood of the test part, and skill against lead time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from qt_hw.tasks.flood.scores import nash_sutcliffe

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["View", "hydrograph", "skill"]

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_BLUE, _GREY = "#0072B2", "#666666"
_COLOURS = ("#D55E00", "#009E73", "#CC79A7")
_STYLES = ("-", "--", "-.")
_BEFORE, _AFTER = 96, 144  # steps shown around the largest flow

Array = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True, eq=False)
class View:
    """What the pictures show, of N test windows and H lead times.

    Attributes:
        observed: What came, ``(N, H)``.
        forecast: What was forecast, ``(N, H)``.
        now: The last observation of each window, ``(N,)``.
        rain: The last rain of each window, ``(N,)``; None without rain.
        leads: Lead times in steps.
        hours: Length of a step; None where it means nothing.
        names: Of the flow and of the rain.
        units: Their units.
        breaks: Index of the windows that do not follow the one before, and their times.
    """

    observed: Array
    forecast: Array
    now: Array
    rain: Array | None
    leads: tuple[int, ...]
    hours: float | None
    names: tuple[str, ...]
    units: tuple[str, ...]
    breaks: tuple[tuple[int, str | None], ...]

    @classmethod
    def of(cls, description: Mapping[str, object], **arrays: Any) -> View:
        """Return the view of arrays and of what ``Data.description`` says of them."""
        known = cast("Mapping[str, Any]", description)
        return cls(
            leads=tuple(known["leads"]),
            hours=known["step_hours"],
            names=tuple(known["columns_used"]),
            units=tuple(known["units"]),
            breaks=tuple((index, time) for index, time in known["test_stretches"]),
            **arrays,
        )

    def lead(self, k: int) -> str:
        """Return a lead time with its unit."""
        steps = self.leads[k]
        if self.hours is None:
            return f"{steps} step{'s' if steps > 1 else ''}"
        return f"{steps * self.hours:g} h"

    @property
    def flow(self) -> str:
        """Name of the axis of flows."""
        return f"{self.names[0]} ({self.units[0]})" if self.units[0] else self.names[0]

    def around_peak(self) -> slice:
        """Return the windows around the largest observation, without a break between them."""
        peak = int(np.argmax(self.now))
        edges = [index for index, _ in self.breaks] + [len(self.now)]
        start = max(index for index in edges if index <= peak)
        end = min(index for index in edges if index > peak)
        return slice(max(start, peak - _BEFORE), min(end, peak + _AFTER))


def hydrograph(view: View) -> Figure:
    """Return the test part around its largest flow: observation, forecasts by lead time, rain."""
    figure = _figure(8.6, 4.4)
    panels = [1.0] if view.rain is None else [1.0, 3.0]
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=panels)[:, 0]
    shown = view.around_peak()
    time = np.arange(shown.stop - shown.start, dtype=float)
    unit = 1.0 if view.hours is None else view.hours
    flow: Axes = axes[-1]
    flow.plot(unit * time, view.now[shown], color="black", linewidth=1.8, label="observed")
    picked = _spread(len(view.leads))
    for k, colour, style in zip(picked, _COLOURS, _STYLES, strict=False):
        ahead = unit * (time + view.leads[k])
        label = f"forecast {view.lead(k)} before"
        flow.plot(ahead, view.forecast[shown, k], style, color=colour, linewidth=1.3, label=label)
    when = "steps" if view.hours is None else "hours"
    _label(flow, "", f"{when} since {_moment(view, shown.start)}", view.flow)
    flow.legend(frameon=False, loc="upper right", fontsize=9)
    if view.rain is not None:
        _rain_bars(axes[0], unit * time, view.rain[shown], unit, view.units[1])
    axes[0].set_title(f"The largest {view.names[0]} of the test part", fontsize=11, loc="left")
    return figure


def _rain_bars(axes: Axes, time: Array, rain: Array, width: float, unit: str) -> None:
    axes.bar(time, rain, width=width, color=_BLUE)
    axes.invert_yaxis()
    _label(axes, "", "", f"rain ({unit})")


def _moment(view: View, index: int) -> str:
    """Return when the first shown step was."""
    from datetime import datetime, timedelta

    first, time = max(entry for entry in view.breaks if entry[0] <= index)
    if time is None or view.hours is None:
        return f"step {index} of the test part"
    # The stored time is that of the step after the window; shown is the window's last.
    moment = datetime.fromisoformat(time) + timedelta(hours=(index - first - 1) * view.hours)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def skill(view: View) -> Figure:
    """Return the NSE of forecast and of persistence by lead time."""
    figure = _figure(5.6, 3.6)
    axes = figure.subplots()
    unit = 1.0 if view.hours is None else view.hours
    leads = unit * np.array(view.leads, dtype=float)
    persistence = np.repeat(view.now[:, None], len(view.leads), axis=1)
    own = nash_sutcliffe(view.observed, view.forecast)
    last = nash_sutcliffe(view.observed, persistence)
    axes.plot(leads, own, "o-", color=_BLUE, label="forecast")
    axes.plot(leads, last, "s--", color=_GREY, label="persistence: the last observation")
    low = min(0.0, float(own.min()), max(float(last.min()), -1.0))
    axes.set_ylim(low - 0.05, 1.02)
    note = "" if last.min() >= low else f"\naxis ends at {low - 0.05:.1f}, persistence goes on"
    name = "lead time (steps)" if view.hours is None else "lead time (h)"
    _label(axes, "Skill by lead time", name, f"Nash-Sutcliffe efficiency{note}")
    axes.legend(frameon=False, loc="lower left", fontsize=9)
    return figure


def _spread(n: int) -> Sequence[int]:
    """Return up to three of 0 … n − 1: the first, the middle and the last."""
    return sorted({0, n // 2, n - 1})


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    if title:
        axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
