from __future__ import annotations

import pytest
import torch

from qt_hw.errors import ConfigError, UnknownName
from qt_hw.tasks import build_target, target_info
from qt_hw.tasks.image_targets import hidden_widths
from qt_hw.tasks.narrowed import narrowed
from qt_hw.tasks.targets import narrower_targets


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def n_weights(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("name", ["mlp-64-32-10", "cnn-mnist", "cnn-cifar"])
def test_the_widest_that_fits_is_taken(name: str) -> None:
    names = narrower_targets(name)
    sizes = [target_info(each).n_weights for each in names]
    widths = [hidden_widths(each) for each in names]
    assert sizes == sorted(set(sizes))
    assert (widths[0], widths[-1]) == ((1,) * len(widths[0]), hidden_widths(name))
    assert sizes[-1] == target_info(name).n_weights
    for index in (0, len(sizes) // 2):
        for most in (sizes[index], sizes[index + 1] - 1):
            small = narrowed(name, most, seeded())
            assert n_weights(small) == sizes[index] <= most < sizes[index + 1]
            assert small(torch.zeros(2, *target_info(name).input_shape)).shape == (2, 10)


def test_whole_target_is_the_target_itself() -> None:
    small, full = narrowed("cnn-mnist", 10_000, seeded()), build_target("cnn-mnist", seeded())
    assert all(
        torch.equal(a, b) for a, b in zip(small.parameters(), full.parameters(), strict=True)
    )


def test_only_what_counts_is_counted() -> None:
    # 64 h weights of the first layer at most 200: h = 3, whatever the rest.
    small = narrowed("mlp-64-32-10", 200, seeded(), counted=lambda name: name == "fc1.weight")
    assert small.get_parameter("fc1.weight").shape == (3, 64)


def test_activation_is_passed_on() -> None:
    assert "Tanh" in repr(narrowed("cnn-mnist", 500, seeded(), "tanh"))
    assert "ReLU" in repr(narrowed("mlp-64-32-10", 500, seeded()))


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"narrowest 'cnn-cifar' has 189 weights.* trains 188:"):
        narrowed("cnn-cifar", 188, seeded())
    with pytest.raises(UnknownName, match="cnn-mnist"):
        narrowed("cnn-mnits", 268, seeded())
