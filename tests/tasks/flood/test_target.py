from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn

from qt_hw.errors import InputError, UnknownName
from qt_hw.model.target import Target
from qt_hw.tasks.flood.network import StackedLstm
from qt_hw.tasks.narrowed import narrowed
from qt_hw.tasks.targets import build_target, narrower_targets, target_info
from qt_hw.training.build import make_model
from qt_hw.training.loading import load_config


def built(name: str = "lstm-3-2", **options: object) -> nn.Module:
    network = build_target(name, torch.Generator().manual_seed(1), options=options)
    return network.double()


def by_hand(weights: dict[str, Tensor], x: Tensor, every_step: bool = False) -> Tensor:
    """The equations of Hochreiter and Schmidhuber's cell with forget gates, step by step."""
    layers = sorted({name.split(".")[0] for name in weights if name.startswith("lstm")})
    for layer in layers:
        w, u, b, c = (
            weights[f"{layer}.{part}_l0"]
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
        )
        state = memory = x.new_zeros(len(x), u.shape[1])
        outputs = []
        for step in range(x.shape[1]):
            i, f, g, o = (x[:, step] @ w.T + b + state @ u.T + c).chunk(4, dim=1)
            memory = torch.sigmoid(f) * memory + torch.sigmoid(i) * torch.tanh(g)
            state = torch.sigmoid(o) * torch.tanh(memory)
            outputs.append(state)
        x = torch.stack(outputs, dim=1)
    out = x @ weights["fc.weight"].T + weights["fc.bias"]
    return out if every_step else out[:, -1]


def random_like(network: nn.Module, seed: int) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(p.shape, generator=source, dtype=p.dtype).requires_grad_()
        for name, p in network.named_parameters()
    }


def test_published_count() -> None:
    units, inputs = (50, 50), 1
    by_layer = [4 * h * (n + h) + 8 * h for n, h in pairwise((inputs, *units))]
    assert sum(by_layer) + 50 + 1 == 31_051
    assert target_info("lstm-50-50").n_weights == 31_051
    network = build_target("lstm-50-50", torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in network.parameters()) == 31_051
    assert network(torch.zeros(2, 100, 1)).shape == (2, 1)


def test_paper_preset_trains_13327_parameters() -> None:
    config = load_config("flood-qt-lstm")
    model = make_model(config)
    report = model.parameter_report()
    assert (report.n_target, report.n_generated, report.n_kept) == (31_051, 31_051, 0)
    assert report.breakdown == {"angles": 225, "mapping": 13_089, "scaling": 3 + 10}
    assert (report.n_trained, report.n_qubits) == (13_327, 15)
    assert sum(p.numel() for p in model.parameters()) == 13_327
    assert model.scaling.tensor_scales.tolist() == [1.0] * 8 + [26.0, 37.0]


@pytest.mark.parametrize("every_step", [False, True])
def test_bound_weights_give_value_and_gradient_of_the_equations(every_step: bool) -> None:
    network = built(inputs=2, horizon=3, every_step=every_step)
    weights = random_like(network, seed=2)
    x = torch.randn(4, 5, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    target = Target(network)
    target.call(random_like(network, seed=9), x)  # other weights before must leave no trace
    found, wanted = target.call(weights, x), by_hand(weights, x, every_step)
    assert found.shape == ((4, 5, 3) if every_step else (4, 3))
    torch.testing.assert_close(found, wanted)
    g = torch.randn(wanted.shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    for name, own, by_equations in zip(
        weights,
        torch.autograd.grad(found, list(weights.values()), g),
        torch.autograd.grad(wanted, list(weights.values()), g),
        strict=True,
    ):
        torch.testing.assert_close(own, by_equations, msg=name)
        assert own.abs().max() > 1e-6, name


def test_gradient_of_every_weight_equals_finite_differences() -> None:
    network = built("lstm-2-1", inputs=1, horizon=1)
    target, x = Target(network), torch.linspace(-1, 1, 8, dtype=torch.float64).view(2, 4, 1)

    def loss(flat: Tensor) -> Tensor:
        return target.call(target.split(flat), x).square().sum()

    start = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert torch.autograd.gradcheck(loss, (start.requires_grad_(),))
    assert len(start) == (4 * 2 * 3 + 8 * 2) + (4 * 1 * 3 + 8 * 1) + 2


def test_the_generator_trains_through_the_lstm_layers() -> None:
    # The published code copied the weights in by .data, so that only fc had a gradient.
    config = load_config(
        "flood-quick", overrides=["target.name=lstm-4", "mapping.chunk_size=4", "ansatz.n_qubits=6"]
    )
    model = make_model(config.noiseless())
    x = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0))
    weights = {name: w.detach().requires_grad_() for name, w in model.weights().items()}
    model.target.call(weights, x).sum().backward()
    assert all(w.grad is not None and w.grad.abs().max() > 0 for w in weights.values())
    model(x).sum().backward()
    assert model.generator.angles.grad.abs().max() > 0


def test_exported_network_is_its_own_again() -> None:
    config = load_config("flood-quick").noiseless()
    model = make_model(config)
    x = torch.randn(3, 6, 2, generator=torch.Generator().manual_seed(0))
    exported = model.export()
    torch.testing.assert_close(exported(x), model(x))
    twin = StackedLstm(2, (16,), 4)
    twin.load_state_dict(exported.state_dict())
    torch.testing.assert_close(twin(x), model(x))
    twin(x).sum().backward()
    assert all(p.grad is not None for p in twin.parameters())


def test_start_is_torchs_own_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    network = build_target("lstm-20-5", torch.Generator().manual_seed(0), options={"inputs": 3})
    assert torch.equal(torch.get_rng_state(), before)
    for name, parameter in network.named_parameters():
        bound = 1 / math.sqrt(20 if name.startswith("lstm1") else 5)
        largest = float(parameter.detach().abs().max())
        assert largest <= bound
        assert largest > 0.8 * bound or parameter.numel() < 20
    again = build_target("lstm-20-5", torch.Generator().manual_seed(0), options={"inputs": 3})
    assert all(map(torch.equal, network.parameters(), again.parameters()))


def test_narrower_networks_end_with_the_network_itself() -> None:
    names = narrower_targets("lstm-4-2")
    assert names == ("lstm-1-1", "lstm-2-1", "lstm-3-2", "lstm-4-2")
    small = narrowed(
        "lstm-16",
        286,
        torch.Generator().manual_seed(0),
        options={"inputs": 2, "horizon": 4},
    )
    # 4·h·(2 + h) + 8·h + 4·h + 4 is 272 at 6 units, 340 at 7.
    assert sum(p.numel() for p in small.parameters()) == 4 * 6 * 8 + 8 * 6 + 4 * 6 + 4


@pytest.mark.parametrize("name", ["lstm", "lstm-0", "lstm-5000", "lstm-1-1-1-1-1", "lstm-a"])
def test_unknown_names(name: str) -> None:
    with pytest.raises(UnknownName, match="unknown target"):
        target_info(name)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"inputs": 0}, "inputs must be a whole number of at least 1, got 0"),
        ({"horizon": True}, "horizon must be a whole number"),
        ({"every_step": 1}, "every_step must be true or false"),
        ({"units": 3}, "unknown option 'units' of the target 'lstm-4'"),
    ],
)
def test_wrong_options(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        target_info("lstm-4", options)


def test_other_activations_are_refused() -> None:
    with pytest.raises(UnknownName, match="unknown activation 'relu'"):
        build_target("lstm-4", torch.Generator(), activation="relu")
