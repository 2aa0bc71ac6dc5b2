"""The REINFORCE loss with a baseline (Williams 1992; Sutton and Barto 2018, sect. 13.3, 13.4)."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.tasks.reinforcement.rollout import Episodes

__all__ = ["advantages", "discounted", "policy_loss"]

_TINY = 1e-8


def discounted(rewards: NDArray[np.float64], discount: float) -> NDArray[np.float64]:
    """Return the sums of what follows, ``G[:, t] = Σ_k discount**k · rewards[:, t + k]``.

    >>> discounted(np.array([[1.0, 1.0, 1.0], [0.0, 4.0, 0.0]]), 0.5).tolist()
    [[1.75, 1.5, 1.0], [2.0, 4.0, 0.0]]
    """
    out = np.zeros_like(rewards)
    later: NDArray[np.float64] = np.zeros(len(rewards))
    for t in range(rewards.shape[1] - 1, -1, -1):
        later = rewards[:, t] + discount * later
        out[:, t] = later
    return out


def advantages(
    episodes: Episodes, discount: float, baseline: str, normalise: bool
) -> NDArray[np.float64]:
    """Return the discounted returns of all visits ``(V,)``, less a baseline.

    Args:
        episodes: What was played.
        discount: Weight of a reward one step later.
        baseline: ``"episode"``: mean over the visits of the episode itself, as published.
            ``"batch"``: mean over all visits. ``"leave-one-out"``: mean over the other episodes
            at the same step, which leaves the gradient unbiased. ``"none"``: 0.
        normalise: Divide by the standard deviation over the same visits (of all for the last two).
    """
    table = discounted(episodes.rewards, discount)
    returns = table[episodes.episode, episodes.time]
    if baseline == "episode":
        return _within(returns, episodes, normalise)
    centred: NDArray[np.float64] = returns
    if baseline == "batch":
        centred = returns - returns.mean()
    elif baseline == "leave-one-out":
        others = max(1, len(table) - 1)
        centred = returns - ((table.sum(axis=0) - table) / others)[episodes.episode, episodes.time]
    if normalise:
        centred = centred / (float(returns.std()) + _TINY)
    return centred


def _within(
    returns: NDArray[np.float64], episodes: Episodes, normalise: bool
) -> NDArray[np.float64]:
    lengths, who = episodes.lengths, episodes.episode
    centred: NDArray[np.float64] = returns - (np.bincount(who, returns) / lengths)[who]
    if not normalise:
        return centred
    spread = np.sqrt(np.bincount(who, centred**2) / lengths)
    return centred / (spread[who] + _TINY)


def policy_loss(
    logits: Tensor, episodes: Episodes, advantage: NDArray[np.float64], entropy: float
) -> Tensor:
    """Return the loss whose gradient is REINFORCE's, a scalar.

    It is the mean over the episodes of ``Σ_t −A_t · log π(a_t | s_t) − entropy · H(π(· | s_t))``.

    Args:
        logits: Of the policy for all visits, ``(V, A)``, on the graph.
        episodes: What was played.
        advantage: Of the visits, ``(V,)``.
        entropy: Weight of the bonus on the entropy H, in nats.
    """
    log_shares = logits.log_softmax(dim=1)
    taken = log_shares.gather(1, episodes.actions[:, None])[:, 0]
    weight = torch.from_numpy(advantage).to(taken)
    total = -(weight * taken).sum()
    if entropy:
        total = total + entropy * (log_shares.exp() * log_shares).sum()
    return total / len(episodes.lengths)
