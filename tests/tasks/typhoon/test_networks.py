"""The typhoon networks: published counts, what is trained, and that gradients reach all of it."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from qt_hw.circuits.builtin import HardwareEfficient
from qt_hw.errors import InputError, UnknownName
from qt_hw.model.mapping import AffineMapping
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.model.trainable import without_models
from qt_hw.tasks import build_target, target_info
from qt_hw.tasks.targets import narrower_targets
from qt_hw.tasks.typhoon.adapters import LowRankConv, LowRankLinear
from qt_hw.tasks.typhoon.gru import TrackGru
from qt_hw.training.build import make_model
from qt_hw.training.loading import load_config


def _seeded(seed=0):
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def adapted():
    return make_model(load_config("typhoon-qpa"))


def test_the_classical_network_has_the_published_count():
    # code_base/classical_utils.py of CYLphysics/QPA_Typhoon_Trajectory 4af7b24
    assert target_info("typhoon-am-convgru").n_weights == 8_399_540


def test_the_adapted_network_trains_the_published_number(adapted):
    report = adapted.parameter_report()
    assert report.n_trained + report.n_kept == 216_398
    assert dict(report.breakdown) == {"angles": 480, "mapping": 7648, "scaling": 0}
    assert report.n_generated == 4 * (256 + 2304)
    assert sum(p.numel() for p in adapted.parameters() if p.requires_grad) == 216_398
    assert target_info("typhoon-qpa").n_weights == report.n_target


def test_the_small_preset_says_what_it_trains():
    config = load_config("typhoon-quick", ["backend.name=statevector", "backend.shots="])
    report = make_model(config).parameter_report()
    assert (report.n_trained, report.n_generated, report.n_qubits) == (713, 2058, 6)
    assert "2,058 weights" in config.description
    assert "713 parameters" in config.description


def test_the_parts_of_the_published_number(adapted):
    network = adapted.target.module
    factors = [m for m in network.modules() if isinstance(m, LowRankConv)]
    assert len(factors) == 36
    assert sum(m.a.numel() + m.b.numel() for m in factors) == 187_824
    biases = [p for name, p in network.named_parameters() if ".b_" in name]
    assert sum(p.numel() for p in biases) == 1344
    attention = [m for name, m in network.named_children() if name.startswith("attention")]
    assert sum(p.numel() for m in attention for p in m.parameters()) == 11_250
    second = network.fc2.parameter_report()
    assert dict(second.breakdown) == {"angles": 300, "mapping": 7552, "scaling": 0}
    assert second.n_generated == 4 * (309 + 128)
    assert (second.n_qubits, second.bins_used) == (5, 28)
    assert not any(p.requires_grad for p in network.fc3.parameters())


def test_gradients_reach_both_circuits_and_the_convolutions(adapted):
    x = torch.randn(1, 53 + 4 * 31 * 31, generator=_seeded())  # one image: quicker
    out = adapted(x)
    assert out.shape == (1, 2)
    out.square().sum().backward()
    inner = adapted.target.module.fc2
    for angles in (adapted.generator.angles, inner.generator.angles):
        assert float(angles.grad.abs().max()) > 0
    trained = {name: p for name, p in adapted.named_parameters() if p.requires_grad}
    first_state = {f"gru{k}.h{gate}" for k in (1, 2, 3) for gate in "zrh"}  # sees a zero state
    for name, parameter in trained.items():
        if not any(layer in name for layer in first_state):
            assert parameter.grad is not None, name
    adapted.zero_grad()


def test_the_exported_network_has_no_circuit_and_the_same_output(adapted):
    x = torch.randn(1, 53 + 4 * 31 * 31, generator=_seeded(1))
    plain = adapted.export()
    assert not any(isinstance(module, QuantumTrain) for module in plain.modules())
    assert isinstance(plain.fc2, LowRankLinear)
    with torch.no_grad():
        torch.testing.assert_close(plain(x), adapted(x), atol=1e-6, rtol=1e-5)


def test_the_exported_weights_fit_the_network_without_circuits(adapted):
    state = adapted.export().state_dict()
    plain = without_models(build_target("typhoon-qpa", _seeded()))
    plain.load_state_dict(state)
    assert torch.equal(plain.fc2.a, state["fc2.a"])


def test_the_same_generator_gives_the_same_network_and_leaves_torchs_own_alone():
    before = torch.get_rng_state()
    first, again = (build_target("typhoon-qpa", _seeded(3)).state_dict() for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before)
    for name, value in first.items():
        assert torch.equal(value, again[name]), name


def test_an_adapted_convolution_is_the_sum_of_both():
    layer = LowRankConv(3, 5, 3, 2, "cpu")
    x = torch.randn(2, 3, 7, 7, generator=_seeded())
    kernel = layer.weight + 2.0 * torch.einsum("or,rikl->oikl", layer.a[:, :, 0, 0], layer.b)
    wanted = nn.functional.conv2d(x, kernel, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), wanted, atol=1e-5, rtol=1e-5)
    dense = LowRankLinear(6, 4, 2, device="cpu")
    x = torch.randn(3, 6, generator=_seeded())
    wanted = x @ (dense.weight + 2.0 * dense.a @ dense.b).T + dense.bias
    torch.testing.assert_close(dense(x), wanted, atol=1e-5, rtol=1e-5)


def test_the_small_network_is_torchs_own_gru():
    network = TrackGru(5, 4, 2)
    reference = nn.GRU(5, 4, batch_first=True)
    with torch.no_grad():
        reference.weight_ih_l0.copy_(network.input.weight)
        reference.weight_hh_l0.copy_(network.state.weight)
        reference.bias_ih_l0.copy_(network.input.bias)
        reference.bias_hh_l0.zero_()
        x = torch.randn(3, 6, 5, generator=_seeded())
        wanted = network.head(reference(x)[0][:, -1])
        torch.testing.assert_close(network(x), wanted, atol=1e-6, rtol=1e-5)


def test_gradients_flow_through_generated_weights_of_the_small_network():
    target = build_target("typhoon-gru-3", _seeded(), options={"inputs": 4, "leads": 1})
    model = QuantumTrain(
        target, ansatz=HardwareEfficient(4, 1), mapping=AffineMapping((), chunk_size=6)
    )
    model(torch.randn(2, 3, 4, generator=_seeded())).sum().backward()
    assert float(model.generator.angles.grad.abs().max()) > 0
    weights = model.weights()
    assert set(weights) == {f"{k}.weight" for k in ("input", "state", "head")} | {
        "input.bias",
        "head.bias",
    }


def test_names_and_options():
    info = target_info("typhoon-gru-12")
    assert info.n_weights == 36 * 42 + 36 + 36 * 12 + 12 * 6 + 6 == 2058
    assert narrower_targets("typhoon-gru-3") == tuple(f"typhoon-gru-{k}" for k in (1, 2, 3))
    assert narrower_targets("typhoon-qpa") == ()
    with pytest.raises(UnknownName, match="unknown target 'typhoon-gru-5000'; did you mean"):
        target_info("typhoon-gru-5000")  # more units than allowed
    with pytest.raises(UnknownName, match="unknown option 'leads' of the target 'typhoon-qpa'"):
        target_info("typhoon-qpa", {"leads": 3})
    with pytest.raises(InputError, match=r"target.options.inputs must be a whole number"):
        target_info("typhoon-gru-3", {"inputs": 0})
    with pytest.raises(UnknownName, match="unknown activation 'relu'"):
        build_target("typhoon-gru-3", _seeded(), activation="relu")
