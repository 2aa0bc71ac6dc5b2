"""Reinforcement learning: seconds per update and episodes per second.

    python -m benchmarks.reinforcement [--repetitions 5] [--trained 60]

An update plays its episodes with one set of weights, so the circuit is evaluated once; the
published code evaluates it for every step of the environment. That way is timed beside ours, with
the same starts, actions and loss (checked before). Times are of the untrained policy, whose
episodes are short, and of one that was trained for ``--trained`` updates. The play alone is what
an update takes without gradients; its share is the environment's and the policy's.
"""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator

import numpy as np
import torch

from benchmarks._timing import Route, Table, clock, compare, write
from qt_hw.model.trainable import Trainable
from qt_hw.tasks.reinforcement.reinforce import advantages, policy_loss
from qt_hw.tasks.reinforcement.rollout import Episodes, play
from qt_hw.tasks.reinforcement.task import Reinforcement
from qt_hw.training.build import make_model, make_task
from qt_hw.training.loading import load_config
from qt_hw.training.trainer import Trainer

PRESETS = ("cartpole-qtrl", "cartpole-quick")


class Update:
    """One update of a preset, without noise, at fixed angles; always the same episodes."""

    def __init__(self, preset: str, trained: int) -> None:
        config = load_config(preset, [f"optimizer.steps={max(1, trained)}"]).noiseless()
        task = make_task(config.task)
        assert isinstance(task, Reinforcement)
        self.task, self.data, self.model = task, task.load(), make_model(config)
        if trained:
            trainer = Trainer(config, self.model, task, self.data)
            trainer.fit(on_step=lambda *_: None, on_row=lambda _: None, on_checkpoint=lambda: None)
        self.index = torch.arange(config.optimizer.batch_size)
        self.visits = len(self.alone().actions)

    def ours(self) -> torch.Tensor:
        """Do the update as the task does it."""
        with seeded(self.model):
            loss = self.task.batch_loss(self.model, self.data, self.index)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def at_each_step(self) -> torch.Tensor:
        """Do the update with weights generated anew for each step of the environment."""
        logits: list[torch.Tensor] = []

        def act(x: torch.Tensor) -> torch.Tensor:
            with torch.enable_grad():
                logits.append(self.model(x))
            return logits[-1].detach()

        with seeded(self.model):
            episodes = self.played(act)
        task = self.task
        weight = advantages(episodes, task.discount, task.baseline, task.normalise)
        loss = policy_loss(torch.cat(logits), episodes, weight, task.entropy)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    def alone(self) -> Episodes:
        """Play without learning."""
        with seeded(self.model):
            return self.played(self.model.export())

    def played(self, policy: Callable[[torch.Tensor], torch.Tensor]) -> Episodes:
        """Return the episodes of the update under a policy."""
        return play(self.task.environments, policy, self.data.train[1][self.index].tolist())


@contextlib.contextmanager
def seeded(model: Trainable) -> Iterator[None]:
    """Give the same draws each time, at angles that count as new."""
    model.zero_grad()
    model.refresh()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def measure(preset: str, trained: int, repetitions: int) -> tuple[Table, dict[str, float]]:
    """Time the updates of one preset; return the table and its rates."""
    update = Update(preset, trained)
    np.testing.assert_allclose(update.ours(), update.at_each_step(), rtol=1e-4)
    n, state = len(update.index), f"after {trained} updates" if trained else "untrained"
    note = f"{n} episode{'s' * (n > 1)}, {update.visits:,} steps"
    table = compare(
        f"{preset}, {state}: one update, exact",
        [
            Route(name="one evaluation of the circuit", run=clock(update.ours), note=note),
            Route(name="one at each step, as published", run=clock(update.at_each_step)),
            Route(name="the play alone", run=clock(update.alone)),
        ],
        repetitions=repetitions,
    )
    seconds = table.rows[0].seconds
    assert seconds is not None
    rates = {"episodes_per_second": n / seconds, "steps_per_second": update.visits / seconds}
    print(
        f"\n{rates['episodes_per_second']:.1f} episodes/s, {rates['steps_per_second']:,.0f} steps/s"
    )
    return table, rates


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--trained", type=int, default=60, help="updates before the second table")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tables, rates = [], {}
    for preset in PRESETS:
        for trained in (0, args.trained):
            table, rate = measure(preset, trained, args.repetitions)
            tables.append(table)
            rates[table.title] = rate
    write("reinforcement", tables, threads=args.threads, rates=rates)


if __name__ == "__main__":
    main()
