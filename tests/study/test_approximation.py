"""Fits to given weights, and the sizes of runs."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qt_hw.errors import ConfigError, InputError, QtHwError, UnknownName
from qt_hw.study.approximation import fit_weights
from qt_hw.study.measuring import task_and_data
from qt_hw.study.sizing import requbited, resized
from qt_hw.tasks import build_target, known_targets, target_info
from qt_hw.training.build import make_model, make_target
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import load_config
from qt_hw.training.trainer import all_metrics

TABLES: dict[str, Any] = {
    "task": {"name": "digits", "options": {"train_size": 200, "test_size": 100}},
    "target": {"name": "mlp-64-4-10"},
    "ansatz": {"name": "RyCnot", "n_qubits": 4, "n_layers": 2},
    "mapping": {"name": "mlp", "hidden": [6], "chunk_size": 20},
    "optimizer": {"steps": 4, "lr_angles": 0.02, "lr_mapping": 0.02},
    "seeds": {"init": 2},
}


def config(*changes: str) -> RunConfig:
    return load_config(TABLES, changes)


def flat(tensors: dict[str, Tensor]) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors.values()])


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    """A network trained for a few steps on the digits."""
    network = build_target("mlp-64-4-10", torch.Generator().manual_seed(9))
    task, data = task_and_data(config().task)
    adam = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(60):
        adam.zero_grad()
        task.loss(network(data.train[0]), data.train[1]).backward()
        adam.step()
    return network


def test_the_error_is_that_of_the_definition(trained: nn.Module) -> None:
    """With rates of 0 the weights stay those of the start."""
    still = config("optimizer.lr_angles=0", "optimizer.lr_mapping=0")
    values = fit_weights(still, trained, steps=3)
    start, wanted = flat(make_model(still).weights()), flat(dict(trained.named_parameters()))
    expected = (start - wanted).norm() / (wanted - wanted.mean()).norm()
    assert values["relative_error"] == pytest.approx(float(expected), rel=1e-5)
    assert values["n_weights"] == 310
    report = make_model(still).parameter_report()
    assert values["trained_parameters"] == report.n_trained
    assert values["trained_share"] == report.n_trained / 310


def test_the_error_falls_with_steps_and_with_parameters(trained: nn.Module) -> None:
    few, many = (fit_weights(config(), trained, steps=n)["relative_error"] for n in (5, 120))
    assert many < 0.97 * few
    assert many < 1.0
    rich = fit_weights(config("mapping.hidden=[24]"), trained, steps=120)
    assert rich["relative_error"] < many
    assert rich["trained_share"] > 1


def test_weights_that_the_generator_can_make_are_reached() -> None:
    """Made by the same model at other angles and with another mapping: nearly exact."""
    model = make_model(config())
    with torch.no_grad():
        stream = torch.Generator().manual_seed(1)
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=stream, dtype=parameter.dtype)
    weights = flat(model.weights())
    assert fit_weights(config(), weights, steps=1)["relative_error"] > 0.3
    assert fit_weights(config(), weights, steps=400)["relative_error"] < 0.05


def test_accuracies_are_those_of_the_two_networks(trained: nn.Module) -> None:
    task, data = task_and_data(config().task)
    before = flat(dict(trained.named_parameters())).clone()
    values = fit_weights(config(), trained, steps=2, task=task, data=data)
    direct = all_metrics(task, trained, data)["test_accuracy"]
    assert values["target_test_accuracy"] == direct > 0.5
    assert 0 <= values["test_accuracy"] < direct
    assert torch.equal(flat(dict(trained.named_parameters())), before)
    # A model that starts at w* exactly keeps its accuracy.
    model = make_model(config())
    still = config("optimizer.lr_angles=0", "optimizer.lr_mapping=0")
    same = fit_weights(still, flat(model.weights()), steps=1, task=task)
    assert same["relative_error"] < 1e-6
    assert same["test_accuracy"] == same["target_test_accuracy"]


def test_weights_may_come_as_network_by_name_or_flat(trained: nn.Module) -> None:
    named = dict(trained.named_parameters())
    forms = (trained, named, flat(named))
    found = [fit_weights(config("backend.shots=64"), w, steps=3) for w in forms]
    assert found[0] == found[1] == found[2] == fit_weights(config(), trained, steps=3)


def test_parameters_that_are_not_generated_come_along(trained: nn.Module) -> None:
    task, data = task_and_data(config().task)
    part = config('target.select=["fc1.*"]')
    values = fit_weights(part, trained, steps=2, task=task, data=data)
    assert values["n_weights"] == 65 * 4
    assert values["target_test_accuracy"] == all_metrics(task, trained, data)["test_accuracy"]


@pytest.mark.parametrize(
    ("weights", "steps", "message"),
    [
        (torch.zeros(310), 3, "all weights are equal"),
        (torch.full((310,), float("nan")), 3, "NaN or an infinity"),
        (torch.zeros(5), 3, r"the shape \(5,\); this target takes \(310,\)"),
        ({"fc1.weight": torch.zeros(4, 64)}, 3, "'fc1.bias' are missing"),
        ({"fc1.weight": torch.zeros(4, 6)}, 3, r"'fc1.weight' have the shape \(4, 6\)"),
        (torch.arange(310.0), 0, "steps must be at least 1, not 0"),
    ],
)
def test_wrong_weights_are_refused(weights: Any, steps: int, message: str) -> None:
    with pytest.raises(InputError, match=message):
        fit_weights(config(), weights, steps=steps)


def test_a_fit_that_breaks_says_so(trained: nn.Module) -> None:
    with pytest.raises(QtHwError, match="not finite at step 2; lower optimizer"):
        fit_weights(config("optimizer.lr_mapping=1e25"), trained, steps=20)


# Sizes


@pytest.mark.parametrize("width", [1, 8, 32, 300])
def test_a_width_sets_target_and_chunks(width: int) -> None:
    base = load_config("digits")
    run = resized(base, width)
    n_weights = sum(p.numel() for p in make_target(run).parameters())
    assert target_info(run.target.name).n_weights == n_weights == 75 * width + 10
    chunk = run.mapping.chunk_size
    assert chunk * 64 >= n_weights > (chunk - 1) * 64
    assert make_model(run.noiseless()).target.n_generated == n_weights
    assert base.target.name == "mlp-64-32-10"
    assert run.ansatz == base.ansatz


def test_the_width_of_the_preset_changes_nothing() -> None:
    base = load_config("digits")
    assert resized(base, 32) == base == requbited(base, 6) == requbited(base, None)


@pytest.mark.parametrize("name", known_targets())
def test_qubits_set_chunks_of_every_target(name: str) -> None:
    # Its size does not depend on what it has read.
    options = {"pretrain_steps": 0} if name == "causal-lm" else {}
    patterns = target_info(name, options).select or ("*",)
    network = build_target(name, torch.Generator(), options=options)
    generated = sum(
        parameter.numel()
        for own, parameter in network.named_parameters()
        if any(fnmatchcase(own, pattern) for pattern in patterns)
    )
    of_target = ["target.options={pretrain_steps=0}"] if options else []
    for qubits in (3, 11):
        run = requbited(config(f"target.name={name}", *of_target), qubits, 5)
        assert (run.ansatz.n_qubits, run.ansatz.n_layers) == (qubits, 5)
        chunk = run.mapping.chunk_size
        assert chunk * 2**qubits >= generated > (chunk - 1) * 2**qubits


def test_selected_parameters_and_layers_alone() -> None:
    run = requbited(load_config("digits", ['target.select=["fc2.*"]']), 5)
    assert run.mapping.chunk_size == -(-330 // 32)
    layers = requbited(config("mapping.chunk_size=100"), None, 7)
    assert layers.mapping.chunk_size == 100
    assert layers.ansatz.n_layers == 7


def test_sizes_that_cannot_be_are_refused() -> None:
    factors = [{"name": "RyCnot", "n_qubits": 2, "n_layers": 1}] * 2
    product = load_config({**TABLES, "ansatz": {"name": "product", "factors": factors}})
    for change in (lambda: resized(product, 8), lambda: requbited(product, 4)):
        with pytest.raises(ConfigError, match="a product of circuits cannot be varied"):
            change()
    with pytest.raises(ConfigError, match="qubits must be at least 1, not 0"):
        requbited(config(), 0)
    with pytest.raises(UnknownName, match="mlp-64-H-10 with H from 1 to 4096"):
        resized(config(), 4097)
