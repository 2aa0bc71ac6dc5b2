from __future__ import annotations

import pytest
import torch

from qt_hw.errors import UnknownName
from qt_hw.tasks import build_target, target_info
from qt_hw.tasks.narrowed import narrowed
from qt_hw.tasks.targets import narrower_targets
from qt_hw.training.build import make_model, make_task
from qt_hw.training.loading import load_config


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("name", "count", "shape"),
    [("policy-4-128-2", 898, (4,)), ("policy-147-32-3", 4835, (147,))],
)
def test_counts_are_the_published_ones(name: str, count: int, shape: tuple[int]) -> None:
    network, info = build_target(name, seeded()), target_info(name)
    assert sum(p.numel() for p in network.parameters()) == info.n_weights == count
    assert info.input_shape == shape
    assert network(torch.zeros(5, *shape)).shape == (5, int(name[-1]))
    assert "ReLU" in repr(network)


@pytest.mark.parametrize(
    ("preset", "angles", "mapping", "weights"),
    [
        ("cartpole-qtrl", 300, 351, 898),
        ("minigrid-qtrl", 1014, 1515, 4835),
        ("cartpole-quick", 24, 199, 898),
        ("minigrid-quick", 21, 508, 4835),
    ],
)
def test_presets_train_as_many_as_they_say(
    preset: str, angles: int, mapping: int, weights: int
) -> None:
    config = load_config(preset).noiseless()
    report = make_model(config).parameter_report()
    assert report.breakdown == {"angles": angles, "mapping": mapping, "scaling": 0}
    assert (report.n_target, report.n_trained) == (weights, angles + mapping)
    assert make_task(config.task).headline.test == "test_return"


def test_initial_values_are_torchs_own() -> None:
    network = build_target("policy-100-400-2", seeded())
    weight = network.get_parameter("fc1.weight")
    assert float(weight.detach().abs().max()) <= 0.1
    # Uniform in (-b, b) has the deviation b/sqrt(3); 40,000 draws give it to 0.4 % or so.
    assert float(weight.detach().std()) == pytest.approx(0.1 / 3**0.5, rel=0.02)
    state = torch.random.get_rng_state()
    again = build_target("policy-100-400-2", seeded())
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.equal(weight, again.get_parameter("fc1.weight"))


def test_a_policy_can_be_narrowed() -> None:
    assert narrower_targets("policy-4-3-2") == ("policy-4-1-2", "policy-4-2-2", "policy-4-3-2")
    small = narrowed("policy-4-128-2", 223, seeded())  # 7 h + 2 weights: h = 31
    assert sum(p.numel() for p in small.parameters()) == 219


def test_what_is_no_policy_is_refused() -> None:
    with pytest.raises(UnknownName, match=r"did you mean 'policy-4-128-2'"):
        build_target("policy-4-128", seeded())
    with pytest.raises(UnknownName, match="known: none, relu, tanh"):
        build_target("policy-4-128-2", seeded(), activation="gelu")
    with pytest.raises(UnknownName, match="unknown option 'width' of the target"):
        target_info("policy-4-128-2", {"width": 3})
    with pytest.raises(UnknownName, match="policy-I-H-A"):
        target_info("policy-4-99999999-2")
