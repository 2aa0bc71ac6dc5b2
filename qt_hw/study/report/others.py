"""Plots that have no axis of shots: heat map, mitigation, controls, gradients, approximation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from qt_hw.study.figures.controls import point_name
from qt_hw.study.figures.gradients import GradientLine, noise_lines, snr_lines, variance_lines
from qt_hw.study.figures.grids import heat, mitigated_places, mitigation_limits
from qt_hw.study.figures.style import BLACK, COLOURS, GREY, HATCHES
from qt_hw.study.figures.views import (
    KINDS,
    Curve,
    Setting,
    condition_name,
    control_points,
    intervals,
    ticks,
)
from qt_hw.study.report.plot import DASHES, SYMBOLS, Plot, Trace, axis, bars, log_axis
from qt_hw.study.statistics.intervals import Interval
from qt_hw.study.statistics.plateau import Plateau
from qt_hw.study.statistics.sizes import Sizes

__all__ = [
    "approximation_plots",
    "controls_plot",
    "gradient_plots",
    "heat_plot",
    "mitigation_plots",
]


_AXES = {"variance": "variance", "snr": "ratio"}


def heat_plot(setting: Setting, kind: str, note: str) -> Plot:
    """Return the mean headline metric, shots × noise, with the number in each cell."""
    names, columns, values = heat(setting.of_kind(kind), setting.of_kind(kind))
    metric = setting.metric
    means = [v.mean for c in setting.curves for v in intervals(c, metric.test)[1]]
    known = [metric.factor * mean for mean in means]
    cells = [[float(v) if np.isfinite(v) else None for v in row] for row in values]
    trace: Trace = {
        "type": "heatmap",
        "x": columns,
        "y": [_folded(name) for name in names],
        "z": cells,
        "zmin": min(known),
        "zmax": max(known),
        "colorscale": "Cividis",
        "reversescale": not metric.higher_is_better,
        "texttemplate": f"%{{z:.{max(0, metric.digits - 1)}f}}",
        "textfont": {"size": 12},
        "hovertemplate": (
            f"%{{y}}<br>%{{x}} shots: %{{z:.{metric.digits}f}} {metric.unit}<extra></extra>"
        ),
        "colorbar": {"title": {"text": metric.unit or metric.label}, "thickness": 12},
        "showlegend": False,
    }
    return Plot(
        name=f"heat-{kind}",
        title=f"Shots × noise: {KINDS[kind].lower()}",
        caption=f"Mean {metric.axis}; {note}.",
        traces=[trace],
        layout={
            "xaxis": axis("shots", type="category"),
            "yaxis": axis("", autorange="reversed"),
        },
        height=90 + 44 * len(names),
    )


def mitigation_plots(setting: Setting, note: str) -> list[Plot]:
    """Return bars of the headline metric raw and mitigated, a plot for each backend and noise."""
    metric = setting.metric
    line = "" if setting.twin is None else ", the noiseless twin as a line"
    places = mitigated_places(setting)
    limits = list(mitigation_limits(setting, places))
    return [
        Plot(
            name=f"mitigation-{i}",
            title=f"Mitigation. {title}",
            caption=f"Mean {metric.title} raw and mitigated, with intervals{line}; {note}.",
            traces=[_mitigation_bars(curve) for curve in curves],
            layout={
                "barmode": "group",
                "shapes": _twin_line(setting),
                "xaxis": axis("shots", type="category", categoryarray=ticks(curves)[1]),
                "yaxis": axis(metric.axis, range=limits),
            },
        )
        for i, (title, curves) in enumerate(places, start=1)
    ]


def _mitigation_bars(curve: Curve) -> Trace:
    metric = curve.metric
    x, values = intervals(curve, metric.test)
    names = dict(zip(*ticks([curve]), strict=True))
    colour = GREY if curve.style == 0 else COLOURS[(curve.style - 1) % len(COLOURS)]
    shapes = {"//": "/", "..": ".", "xx": "x", "--": "-"}
    hatch = shapes.get(HATCHES[curve.style % len(HATCHES)], "")
    return {
        "type": "bar",
        "name": "raw" if curve.style == 0 else curve.mitigation,
        "x": [names[place] for place in x],
        "y": [metric.factor * value.mean for value in values],
        "error_y": bars(values, metric.factor),
        "marker": {"color": colour, "pattern": {"shape": hatch}},
    }


def _twin_line(setting: Setting) -> list[dict[str, Any]]:
    if setting.twin_value is None:
        return []
    mean = setting.metric.factor * setting.twin_value.mean
    ends = {"xref": "paper", "x0": 0, "x1": 1, "y0": mean, "y1": mean}
    return [{"type": "line", **ends, "line": {"color": BLACK, "width": 1.5}}]


def controls_plot(setting: Setting, note: str) -> Plot:
    """Return the twin and the controls with intervals, the best on top."""
    points, metric = control_points(setting), setting.metric
    quantum = [point.group is setting.twin for point in points]
    trace = {
        "type": "scatter",
        "x": [metric.factor * point.value.mean for point in points],
        "y": [point_name(point).replace(" (", "<br>(") for point in points],
        "error_x": bars([point.value for point in points], metric.factor),
        "mode": "markers",
        "marker": {
            "color": [COLOURS[0] if own else GREY for own in quantum],
            "symbol": ["diamond" if own else "circle" for own in quantum],
            "size": 10,
        },
        "hovertemplate": f"%{{y}}: %{{x:.4g}} {metric.unit}<extra></extra>",
        "showlegend": False,
    }
    said = f"Mean {metric.title} with interval of the quantum generator (diamond) and the controls"
    return Plot(
        name="controls",
        title="Does the circuit matter? Controls",
        caption=(
            f"{said}, with the number of trained parameters; all with the optimiser and rates of "
            f"the circuit; {note}."
        ),
        traces=[trace],
        layout={
            "xaxis": axis(metric.axis),
            "yaxis": axis("", autorange="reversed", type="category"),
        },
        height=70 + 40 * len(points),
    )


def gradient_plots(plateaus: Sequence[Plateau], note: str) -> list[Plot]:
    """Return variance and signal-to-noise ratio of the gradient against qubits."""
    found = {
        "variance": variance_lines(plateaus) + noise_lines(plateaus),
        "snr": snr_lines(plateaus),
    }
    measured = "a measured gradient has the sum of both variances"
    texts = {
        "variance": (
            "Variance of the loss gradient",
            f"Full lines: components of the exact gradient at random angles; broken lines: what "
            f"shots and noise add ({measured}); means with intervals",
        ),
        "snr": (
            "Signal-to-noise ratio of the gradient",
            "Squared norm of the exact gradient over the mean squared error of the measured one, "
            "means with intervals",
        ),
    }
    places = sorted({n for plateau in plateaus for n in plateau.qubits})
    return [
        Plot(
            name=f"gradient-{name}",
            title=texts[name][0],
            caption=f"{texts[name][1]}; {note}.",
            traces=(traces := [_gradient(line) for line in lines]),
            layout={
                "xaxis": axis("qubits", tickvals=places),
                "yaxis": axis(f"{_AXES[name]} (log scale)", **log_axis(traces)),
            },
        )
        for name, lines in found.items()
        if lines
    ]


def _gradient(line: GradientLine) -> Trace:
    return _line(line.qubits, line.values, line.name, line.colour, line.style)


def approximation_plots(sizes: Sequence[Sizes], note: str) -> list[Plot]:
    """Return relative error and accuracy of the generated weights against the target's size."""
    error: list[Trace] = []
    accuracy: list[Trace] = []
    conditions = [size.condition for size in sizes]
    for colour, size in enumerate(sizes):
        name = condition_name(size.condition, conditions)
        own, given = (f"{name}: {w}" if name else w for w in ("generated weights", "given weights"))
        x = size.n_weights
        error.append(_line(x, size.relative_error, own, colour, 0))
        accuracy.append(_line(x, size.test_accuracy, own, colour, 0, 100.0))
        accuracy.append(_line(x, size.target_test_accuracy, given, colour, 1, 100.0))
    places = sorted({n for size in sizes for n in size.n_weights})
    ends = {"type": "log", "tickvals": places, "ticktext": [f"{n:,}" for n in places]}
    parts: list[tuple[str, str, str, list[Trace], dict[str, Any]]] = [
        ("error", "Approximation error", "relative error", error, {"rangemode": "tozero"}),
        ("accuracy", "Accuracy of generated weights", "test accuracy (%)", accuracy, {}),
    ]
    said = "of generated weights fitted to given ones, mean with interval, against target size"
    return [
        Plot(
            name=f"approximation-{name}",
            title=title,
            caption=f"{y[0].upper()}{y[1:]} {said}; {note}.",
            traces=traces,
            layout={
                "xaxis": axis("weights of the target (log scale)", **ends),
                "yaxis": axis(y, **more),
            },
        )
        for name, title, y, traces, more in parts
    ]


def _line(
    x: Sequence[float],
    values: Sequence[Interval],
    name: str,
    colour: int,
    style: int,
    scale: float = 1.0,
) -> Trace:
    shade = COLOURS[colour % len(COLOURS)]
    symbol = SYMBOLS[colour % len(SYMBOLS)] + ("-open" if style else "")
    return {
        "type": "scatter",
        "name": name,
        "x": list(x),
        "y": [scale * value.mean for value in values],
        "error_y": bars(values, scale),
        "mode": "lines+markers",
        "marker": {"color": shade, "symbol": symbol, "size": 8},
        "line": {"color": shade, "dash": DASHES[style % len(DASHES)], "width": 2},
    }


def _folded(name: str, width: int = 14) -> str:
    """Return a name in lines of about ``width`` letters, for narrow screens."""
    lines = [""]
    for word in name.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "<br>".join(lines)
