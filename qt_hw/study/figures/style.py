"""How the figures of a study look: colours, markers, lines, axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
from numpy.typing import NDArray

from qt_hw.study.figures.views import Curve, Setting, ticks
from qt_hw.study.statistics.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BLACK",
    "COLOURS",
    "GREY",
    "HATCHES",
    "LINES",
    "MARKERS",
    "Entries",
    "band",
    "colour_of",
    "errors",
    "figure",
    "joined",
    "label",
    "legend",
    "marker_of",
    "shots_axis",
    "title",
]

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe and Ito's, without black (the twin's) and yellow, which is too pale for lines."""

BLACK, GREY = "#000000", "#666666"
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
LINES = ("-", (0, (5, 1.5)), (0, (1, 1)), (0, (4, 1, 1, 1)), (0, (8, 2)))
Entries: TypeAlias = "Iterable[tuple[Artist, str]]"

HATCHES = ("", "//", "..", "xx", "--")


def colour_of(curve: Curve) -> str:
    """Return the colour of a curve's place."""
    return COLOURS[curve.colour % len(COLOURS)]


def marker_of(curve: Curve) -> str:
    """Return the marker of a curve: others of its place or its mitigation have another one."""
    return MARKERS[(curve.colour + 2 * curve.style) % len(MARKERS)]


def figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def label(axes: Axes, title: str, x: str, y: str, grid: str = "both") -> None:
    """Write title and names of the axes; leave only what is needed of the frame."""
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis=grid, alpha=0.25)  # type: ignore[arg-type]
    axes.set_axisbelow(True)


def shots_axis(axes: Axes, curves: Sequence[Curve], most: int = 12) -> None:
    """Mark the shot counts of ``curves`` on an axis of log2 of shots."""
    from matplotlib.ticker import NullLocator

    places, names = ticks(curves, most)
    slanted = len(places) > 7
    axes.set_xticks(places, names, rotation=45 if slanted else 0)
    axes.xaxis.set_minor_locator(NullLocator())
    if slanted:
        for text in axes.get_xticklabels():
            text.set(ha="right", rotation_mode="anchor")
    axes.set_xlim(places[0] - 0.5, places[-1] + 0.5)


def band(axes: Axes, value: Interval, scale: float, name: str, right: float = 1.0) -> None:
    """Draw a horizontal line with its interval as a band, up to ``right`` of the axes' width."""
    low, high = scale * value.low, scale * value.high
    axes.axhspan(low, high, xmax=right, color=BLACK, alpha=0.12, linewidth=0)
    axes.axhline(scale * value.mean, xmax=right, color=BLACK, linewidth=1.2, label=name)


def errors(values: Sequence[Interval], scale: float = 1.0) -> NDArray[np.float64]:
    """Return lengths of error bars, ``(2, k)``: below and above the means."""
    below = [scale * (value.mean - value.low) for value in values]
    above = [scale * (value.high - value.mean) for value in values]
    lengths: NDArray[np.float64] = np.maximum(np.array([below, above]), 0.0)
    return lengths


def legend(drawn: Figure, panels: Iterable[Axes], more: Entries = ()) -> None:
    """Write one legend for all panels below them; a name stands in it once."""
    entries: dict[str, Artist] = {}
    for axes in panels:
        for handle, name in zip(*axes.get_legend_handles_labels(), strict=True):
            entries.setdefault(name, handle)
    entries |= {name: handle for handle, name in more}
    longest = max(map(len, entries))
    columns = max(1, min(4, len(entries), int(drawn.get_figwidth() * 12.5 / (longest + 7))))
    drawn.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=columns,
        frameon=False,
        fontsize=9,
        handlelength=3.2,
    )


def title(drawn: Figure, text: str, setting: Setting) -> None:
    """Write a figure's title, with the setting where the study has several."""
    drawn.suptitle(f"{text}: {setting.title}" if setting.title else text, fontsize=12)


def joined(
    axes: Axes,
    x: Sequence[float],
    values: Sequence[Interval],
    name: str,
    colour: int,
    style: int,
) -> None:
    """Draw means with error bars, joined by a line; open markers for every style but the first."""
    shade = COLOURS[colour % len(COLOURS)]
    means = [value.mean for value in values]
    axes.errorbar(
        x,
        means,
        _positive(means, errors(values)),
        color=shade,
        linestyle=LINES[style % len(LINES)],
        marker=MARKERS[colour % len(MARKERS)],
        markerfacecolor=shade if style == 0 else "white",
        markersize=5.0,
        capsize=2.0,
        label=name or None,
    )


def _positive(means: Sequence[float], bars: NDArray[np.float64]) -> NDArray[np.float64]:
    """Cut error bars that would cross zero, which a log scale cannot show."""
    bars[0] = [min(bar, 0.9 * mean) for bar, mean in zip(bars[0], means, strict=True)]
    return bars
