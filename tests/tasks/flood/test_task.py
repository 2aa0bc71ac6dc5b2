"""The task itself: data of the generators, metrics in units, figures, a short run."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qt_hw as qt
from qt_hw.errors import DataError, InputError
from qt_hw.tasks import get_task
from qt_hw.tasks.flood.evaluation import some
from qt_hw.tasks.flood.scores import nash_sutcliffe
from qt_hw.tasks.flood.task import NSE, Flood
from qt_hw.tasks.task import Data
from qt_hw.training.loading import load_config

SMALL = {"length": 12, "train_size": 300, "test_size": 200}


@pytest.fixture(scope="module")
def data() -> Data:
    return Flood(**SMALL).load()


class Persistence(nn.Module):
    """Forecasts the last flow of the window."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1, :1].expand(-1, 4)


def test_generated_data_are_the_same_bit_for_bit(data: Data) -> None:
    again = get_task("flood", **SMALL).load()
    assert all(map(torch.equal, (*data.train, *data.test), (*again.train, *again.test)))
    assert [tuple(t.shape) for t in (*data.train, *data.test)] == [
        (300, 12, 2),
        (300, 4),
        (200, 12, 2),
        (200, 4),
    ]
    other = Flood(**SMALL, seed=1).load()
    assert not torch.equal(other.train[0], data.train[0])
    assert Flood(**SMALL, rain=False).load().input_shape == (12, 1)


def test_targets_are_the_flows_after_the_window(data: Data) -> None:
    x, y = data.test
    # y at lead 3 of a window is the last flow of the window three steps on.
    assert torch.equal(y[:-3, 1], x[3:, -1, 0])
    assert torch.equal(y[:-12, 3], x[12:, -1, 0])


def test_wave_in_the_references_form() -> None:
    config = load_config("flood-qt-lstm")
    options = {**config.task.options, "train_size": 200, "test_size": 150}
    wave = get_task("flood", **options).load()
    x, y = wave.train
    assert (x.shape, y.shape) == ((200, 100, 1), (200, 100, 1))
    assert torch.equal(y[:, :-1], x[:, 1:])  # what follows each step
    assert (float(x.min()), float(x.max())) == (-1.0, 1.0)
    assert math.isclose(float(wave.test[0].max()), 1.0, abs_tol=1e-6)


def test_metrics_are_in_the_unit_of_the_series(data: Data) -> None:
    task, network = Flood(**SMALL), Persistence()
    found = task.evaluate(network, data)
    scale, offset = data.description["scale"][0], data.description["offset"][0]  # type: ignore[index]
    observed = data.test[1].double().numpy() * scale + offset
    last = data.test[0][:, -1, :1].double().numpy() * scale + offset
    errors = observed - last
    assert found["test_rmse"] == pytest.approx(np.mean(np.sqrt(np.mean(errors**2, axis=0))))
    assert found["test_nse"] == found["test_persistence_nse"]
    assert found["test_nse"] == pytest.approx(
        nash_sutcliffe(observed, np.repeat(last, 4, axis=1)).mean()
    )
    assert found["test_loss"] == pytest.approx(float(np.mean(errors**2)) / scale**2, rel=1e-5)
    assert task.headline == NSE
    assert {"train_nse", "test_kge", "test_peak_error"} <= found.keys()


def test_loss_of_a_batch_and_metrics_of_a_slice(data: Data) -> None:
    task, (x, y) = Flood(**SMALL), data.train
    output = Persistence()(x)
    assert float(task.loss(output, y)) == pytest.approx(float((output - y).square().mean()))
    assert task.metrics(output, y)["nse"] == pytest.approx(
        task.evaluate(Persistence(), data)["train_nse"]
    )
    with pytest.raises(InputError, match=r"returned the shape \(300, 3\), expected \(300, 4\)"):
        task.loss(output[:, :3], y)


def test_a_large_training_part_is_judged_by_a_sample_of_it() -> None:
    # Every 50th window of the wave, whose period is 100, would show two phases alone.
    x = torch.arange(99_900.0)
    kept, same = some((x, x), 2000)
    assert torch.equal(kept, same)
    assert len(kept.unique()) == 2000
    assert len((kept % 100).unique()) == 100
    assert torch.equal(kept, some((x, x), 2000)[0])
    assert some((x, x), 99_900)[0] is x


def test_a_target_of_another_shape_says_what_to_set(data: Data) -> None:
    task = Flood(**SMALL)
    with pytest.raises(InputError, match="inputs = 2, horizon = 4"):
        qt.train(config(target={"name": "lstm-4"}), data=task, progress=False)
    with pytest.raises(InputError, match=r"shape \(1, 4\), not \(1, 3\).*horizon = 4"):
        task.check(nn.Sequential(nn.Flatten(), nn.Linear(24, 3)), data)


def test_data_of_another_making_are_refused(data: Data) -> None:
    bare = Data(train=data.train, test=data.test, name="mine", description={})
    with pytest.raises(DataError, match="no offset and scale"):
        Flood(**SMALL).evaluate(Persistence(), bare)


def test_figures_show_the_largest_flow_and_both_skills(data: Data) -> None:
    found = Flood(**SMALL).figures(Persistence(), data)
    assert list(found) == ["forecast", "skill"]
    rain, flow = found["forecast"].axes
    assert rain.yaxis_inverted()
    labels = [line.get_label() for line in flow.get_lines()]
    assert labels == ["observed", *(f"forecast {h} h before" for h in (1, 6, 12))]
    largest = max(np.max(line.get_ydata()) for line in flow.get_lines()[:1])
    scale, offset = data.description["scale"][0], data.description["offset"][0]  # type: ignore[index]
    assert largest == pytest.approx(float(data.test[0][:, -1, 0].max()) * scale + offset, rel=1e-6)
    # Persistence shown at its valid time is the observation, moved by the lead time.
    assert np.array_equal(flow.get_lines()[1].get_ydata(), flow.get_lines()[0].get_ydata())
    assert flow.get_lines()[1].get_xdata()[0] == 1
    own, last = found["skill"].axes[0].get_lines()
    assert np.array_equal(own.get_ydata(), last.get_ydata())
    assert own.get_xdata().tolist() == [1, 3, 6, 12]


def config(**tables: dict[str, object]) -> dict[str, dict[str, object]]:
    return {
        "task": {"name": "flood", "options": SMALL},
        "target": {"name": "lstm-4", "options": {"inputs": 2, "horizon": 4}},
        "ansatz": {"name": "RyCnot", "n_qubits": 4, "n_layers": 2},
        "mapping": {"name": "mlp", "hidden": [4], "chunk_size": 10},
        "optimizer": {"steps": 30, "batch_size": 32, "eval_every": 15, "lr_mapping": 0.02},
        **tables,
    }


@pytest.mark.usefixtures("unrendered")
def test_a_run_keeps_metrics_facts_and_pictures(tmp_path: Path) -> None:
    run = qt.train(config(), out=tmp_path / "run", progress=False)
    results = run.results()
    assert results["test_loss"] < 1.0  # 1.0 is that of always forecasting the mean
    assert {"forecast.png", "skill.svg"} <= {p.name for p in (tmp_path / "run/figures").iterdir()}
    stored = run.manifest["data"]
    assert stored["source"] == "rainfall-runoff"
    assert stored["units"] == ["m³/s", "mm"]
    exported = run.export()
    found = Flood(**SMALL).evaluate(exported.eval(), Flood(**SMALL).load())
    assert found["test_nse"] == pytest.approx(results["test_nse"], abs=1e-6)
