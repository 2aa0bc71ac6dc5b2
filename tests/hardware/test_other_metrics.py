"""Evaluations of tasks without accuracy: what is written, drawn and printed of them."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
from matplotlib.container import BarContainer
from torch import Tensor, nn

from qt_hw.cli.table import comparison_table, evaluations_table, print_table
from qt_hw.hardware.collect import collect
from qt_hw.hardware.evaluate import submit
from qt_hw.hardware.figures import bar_limits, result_bars
from qt_hw.hardware.table import columns_of
from qt_hw.tasks import Data
from qt_hw.tasks.digits import Digits
from qt_hw.tasks.metric import ACCURACY, Metric
from qt_hw.training.run import train
from tests.hardware.paper import Vendor
from tests.training.small import small_tables

TRACK = Metric(
    key="track_error", label="track error", unit="km", factor=0.001, higher_is_better=False, low=0.0
)
FLOW = Metric(key="nse", label="NSE", digits=3, high=1.0)
WRONG = Metric(key="wrong", label="wrong digits", unit="digits", higher_is_better=False, digits=0)


@dataclass(frozen=True, kw_only=True)
class WrongDigits(Digits):
    """Digits, told by how many of the test part are wrong, and by no loss."""

    headline: ClassVar[Metric] = WRONG

    def evaluate(self, model: nn.Module, data: Data) -> dict[str, float]:
        (x, y), (x_train, y_train) = data.test, data.train
        return {
            "test_margin": float(_margin(model(x))),
            "test_wrong": float(_wrong(model(x), y)),
            "train_wrong": float(_wrong(model(x_train), y_train)),
        }


def _wrong(output: Tensor, y: Tensor) -> Tensor:
    return (output.argmax(1) != y).sum()


def _margin(output: Tensor) -> Tensor:
    best = output.topk(2, dim=1).values
    return (best[:, 0] - best[:, 1]).mean()


def column(metric: Metric, value: float, kind: str = "run", **more: Any) -> dict[str, Any]:
    return {"name": "noiseless", "kind": kind, metric.test: value, "test_samples": 400, **more}


def error_bars(axes: Any) -> Any:
    """Return the error bars of the only bars."""
    (bars,) = (found for found in axes.containers if isinstance(found, BarContainer))
    return bars.errorbar


def test_an_evaluation_holds_the_metrics_of_its_task(
    tmp_path: Path, vendor: Vendor, capsys: pytest.CaptureFixture[str]
) -> None:
    task, tables = WrongDigits(train_size=200, test_size=100), small_tables(None)
    tables["optimizer"] |= {"steps": 2}
    tables.pop("task")
    run = train(tables, data=task, out=tmp_path / "run", progress=False)
    submit(run.folder, "paper:a4", shots=100, max_usd=100.0, mitigation="readout")
    collected = collect(run.folder, data=task)
    assert (collected.metric, run.metric) == (WRONG, WRONG)
    result = json.loads((run.folder / "evaluations/001/result.json").read_text())
    module, data = run.export(), task.load()
    assert run.results()["test_wrong"] == _wrong(module(data.test[0]), data.test[1])
    assert 0 <= result["raw_test_wrong"] <= 100 and result["test_margin"] > 0
    with (run.folder / "evaluations.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert list(lines[0])[7:14] == [
        "test_wrong",
        "train_wrong",
        "test_margin",
        "total_variation",
        "total_variation_of_shots",
        "raw_test_wrong",
        "raw_total_variation",
    ]
    assert [float(line["test_wrong"]) for line in lines] == [
        run.results()["test_wrong"],
        result["test_wrong"],
    ]
    print_table(evaluations_table(collected.tables[False], collected.metric))
    out = capsys.readouterr().out
    assert f"{result['test_wrong']:.0f} digits" in out and "accuracy" not in out
    names = [line.split("  ")[0] for line in out.splitlines()]
    wanted = ["test wrong digits", "training wrong digits", "test margin"]
    assert names[3:6] == wanted and "generalisation" not in out


def test_columns_of_a_classification_are_what_they_were() -> None:
    metrics = ["train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    assert columns_of(ACCURACY, [dict.fromkeys(metrics, 0.5)]) == (
        *("name", "kind", "rehearsal", "backend", "shots", "mitigation", "techniques"),
        *("test_accuracy", "train_accuracy", "test_loss", "train_loss", "generalisation_gap"),
        *("total_variation", "total_variation_of_shots"),
        *("raw_test_accuracy", "raw_total_variation"),
        *("usd", "qpu_seconds", "cost_source", "test_samples", "finished"),
    )


def test_accuracies_have_the_error_of_the_test_set() -> None:
    axes = result_bars([column(ACCURACY, 0.8), column(ACCURACY, 0.9)]).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([80.0, 90.0])
    assert axes.get_xlim() == (0.0, 112.0)
    assert axes.get_xticks() == pytest.approx([0, 20, 40, 60, 80, 100])
    first = error_bars(axes).lines[2][0].get_segments()[0]
    assert first[:, 0] == pytest.approx([78.0, 82.0])  # √(0.8 · 0.2 / 400) = 0.02
    assert [text.get_text() for text in axes.texts] == ["80.0 %", "90.0 %"]
    assert axes.get_xlabel() == "test accuracy (%), with one standard error of the test set"


def test_other_metrics_are_drawn_in_their_unit_without_an_error() -> None:
    axes = result_bars([column(TRACK, 120_000.0), column(TRACK, 80_000.0)], TRACK).axes[0]
    assert [bar.get_width() for bar in axes.patches] == pytest.approx([120.0, 80.0])
    assert error_bars(axes) is None
    low, high = axes.get_xlim()
    assert low == 0.0 and 120.0 < high < 150.0
    assert [text.get_text() for text in axes.texts] == ["120 km", "80 km"]
    assert axes.get_xlabel() == "test track error (km)"
    assert axes.get_title(loc="left") == "Test track error"


def test_bars_below_zero_are_inside_the_axes() -> None:
    axes = result_bars([column(FLOW, -3.0), column(FLOW, 0.5)], FLOW).axes[0]
    low, high = axes.get_xlim()
    assert low < -3.0 and high > 1.0
    assert [text.get_text() for text in axes.texts] == ["-3.00", "0.50"]
    assert all(text.get_position()[0] >= 0.0 for text in axes.texts)  # beside the bar, not on it


def test_a_standard_error_beyond_the_bound_leaves_the_axis_as_it_is() -> None:
    (axes,) = result_bars([{**column(ACCURACY, 0.999), "test_samples": 100}]).axes
    assert axes.get_xticks().tolist() == [0.0, 20.0, 40.0, 60.0, 80.0, 100.0]


@pytest.mark.parametrize(
    ("metric", "values", "ends"),
    [
        (ACCURACY, [12.0], (0.0, 100.0)),
        (ACCURACY, [12.0, 104.0], (0.0, 109.2)),
        (ACCURACY, [-4.0, 100.0], (-9.2, 100.0)),
        (TRACK, [50.0, 200.0], (0.0, 210.0)),
        (FLOW, [0.5], (0.0, 1.0)),
        (FLOW, [-1.0, 0.5], (-1.075, 1.0)),
        (Metric(key="return", label="return"), [-20.0, -10.0], (-21.0, 0.0)),
        (Metric(key="return", label="return"), [-10.0, 10.0], (-11.0, 11.0)),
        (Metric(key="return", label="return"), [0.0], (0.0, 1.0)),
        (Metric(key="r", label="correlation", low=-1.0, high=1.0), [0.2], (-1.0, 1.0)),
    ],
)
def test_an_axis_begins_at_zero_or_at_the_natural_bound(
    metric: Metric, values: list[float], ends: tuple[float, float]
) -> None:
    assert bar_limits(metric, values) == pytest.approx(ends)


def test_the_table_of_a_pair_names_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    common = dict.fromkeys(("steps", "circuits", "shots", "trained_parameters"), 10)
    common |= dict.fromkeys(("circuits_per_gradient_native", "circuits_per_gradient_lowered"), 5)
    common |= {"target_parameters": 100, "trained_share": 0.1, "seconds": 3.0}
    common |= {"circuit_share_start": 0.5, "circuit_share_end": 0.5}
    tracks = {"test_track_error": 123_456.0, "train_track_error": 98_000.0, "test_spread": 2.5}
    print_table(comparison_table({"noiseless": tracks | common}, TRACK))
    lines = [line.split("  ") for line in capsys.readouterr().out.splitlines()]
    shown = {line[0]: line[-1].strip() for line in lines}
    assert shown["test track error"] == "123.5 km"
    assert shown["training track error"] == "98.0 km"
    assert shown["test spread"] == "2.5000"
    assert not any("generalisation" in name or "accuracy" in name for name in shown)
    digits = {"test_accuracy": 0.9, "train_accuracy": 0.95, "test_loss": 0.3, "train_loss": 0.1}
    print_table(comparison_table({"noiseless": digits | {"generalisation_gap": 0.2} | common}))
    out = capsys.readouterr().out
    assert "90.00%" in out and "95.00%" in out
    assert "generalisation gap (test - training loss)" in out and "0.2000" in out


def test_one_run_without_a_metric_shows_a_dash(capsys: pytest.CaptureFixture[str]) -> None:
    place = {"backend": "aer", "shots": None, "mitigation": None, "total_variation": None}
    place |= {"total_variation_of_shots": None, "usd": 0.0, "qpu_seconds": 0.0}
    place |= {"cost_source": None}
    first = column(FLOW, -0.5, **place) | {"train_nse": None, "test_kge": np.float64(0.25)}
    print_table(evaluations_table([first, column(FLOW, 0.75, **place)], FLOW))
    lines = {line.split("  ")[0]: line.split() for line in capsys.readouterr().out.splitlines()}
    assert lines["test NSE"][-2:] == ["-0.500", "0.750"]
    assert lines["training NSE"][-2:] == ["-", "-"]
    assert lines["test kge"][-2:] == ["0.2500", "-"]
