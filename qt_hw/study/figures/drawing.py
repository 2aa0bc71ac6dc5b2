"""Every figure that a study's data allow, written as PNG and SVG."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qt_hw.study.figures.circuits import approximation_figure, sampling_figure
from qt_hw.study.figures.controls import controls_figure
from qt_hw.study.figures.gradients import gradient_figure
from qt_hw.study.figures.grids import heat_figure, mitigated_places, mitigation_figure
from qt_hw.study.figures.shots import gap_figure, metric_figure, paired_figure, paired_points
from qt_hw.study.figures.views import Rows, Setting, intervals, settings
from qt_hw.study.summary import Summary
from qt_hw.training.figures import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_study"]

_LOOK: dict[Any, Any] = {
    "svg.fonttype": "path",
    "svg.hashsalt": "qt-hw",
    "font.size": 9.5,
    "axes.labelsize": 9.5,
}


def draw_study(folder: Path, summary: Summary, rows: Rows) -> list[Path]:
    """Write the figures of a study and return their paths, PNG and SVG of each.

    Letters are outlines, so an SVG looks the same everywhere; the same data give the same bytes.

    Args:
        folder: Where they go; made if missing.
        summary: Of the study.
        rows: Its table, for single seeds.

    Raises:
        StorageError: The folder cannot be written to.
    """
    from matplotlib import rc_context

    written = []
    with rc_context(_LOOK):
        for name, drawn in _figures(summary, rows):
            save(drawn, folder / name)
            written += [folder / f"{name}.png", folder / f"{name}.svg"]
    return written


def _figures(summary: Summary, rows: Rows) -> Iterator[tuple[str, Figure]]:
    for setting in settings(summary):
        suffix = f"-{setting.slug}" if setting.slug else ""
        for name, drawn in _of_setting(setting, rows):
            yield name + suffix, drawn
    if summary.plateaus:
        yield "gradients", gradient_figure(summary.plateaus)
    if summary.sizes:
        yield "approximation", approximation_figure(summary.sizes)


def _of_setting(setting: Setting, rows: Rows) -> Iterator[tuple[str, Figure]]:
    if setting.kinds():
        yield f"{setting.metric.slug}-shots", metric_figure(setting)
        yield "shots-noise", heat_figure(setting)
    if any(paired_points(curve) for curve in setting.curves):
        yield "paired-differences", paired_figure(setting)
    if mitigated_places(setting):
        yield "mitigation", mitigation_figure(setting)
    if setting.controls:
        yield "controls", controls_figure(setting, rows)
    if any(intervals(curve, "total_variation")[0] for curve in setting.curves):
        yield "sampling", sampling_figure(setting)
    if setting.kinds("generalisation_gap"):
        yield "generalisation-gap", gap_figure(setting)
