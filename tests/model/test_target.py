from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from qt_hw.errors import InputError
from qt_hw.model.target import CONSTANT_SPREAD, Select, Target


class Residual(nn.Module):
    """Strided, padded convolutions without bias, BatchNorm, a skip connection."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(2, 4, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding="same", padding_mode="circular", groups=2)
        self.skip = nn.Conv2d(2, 4, 1, bias=False)
        self.head = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv2(torch.relu(self.norm(self.conv1(x)))) + self.skip(x)
        out: Tensor = self.head(y.mean((2, 3)))
        return out


class Language(nn.Module):
    """A head tied to the embedding, and one layer used at two places."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 5, padding_idx=0)
        self.first = nn.Linear(5, 5)
        self.second = self.first
        self.lstm = nn.LSTM(5, 5, num_layers=2, batch_first=True)
        self.head = nn.Linear(5, 7)
        self.head.weight = self.embed.weight

    def forward(self, tokens: Tensor) -> Tensor:
        hidden = self.second(torch.tanh(self.first(self.embed(tokens))))
        out: Tensor = self.head(self.lstm(hidden)[0])
        return out


def residual_input() -> tuple[nn.Module, Tensor]:
    return Residual(), torch.randn(6, 2, 5, 5)


def language_input() -> tuple[nn.Module, Tensor]:
    return Language(), torch.randint(0, 7, (4, 6))


def transformer_input() -> tuple[nn.Module, Tensor]:
    layer = nn.TransformerEncoderLayer(8, 2, dim_feedforward=16, batch_first=True)
    return layer, torch.randn(3, 4, 8)


CASES = [residual_input, language_input, transformer_input]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def random_tensors(target: Target) -> dict[str, Tensor]:
    flat = 0.3 * torch.randn(target.n_generated)
    return target.split(flat.requires_grad_())


def loaded(module: nn.Module, tensors: dict[str, Tensor]) -> nn.Module:
    """Return a copy of ``module`` with ``tensors`` copied into its own parameters."""
    twin = copy.deepcopy(module)
    own = dict(twin.named_parameters())
    with torch.no_grad():
        for name, value in tensors.items():
            own[name].copy_(value)
    return twin


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("training", [True, False])
def test_output_and_gradient_equal_those_of_the_module_with_these_weights(
    case: object, training: bool
) -> None:
    assert callable(case)
    module, x = case()
    target = Target(module)
    tensors = random_tensors(target)
    twin = loaded(module, tensors)
    for m in (*twin.modules(), *target.modules()):
        m.train(training)
        if isinstance(m, nn.Dropout):
            m.p = 0.0
        elif isinstance(m, nn.MultiheadAttention):
            m.dropout = 0.0
    out = target.call(tensors, x)
    expected = twin(x)
    assert isinstance(out, Tensor)
    torch.testing.assert_close(out, expected)
    grads = torch.autograd.grad(out.square().sum(), list(tensors.values()))
    own = dict(twin.named_parameters())
    twin_grads = torch.autograd.grad(expected.square().sum(), [own[name] for name in tensors])
    torch.testing.assert_close(grads, twin_grads)
    assert sum(bool((g != 0).any()) for g in grads) >= len(grads) - 1


@pytest.mark.parametrize("case", CASES)
def test_generated_tensors_are_nowhere_in_the_module(case: object) -> None:
    assert callable(case)
    module, x = case()
    target = Target(module)
    target.call(random_tensors(target), x)
    assert not list(target.parameters())
    assert len(list(target.buffers())) == len(list(module.buffers()))
    assert {k.removeprefix("module.") for k in target.state_dict()} == set(
        dict(module.named_buffers())
    )


@pytest.mark.parametrize("case", CASES)
def test_the_callers_module_stays_as_it_was(case: object) -> None:
    assert callable(case)
    module, x = case()
    before = copy.deepcopy(module.state_dict())
    target = Target(module)
    target.call(random_tensors(target), x)
    torch.testing.assert_close(module.state_dict(), before, rtol=0, atol=0)
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize("case", CASES)
def test_filled_is_an_ordinary_module(case: object) -> None:
    assert callable(case)
    module, x = case()
    target = Target(module)
    tensors = random_tensors(target)
    target.call(tensors, x)
    out = target.eval().call(tensors, x)
    filled = target.filled(tensors)
    assert type(filled) is type(module)
    assert [(n, p.shape) for n, p in filled.named_parameters()] == [
        (n, p.shape) for n, p in module.named_parameters()
    ]
    assert all(isinstance(p, nn.Parameter) and p.is_leaf for p in filled.parameters())
    torch.testing.assert_close(filled(x), out)
    module.load_state_dict(filled.state_dict())
    copy.deepcopy(filled).train()(x)


