"""Whole episodes of a batch of environments under one policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.errors import InputError
from qt_hw.tasks.reinforcement.environment import Environments

__all__ = ["Episodes", "play"]

Policy = Callable[[Tensor], Tensor]

_LONGEST = 100_000
"""Steps after which an episode counts as endless."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Episodes:
    """What happened in B episodes of T steps at most; step after step, V visits in all.

    Attributes:
        observations: What was seen before each action, ``(V, I)`` float32.
        actions: What was done, ``(V,)`` int64.
        episode: Which episode each visit belongs to, ``(V,)`` int64.
        time: Its step in that episode, from 0, ``(V,)`` int64.
        rewards: ``(B, T)`` float64; 0 after the end of an episode.
        lengths: Steps of each episode, ``(B,)`` int64.
    """

    observations: Tensor
    actions: Tensor
    episode: NDArray[np.int64]
    time: NDArray[np.int64]
    rewards: NDArray[np.float64]
    lengths: NDArray[np.int64]


@torch.no_grad()
def play(
    environments: Environments,
    policy: Policy,
    seeds: Sequence[int],
    *,
    greedy: bool = False,
    generator: torch.Generator | None = None,
) -> Episodes:
    """Play one episode from each start; those that end earlier drop out.

    Args:
        environments: Where.
        policy: From observations ``(B, I)`` float32 to logits ``(B, A)``.
        seeds: Of the starts, and of whatever the environment draws itself.
        greedy: Do the likeliest action instead of drawing one.
        generator: Source of the draws; None takes torch's global one. Episode k uses the k-th of
            ``len(seeds)`` numbers drawn for each step, whatever became of the others.

    Raises:
        InputError: An observation holds a NaN or an infinity, or an episode has no end.
    """
    now = [environments.reset(k, seed) for k, seed in enumerate(seeds)]
    active = np.arange(len(seeds))
    seen: list[Tensor] = []
    done, who, rewards = [], [], []
    while len(active):
        x = _stacked(environments, [now[k] for k in active], len(seen))
        chosen = _choose(policy(x), active, len(seeds), greedy, generator)
        gained, going = np.zeros(len(seeds)), np.ones(len(active), dtype=bool)
        for place, (k, action) in enumerate(zip(active.tolist(), chosen.tolist(), strict=True)):
            now[k], gained[k], ends = environments.step(k, action)
            going[place] = not ends
        seen.append(x)
        done.append(chosen)
        who.append(active)
        rewards.append(gained)
        active = active[going]
    sizes = [len(part) for part in who]
    episode = np.concatenate(who)
    return Episodes(
        observations=torch.cat(seen),
        actions=torch.cat(done),
        episode=episode,
        time=np.repeat(np.arange(len(sizes)), sizes),
        rewards=np.stack(rewards, axis=1),
        lengths=np.bincount(episode, minlength=len(seeds)),
    )


def _stacked(
    environments: Environments, observations: Sequence[NDArray[np.float32]], step: int
) -> Tensor:
    """Return the observations ``(B, I)`` of one step, checked."""
    seen = np.stack(observations)
    if not np.isfinite(seen).all():
        raise InputError(
            f"environment: {environments.name!r} shows a NaN or an infinity after {step:,} steps: "
            "shorten its episodes with max_steps, or take another environment"
        )
    if step >= _LONGEST:
        raise InputError(
            f"environment: an episode of {environments.name!r} has no end after {step:,} steps: "
            "set max_steps"
        )
    return torch.from_numpy(seen)


def _choose(
    logits: Tensor,
    active: NDArray[np.int64],
    n_episodes: int,
    greedy: bool,
    generator: torch.Generator | None,
) -> Tensor:
    """Return an action for each row of ``logits``."""
    if greedy:
        return logits.argmax(dim=1)
    uniform = torch.rand(n_episodes, generator=generator, dtype=torch.float64)
    own = uniform[torch.from_numpy(active)]
    shares = logits.double().softmax(dim=1).cumsum(dim=1)
    # Rounding may leave the last sum below the number drawn: the last action then.
    return (own[:, None] >= shares[:, :-1]).sum(dim=1)
