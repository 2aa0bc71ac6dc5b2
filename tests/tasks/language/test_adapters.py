"""Language models with adapters as targets: what is generated, trained and kept."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qt_hw import QuantumTrain
from qt_hw.circuits.builtin import RyCnot
from qt_hw.errors import DataError, InputError, UnknownName
from qt_hw.model.mapping import MlpMapping
from qt_hw.model.target import Target
from qt_hw.tasks import build_target, target_info
from qt_hw.tasks.language.adapters import adapter_names
from qt_hw.training.build import make_ansatz, make_mapping, make_scaling
from qt_hw.training.loading import load_config, to_toml

TINY = {"width": 16, "context": 40, "pretrain_steps": 0}
IDS = torch.arange(48).reshape(2, 24) % 257


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QT_HW_DATA", str(tmp_path / "data"))


def build(**options: Any) -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    return build_target("causal-lm", generator, options={**TINY, **options})


def drawn(target: Target) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    found = {}
    for slot in target.slots:
        value = slot.mean + 0.05 * torch.randn(slot.shape, generator=generator)
        found[slot.name] = value.requires_grad_()
    return found


@pytest.mark.parametrize("adapter", ["lora", "dora", "prefix", "prompt", "ia3", "bottleneck"])
def test_gradients_reach_every_adapter_and_nothing_else(adapter: str) -> None:
    network = build(adapter=adapter)
    info = target_info("causal-lm", {**TINY, "adapter": adapter})
    assert info.n_weights == sum(p.numel() for p in network.parameters())
    assert info.select == adapter_names(network)
    target = Target(network, info.select).eval()
    tensors = drawn(target)
    output = target.call(tensors, IDS)
    assert isinstance(output, Tensor)
    assert output.shape == (2, 24, 257)
    output[..., :7].square().sum().backward()
    for name, tensor in tensors.items():
        assert tensor.grad is not None, name
        assert tensor.grad.abs().sum() > 0, name
    assert not any(p.requires_grad for p in target.parameters())
    torch.testing.assert_close(target.filled(tensors)(IDS), output, rtol=0, atol=1e-6)


def test_gpt2_has_the_papers_numbers() -> None:
    config = load_config("gpt2-lora-qpa", ['target.options.model="gpt2-random"'])
    info = target_info("causal-lm", config.target.options)
    # GPT-2's 124,439,808 parameters (embedding and lm_head tied, counted once) and the LoRA's.
    assert info.n_weights == 124_439_808 + 204_100
    assert info.select is not None
    assert [name.split(".")[-3] for name in info.select] == ["lora_A", "lora_B"]
    shapes = [(4, 768), (50_257, 4)]
    model = QuantumTrain(
        nn.ParameterList([nn.Parameter(torch.ones(shape)) for shape in shapes]),
        ansatz=make_ansatz(config.ansatz),
        mapping=make_mapping(config.mapping),
        scaling=make_scaling(config.scaling),
    )
    report = model.parameter_report()
    assert (report.n_generated, report.n_trained) == (204_100, 106_264)
    assert (report.n_qubits, report.bins_used) == (7, 100)


def test_a_gain_of_zero_leaves_the_model_as_it_is_and_is_trained() -> None:
    modules = "c_attn,lm_head"
    network, plain = build(gain="zero", modules=modules), build(modules=modules)
    select = target_info("causal-lm", {**TINY, "gain": "zero", "modules": modules}).select
    model = QuantumTrain(
        network, ansatz=RyCnot(4, 2), mapping=MlpMapping((4,), chunk_size=256), select=select
    )
    # An ordinary LoRA starts at zero.
    torch.testing.assert_close(model(IDS), plain(IDS))
    gains = [p for n, p in model.named_parameters() if n.endswith(".gain")]
    assert len(gains) == 3
    model(IDS).square().sum().backward()
    assert all(gain.grad is not None and gain.grad.abs() > 0 for gain in gains)


def test_single_layers_have_ranks_of_their_own() -> None:
    config = load_config(
        "language-quick",
        ["target.options.modules=c_attn,lm_head", "target.options.peft_rank_pattern.c_attn=6"],
    )
    assert config == load_config(tomllib.loads(to_toml(config)))
    options = {**(config.target.options or {}), **TINY}
    network, info = build(**options), target_info("causal-lm", options)
    assert info.select == adapter_names(network)
    shapes = [tuple(network.get_parameter(name).shape) for name in info.select]
    assert shapes == [(6, 16), (48, 6)] * 2 + [(4, 16), (257, 4)]


def test_patterns_of_methods_that_read_them_otherwise_are_left_to_them() -> None:
    """OSF takes a key for any part of a layer's name."""
    osf = {"adapter": "osf", "modules": "lm_head"}
    plain, named = build(**osf), build(**osf, peft_rank_pattern={"head": 10})
    sizes = [sum(p.numel() for p in m.parameters() if p.requires_grad) for m in (plain, named)]
    assert sizes[0] > sizes[1] > 0


