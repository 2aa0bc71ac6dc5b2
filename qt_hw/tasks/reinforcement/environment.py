"""Gymnasium environments with discrete actions, as this package uses them.

Observations are flattened to float32 and actions counted from 0. Gymnasium's own vector
environments step finished copies on or reset them; here a finished copy rests, so that every
episode is whole and a batch costs no steps that nobody uses.
"""

from __future__ import annotations

import weakref
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError, MissingExtra, UnknownName

if TYPE_CHECKING:
    import gymnasium

__all__ = ["Environments"]

_OF_MINIGRID = ("MiniGrid-", "BabyAI-")


class Environments:
    """Copies of one environment, made when they are first needed and used again.

    Args:
        name: Id of a registered environment; ``"module:Id"`` imports ``module`` first.
        actions: Offer only the first of its actions, that many; None offers all.
        observation: The part of a ``Dict`` observation that is seen; None sees all of it.
        max_steps: Truncate an episode after so many steps; None keeps the environment's limit.

    Attributes:
        name: Its id.
        n_actions: Number of actions offered.
        n_inputs: Length of a flattened observation.
        max_steps: Steps after which Gymnasium truncates an episode; None: it does not.

    Raises:
        MissingExtra: Gymnasium, or MiniGrid for an environment of its own, is not installed.
        UnknownName: There is no such environment, or no such part of the observation.
        InputError: The environment lacks a package, its actions are not discrete, there are too
            few of them, or its observation cannot be flattened.
    """

    def __init__(
        self,
        name: str,
        *,
        actions: int | None = None,
        observation: str | None = None,
        max_steps: int | None = None,
    ) -> None:
        self.name, self._limit = name, max_steps
        self._part = observation
        self._copies: list[gymnasium.Env[Any, Any]] = []
        weakref.finalize(self, _close, self._copies)
        first = self._copy(0)
        spec = first.spec
        self.max_steps = None if spec is None else spec.max_episode_steps
        self._first_action, self.n_actions = _actions(name, first.action_space, actions)
        self._space = _seen(name, first.observation_space, observation)
        self.n_inputs = _length(name, self._space)
        self._is_box = _is_box(self._space)

    def reset(self, index: int, seed: int) -> NDArray[np.float32]:
        """Start copy ``index`` from ``seed``; return the observation ``(n_inputs,)``."""
        observation, _ = self._copy(index).reset(seed=seed)
        return self._flat(observation)

    def step(self, index: int, action: int) -> tuple[NDArray[np.float32], float, bool]:
        """Let copy ``index`` do ``action``, from 0; return observation, reward and whether it ends.

        An episode ends where the environment says that it is terminated or truncated.
        """
        taken = np.int64(self._first_action + action)  # as ``action_space.sample`` returns it
        observation, reward, terminated, truncated, _ = self._copies[index].step(taken)
        return self._flat(observation), float(reward), bool(terminated or truncated)

    def _copy(self, index: int) -> gymnasium.Env[Any, Any]:
        while len(self._copies) <= index:
            self._copies.append(_made(self.name, self._limit))
        return self._copies[index]

    def _flat(self, observation: Any) -> NDArray[np.float32]:
        if self._part is not None:
            observation = observation[self._part]
        if not self._is_box:
            from gymnasium.spaces.utils import flatten

            observation = flatten(self._space, observation)
        return np.asarray(observation, dtype=np.float32).reshape(-1)


def _close(copies: list[gymnasium.Env[Any, Any]]) -> None:
    while copies:
        copies.pop().close()


def _made(name: str, max_steps: int | None) -> gymnasium.Env[Any, Any]:
    """Return a new environment."""
    package = _package("gymnasium", name)
    module, _, own = name.rpartition(":")
    if module:
        _import(module, name)
    if own.startswith(_OF_MINIGRID):
        _package("minigrid", name)
    if own not in package.registry:
        raise UnknownName("environment", own, tuple(package.registry))
    try:
        # Its checker would look at every step of every episode again.
        made: gymnasium.Env[Any, Any] = package.make(
            own, max_episode_steps=max_steps, disable_env_checker=True
        )
    except (package.error.DependencyNotInstalled, ImportError) as error:
        said = str(error).splitlines()[0]
        raise InputError(
            f"environment: {name!r} needs a package that is not installed ({said}); install it, or "
            "take another environment such as CartPole-v1"
        ) from error
    return made


def _package(package: str, name: str) -> Any:
    try:
        return import_module(package)
    except ImportError as error:
        raise MissingExtra(f"the environment {name!r} ({package})", "tasks") from error


def _import(module: str, name: str) -> None:
    try:
        import_module(module)
    except ImportError as error:
        raise InputError(
            f"environment: {name!r} asks for the module {module!r}, which cannot be imported "
            f"({error}): install it, or correct its name"
        ) from error


def _actions(name: str, space: Any, wanted: int | None) -> tuple[int, int]:
    """Return the first action and the number of actions offered."""
    from gymnasium.spaces import Discrete

    if not isinstance(space, Discrete):
        kind = "continuous" if _is_box(space) else "combined"
        raise InputError(
            f"environment: the actions of {name!r} are {kind} ({space}), a policy here chooses "
            "one of finitely many: take an environment with discrete actions such as CartPole-v1"
        )
    n_actions = int(space.n)
    if wanted is not None and wanted > n_actions:
        raise InputError(
            f"actions must be at most {n_actions} for {name!r}, which has no more; got {wanted}"
        )
    return int(space.start), n_actions if wanted is None else wanted


def _seen(name: str, space: Any, part: str | None) -> Any:
    """Return the space of the part of the observation that the policy sees."""
    if part is None:
        return space
    from gymnasium.spaces import Dict

    if not isinstance(space, Dict):
        raise InputError(
            f"observation: {name!r} has no parts to choose from ({space}); leave it out"
        )
    if part not in space.spaces:
        raise UnknownName(f"observation of {name!r}", part, tuple(space.spaces))
    return space.spaces[part]


def _length(name: str, space: Any) -> int:
    """Return the length of the flattened observation."""
    if (length := _flat_length(space)) is not None:
        return length
    parts = getattr(space, "spaces", {})
    named = parts.items() if hasattr(parts, "items") else ()
    fitting = [key for key, part in named if _flat_length(part) is not None]
    advice = (
        f"name one of its parts, e.g. observation = {fitting[-1]!r} (known: {', '.join(fitting)})"
        if fitting
        else "take another environment"
    )
    raise InputError(
        f"environment: the observation of {name!r} cannot be flattened to numbers: {advice}"
    )


def _flat_length(space: Any) -> int | None:
    """Return the length of a flattened element of ``space``, None where it cannot be flattened."""
    from gymnasium.spaces.utils import flatdim

    try:
        return int(flatdim(space)) if space.is_np_flattenable else None
    except (NotImplementedError, ValueError):
        return None


def _is_box(space: Any) -> bool:
    from gymnasium.spaces import Box

    return isinstance(space, Box)
