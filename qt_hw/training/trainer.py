"""The training loop: steps, evaluations, and a state from which it goes on bit for bit.

Checkpoints are taken right after an optimiser step and before anything is measured at the new
angles. So a resumed run repeats the evaluation that followed, and every measurement with it.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from qt_hw.errors import InputError, QtHwError
from qt_hw.model.trainable import Trainable
from qt_hw.tasks import Data, Task, batches
from qt_hw.training.config import RunConfig
from qt_hw.training.frozen import Frozen, load_model_state
from qt_hw.training.schedule import EarlyStop, Schedule

__all__ = ["DROPOUT_STREAM", "Trainer", "all_metrics", "seeded"]

DROPOUT_STREAM = 1
"""Last word of the seed of what a training step draws besides its batch and its shots."""

Row = dict[str, Any]


class Trainer:
    """Trains ``model`` on ``data`` as ``config`` says.

    Attributes:
        step: Optimiser steps done so far.
        stopped: Whether early stopping has ended the training.
    """

    def __init__(self, config: RunConfig, model: Trainable, task: Task, data: Data) -> None:
        self.config, self.model, self.task, self.data = config, model, task, data
        self.step, self.stopped = 0, False
        self._loss_sum, self._loss_count = 0.0, 0
        self._earlier_seconds, self._since = 0.0, time.perf_counter()
        self._optimizer, self._frozen = _optimizer(model, config), Frozen(model)
        self._schedule = Schedule(config.optimizer, task.headline)
        stopping = config.optimizer.early_stopping
        self._early_stop = None if stopping is None else EarlyStop(stopping, task.headline)

    def fit(
        self,
        *,
        on_step: Callable[[int, float, int], None],
        on_row: Callable[[Row], None],
        on_checkpoint: Callable[[], None],
    ) -> None:
        """Train to the end.

        Args:
            on_step: Called after each step with its number, its loss and the shots used so far.
            on_row: Called with each evaluation, one before the first step included.
            on_checkpoint: Called when ``state_dict`` should be saved.

        Raises:
            QtHwError: Loss or gradient is not finite.
        """
        self._since = time.perf_counter()
        while True:
            if self._step_is_certain():
                self.model.generator.prefetch()
            if self._evaluation_due():
                on_row(self._evaluate())
            if self.stopped or self.step >= self.config.optimizer.steps:
                return
            loss = self._train_step()
            on_step(self.step, loss, self.model.generator.usage.shots)
            if self._checkpoint_due():
                on_checkpoint()

    def state_dict(self) -> dict[str, Any]:
        """Return everything that the next steps depend on."""
        return {
            **self._frozen.state(),
            "optimizer": self._optimizer.state_dict(),
            "schedule": self._schedule.state_dict(),
            "early_stop": self._early_stop and self._early_stop.state_dict(),
            "loss_sum": self._loss_sum,
            "loss_count": self._loss_count,
            "seconds": self._seconds(),
        }

    def load_state_dict(self, step: int, state: Mapping[str, Any]) -> None:
        """Go on from ``state`` after ``step`` steps."""
        self.step = step
        load_model_state(self.model, state)
        self._optimizer.load_state_dict(state["optimizer"])
        self._schedule.load_state_dict(state["schedule"])
        if self._early_stop is not None:
            self._early_stop.load_state_dict(state["early_stop"])
        self._loss_sum, self._loss_count = state["loss_sum"], state["loss_count"]
        self._earlier_seconds = state["seconds"]

    def _train_step(self) -> float:
        self.model.train()
        index = self._batch()
        self._optimizer.zero_grad(set_to_none=True)
        with seeded(self.config.seeds.data, self.step, DROPOUT_STREAM):
            loss = self.task.batch_loss(self.model, self.data, index)
        value = float(loss.detach())
        self._check_finite("loss", value)
        loss.backward()  # type: ignore[no-untyped-call]
        self._check_finite("gradient", self._clip())
        self._set_rates()
        self._optimizer.step()
        self.step += 1
        self.model.stepped(self.step)
        self._loss_sum, self._loss_count = self._loss_sum + value, self._loss_count + 1
        return value

    def _batch(self) -> Tensor:
        n, size = len(self.data.train[0]), self.config.optimizer.batch_size
        return batches(n, size, seed=self.config.seeds.data, step=self.step)

    def _clip(self) -> float:
        limit = self.config.optimizer.clip_norm or math.inf
        return float(nn.utils.clip_grad_norm_(self.model.parameters(), limit))

    def _set_rates(self) -> None:
        factor = self._schedule.factor(self.step)
        for group in self._optimizer.param_groups:
            group["lr"] = factor * group["base_lr"]

    def _check_finite(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            raise QtHwError(
                f"the {what} became {value} at step {self.step + 1}; "
                "lower optimizer.lr_angles and optimizer.lr_mapping, or set optimizer.clip_norm"
            )

    def _step_is_certain(self) -> bool:
        """Whether a step follows, so that its shifted circuits can go with the base."""
        may_stop = self._early_stop is not None and self._evaluation_due()
        return not self.stopped and not may_stop and self.step < self.config.optimizer.steps

    def _evaluation_due(self) -> bool:
        optimizer = self.config.optimizer
        return self.step % optimizer.eval_every == 0 or self.step == optimizer.steps

    def _checkpoint_due(self) -> bool:
        optimizer = self.config.optimizer
        may_stop = self._early_stop is not None and self._evaluation_due()
        last = self.step == optimizer.steps
        paid = not self.model.generator.immediate
        return self.step % optimizer.checkpoint_every == 0 or last or may_stop or paid

    def _evaluate(self) -> Row:
        """Evaluate the present weights; tell the schedule and early stopping."""
        values = all_metrics(self.task, self.model.eval(), self.data)
        usage = self.model.generator.usage
        factor, optimizer = self._schedule.factor(self.step), self.config.optimizer
        steps_per_epoch = -(-len(self.data.train[0]) // optimizer.batch_size)
        row: Row = {
            "step": self.step,
            "epoch": self.step // steps_per_epoch,
            "batch_loss": self._loss_sum / self._loss_count if self._loss_count else None,
            **values,
            "circuit_share": float(self.model.circuit_share()),
            "lr_angles": factor * optimizer.lr_angles,
            "lr_mapping": factor * optimizer.lr_mapping,
            "circuits": usage.circuits,
            "shots": usage.shots,
            "seconds": round(self._seconds(), 3),
        }
        self._loss_sum, self._loss_count = 0.0, 0
        self._schedule.observe(values)
        if self._early_stop is not None:
            self.stopped = self._early_stop.observe(values)
        return row

    def _seconds(self) -> float:
        return self._earlier_seconds + time.perf_counter() - self._since


@torch.no_grad()
def all_metrics(task: Task, model: nn.Module, data: Data) -> dict[str, float]:
    """Return what the task finds of ``model``; ``train_…`` and ``test_…`` of each of its metrics.

    Raises:
        InputError: The headline metric of the task is not among it.
    """
    values = task.evaluate(model, data)
    if task.headline.test not in values:
        raise InputError(
            f"the task {task.name!r} gives no {task.headline.test}, only {', '.join(values)}: "
            "evaluate() must return its headline metric"
        )
    return values


def _optimizer(model: Trainable, config: RunConfig) -> torch.optim.Adam:
    """Return Adam with one group for the angles and one for all else that is trained."""
    optimizer = config.optimizer
    angles = [p for p in model.generator.parameters() if p.requires_grad]
    own = {id(p) for p in angles}
    rest = [p for p in model.parameters() if p.requires_grad and id(p) not in own]
    groups = [
        {"params": angles, "base_lr": optimizer.lr_angles, "weight_decay": 0.0},
        {"params": rest, "base_lr": optimizer.lr_mapping, "weight_decay": optimizer.weight_decay},
    ]
    groups = [group for group in groups if group["params"]]
    if not groups:
        raise InputError("the model has nothing to train: all its parameters are frozen")
    kind = torch.optim.AdamW if optimizer.name == "adamw" else torch.optim.Adam
    return kind(groups, lr=0.0, eps=optimizer.eps)


@contextlib.contextmanager
def seeded(*entropy: int) -> Iterator[None]:
    """Give layers that draw from torch's global generator (dropout) numbers of their own.

    The global generator is put back afterwards.
    """
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
