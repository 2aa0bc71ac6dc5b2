"""Tasks that are no classification: their metric, their own loss of a batch, their pictures."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import pytest
import torch
from torch import Tensor, nn

import qt_hw
from qt_hw.errors import InputError
from qt_hw.tasks import Data, Metric, Task
from qt_hw.training.compare import train_pair
from tests.training.small import small_tables

if TYPE_CHECKING:
    from matplotlib.figure import Figure

KILOMETRES = Metric(key="distance", label="distance", unit="km", higher_is_better=False, low=0.0)


@dataclass(frozen=True, kw_only=True)
class Line(Task):
    """Learn y = 3 x."""

    name: ClassVar[str] = "line"
    headline: ClassVar[Metric] = KILOMETRES
    evaluation_batch: ClassVar[int] = 7

    def load(self) -> Data:
        x = torch.linspace(-1, 1, 30)[:, None]
        part = (x, 3 * x)
        return Data(train=part, test=part, name=self.name, description={})

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        return (output - y).square().mean()

    def metrics(self, output: Tensor, y: Tensor) -> dict[str, float]:
        error = (output - y).abs()
        return {"loss": float(error.square().mean()), "distance": float(error.mean())}

    def figures(self, model: nn.Module, data: Data) -> dict[str, Figure]:
        from matplotlib.figure import Figure

        figure = Figure()
        figure.subplots().plot(data.test[0], model(data.test[0]))
        return {"line": figure}


@dataclass(frozen=True, kw_only=True)
class Drawn(Line):
    """Inputs are drawn anew in each step; only the test part is evaluated."""

    name: ClassVar[str] = "drawn"

    def batch_loss(self, model: nn.Module, data: Data, index: Tensor) -> Tensor:
        x = torch.rand(len(index), 1)
        return self.loss(model(x), 3 * x)

    def evaluate(self, model: nn.Module, data: Data) -> dict[str, float]:
        return {"test_distance": float((model(data.test[0]) - data.test[1]).abs().mean())}


def _tables() -> dict[str, object]:
    tables = small_tables(shots=512)
    tables["mapping"]["chunk_size"] = 4
    return {k: v for k, v in tables.items() if k not in ("task", "target")}


def _target() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 1))


def test_a_regression_is_trained_beside_its_noiseless_twin(tmp_path: Path) -> None:
    pair = train_pair(_tables(), out=tmp_path / "out", target=_target(), data=Line())
    for run in pair.runs.values():
        assert run.metric == KILOMETRES
        assert list(run.results())[1:6] == [
            "test_distance",
            "train_distance",
            "test_loss",
            "train_loss",
            "generalisation_gap",
        ]
        module, data = run.export(_target()).eval(), Line().load()
        with torch.no_grad():
            error = float((module(data.test[0]) - data.test[1]).abs().mean())
        assert run.results()["test_distance"] == pytest.approx(error, rel=1e-5)
        assert (run.folder / "figures" / "line.png").is_file()
        assert (run.folder / "figures" / "learning-curves.svg").is_file()
    assert "test_distance" in (pair.folder / "comparison.csv").read_text("utf-8")


def test_a_task_of_its_own_kind_is_reproducible_and_resumes(tmp_path: Path) -> None:
    tables = _tables()
    whole = qt_hw.train(tables, out=tmp_path / "a", target=_target(), data=Drawn())
    state = torch.random.get_rng_state()
    _stopped_half_way(tables, tmp_path / "b")
    again = qt_hw.train(tables, out=tmp_path / "b", target=_target(), data=Drawn(), resume=True)
    assert torch.equal(torch.random.get_rng_state(), state)
    rows = [[{**row, "seconds": 0.0} for row in run.metrics] for run in (whole, again)]
    assert rows[0] == rows[1]
    assert "generalisation_gap" not in whole.results()
    assert whole.results()["test_distance"] < whole.metrics[0]["test_distance"]


def _stopped_half_way(tables: dict[str, object], folder: Path) -> None:
    class Stopping(Drawn):
        def batch_loss(self, model: nn.Module, data: Data, index: Tensor) -> Tensor:
            if (
                getattr(model.generator.usage, "shots", 0) > 0
                and folder.joinpath("metrics.csv").read_text("utf-8").count("\n") > 2
            ):
                raise KeyboardInterrupt
            return super().batch_loss(model, data, index)

    with pytest.raises(KeyboardInterrupt):
        qt_hw.train(tables, out=folder, target=_target(), data=Stopping())


def test_a_task_that_does_not_give_its_headline_is_told_so(tmp_path: Path) -> None:
    class Wrong(Line):
        def evaluate(self, model: nn.Module, data: Data) -> dict[str, float]:
            return {"test_loss": 0.0}

    with pytest.raises(InputError, match="'line' gives no test_distance, only test_loss"):
        qt_hw.train(_tables(), out=tmp_path / "out", target=_target(), data=Wrong())
