from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.patches import Rectangle

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
    legend = loss.get_legend()
    assert legend is not None
    assert [t.get_text() for t in legend.get_texts()] == [
        "noiseless",
        "sampled",
        "test",
        "training",
    ]


def test_few_outcomes_are_bars_in_their_order() -> None:
    measured, ideal = np.array([0.5, 0.25, 0.25, 0.0]), np.array([0.4, 0.3, 0.2, 0.1])
    (axes,) = figures.probability_vector(measured, ideal, 100).axes
    heights = [patch.get_height() for patch in axes.patches]  # type: ignore[attr-defined]
    assert heights == measured.tolist()
    assert np.asarray(axes.get_lines()[0].get_ydata()).tolist() == ideal.tolist()
    # Half of |0.1| + |0.05| + |0.05| + |0.1|.
    assert "distance 0.150" in axes.get_title(loc="left")


def test_many_outcomes_are_sorted() -> None:
    ideal = np.random.default_rng(0).dirichlet(np.ones(128))
    (axes,) = figures.probability_vector(ideal, ideal, None).axes
    for line in axes.get_lines():
        assert np.asarray(line.get_ydata()).tolist() == sorted(ideal.tolist(), reverse=True)


def test_the_histogram_has_unit_area() -> None:
    rng = np.random.default_rng(0)
    weights, initial = rng.uniform(-1, 1, 4000), rng.uniform(-0.1, 0.1, 4000)
    (axes,) = figures.weight_histogram({"a": weights}, initial).axes
    bars = [p for p in axes.patches if isinstance(p, Rectangle)]
    area = sum(bar.get_width() * bar.get_height() for bar in bars)
    assert area == pytest.approx(1.0)


def test_a_pair_is_written_as_png_and_svg(tmp_path: Path) -> None:
    arrays = {
        "probabilities": np.array([0.5, 0.5]),
        "ideal": np.array([0.6, 0.4]),
        "weights": np.linspace(-1, 1, 50),
        "initial": np.linspace(-0.1, 0.1, 50),
    }
    rows = {"noiseless": _rows(1.0), "sampled": _rows(1.5)}
    figures.draw_pair(tmp_path, rows, dict.fromkeys(rows, arrays), 10)
    names = ("learning-curves", "probabilities", "weights")
    assert {p.name for p in tmp_path.iterdir()} == {
        f"{n}.{k}" for n in names for k in ("png", "svg")
    }
    for name in names:
        assert (tmp_path / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in (tmp_path / f"{name}.svg").read_text()
