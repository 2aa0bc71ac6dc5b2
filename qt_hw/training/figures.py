"""Figures of a run and of a pair of runs, as PNG and SVG.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart; curves differ in
line style too.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.storage import write_bytes
from qt_hw.tasks.metric import ACCURACY, Metric

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "draw_pair",
    "draw_run",
    "learning_curves",
    "probability_vector",
    "save",
    "weight_histogram",
]

BLUE, ORANGE, GREY = "#0072B2", "#D55E00", "#666666"
_COLOURS = (BLUE, ORANGE, "#009E73", "#CC79A7")
_MOST_BARS = 64
_TITLE_WIDTH = 80  # characters that fit above the axes
_SAME = 1e-5  # in total variation: more than single precision makes, less than can be seen

Rows = Sequence[Mapping[str, Any]]
Arrays = Mapping[str, NDArray[np.float64]]


def learning_curves(runs: Mapping[str, Rows], metric: Metric = ACCURACY) -> Figure:
    """Return loss and headline metric over the steps, one colour for each run."""
    figure = _figure(8.6, 3.6)
    loss, headline = figure.subplots(1, 2)
    for (name, rows), colour in zip(runs.items(), _COLOURS, strict=False):
        _losses(loss, rows, colour)
        steps, values = [row["step"] for row in rows], [row[metric.test] for row in rows]
        marker = _marker(len(steps))
        headline.plot(steps, metric.factor * np.array(values), marker, color=colour, label=name)
    _finish_losses(loss)
    note = _metric_axis(headline, metric, [rows[-1][metric.test] for rows in runs.values() if rows])
    _label(headline, metric.heading, "step", metric.axis + note)
    figure.legend(
        handles=headline.get_lines(), frameon=False, loc="outside lower center", ncols=len(runs)
    )
    return figure


def _losses(axes: Axes, rows: Rows, colour: str) -> None:
    """Draw the losses that there are: of test and training data, else of the batches."""
    styles = {"train_loss": ("--", 1.2), "test_loss": ("-", 1.5)}
    if not any(name in row for row in rows for name in styles):
        styles = {"batch_loss": ("-", 1.5)}
    for name, (style, width) in styles.items():
        points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
        if points:
            style += _marker(len(points))
            axes.plot(*zip(*points, strict=True), style, color=colour, linewidth=width)


def _marker(points: int) -> str:
    """Return the marker of a curve: a line through one point is not seen."""
    return "o" if points == 1 else ""


def _finish_losses(axes: Axes) -> None:
    """Scale and label the axes of the losses; losses below zero have no logarithm."""
    dashed = any(line.get_linestyle() == "--" for line in axes.get_lines())
    values = [np.asarray(line.get_ydata(), dtype=float) for line in axes.get_lines()]
    lowest = min((float(v.min()) for v in values), default=0.0)
    if lowest > 0:
        _log_scale(axes)
    _label(axes, "Loss", "step", "mean loss (log scale)" if lowest > 0 else "mean loss")
    if dashed:
        styles = [
            *axes.plot([], [], "-", color=GREY, label="test"),
            *axes.plot([], [], "--", color=GREY, linewidth=1.2, label="training"),
        ]
        axes.legend(handles=styles, frameon=False, loc="upper right")


def _metric_axis(axes: Axes, metric: Metric, last: Sequence[float]) -> str:
    """Set the limits of the axis; return what its label says of them."""
    if metric == ACCURACY and last and min(last) > 0.8:
        axes.set_ylim(60, 101)
        return "\naxis starts at 60 %"
    if metric.low is not None:
        axes.set_ylim(bottom=metric.low)
    return ""


def probability_vector(
    measured: NDArray[np.float64],
    ideal: NDArray[np.float64],
    shots: int | None,
    name: str = "",
    expected: float | None = None,
) -> Figure:
    """Return the measured probabilities of the run ``name`` against the exact ones.

    ``expected`` is the total variation distance that the shots alone would make, for the title.

    Up to 64 outcomes are drawn as bars in their order; more are sorted by their exact value.
    Without shots and noise both are the same, so only one is drawn.
    """
    figure = _figure(8.6, 3.4)
    axes = figure.subplots()
    distance = 0.5 * float(np.abs(measured - ideal).sum())
    few = len(ideal) <= _MOST_BARS
    order = np.arange(len(ideal)) if few else np.argsort(ideal)[::-1]
    x = np.arange(len(ideal))
    differ = shots is not None or distance > _SAME
    label = "exact" if not differ else f"{shots:,} shots" if shots else "with noise, no shots"
    if few:
        axes.bar(x, measured[order], width=0.8, color=ORANGE, alpha=0.75, label=label)
        if differ:
            marks = axes.plot(x, ideal[order], "_", color=BLUE, markersize=7, label="ideal")
            marks[0].set_markeredgewidth(2)
        xlabel = "outcome (qubit 0 is the least significant bit)"
    else:
        dots = axes.plot(x, measured[order], ".", color=ORANGE, markersize=2, label=label)
        dots[0].set(alpha=0.6, rasterized=True)  # half a million dots would swamp an SVG
        if differ:
            axes.plot(x, ideal[order], "-", color=BLUE, label="ideal")
        xlabel = "outcomes, most probable first"
        axes.set_yscale("symlog", linthresh=0.1 / len(ideal))
    title = f"Probabilities at the end{f': {name}' if name else ''}"
    if differ:
        alone = "" if expected is None else f", by shots alone {expected:.3f}"
        distances = f"(total variation distance {distance:.3f}{alone})"
        between = " " if len(title) + len(distances) < _TITLE_WIDTH else "\n"
        title += f"{between}{distances}"
    _label(axes, title, xlabel, "probability")
    axes.margins(x=0.01)
    figure.legend(frameon=False, loc="outside right upper")  # inside, it would hide bars
    return figure


def weight_histogram(
    runs: Mapping[str, NDArray[np.float64]], initial: NDArray[np.float64]
) -> Figure:
    """Return the distribution of the generated weights, and that of the untrained target.

    The axis leaves out a thousandth of the values on each side, and says how many those are.
    """
    figure = _figure(6.4, 3.6)
    axes = figure.subplots()
    everything = np.concatenate([initial, *runs.values()])
    low, high = np.quantile(everything, [0.001, 0.999])
    bins = np.linspace(low, high, 61).tolist()
    axes.hist(initial, bins, color=GREY, alpha=0.35, density=True, label="target, untrained")
    styles = ("-", "--", "-.", ":")
    for (name, weights), colour, style in zip(runs.items(), _COLOURS, styles, strict=False):
        axes.hist(
            weights,
            bins,
            histtype="step",
            density=True,
            color=colour,
            linestyle=style,
            linewidth=1.6,
            label=name,
        )
    outside = float(np.mean((everything < low) | (everything > high)))
    _label(
        axes, "Generated weights", f"weight ({outside:.2%} of all values lie outside)", "density"
    )
    axes.legend(frameon=False, loc="upper right")
    return figure


def draw_run(
    folder: Path,
    metric: Metric,
    rows: Rows,
    arrays: Arrays,
    shots: int | None,
    name: str | None = None,
) -> None:
    """Write the figures of one run into ``folder``; without a ``name`` it goes by its shots."""
    if name is None:
        name = "exact" if shots is None else f"{shots:,} shots"
    _draw(folder, metric, {name: rows}, {name: arrays}, shots)


def draw_pair(
    folder: Path,
    metric: Metric,
    rows: Mapping[str, Rows],
    arrays: Mapping[str, Arrays],
    shots: int | None,
) -> None:
    """Write the figures of two runs into ``folder``; the vector is that of the last one."""
    _draw(folder, metric, rows, arrays, shots)


def _draw(
    folder: Path,
    metric: Metric,
    rows: Mapping[str, Rows],
    arrays: Mapping[str, Arrays],
    shots: int | None,
) -> None:
    name, last = list(arrays.items())[-1]
    save(learning_curves(rows, metric), folder / "learning-curves")
    if len(last["ideal"]):  # there are controls without a vector
        vector = probability_vector(last["probabilities"], last["ideal"], shots, name)
        save(vector, folder / "probabilities")
    weights = {name: a["weights"] for name, a in arrays.items()}
    save(weight_histogram(weights, last["initial"]), folder / "weights")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _log_scale(axes: Axes) -> None:
    """Make the vertical axis logarithmic, with plain decimal numbers at its ticks."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axes.set_yscale("log")
    low, high = axes.get_ylim()
    if high < 5 * low:
        axes.yaxis.set_major_locator(MaxNLocator(6))
    else:
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if high < 1000 * low else (1,)))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(FuncFormatter(_decimal))


def _decimal(value: float, _: int | None = None) -> str:
    return np.format_float_positional(value, precision=6, fractional=False, trim="-")


def _label(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x)
    axes.set_ylabel(y)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)


def save(figure: Figure, stem: Path) -> None:
    """Write ``stem`` with .png and .svg."""
    for kind, options in (("png", {"dpi": 150}), ("svg", {"metadata": {"Date": None}})):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, **options)
        write_bytes(stem.with_suffix(f".{kind}"), buffer.getvalue())
