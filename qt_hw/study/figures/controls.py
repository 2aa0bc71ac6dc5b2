"""The figure that shows whether the quantum circuit matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qt_hw.study.figures.style import BLACK, COLOURS, GREY, errors, figure, label, title
from qt_hw.study.figures.views import Point, Rows, Setting, control_points
from qt_hw.tasks import Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["controls_figure", "point_name"]


def controls_figure(setting: Setting, rows: Rows) -> Figure:
    """Return the headline metric of the controls and the twin with intervals, the best on top.

    Pale dots are single seeds.
    """
    points, metric = control_points(setting), setting.metric
    drawn = figure(7.6, 1.3 + 0.36 * len(points))
    axes = drawn.subplots()
    for at, point in enumerate(points):
        quantum = point.group is setting.twin
        colour = COLOURS[0] if quantum else GREY
        seeds = _seeds(point, rows, metric)
        axes.plot(seeds, [at + 0.25] * len(seeds), ".", color=colour, alpha=0.35)
        mean, bar = metric.factor * point.value.mean, errors([point.value], metric.factor)
        dot = {"fmt": "D" if quantum else "o", "markersize": 6.0, "capsize": 3.0}
        axes.errorbar([mean], [at], xerr=bar, color=colour, **dot)  # type: ignore[arg-type]
        if quantum:
            axes.axvline(mean, color=colour, linewidth=0.8, dashes=(4, 2))
    axes.set_yticks(range(len(points)), [point_name(point) for point in points])
    axes.set_ylim(len(points) - 0.4, -0.6)
    label(axes, "", f"{metric.axis}, mean with 95 % interval, pale dots: single seeds", "")
    for text, point in zip(axes.get_yticklabels(), points, strict=True):
        text.set_color(COLOURS[0] if point.group is setting.twin else BLACK)
    title(drawn, "Quantum generator and controls", setting)
    return drawn


def point_name(point: Point) -> str:
    """Return the name of a control with the number of its trained parameters."""
    if point.parameters is None:
        return point.name
    return f"{point.name} ({point.parameters:,} parameters)"


def _seeds(point: Point, rows: Rows, metric: Metric) -> list[float]:
    condition = point.group.condition
    return [
        metric.factor * row["value"]
        for row in rows
        if row["metric"] == metric.test
        and all(row[name] == value for name, value in vars(condition).items())
    ]
