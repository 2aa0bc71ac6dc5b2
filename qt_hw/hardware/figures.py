"""Figures of evaluations: the measured vector against the ideal one, and accuracies side by side.

Colours are those of Okabe and Ito, which colour-blind readers can tell apart.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.training.figures import BLUE, GREY, ORANGE, probability_vector, save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["accuracy_bars", "draw_accuracies", "draw_vector"]


def draw_vector(
    folder: Path,
    measured: NDArray[np.float64],
    ideal: NDArray[np.float64],
    result: Mapping[str, Any],
) -> None:
    """Write the measured vector of one evaluation against the ideal one into ``folder``."""
    name = f"{'rehearsal of ' if result['rehearsal'] else ''}{result['backend']}"
    expected = result["total_variation_of_shots"]
    figure = probability_vector(measured, ideal, result["shots"], name, expected)
    save(figure, folder / "probabilities")


def draw_accuracies(stem: Path, columns: Sequence[Mapping[str, Any]]) -> None:
    """Write the accuracies of ``columns`` (see ``table.columns``) to ``stem`` .png and .svg."""
    save(accuracy_bars(columns), stem)


def accuracy_bars(columns: Sequence[Mapping[str, Any]]) -> Figure:
    """Return one bar for each run and evaluation: accuracy on the test data, with its value.

    The line at each bar's end spans one standard error of the test set, ``√(a (1 − a) / N)``.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 0.9 + 0.5 * len(columns)), layout="constrained")
    axes = figure.subplots()
    names = [_name(column) for column in columns]
    values = np.array([100.0 * column["test_accuracy"] for column in columns])
    samples = np.array([column["test_samples"] for column in columns])
    errors = np.sqrt(values * (100.0 - values) / samples)
    colours = [_colour(column) for column in columns]
    place = [float(i) for i in range(len(columns))]
    axes.barh(place, values, xerr=errors, color=colours, height=0.62, ecolor="black")
    for at, value, error in zip(place, values, errors, strict=True):
        axes.text(min(value + error + 1.0, 101.0), at, f"{value:.1f} %", va="center", fontsize=9)
    axes.set_yticks(place, names)
    axes.invert_yaxis()
    axes.set_xlim(0, 112)
    axes.set_xticks(range(0, 101, 20))
    axes.set_xlabel("test accuracy (%), with one standard error of the test set")
    axes.set_title("Test accuracy", fontsize=11, loc="left")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)
    return figure


def _name(column: Mapping[str, Any]) -> str:
    if column["kind"] == "evaluation":
        return f"{column['name']}\n{column['backend']}"
    return str(column["name"])


def _colour(column: Mapping[str, Any]) -> str:
    if column["kind"] == "evaluation":
        return ORANGE
    return GREY if column["name"] == "noiseless" else BLUE
