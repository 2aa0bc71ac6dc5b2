"""All plots of the page that a study's data allow, in their order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from qt_hw.study.figures.shots import paired_points
from qt_hw.study.figures.views import KINDS, Setting, interval_name, intervals, settings
from qt_hw.study.report.others import (
    approximation_plots,
    controls_plot,
    gradient_plots,
    heat_plot,
    mitigation_plots,
)
from qt_hw.study.report.plot import Plot
from qt_hw.study.report.shots import gap_plot, metric_plot, paired_plot, sampling_plot
from qt_hw.study.summary import Summary

__all__ = ["plots_of"]


def plots_of(summary: Summary) -> list[Plot]:
    """Return the plots of the page, each with an id of its own."""
    if not summary.groups:
        return []
    note = _note(summary)
    made = []
    for setting in settings(summary):
        made += [_named(plot, setting) for plot in _of_setting(setting, note)]
    if summary.plateaus:
        made += gradient_plots(summary.plateaus, note)
    if summary.sizes:
        made += approximation_plots(summary.sizes, note)
    return made


def _note(summary: Summary) -> str:
    counts = sorted({group.n for group in summary.groups})
    span = f"{counts[0]}" if counts[0] == counts[-1] else f"{counts[0]} to {counts[-1]}"
    return f"n = {span} seeds, {interval_name(summary)}"


def _named(plot: Plot, setting: Setting) -> Plot:
    if not setting.title:
        return plot
    title = f"{plot.title} ({setting.title})"
    return replace(plot, name=f"{plot.name}-{setting.slug}", title=title)


def _of_setting(setting: Setting, note: str) -> Iterator[Plot]:
    kinds = setting.kinds()
    yield from (metric_plot(setting, kind, note) for kind in kinds)
    if setting.controls:
        yield controls_plot(setting, note)
    yield from (paired_plot(setting, kind, note) for kind in KINDS if _has_pairs(setting, kind))
    yield from (heat_plot(setting, kind, note) for kind in kinds)
    yield from mitigation_plots(setting, note)
    for metric in ("total_variation", "empty_bins"):
        if any(intervals(curve, metric)[0] for curve in setting.curves):
            yield sampling_plot(setting, metric, note)
    yield from (gap_plot(setting, kind, note) for kind in setting.kinds("generalisation_gap"))


def _has_pairs(setting: Setting, kind: str) -> bool:
    return any(paired_points(curve) for curve in setting.of_kind(kind))
