from __future__ import annotations

import sys
from collections import Counter

import gymnasium
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from qt_hw.errors import InputError, MissingExtra, UnknownName
from qt_hw.tasks import Data, build_target, get_task
from qt_hw.tasks.reinforcement import rollout
from qt_hw.tasks.reinforcement.environment import Environments
from qt_hw.tasks.reinforcement.rollout import play
from qt_hw.tasks.reinforcement.task import Reinforcement
from tests.tasks.reinforcement.environments import (
    BROKEN,
    ENDLESS,
    FINITE,
    FORK,
    UNSEEN,
    Fork,
    episodes,
)

MINIGRID = "MiniGrid-Empty-5x5-v0"


def task_of(**options: object) -> Reinforcement:
    task = get_task("reinforcement", **{"train_size": 4, "eval_episodes": 6, **options})
    assert isinstance(task, Reinforcement)
    return task


def loaded(**options: object) -> tuple[Reinforcement, Data]:
    task = task_of(**options)
    return task, task.load()


def fixed(logits: list[list[float]]) -> nn.Linear:
    """Return a policy for one-hot states with these logits ``(states, actions)``."""
    policy = nn.Linear(3, 2, bias=False)
    policy.weight.data = torch.tensor(logits).T.contiguous()
    return policy


def policy_of(name: str) -> nn.Module:
    return build_target(name, torch.Generator().manual_seed(0))


def test_starts_are_gymnasiums_own_and_apart() -> None:
    data = task_of().load()
    assert data.train[1].tolist() == [0, 2, 4, 6]
    assert data.test[1].tolist() == [1, 3, 5, 7, 9, 11]
    env = gymnasium.make("CartPole-v1")
    for x, seed in zip(data.test[0], data.test[1], strict=True):
        np.testing.assert_array_equal(x.numpy(), env.reset(seed=int(seed))[0])
    env.close()
    again = task_of().load()
    assert torch.equal(again.train[0], data.train[0])
    assert data.input_shape == (4,)
    assert data.description["max_steps"] == 500


def test_an_evaluation_is_what_gymnasium_gives() -> None:
    task, data = loaded(greedy=True)
    policy, env, expected = policy_of("policy-4-128-2"), gymnasium.make("CartPole-v1"), []
    for seed in data.test[1].tolist():
        seen, _ = env.reset(seed=seed)
        total, ends = 0.0, False
        while not ends:
            action = int(policy(torch.from_numpy(seen)[None]).argmax())
            seen, reward, terminated, truncated, _ = env.step(action)
            total, ends = total + float(reward), terminated or truncated
        expected.append(total)
    env.close()
    found = task.evaluate(policy, data)
    assert found["test_return"] == found["test_length"] == pytest.approx(np.mean(expected))
    assert found["test_return_std"] == pytest.approx(np.std(expected))


def test_episodes_come_as_often_as_the_policy_says() -> None:
    """All four episodes of the fork, 2,000 drawn: chi-square with 3 degrees of freedom."""
    logits = [[0.3, 0.1], [-0.2, 0.4], [0.5, -0.3]]
    shares = torch.tensor(logits).double().softmax(dim=1)
    places = Environments(FORK)
    made = torch.Generator().manual_seed(1)
    played = [play(places, fixed(logits), range(100), generator=made) for _ in range(20)]
    counts: Counter[tuple[int, ...]] = Counter()
    for one in played:
        for k in range(100):
            counts[tuple(one.actions[torch.from_numpy(one.episode == k)].tolist())] += 1
    square = 0.0
    for steps in episodes():
        chance = float(torch.stack([shares[s, a] for s, a, _ in steps]).prod())
        expected = 2000 * chance
        square += (counts[tuple(a for _, a, _ in steps)] - expected) ** 2 / expected
    assert sum(counts.values()) == 2000
    assert square < 16.3  # exceeded by chance once in a thousand


def test_finished_episodes_drop_out() -> None:
    played = play(Environments(FORK), fixed([[0.0, 0.0]] * 3), range(50))
    assert set(played.lengths.tolist()) == {1, 2, 3}
    assert len(played.observations) == played.lengths.sum() == len(played.actions)
    states = played.observations.argmax(dim=1).numpy()
    np.testing.assert_array_equal(states, played.time)
    ends = played.lengths[:, None] <= np.arange(played.rewards.shape[1])
    assert (played.rewards[ends] == 0).all()


def test_an_episode_is_cut_where_it_is_asked_for() -> None:
    task, data = loaded(environment=FORK, max_steps=2, greedy=True)
    right = fixed([[0.0, 1.0]] * 3)
    assert task.evaluate(right, data) == {
        "test_return": -1.0,
        "test_return_std": 0.0,
        "test_length": 2.0,
    }
    whole, data = loaded(environment=FORK, greedy=True)
    assert whole.evaluate(right, data)["test_return"] == 4.0


def test_an_evaluation_leaves_the_global_generator_alone() -> None:
    task, data = loaded(environment=FORK, greedy=False, eval_episodes=130)
    policy, state = fixed([[0.0, 0.0]] * 3), torch.random.get_rng_state()
    first = task.evaluate(policy, data)
    assert torch.equal(torch.random.get_rng_state(), state)
    torch.rand(3)
    assert task.evaluate(policy, data) == first
    assert first["test_return_std"] > 0


