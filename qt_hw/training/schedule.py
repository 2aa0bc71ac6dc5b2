"""How the learning rates change, and when to stop early."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from qt_hw.errors import ConfigError
from qt_hw.tasks.metric import ACCURACY, Metric
from qt_hw.training.config import EarlyStopping, OptimizerConfig

__all__ = ["EarlyStop", "Schedule"]


class Schedule:
    """A factor on both learning rates for each step.

    ``constant``, ``cosine`` and ``linear`` (to zero at the last step) and ``step`` follow from the
    step alone;
    ``plateau`` multiplies by ``decay`` after more than ``plateau_patience`` evaluations without
    progress, as torch's ``ReduceLROnPlateau`` does. ``warmup`` steps rise linearly before.

    >>> config = OptimizerConfig(steps=10, schedule="step", decay=0.1, decay_every=4)
    >>> [round(Schedule(config).factor(step), 3) for step in (0, 3, 4, 8)]
    [1.0, 1.0, 0.1, 0.01]
    """

    def __init__(self, config: OptimizerConfig, headline: Metric = ACCURACY) -> None:
        self._config = config
        self._reductions = 0
        patience = config.plateau_patience + 1
        watched = EarlyStopping(patience=patience, metric=config.plateau_metric)
        self._plateau = EarlyStop(watched, headline)

    def factor(self, step: int) -> float:
        """Return the factor for the update number ``step``, counted from 0."""
        config = self._config
        rise = min(1.0, (step + 1) / config.warmup) if config.warmup else 1.0
        if config.schedule == "cosine":
            return rise * 0.5 * (1.0 + math.cos(math.pi * step / config.steps))
        if config.schedule == "linear":
            return rise * max(0.0, 1.0 - step / config.steps)
        if config.schedule == "step":
            return rise * config.decay ** (step // config.decay_every)
        return rise * config.decay**self._reductions

    def observe(self, metrics: Mapping[str, float]) -> None:
        """Take note of an evaluation; only ``plateau`` acts on it."""
        if self._config.schedule == "plateau" and self._plateau.observe(metrics):
            self._reductions += 1
            self._plateau.rest()

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"reductions": self._reductions, "plateau": self._plateau.state_dict()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state from ``state_dict``."""
        self._reductions = state["reductions"]
        self._plateau.load_state_dict(state["plateau"])


class EarlyStop:
    """Says when a metric has not improved for ``patience`` evaluations.

    >>> stop = EarlyStop(EarlyStopping(patience=2, metric="test_accuracy"))
    >>> [stop.observe({"test_accuracy": a}) for a in (0.5, 0.6, 0.6, 0.4)]
    [False, False, False, True]
    """

    def __init__(self, config: EarlyStopping, headline: Metric = ACCURACY) -> None:
        self._config = config
        self._sign = _sign(config.metric, headline)
        self._best: float | None = None
        self._waited = 0

    def observe(self, metrics: Mapping[str, float]) -> bool:
        """Take note of an evaluation; return whether the patience is over.

        Raises:
            ConfigError: The metric is not among them.
        """
        name = self._config.metric
        if name not in metrics:
            raise ConfigError(
                f"optimizer: this task measures no {name!r}, only {', '.join(metrics)}"
            )
        value = -self._sign * metrics[name]
        if self._best is None or value < self._best - self._config.min_delta:
            self._best, self._waited = value, 0
        else:
            self._waited += 1
        return self._waited >= self._config.patience

    def rest(self) -> None:
        """Start the patience anew; the best value stays."""
        self._waited = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the state as JSON values."""
        return {"best": self._best, "waited": self._waited}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over a state from ``state_dict``."""
        self._best, self._waited = state["best"], state["waited"]


def _sign(metric: str, headline: Metric) -> float:
    """Return 1 where more of the metric is better, else -1.

    Raises:
        ConfigError: It is neither a loss nor the headline metric.
    """
    if metric in (headline.test, headline.train):
        return headline.sign
    if metric in ("train_loss", "test_loss"):
        return -1.0
    raise ConfigError(
        f"optimizer: {metric!r} cannot be watched (known: train_loss, test_loss, "
        f"{headline.train}, {headline.test})"
    )