def test_options_are_what_toml_can_hold() -> None:
    with pytest.raises(InputError, match="texts, numbers, true, false, lists and tables of these"):
        target_info("causal-lm", {"peft_bias": object()})


def test_pre_training_is_kept_and_the_same_each_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = {"pretrain_steps": 3}
    one = build(**options)
    assert "3 steps, once" in capsys.readouterr().err
    (file,) = (tmp_path / "data" / "language").iterdir()
    two = build(**options)
    assert not capsys.readouterr().err
    monkeypatch.setenv("QT_HW_DATA", str(tmp_path / "other"))
    three = build(**options)
    for other in (two, three):
        for a, b in zip(one.parameters(), other.parameters(), strict=True):
            assert torch.equal(a, b)
    monkeypatch.setenv("QT_HW_DATA", str(tmp_path / "data"))
    file.write_bytes(file.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"is damaged .*: delete it and run again"):
        build(**options)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"modules": "nope"}, InputError, "no module 'nope'.*, lm_head \\(Linear\\), wpe"),
        ({"adapter": "lorra"}, UnknownName, "unknown adapter 'lorra'; did you mean 'lora'"),
        ({"adapter": "prompt", "modules": "c_attn"}, InputError, "takes no target.options.modules"),
        ({"gain": "zero", "adapter": "prefix"}, InputError, "belongs to lora and dora"),
        ({"gain": "zero", "adapter": "bottleneck"}, InputError, "not to bottleneck"),
        ({"peft_r": 3, "adapter": "bottleneck"}, InputError, "peft_r belongs to PEFT"),
        ({"peft_init_lora_weights": "loftq"}, InputError, "not take these options .*loftq_config"),
        ({"peft_init_lora_weights": "pissa_niter_4"}, InputError, "take 'pissa'"),
        ({"adapter": "hra"}, InputError, r"only `torch.nn.Linear`.*c_attn \(Conv1D\)"),
        ({"gain": "one"}, UnknownName, "unknown target.options.gain 'one'"),
        ({"peft_nope": 1}, UnknownName, "peft_nope"),
        ({"peft_rank_pattern": "c_attn"}, InputError, "must be a table, such as --set .*=8, got"),
        ({"peft_loftq_config": 3}, InputError, "peft_loftq_config must be a table, got 3"),
        ({"peft_rank_pattern": {"lm_head": 8}}, InputError, "ends in 'lm_head'; there are c_attn"),
        ({"peft_rank_pattern": {"(": 8}}, InputError, r"'\(' is no regular expression"),
        ({"peft_rank_pattern": {"c_attn": 0}}, InputError, "look at .*peft_rank_pattern, set"),
        ({"peft_r": {"c_attn": 8}}, InputError, "peft_r takes no table"),
        ({"rank": {"c_attn": 8}}, InputError, "at least 1"),
        ({"rnak": 4}, UnknownName, "did you mean 'rank'"),
        ({"rank": 0}, InputError, "at least 1"),
        ({"heads": 3}, InputError, "does not divide"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        build(**options)


def test_bottlenecks_go_behind_layers_of_any_signature_one_inside_another() -> None:
    from qt_hw.tasks.language.bottleneck import Bottleneck

    class Sum(nn.Module):
        def forward(self, x: Tensor, *, residual: Tensor) -> Tensor:
            return x + residual

    x = torch.ones(2, 4)
    torch.testing.assert_close(Bottleneck(Sum(), 4, 3)(x, residual=x), 2 * x, rtol=0, atol=0.01)
    network = build(adapter="bottleneck", modules="mlp,c_proj")
    found = [path for path, m in network.named_modules() if isinstance(m, Bottleneck)]
    assert len(found) == 6  # attention, the feed-forward layer and its last matrix, twice
