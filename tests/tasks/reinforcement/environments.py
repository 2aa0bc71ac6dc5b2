"""Environments small enough that all their episodes can be written down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import gymnasium
import numpy as np
from gymnasium.spaces import Box, Dict, Discrete, Sequence

FORK = "qt-hw-test/Fork-v0"
FINITE = "qt-hw-test/Finite-v0"
UNSEEN = "qt-hw-test/Unseen-v0"
ENDLESS = "qt-hw-test/Endless-v0"
BROKEN = "qt-hw-test/Broken-v0"


class Fork(gymnasium.Env[Any, Any]):
    """Left ends it with 1; right leads to a second choice, which gives 2 at once or -1 and 5 later.

    Observations are one-hot of three states, as a 1x3 picture; the actions are 4 and 5.
    """

    observation_space = Box(0.0, 1.0, (1, 3))
    action_space = Discrete(2, start=4)
    closed: ClassVar[list[int]] = []

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.state = 0
        return self._seen(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert self.action_space.contains(action)
        assert self.state is not None, "a finished episode was stepped on"
        reward, self.state = STEPS[self.state, int(action) - 4]
        ends = self.state is None
        return np.zeros((1, 3), np.float32) if ends else self._seen(), reward, ends, False, {}

    def close(self) -> None:
        self.closed.append(1)

    def _seen(self) -> Any:
        return np.eye(3, dtype=np.float32)[None, self.state]


STEPS: dict[tuple[int, int], tuple[float, int | None]] = {
    (0, 0): (1.0, None),
    (0, 1): (0.0, 1),
    (1, 0): (2.0, None),
    (1, 1): (-1.0, 2),
    (2, 0): (5.0, None),
    (2, 1): (5.0, None),
}
"""Reward and next state of each state and action; None: the end."""


def episodes() -> Iterator[list[tuple[int, int, float]]]:
    """Yield all episodes of ``Fork`` as (state, action, reward) of each step."""
    open_ones: list[tuple[int, list[tuple[int, int, float]]]] = [(0, [])]
    while open_ones:
        state, played = open_ones.pop()
        for action in (0, 1):
            reward, then = STEPS[state, action]
            longer = [*played, (state, action, reward)]
            if then is None:
                yield longer
            else:
                open_ones.append((then, longer))


class Finite(Fork):
    """Observations that have to be one-hot encoded, in parts."""

    observation_space = Dict({"place": Discrete(3), "list": Sequence(Discrete(2))})

    def _seen(self) -> Any:
        return {"place": self.state, "list": (1, 0)}


class Unseen(Fork):
    """Observations that are no numbers and have no parts."""

    observation_space = Sequence(Discrete(2))


class Endless(Fork):
    """An episode that never ends."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self._seen(), 1.0, False, False, {}


class Broken(Fork):
    """Observations that are not numbers after the first step."""

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return np.full((1, 3), np.nan, np.float32), 1.0, False, False, {}


_KINDS = {FORK: Fork, FINITE: Finite, UNSEEN: Unseen, ENDLESS: Endless, BROKEN: Broken}


def register() -> None:
    """Make the environments known to Gymnasium."""
    for name, kind in _KINDS.items():
        gymnasium.register(id=name, entry_point=kind)


def unregister() -> None:
    """Take them out again."""
    for name in _KINDS:
        gymnasium.registry.pop(name)
