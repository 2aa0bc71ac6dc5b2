"""What a training would cost on its backend, found out without running anything."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.execution.backend import Backend, Batch, Cost, Counts, Prepared
from qt_hw.execution.dispatch import estimate
from qt_hw.execution.executor import Executor, LocalExecutor
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.training.build import make_quantum
from qt_hw.training.checks import check_model
from qt_hw.training.config import OptimizerConfig, RunConfig

__all__ = ["Planned", "Planner", "Quote", "quote_training", "total"]


@dataclass(frozen=True, kw_only=True)
class Quote:
    """Prices of a training.

    Attributes:
        step: One optimiser step: base and shifted circuits in one batch.
        last: The evaluation after the last step: the base circuits alone.
        steps: Number of optimiser steps.
        total: All of it.
        calibration: What the mitigation measures once, before the first step; None: nothing.
    """

    step: Cost
    last: Cost
    steps: int
    total: Cost
    calibration: Cost | None = None

    def affordable_steps(self, most: float, unit: str) -> int:
        """Return after how many steps a cap is reached; ``unit`` is ``usd`` or ``qpu_seconds``."""
        each = float(getattr(self.step, f"{unit}_high"))
        return self.steps if each == 0.0 else min(self.steps, int(most / each + 1e-9))


def quote_training(
    config: RunConfig, where: Backend | Executor, target: nn.Module | None = None
) -> Quote:
    """Return what ``config`` would cost; early stopping may make it cheaper.

    Args:
        config: What would be trained.
        where: Its backend, or an executor, which may know the prepared circuit already.
        target: Takes the place of the network that ``[target]`` names.

    Raises:
        InputError: The configuration does not fit together.
        PreflightError: The backend cannot run it; with every reason.
    """
    planner = Planner(LocalExecutor(where) if isinstance(where, Backend) else where)
    model = make_quantum(config, target, planner)
    check_model(config, model)
    calibration = _calibration(model, planner.backend)
    try:
        model.generator.prefetch()
    except Planned as planned:
        batch = planned.batch
    else:  # exact and free of charge: nothing is measured
        return _exact(len(model.generator.ansatz.factors()), config.optimizer.steps)
    base = [item for item in batch.items if not item.role.endswith("shift")]
    shifted = [item for item in batch.items if item.role.endswith("shift")]
    backend = planner.backend
    step, last = estimate(backend, batch), estimate(backend, Batch(items=tuple(base)))
    apart = _separate_evaluations(config.optimizer) if shifted else 0
    parts = [(step, config.optimizer.steps - apart), (last, 1 + apart)]
    if apart:
        parts.append((estimate(backend, Batch(items=tuple(shifted))), apart))
    if calibration is not None:
        parts.append((calibration, 1))
    return Quote(
        step=step,
        last=last,
        steps=config.optimizer.steps,
        total=total(parts),
        calibration=calibration,
    )


def _calibration(model: QuantumTrain, backend: Backend) -> Cost | None:
    """Return the price of the calibration; the model then goes on as if it had been measured."""
    mitigator = model.generator.setup.mitigator
    if mitigator is None or mitigator.ready:
        return None
    batch = mitigator.calibration_batch(model.generator.seed)
    mitigator.assume()
    return estimate(backend, batch)


def total(parts: Sequence[tuple[Cost, int]]) -> Cost:
    """Return the sum of costs, each so many times.

    >>> total([(Cost(circuits=2, shots=200, usd_high=1.5), 3)]).usd_high
    4.5
    """
    return Cost(
        circuits=sum(cost.circuits * n for cost, n in parts),
        shots=sum(cost.shots * n for cost, n in parts),
        jobs=sum(cost.jobs * n for cost, n in parts),
        usd_low=sum(cost.usd_low * n for cost, n in parts),
        usd_high=sum(cost.usd_high * n for cost, n in parts),
        qpu_seconds_low=sum(cost.qpu_seconds_low * n for cost, n in parts),
        qpu_seconds_high=sum(cost.qpu_seconds_high * n for cost, n in parts),
        source=parts[0][0].source if parts else "",
    )


def _separate_evaluations(optimizer: OptimizerConfig) -> int:
    """Return how many evaluations may end the training, so that their base goes by itself."""
    if optimizer.early_stopping is None:
        return 0
    return (optimizer.steps - 1) // optimizer.eval_every


def _exact(n_factors: int, steps: int) -> Quote:
    one = Cost(circuits=n_factors, shots=0)
    return Quote(step=one, last=one, steps=steps, total=total([(one, steps + 1)]))


class Planned(Exception):
    """Carries the batch out of the model."""

    def __init__(self, batch: Batch) -> None:
        super().__init__()
        self.batch = batch


class Planner(Executor):
    """Prepares circuits, and hands back the first batch instead of running it."""

    immediate = False

    def __init__(self, inner: Executor) -> None:
        self.inner, self.backend = inner, inner.backend

    def prepare(self, ansatz: Ansatz) -> Prepared:
        return self.inner.prepare(ansatz)

    def run(self, batch: Batch, step: int, label: str = "") -> Counts:
        raise Planned(batch)
