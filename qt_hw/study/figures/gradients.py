"""Gradients at random angles against qubits: what is drawn, and the figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qt_hw.study.condition import Condition
from qt_hw.study.figures.style import GREY, figure, joined, label, legend
from qt_hw.study.figures.views import condition_name
from qt_hw.study.statistics.intervals import Interval
from qt_hw.study.statistics.plateau import Plateau

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["GradientLine", "gradient_figure", "noise_lines", "snr_lines", "variance_lines"]


@dataclass(frozen=True, kw_only=True)
class GradientLine:
    """One line over qubits.

    Attributes:
        name: For the legend.
        colour: Number of its circuit.
        style: 0 for exact gradients, then one number for each way of measuring.
        qubits: Of its points.
        values: At each of them, positive.
    """

    name: str
    colour: int
    style: int
    qubits: tuple[int, ...]
    values: tuple[Interval, ...]


def variance_lines(plateaus: Sequence[Plateau]) -> list[GradientLine]:
    """Return the variance of the exact gradient, once for each circuit, with its slope."""
    first = {_circuit(plateau.condition): plateau for plateau in reversed(plateaus)}
    chosen = [plateau for plateau in plateaus if first[_circuit(plateau.condition)] is plateau]
    return [_line(p, plateaus, p.variance, 0, "exact gradient", _slope(p.slope)) for p in chosen]


def noise_lines(plateaus: Sequence[Plateau]) -> list[GradientLine]:
    """Return the variance that shots and noise add to each component of the gradient."""
    noisy = [plateau for plateau in plateaus if any(v.mean > 0.0 for v in plateau.noise)]
    return [_line(p, plateaus, p.noise, _style(p, noisy), f"noise of {_where(p)}") for p in noisy]


def snr_lines(plateaus: Sequence[Plateau]) -> list[GradientLine]:
    """Return the signal-to-noise ratios."""
    noisy = [plateau for plateau in plateaus if plateau.snr]
    return [_line(p, plateaus, p.snr, _style(p, noisy), _where(p)) for p in noisy]


def gradient_figure(plateaus: Sequence[Plateau]) -> Figure:
    """Return variance and signal-to-noise ratio of the gradient against qubits, log scales."""
    ratios = snr_lines(plateaus)
    drawn = figure(9.2 if ratios else 5.6, 4.6)
    panels = drawn.subplots(1, 2 if ratios else 1, squeeze=False)[0]
    lines = [variance_lines(plateaus) + noise_lines(plateaus), ratios]
    titles = [("Variance of the loss gradient", "variance"), ("Signal-to-noise ratio", "ratio")]
    for axes, own, (title, y) in zip(panels, lines, titles, strict=False):
        for line in own:
            name = line.name if own is not ratios else ""
            joined(axes, line.qubits, line.values, name, line.colour, line.style)
        axes.set_yscale("log", base=2)
        axes.set_xticks(sorted({n for plateau in plateaus for n in plateau.qubits}))
        label(axes, title, "qubits", f"{y} (log scale)")
    if ratios:
        panels[1].axhline(1.0, color=GREY, linewidth=1.0, dashes=(4, 2))
    legend(drawn, panels)
    drawn.suptitle("Gradients at random angles", fontsize=12)
    return drawn


def _line(
    plateau: Plateau,
    plateaus: Sequence[Plateau],
    values: Sequence[Interval],
    style: int,
    *names: str,
) -> GradientLine:
    circuits = list(dict.fromkeys(_circuit(other.condition) for other in plateaus))
    circuit = condition_name(plateau.condition, [other.condition for other in plateaus])
    points = [(n, v) for n, v in zip(plateau.qubits, values, strict=True) if v.mean > 0.0]
    return GradientLine(
        name=", ".join(name for name in (circuit, *names) if name),
        colour=circuits.index(_circuit(plateau.condition)),
        style=style,
        qubits=tuple(n for n, _ in points),
        values=tuple(v for _, v in points),
    )


def _circuit(condition: Condition) -> tuple[str, str, str, int]:
    return condition.base, condition.task, condition.ansatz, condition.layers


def _style(plateau: Plateau, noisy: Sequence[Plateau]) -> int:
    ways = list(dict.fromkeys(_where(other) for other in noisy))
    return 1 + ways.index(_where(plateau))


def _where(plateau: Plateau) -> str:
    condition = plateau.condition
    shots = "no shots" if condition.shots is None else f"{condition.shots:,} shots"
    return f"{shots} on {condition.where}" if condition.where else shots


def _slope(slope: float | None) -> str:
    return "" if slope is None else f"∝ 2^({slope:.2f} n)".replace("-", "−")