def test_batch_norm_statistics_stay_buffers_and_are_updated() -> None:
    module, x = residual_input()
    target = Target(module)
    tensors = random_tensors(target)
    twin = loaded(module, tensors).train()
    target.train().call(tensors, x)
    twin(x)
    for name, buffer in twin.named_buffers():
        torch.testing.assert_close(target.state_dict()[f"module.{name}"], buffer)
    assert target.state_dict()["module.norm.num_batches_tracked"] == 1


def test_tied_weights_count_once_and_stay_tied() -> None:
    module, _ = language_input()
    target = Target(module)
    count = sum(p.numel() for p in module.parameters())
    assert target.n_generated == target.n_target == count
    assert target.slots[0].places == ("embed.weight", "head.weight")
    filled = target.filled(random_tensors(target))
    assert isinstance(filled, Language)
    assert filled.head.weight is filled.embed.weight
    assert filled.second is filled.first


@pytest.mark.parametrize(
    ("select", "names"),
    [
        (["head.weight"], {"embed.weight"}),
        ("first.*", {"first.weight", "first.bias"}),
        (("second.bias", "lstm.bias_??_l0"), {"first.bias", "lstm.bias_ih_l0", "lstm.bias_hh_l0"}),
        (lambda name, parameter: name.startswith("head") and parameter.ndim == 1, {"head.bias"}),
    ],
)
def test_select_by_name_pattern_or_rule(select: Select, names: set[str]) -> None:
    module, tokens = language_input()
    target = Target(module, select)
    assert {slot.name for slot in target.slots} == names
    left = {n.removeprefix("module.") for n, _ in target.named_parameters()}
    assert left == set(dict(module.named_parameters())) - names
    tensors = {s.name: dict(module.named_parameters())[s.name].detach() for s in target.slots}
    torch.testing.assert_close(target.call(tensors, tokens), module(tokens))


def test_what_select_leaves_out_keeps_its_gradient_flag() -> None:
    module, x = residual_input()
    module.get_parameter("skip.weight").requires_grad_(False)
    module.get_parameter("head.weight").requires_grad_(False)
    target = Target(module, ["head.*"])
    flags = {n: p.requires_grad for n, p in target.named_parameters()}
    assert flags["module.skip.weight"] is False
    assert flags["module.conv1.weight"] is True
    assert "module.conv1.weight" in target.state_dict()
    out = target.call(random_tensors(target), x)
    assert isinstance(out, Tensor)
    out.sum().backward()
    assert dict(target.named_parameters())["module.conv1.weight"].grad is not None
    filled = target.filled(random_tensors(target))
    assert {n for n, p in filled.named_parameters() if not p.requires_grad} == {
        "skip.weight",
        "head.weight",
    }


def test_slots_hold_the_initial_statistics() -> None:
    module, _ = residual_input()
    slots = {slot.name: slot for slot in Target(module).slots}
    weight = module.get_parameter("conv1.weight").detach().double()
    assert slots["conv1.weight"].mean == pytest.approx(weight.mean().item(), abs=1e-12)
    assert slots["conv1.weight"].std == pytest.approx(weight.std(correction=0).item(), rel=1e-12)
    assert (slots["norm.weight"].mean, slots["norm.weight"].std) == (1, CONSTANT_SPREAD)
    assert (slots["norm.bias"].mean, slots["norm.bias"].std) == (0, CONSTANT_SPREAD)


def test_selecting_nothing_is_refused() -> None:
    module, _ = residual_input()
    with pytest.raises(InputError, match=r"'conv9\.\*' matches no parameter .*conv1\.weight"):
        Target(module, "conv9.*")
    with pytest.raises(InputError, match="chooses no parameter"):
        Target(module, lambda name, parameter: False)
    with pytest.raises(InputError, match=r"chooses no parameter of the target \(it has: none\)"):
        Target(nn.ReLU())


def test_mixed_dtypes_are_refused() -> None:
    module = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2).double())
    with pytest.raises(InputError, match=r"must share dtype and device, found torch\.float32"):
        Target(module)
    assert Target(module, "1.*").dtype == torch.float64
