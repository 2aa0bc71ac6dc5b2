from __future__ import annotations

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qt_hw.tasks import Data, batches, build_target, get_task
from qt_hw.tasks.reinforcement.reinforce import advantages, discounted, policy_loss
from qt_hw.tasks.reinforcement.rollout import Episodes
from qt_hw.tasks.reinforcement.task import BASELINES, Reinforcement
from tests.tasks.reinforcement.environments import FORK, episodes

LOGITS = torch.tensor([[0.3, -0.2, 0.5], [0.1, 0.4, -0.3]])


def fork(**options: object) -> tuple[Reinforcement, Data]:
    task = get_task("reinforcement", environment=FORK, train_size=3000, **options)
    assert isinstance(task, Reinforcement)
    return task, task.load()


def table() -> nn.Linear:
    """Return a policy with one logit for each state and action."""
    policy = nn.Linear(3, 2, bias=False)
    policy.weight.data = LOGITS.clone()
    return policy


def expected_gradient(discount: float) -> Tensor:
    """Return Σ over all episodes of P(episode) Σ_t G_t ∇ log π(a_t | s_t), ``(2, 3)``."""
    logits = LOGITS.double().requires_grad_()
    shares = logits.log_softmax(dim=0)
    total = torch.zeros((), dtype=torch.float64)
    for played in episodes():
        steps = [shares[action, state] for state, action, _ in played]
        returns = [
            sum(discount**k * reward for k, (_, _, reward) in enumerate(played[t:]))
            for t in range(len(played))
        ]
        chance = torch.stack(steps).sum().exp().detach()
        total = total + chance * sum(g * step for g, step in zip(returns, steps, strict=True))
    (gradient,) = torch.autograd.grad(total, logits)
    return gradient


def test_without_discount_that_is_the_gradient_of_the_mean_return() -> None:
    logits = LOGITS.double().requires_grad_()
    left = logits.softmax(dim=0)[0]
    mean = left[0] + (1 - left[0]) * (2 * left[1] + 4 * (1 - left[1]))
    (gradient,) = torch.autograd.grad(mean, logits)
    torch.testing.assert_close(expected_gradient(1.0), gradient)


@pytest.mark.parametrize(
    ("baseline", "discount"), [("none", 0.9), ("leave-one-out", 0.9), ("leave-one-out", 1.0)]
)
def test_the_mean_gradient_is_the_analytic_one(baseline: str, discount: float) -> None:
    task, data = fork(baseline=baseline, discount=discount, normalise=False)
    policy, found = table(), []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for step in range(150):
            loss = task.batch_loss(policy, data, batches(3000, 20, seed=0, step=step))
            (gradient,) = torch.autograd.grad(loss, policy.weight)
            found.append(-gradient.double())
    samples = torch.stack(found)
    error = samples.std(dim=0) / len(found) ** 0.5
    expected = expected_gradient(discount)
    assert ((samples.mean(dim=0) - expected).abs() <= 4.5 * error + 1e-7).all()
    assert (expected.abs() > 10 * error).sum() >= 2


def test_an_update_by_one_episode_is_the_published_one() -> None:
    """Step by step, as in CartPole_.ipynb: the loss and its gradient."""
    task = get_task("reinforcement", discount=0.99, entropy=0.05, train_size=2, eval_episodes=1)
    data, policy = task.load(), build_target("policy-4-16-2", torch.Generator().manual_seed(3))
    env, terms, rewards, ends = gymnasium.make("CartPole-v1"), [], [], False
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        loss = task.batch_loss(policy, data, torch.tensor([1]))
        torch.manual_seed(5)
        seen, _ = env.reset(seed=2)
        while not ends:
            shares = policy(torch.from_numpy(seen)[None])[0].double().softmax(dim=0)
            action = int(torch.rand(1, dtype=torch.float64) >= shares[0])
            terms.append((shares[action].log(), -(shares * shares.log()).sum()))
            seen, reward, terminated, truncated, _ = env.step(action)
            rewards.append(float(reward))
            ends = terminated or truncated
    env.close()
    returns = torch.tensor(
        [sum(0.99**k * r for k, r in enumerate(rewards[t:])) for t in range(len(rewards))]
    ).double()
    returns = (returns - returns.mean()) / returns.std(correction=0)
    expected = sum(
        -g * taken - 0.05 * entropy for g, (taken, entropy) in zip(returns, terms, strict=True)
    )
    assert len(rewards) > 5
    torch.testing.assert_close(loss.double(), expected, rtol=1e-4, atol=1e-5)
    for weight in policy.parameters():
        torch.testing.assert_close(
            *(torch.autograd.grad(x, weight, retain_graph=True)[0] for x in (loss, expected)),
            rtol=1e-4,
            atol=1e-5,
        )


def some_episodes(n_actions: int = 3) -> Episodes:
    """Return four episodes of 1, 5, 2 and 5 steps with random contents."""
    rng, lengths = np.random.default_rng(0), np.array([1, 5, 2, 5])
    rewards = np.where(np.arange(5) < lengths[:, None], rng.normal(size=(4, 5)), 0.0)
    time, episode = np.nonzero((np.arange(5) < lengths[:, None]).T)
    n = int(lengths.sum())
    return Episodes(
        observations=torch.zeros(n, 1),
        actions=torch.from_numpy(rng.integers(0, n_actions, n)),
        episode=episode,
        time=time,
        rewards=rewards,
        lengths=lengths,
    )


def test_discounted_returns_are_those_of_a_loop() -> None:
    rewards = some_episodes().rewards
    expected = np.zeros_like(rewards)
    for row in range(4):
        for t in range(5):
            expected[row, t] = sum(0.97 ** (k - t) * rewards[row, k] for k in range(t, 5))
    np.testing.assert_allclose(discounted(rewards, 0.97), expected, rtol=1e-13)


@pytest.mark.parametrize("normalise", [True, False])
@pytest.mark.parametrize("baseline", BASELINES)
def test_baselines_are_those_of_a_loop(baseline: str, normalise: bool) -> None:
    played = some_episodes()
    returns = discounted(played.rewards, 0.9)
    visits = list(zip(played.episode.tolist(), played.time.tolist(), strict=True))
    everything = np.array([returns[visit] for visit in visits])
    expected = []
    for e, t in visits:
        own = returns[e, : played.lengths[e]]
        others = np.mean([returns[k, t] for k in range(4) if k != e])
        off = {"episode": own.mean(), "batch": everything.mean(), "leave-one-out": others}
        spread = own.std() if baseline == "episode" else everything.std()
        value = returns[e, t] - off.get(baseline, 0.0)
        expected.append(value / (spread + 1e-8) if normalise else value)
    found = advantages(played, 0.9, baseline, normalise)
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


def test_an_episode_of_one_step_teaches_nothing_beside_itself() -> None:
    played = some_episodes()
    assert advantages(played, 0.9, "episode", True)[played.episode == 0] == pytest.approx(0.0)


def test_loss_and_entropy_are_those_of_torch_distributions() -> None:
    played = some_episodes()
    logits = torch.from_numpy(np.random.default_rng(1).normal(size=(13, 3)))
    weight = np.random.default_rng(2).normal(size=13)
    expected = 0.0
    for row, action, a in zip(logits, played.actions, weight, strict=True):
        distribution = torch.distributions.Categorical(logits=row)
        expected -= a * float(distribution.log_prob(action)) + 0.05 * float(distribution.entropy())
    assert float(policy_loss(logits, played, weight, 0.05)) == pytest.approx(expected / 4)
