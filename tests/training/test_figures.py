from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle

from qt_hw.tasks.metric import ACCURACY
from qt_hw.training import figures


def _rows(start: float) -> list[dict[str, Any]]:
    return [
        {"step": k, "train_loss": start / (k + 1), "test_loss": start, "test_accuracy": k / 4}
        for k in range(5)
    ]


def test_the_curves_show_the_rows() -> None:
    figure = figures.learning_curves({"noiseless": _rows(2.0), "sampled": _rows(3.0)})
    loss, accuracy = figure.axes
    drawn = [np.asarray(line.get_ydata()).tolist() for line in accuracy.get_lines()]
    assert drawn == [[0, 25, 50, 75, 100]] * 2
    assert np.asarray(loss.get_lines()[0].get_ydata()).tolist() == [2.0 / k for k in range(1, 6)]
    runs, styles = figure.legends[0], loss.get_legend()
    assert styles is not None
    assert [t.get_text() for t in runs.get_texts()] == ["noiseless", "sampled"]
    assert [t.get_text() for t in styles.get_texts()] == ["test", "training"]


def test_one_row_is_a_marker() -> None:
    for rows, marker in ((_rows(2.0)[:1], "o"), (_rows(2.0), "None")):
        lines = [
            line for axes in figures.learning_curves({"a": rows}).axes for line in axes.get_lines()
        ]
        assert {line.get_marker() for line in lines if len(line.get_xydata())} == {marker}


@pytest.mark.parametrize(
    ("start", "shown"),
    [
        (2.0, {"0.5", "1", "2"}),
        (2e-4, {"0.00005", "0.0001", "0.0002"}),
    ],
)
def test_the_loss_axis_has_decimal_numbers(start: float, shown: set[str]) -> None:
    figure = figures.learning_curves({"a": _rows(start)})
    figure.draw_without_rendering()
    low, high = figure.axes[0].get_ylim()
    ticks = [(t.get_position()[1], t.get_text()) for t in figure.axes[0].get_yticklabels()]
    assert {text for y, text in ticks if low <= y <= high} == shown
    assert figure.axes[0].get_ylabel() == "mean loss (log scale)"


@pytest.mark.parametrize("high", [False, True])
def test_an_accuracy_axis_that_cuts_says_so(high: bool) -> None:
    rows = [
        {**row, "test_accuracy": row["test_accuracy"] * (1 if high else 0.5)} for row in _rows(1)
    ]
    accuracy = figures.learning_curves({"a": rows}).axes[1]
    assert accuracy.get_ylim()[0] == (60 if high else 0)
    assert ("axis starts at 60 %" in accuracy.get_ylabel()) == high


def test_few_outcomes_are_bars_in_their_order() -> None:
    measured, ideal = np.array([0.5, 0.25, 0.25, 0.0]), np.array([0.4, 0.3, 0.2, 0.1])
    (axes,) = figures.probability_vector(measured, ideal, 100, "aer").axes
    heights = [patch.get_height() for patch in axes.patches]  # type: ignore[attr-defined]
    assert heights == measured.tolist()
    assert np.asarray(axes.get_lines()[0].get_ydata()).tolist() == ideal.tolist()
    # Half of |0.1| + |0.05| + |0.05| + |0.1|.
    title = "Probabilities at the end: aer (total variation distance 0.150)"
    assert axes.get_title(loc="left") == title


def test_many_outcomes_are_sorted() -> None:
    ideal = np.random.default_rng(0).dirichlet(np.ones(128))
    (axes,) = figures.probability_vector(ideal, ideal, 10).axes
    assert len(axes.get_lines()) == 2
    for line in axes.get_lines():
        assert np.asarray(line.get_ydata()).tolist() == sorted(ideal.tolist(), reverse=True)


@pytest.mark.parametrize("size", [4, 128])
def test_an_exact_run_has_one_series_and_no_distance(size: int) -> None:
    ideal = np.random.default_rng(0).dirichlet(np.ones(size))
    figure = figures.probability_vector(ideal, ideal, None)
    (axes,), (legend,) = figure.axes, figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["exact"]
    assert axes.get_title(loc="left") == "Probabilities at the end"
    noisy = 0.9 * ideal + 0.1 / size
    (axes,) = figures.probability_vector(noisy, ideal, None).axes
    assert "distance" in axes.get_title(loc="left")


def test_the_histogram_has_unit_area() -> None:
    rng = np.random.default_rng(0)
    weights, initial = rng.uniform(-1, 1, 4000), rng.uniform(-0.1, 0.1, 4000)
    (axes,) = figures.weight_histogram({"a": weights}, initial).axes
    bars = [p for p in axes.patches if isinstance(p, Rectangle)]
    area = sum(bar.get_width() * bar.get_height() for bar in bars)
    assert area == pytest.approx(1.0)
    # Of 8,000 values, the quantiles 0.001 and 0.999 leave eight on each side.
    assert axes.get_xlabel() == "weight (0.20% of all values lie outside)"


def test_a_pair_is_written_as_png_and_svg(tmp_path: Path) -> None:
    arrays = {
        "probabilities": np.array([0.5, 0.5]),
        "ideal": np.array([0.6, 0.4]),
        "weights": np.linspace(-1, 1, 50),
        "initial": np.linspace(-0.1, 0.1, 50),
    }
    rows = {"noiseless": _rows(1.0), "sampled": _rows(1.5)}
    figures.draw_pair(tmp_path, ACCURACY, rows, dict.fromkeys(rows, arrays), 10)
    names = ("learning-curves", "probabilities", "weights")
    assert {p.name for p in tmp_path.iterdir()} == {
        f"{n}.{k}" for n in names for k in ("png", "svg")
    }
    for name in names:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text()
