"""The task: policies that learn by playing (Quantum-Train reinforcement learning)."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks.metric import Metric
from qt_hw.tasks.task import Data, Task, check_count, check_parts, check_texts, first_output

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.figure import Figure
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from qt_hw.tasks.reinforcement.environment import Environments

__all__ = ["BASELINES", "Reinforcement"]

BASELINES = ("episode", "batch", "leave-one-out", "none")
_ACTIONS_SEED = 0
_AT_ONCE = 100


@dataclass(frozen=True, kw_only=True)
class Reinforcement(Task):
    """A Gymnasium environment with discrete actions, learnt by REINFORCE.

    A sample is the start of an episode: the seed that the environment is reset with, and what is
    seen then. ``optimizer.batch_size`` is the number of episodes per update; all of them use one
    set of weights, so an update measures the circuit once however long its episodes are. The
    input of the network is the observation, flattened to float32 and not scaled; its output are
    logits. An episode ends where the environment terminates or truncates it; no reward is assumed
    beyond.

    Attributes:
        environment: Id of an environment (``CartPole-v1``, ``MiniGrid-Empty-5x5-v0``), or
            ``module:Id`` where a module has to be imported to register it.
        actions: Offer only that many of its actions, the first ones; None offers all. The
            published MiniGrid policy has 3: turn left, turn right, forward.
        observation: The part of a ``Dict`` observation that is seen; None sees all of it.
        max_steps: Truncate an episode after so many steps; None keeps the environment's limit.
        discount: Weight of a reward one step later, 0 to 1.
        baseline: What is taken off the returns; see ``reinforce.advantages``.
        normalise: Divide what is left by its standard deviation.
        entropy: Weight of the bonus on the entropy of the policy.
        train_size: Number of starts for the training.
        eval_episodes: Number of other starts for the evaluation.
        greedy: Evaluate with the likeliest action instead of a drawn one.
    """

    name: ClassVar[str] = "reinforcement"
    # Returns have the environment's own unit: a loss of 0.05 is much in MiniGrid, 25 in CartPole.
    headline: ClassVar[Metric] = Metric(
        key="return", label="return", digits=2, drops=(0.05, 10.0, 25.0)
    )
    environment: str = "CartPole-v1"
    actions: int | None = None
    observation: str | None = None
    max_steps: int | None = None
    discount: float = 0.99
    baseline: str = "episode"
    normalise: bool = True
    entropy: float = 0.0
    train_size: int = 1000
    eval_episodes: int = 100
    greedy: bool = True

    def __post_init__(self) -> None:
        """Check the options."""
        check_texts(self, ("environment", "observation"))
        for name in ("normalise", "greedy"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, got {getattr(self, name)!r}")
        for name in ("actions", "max_steps", "train_size", "eval_episodes"):
            check_count(name, getattr(self, name))
        if self.actions == 1:
            raise InputError("actions must be at least 2: with one there is nothing to choose")
        _check_number("discount", self.discount, most=1.0)
        _check_number("entropy", self.entropy)
        if self.baseline not in BASELINES:
            raise UnknownName("baseline", str(self.baseline), BASELINES)

    def load(self) -> Data:
        """Return the starts: observations ``(N, I)`` float32, seeds ``(N,)`` int64.

        Training takes even seeds and the test odd ones, so that none is in both.

        Raises:
            MissingExtra: Gymnasium or MiniGrid is not installed.
            UnknownName: There is no such environment, or no such part of its observation.
            InputError: The environment does not fit; see ``Environments``.
        """
        return Data(
            train=self._starts(range(0, 2 * self.train_size, 2)),
            test=self._starts(range(1, 2 * self.eval_episodes, 2)),
            name=self.name,
            description=self._describe(),
        )

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Refuse: what an output is worth shows at the end of an episode; see ``batch_loss``.

        Raises:
            InputError: Always.
        """
        _refuse("loss", "batch_loss(model, data, index)")

    def metrics(self, output: Tensor, y: Tensor) -> dict[str, float]:
        """Refuse: returns are of whole episodes; see ``evaluate``.

        Raises:
            InputError: Always.
        """
        _refuse("metrics", "evaluate(model, data)")

    def batch_loss(self, model: nn.Module, data: Data, index: Tensor) -> Tensor:
        """Play an episode from each start of ``index``; return the loss of all visits.

        Actions are drawn from torch's global generator.
        """
        from qt_hw.tasks.reinforcement.reinforce import advantages, policy_loss
        from qt_hw.tasks.reinforcement.rollout import play

        network, player = _with_gradient(model)
        episodes = play(self.environments, player, data.train[1][index].tolist())
        advantage = advantages(episodes, self.discount, self.baseline, self.normalise)
        return policy_loss(network(episodes.observations), episodes, advantage, self.entropy)

    def evaluate(self, model: nn.Module, data: Data) -> dict[str, float]:
        """Return mean and standard deviation of the undiscounted returns, and the mean length.

        The test episodes only: of the training, ``batch_loss`` is the record. Draws come from a
        generator of their own, the same in each evaluation.
        """
        returns, lengths = self.play(model, data)
        return {
            "test_return": float(returns.mean()),
            "test_return_std": float(returns.std()),
            "test_length": float(lengths.mean()),
        }

    def play(self, model: nn.Module, data: Data) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Return the undiscounted returns and the lengths of the test episodes, ``(N,)`` each."""
        import numpy as np
        import torch

        from qt_hw.tasks.reinforcement.rollout import play

        player, source = _without_gradient(model), torch.Generator().manual_seed(_ACTIONS_SEED)
        seeds, played = data.test[1].tolist(), []
        for first in range(0, len(seeds), _AT_ONCE):
            part = seeds[first : first + _AT_ONCE]
            played.append(
                play(self.environments, player, part, greedy=self.greedy, generator=source)
            )
        returns = np.concatenate([one.rewards.sum(axis=1) for one in played])
        return returns, np.concatenate([one.lengths for one in played])

    def check(self, target: nn.Module, data: Data) -> None:
        from torch import Tensor

        check_parts(data)
        output, wanted = first_output(target, data), (1, self.environments.n_actions)
        if not isinstance(output, Tensor) or output.shape != wanted:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"{self.environment!r} offers {wanted[1]} actions, so the target's output for one "
                f"observation must have shape {wanted}, not {shape}: take the target "
                f"policy-{data.input_shape[0]}-H-{wanted[1]}, or set the option actions"
            )

    def figures(self, model: nn.Module, data: Data) -> dict[str, Figure]:
        """Return ``returns``: how the returns of the test episodes are distributed."""
        from qt_hw.tasks.reinforcement.figures import draw_returns

        return {"returns": draw_returns(self.environment, self.play(model, data)[0])}

    @cached_property
    def environments(self) -> Environments:
        """The environments that it plays in, made once and closed with the task."""
        from qt_hw.tasks.reinforcement.environment import Environments

        return Environments(
            self.environment,
            actions=self.actions,
            observation=self.observation,
            max_steps=self.max_steps,
        )

    def _starts(self, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
        import numpy as np
        import torch

        seen = np.stack([self.environments.reset(0, seed) for seed in seeds])
        return torch.from_numpy(seen), torch.tensor(seeds, dtype=torch.int64)

    def _describe(self) -> dict[str, object]:
        from importlib.metadata import version

        own = self.environments
        return {
            "source": f"gymnasium {version('gymnasium')}",
            "environment": self.environment,
            "observation": self.observation or "all",
            "n_inputs": own.n_inputs,
            "n_actions": own.n_actions,
            "max_steps": own.max_steps,
            "split": "even seeds for training, odd ones for the test",
            "n_train": self.train_size,
            "n_test": self.eval_episodes,
            "evaluation": "greedy" if self.greedy else f"drawn, seed {_ACTIONS_SEED}",
        }


def _with_gradient(
    model: nn.Module,
) -> tuple[Callable[[Tensor], Any], Callable[[Tensor], Tensor]]:
    """Return the network on the graph of what is trained, and a quick copy of it for playing."""
    from qt_hw.model.trainable import Trainable, without_models

    if not isinstance(model, Trainable):
        return model, model
    weights, target = model.weights(), model.target
    return lambda x: target.call(weights, x), without_models(target.filled(weights))


def _without_gradient(model: nn.Module) -> Callable[[Tensor], Tensor]:
    from qt_hw.model.trainable import Trainable

    return model.export().eval() if isinstance(model, Trainable) else model


def _check_number(name: str, value: Any, most: float | None = None) -> None:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not 0 <= value <= (sys.float_info.max if most is None else most):
        upper = "" if most is None else f" and at most {most:g}"
        raise InputError(f"{name} must be a number of at least 0{upper}, got {value!r}")


def _refuse(what: str, instead: str) -> NoReturn:
    raise InputError(
        f"the task 'reinforcement' has no {what} of single samples, an episode is what counts: "
        f"call {instead}"
    )
