from __future__ import annotations

import math

import pytest

from qt_hw.errors import ConfigError
from qt_hw.tasks.metric import ACCURACY, Metric
from qt_hw.training.config import EarlyStopping, OptimizerConfig
from qt_hw.training.schedule import EarlyStop, Schedule


def _factors(config: OptimizerConfig) -> list[float]:
    schedule = Schedule(config)
    return [schedule.factor(step) for step in range(config.steps)]


def test_constant_is_one() -> None:
    assert _factors(OptimizerConfig(steps=4)) == [1.0] * 4


def test_cosine_goes_from_one_to_zero() -> None:
    factors = _factors(OptimizerConfig(steps=100, schedule="cosine"))
    expected = [0.5 * (1 + math.cos(math.pi * k / 100)) for k in range(100)]
    assert factors == pytest.approx(expected)
    assert Schedule(OptimizerConfig(steps=100, schedule="cosine")).factor(100) == 0.0


def test_linear_goes_from_one_to_zero() -> None:
    factors = _factors(OptimizerConfig(steps=4, schedule="linear", warmup=2))
    assert factors == [0.5, 0.75, 0.5, 0.25]


def test_steps_go_down_by_the_decay() -> None:
    config = OptimizerConfig(steps=7, schedule="step", decay=0.5, decay_every=3)
    assert _factors(config) == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_warmup_rises_linearly() -> None:
    assert _factors(OptimizerConfig(steps=5, warmup=4)) == [0.25, 0.5, 0.75, 1.0, 1.0]


def test_plateau_agrees_with_torch() -> None:
    import torch

    losses = [5.0, 4.0, 4.1, 4.2, 4.3, 3.0, 3.0, 3.0, 3.1, 2.9, 2.9, 2.9, 2.9, 2.9]
    config = OptimizerConfig(steps=99, schedule="plateau", decay=0.5, plateau_patience=2)
    ours = Schedule(config)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = torch.optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=2, threshold=0.0
    )
    for loss in losses:
        ours.observe({"train_loss": loss})
        theirs.step(loss)
        assert ours.factor(0) == optimizer.param_groups[0]["lr"]
    assert ours.factor(0) < 1.0


def test_a_schedule_goes_on_from_its_state() -> None:
    config = OptimizerConfig(steps=99, schedule="plateau", plateau_patience=2)
    first, second = Schedule(config), Schedule(config)
    for loss in (3.0, 3.0, 3.0):
        first.observe({"train_loss": loss})
    second.load_state_dict(first.state_dict())
    second.observe({"train_loss": 3.0})
    assert second.factor(0) == 0.5


def test_accuracy_counts_upwards_and_small_gains_do_not_count() -> None:
    stop = EarlyStop(EarlyStopping(patience=2, metric="test_accuracy", min_delta=0.05))
    answers = [stop.observe({"test_accuracy": a}) for a in (0.5, 0.52, 0.6, 0.61, 0.64)]
    assert answers == [False, False, False, False, True]


@pytest.mark.parametrize(("higher", "last"), [(True, True), (False, False)])
def test_the_headline_metric_says_what_is_better(higher: bool, last: bool) -> None:
    metric = Metric(key="nse", label="NSE", higher_is_better=higher)
    stop = EarlyStop(EarlyStopping(patience=2, metric="test_nse"), metric)
    assert [stop.observe({"test_nse": value}) for value in (3.0, 2.0, 1.0)] == [False, False, last]


def test_a_metric_of_unknown_direction_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'test_rmse' cannot be watched \(known: train_loss"):
        EarlyStop(EarlyStopping(patience=2, metric="test_rmse"), ACCURACY)
    with pytest.raises(ConfigError, match="measures no 'train_loss', only test_accuracy"):
        EarlyStop(EarlyStopping(patience=2)).observe({"test_accuracy": 1.0})
