"""The figure that shows whether the quantum circuit matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qt_hw.study.figures.style import BLACK, COLOURS, GREY, errors, figure, label, title
from qt_hw.study.figures.views import Point, Rows, Setting, control_points

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["controls_figure", "point_name"]


def controls_figure(setting: Setting, rows: Rows) -> Figure:
    """Return test accuracies of the controls and the twin with intervals, the best on top.

    Pale dots are single seeds.
    """
    points = control_points(setting)
    drawn = figure(7.6, 1.3 + 0.36 * len(points))
    axes = drawn.subplots()
    for at, point in enumerate(points):
        quantum = point.group is setting.twin
        colour = COLOURS[0] if quantum else GREY
        seeds = _seeds(point, rows)
        axes.plot(seeds, [at + 0.25] * len(seeds), ".", color=colour, alpha=0.35)
        bar = errors([point.value], 100.0)
        dot = {"fmt": "D" if quantum else "o", "markersize": 6.0, "capsize": 3.0}
        axes.errorbar([100.0 * point.value.mean], [at], xerr=bar, color=colour, **dot)  # type: ignore[arg-type]
        if quantum:
            axes.axvline(100.0 * point.value.mean, color=colour, linewidth=0.8, dashes=(4, 2))
    axes.set_yticks(range(len(points)), [point_name(point) for point in points])
    axes.set_ylim(len(points) - 0.4, -0.6)
    label(axes, "", "test accuracy (%), mean with 95 % interval, pale dots: single seeds", "")
    for text, point in zip(axes.get_yticklabels(), points, strict=True):
        text.set_color(COLOURS[0] if point.group is setting.twin else BLACK)
    title(drawn, "Quantum generator and controls", setting)
    return drawn


def point_name(point: Point) -> str:
    """Return the name of a control with the number of its trained parameters."""
    if point.parameters is None:
        return point.name
    return f"{point.name} ({point.parameters:,} parameters)"


def _seeds(point: Point, rows: Rows) -> list[float]:
    condition = point.group.condition
    return [
        100.0 * row["value"]
        for row in rows
        if row["metric"] == "test_accuracy"
        and all(row[name] == value for name, value in vars(condition).items())
    ]
