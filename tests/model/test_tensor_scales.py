"""Trained factors on the generated tensors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qt_hw import QuantumTrain, RyCnot
from qt_hw.errors import InputError
from qt_hw.model.mapping import AffineMapping
from qt_hw.model.scaling import Scaling


def model(scales: list[float] | None, output: str = "centred") -> QuantumTrain:
    target = nn.Linear(3, 4, dtype=torch.float64)
    return QuantumTrain(
        target,
        ansatz=RyCnot(4, 1),
        mapping=AffineMapping((2,)),
        scaling=Scaling("qt", output=output, tensor_scales=scales),
    )


@pytest.mark.parametrize("output", ["centred", "fitted"])
def test_each_tensor_is_the_plain_one_times_its_factor(output: str) -> None:
    torch.manual_seed(0)
    plain = model(None, output)
    torch.manual_seed(0)
    scaled = model([2.0, -3.0], output)
    for name, factor in (("weight", 2.0), ("bias", -3.0)):
        torch.testing.assert_close(scaled.weights()[name], factor * plain.weights()[name])


def test_factors_are_trained_counted_and_stored() -> None:
    scaled = model([2.0, -3.0])
    assert scaled.parameter_report().breakdown["scaling"] == 2
    weights = scaled.weights()
    sums = {name: w.sum() for name, w in weights.items()}
    sum(sums.values()).backward()
    # The derivative of a tensor's sum by its factor is its sum without the factor.
    wanted = [sums["weight"].item() / 2, sums["bias"].item() / -3]
    assert scaled.scaling.tensor_scales.grad.tolist() == pytest.approx(wanted)
    state = scaled.state_dict()
    assert state["scaling.tensor_scales"].tolist() == [2.0, -3.0]
    with torch.no_grad():
        before = scaled.weights()["bias"]
        scaled.scaling.tensor_scales[1] = 3.0
        torch.testing.assert_close(scaled.weights()["bias"], -before)


def test_without_factors_nothing_is_added() -> None:
    plain = model(None)
    assert list(plain.scaling.parameters()) == []
    assert not [name for name in plain.state_dict() if "tensor_scales" in name]


@pytest.mark.parametrize(
    ("scales", "said"),
    [
        ([1.0], "tensor_scales holds 1 numbers, but 2 tensors are generated: give 2"),
        ([], "must be a list of numbers"),
        ("ab", "must be a list of numbers"),
        ([1.0, float("nan")], "must be finite"),
        ([1.0, "x"], "each of tensor_scales must be a number"),
    ],
)
def test_wrong_factors_are_refused(scales: list[float], said: str) -> None:
    with pytest.raises(InputError, match=said):
        model(scales)