def test_minigrid_is_seen_as_published() -> None:
    task, data = loaded(environment=MINIGRID, observation="image", actions=3, greedy=False)
    assert data.input_shape == (147,)
    assert float(data.train[0].max()) <= 10
    policy = policy_of("policy-147-32-3")
    task.check(policy, data)
    found = task.evaluate(policy, data)
    assert 0 <= found["test_return"] <= 1
    assert found["test_length"] <= 100


def test_what_has_no_numbers_is_encoded() -> None:
    task, data = loaded(environment=FINITE, observation="place")
    assert data.train[0].tolist() == [[1.0, 0.0, 0.0]] * 4
    task.check(fixed([[0.0, 0.0]] * 3), data)


def test_episodes_that_cannot_be_used_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rollout, "_LONGEST", 50)
    policy = fixed([[0.0, 0.0]] * 3)
    with pytest.raises(InputError, match=r"no end after 50 steps: set max_steps"):
        play(Environments(ENDLESS), policy, [0])
    assert play(Environments(ENDLESS, max_steps=50), policy, [0]).lengths.tolist() == [50]
    with pytest.raises(InputError, match=r"'qt-hw-test/Broken-v0' shows a NaN .* after 1 steps"):
        play(Environments(BROKEN), policy, [0])


def test_environments_are_closed_with_their_task() -> None:
    task, data = loaded(environment=FORK)
    task.evaluate(fixed([[0.0, 0.0]] * 3), data)
    task.evaluate(fixed([[0.0, 0.0]] * 3), data)
    Fork.closed.clear()
    del task
    assert len(Fork.closed) == 6


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"environment": "Pendulum-v1"}, InputError, r"'Pendulum-v1' are continuous.*CartPole-v1"),
        ({"environment": "CartPole-v7"}, UnknownName, r"did you mean 'CartPole-v1'"),
        ({"environment": "CartPole"}, UnknownName, r"did you mean"),
        ({"environment": "no_such_module:A-v0"}, InputError, r"'no_such_module'.*install it"),
        ({"environment": UNSEEN}, InputError, r"cannot be flattened.*another environment"),
        ({"environment": FINITE}, InputError, r"observation = 'place' \(known: place\)"),
        ({"environment": FINITE, "observation": "plaice"}, UnknownName, r"mean 'place'"),
        ({"environment": FORK, "observation": "image"}, InputError, r"no parts.*leave it out"),
        ({"environment": FORK, "actions": 3}, InputError, r"at most 2 for"),
        ({"actions": 1}, InputError, r"actions must be at least 2"),
        ({"discount": 1.5}, InputError, r"discount must be .* at most 1, got 1.5"),
        ({"entropy": -0.1}, InputError, r"entropy must be a number of at least 0"),
        ({"entropy": float("inf")}, InputError, r"entropy must be a number"),
        ({"environment": 5}, InputError, r"environment must be text, got 5"),
        ({"greedy": "no"}, InputError, r"greedy must be true or false, got 'no'"),
        ({"normalise": 2}, InputError, r"normalise must be true or false, got 2"),
        ({"entropy": True}, InputError, r"entropy must be a number"),
        ({"baseline": "mean"}, UnknownName, r"known: episode, batch, leave-one-out, none"),
        ({"train_size": 0}, InputError, r"train_size must be a whole number of at least 1"),
        ({"max_steps": 1.5}, InputError, r"max_steps must be a whole number"),
        ({"gamma": 0.9}, UnknownName, r"option 'gamma' of the task 'reinforcement'"),
    ],
)
def test_bad_options_are_refused(
    options: dict[str, object], error: type[Exception], said: str
) -> None:
    with pytest.raises(error, match=said):
        task_of(**options).load()


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "Box2D", None)
    with pytest.raises(InputError, match=r"'LunarLander-v3' needs a package.*CartPole-v1"):
        task_of(environment="LunarLander-v3").load()
    monkeypatch.setitem(sys.modules, "minigrid", None)
    with pytest.raises(MissingExtra, match=r"\(minigrid\) needs the extra 'tasks'"):
        task_of(environment=MINIGRID).load()
    monkeypatch.setitem(sys.modules, "gymnasium", None)
    with pytest.raises(MissingExtra, match=r"\(gymnasium\) needs the extra 'tasks'"):
        task_of().load()


def test_a_policy_of_another_shape_is_refused() -> None:
    task, data = loaded()
    with pytest.raises(InputError, match=r"offers 2 actions.*policy-4-H-2"):
        task.check(policy_of("policy-4-8-3"), data)
    with pytest.raises(InputError, match=r"does not take inputs of shape \(4,\)"):
        task.check(policy_of("policy-5-8-2"), data)


def test_single_samples_have_no_loss() -> None:
    task, x = task_of(), Tensor()
    with pytest.raises(InputError, match=r"no loss of single samples.*batch_loss"):
        task.loss(x, x)
    with pytest.raises(InputError, match=r"no metrics of single samples.*evaluate"):
        task.metrics(x, x)
