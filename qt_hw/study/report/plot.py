"""A plot of the page: what plotly.js is given, as plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from qt_hw.study.figures.style import BLACK, COLOURS, GREY
from qt_hw.study.figures.views import Curve, ticks
from qt_hw.study.statistics.intervals import Interval

__all__ = [
    "DASHES",
    "SYMBOLS",
    "Plot",
    "Trace",
    "axis",
    "bars",
    "log_axis",
    "look",
    "polygon",
    "shots_axis",
    "twin_traces",
]

Trace = dict[str, Any]

SYMBOLS = ("circle", "square", "triangle-up", "diamond", "triangle-down", "pentagon", "x")
DASHES = ("solid", "dash", "dot", "dashdot", "longdash")


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One figure of the page.

    Attributes:
        name: Its id in the page, the same at each run.
        title: Above it.
        caption: One sentence below it.
        traces: For plotly.js.
        layout: For plotly.js, besides what all plots share.
        height: Of the plotting area, in pixels.
        beside: Pixels right of the plotting area, for names; dropped on narrow screens.
    """

    name: str
    title: str
    caption: str
    traces: Sequence[Trace]
    layout: Mapping[str, Any] = field(default_factory=dict)
    height: int = 330
    beside: int = 0

    def to_json(self) -> str:
        """Return what ``report.js`` draws, safe inside a script element."""
        names = [trace["name"] for trace in self.traces if trace.get("showlegend", True)]
        legend = {"entries": len(names), "longest": max(map(len, names), default=0)}
        parts: dict[str, Any] = {"height": self.height, "beside": self.beside}
        parts |= {"data": list(self.traces), "layout": dict(self.layout), "legend": legend}
        text = json.dumps(parts, sort_keys=True, allow_nan=False, separators=(",", ":"))
        return text.replace("<", "\\u003c").replace("\u2028", "\\u2028")


def axis(title: str, **more: Any) -> dict[str, Any]:
    """Return an axis with its title."""
    look = {"automargin": True, "gridcolor": "#e3e3e3", "zeroline": False, "linecolor": GREY}
    return {"title": {"text": title}, **look, **more}


def shots_axis(curves: Sequence[Curve], right: float = 0.6) -> dict[str, Any]:
    """Return an axis of log2 of shots; ``right`` is the room behind the last count."""
    places, names = ticks(curves, 12)
    span = [places[0] - 0.6, places[-1] + right]
    return axis("shots (log scale)", tickvals=places, ticktext=names, range=span)


def log_axis(traces: Sequence[Trace]) -> dict[str, Any]:
    """Return a log scale with numbers at 1, 2 and 5, at powers of ten if there are many."""
    values = [y for trace in traces for y in trace["y"] if y > 0]
    if not values:
        return {}
    first, last = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    subs = (1, 2, 5) if last - first <= 3 else (1,)
    places = [s * 10.0**power for power in range(first, last + 1) for s in subs]
    return {"type": "log", "tickvals": places, "ticktext": [f"{place:g}" for place in places]}


def look(curve: Curve) -> Trace:
    """Return colour, marker and line of a curve."""
    colour = COLOURS[curve.colour % len(COLOURS)]
    symbol = SYMBOLS[(curve.colour + 2 * curve.style) % len(SYMBOLS)]
    hollow = "-open" if curve.style else ""
    return {
        "marker": {"color": colour, "symbol": symbol + hollow, "size": 8},
        "line": {"color": colour, "dash": DASHES[curve.style % len(DASHES)], "width": 2},
    }


def bars(values: Sequence[Interval], scale: float = 1.0) -> Trace:
    """Return error bars from the means to the ends of the intervals."""
    return {
        "type": "data",
        "symmetric": False,
        "array": [scale * (value.high - value.mean) for value in values],
        "arrayminus": [scale * (value.mean - value.low) for value in values],
        "thickness": 1.2,
        "width": 3,
    }


def polygon(x: Sequence[float], values: Sequence[Interval], scale: float, colour: str) -> Trace:
    """Return a band between the ends of intervals."""
    low, high = [scale * v.low for v in values], [scale * v.high for v in values]
    return {
        "type": "scatter",
        "x": [*x, *reversed(x)],
        "y": [*high, *reversed(low)],
        "fill": "toself",
        "fillcolor": _pale(colour),
        "line": {"width": 0, "color": colour},
        "mode": "lines",
        "hoverinfo": "skip",
        "showlegend": False,
    }


def twin_traces(value: Interval, scale: float, left: float, right: float) -> list[Trace]:
    """Return mean and band of the noiseless twin between two places of the horizontal axis."""
    mean = scale * value.mean
    line = {"color": BLACK, "width": 1.5}
    text = f"noiseless twin {mean:.4g} [{scale * value.low:.4g}, {scale * value.high:.4g}]"
    named = {"name": "noiseless twin", "line": line, "hovertemplate": f"{text}<extra></extra>"}
    shown = {"type": "scatter", "x": [left, right], "y": [mean, mean], "mode": "lines", **named}
    return [polygon([left, right], [value, value], scale, BLACK), shown]


def _pale(colour: str) -> str:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return f"rgba({red},{green},{blue},0.15)"
