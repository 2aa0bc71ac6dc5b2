from __future__ import annotations

import copy
import pickle
import threading

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

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


class Meeting(nn.Module):
    """A layer that waits, with its weights swapped in, until another thread has come as far."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 2)

    def forward(self, x: Tensor, here: threading.Event, there: threading.Event) -> Tensor:
        here.set()
        there.wait(0.3)
        out: Tensor = self.layer(x)
        return out


def test_threads_get_their_own_weights() -> None:
    target, x = Target(Meeting()), torch.ones(1, 3)
    tensors = [random_tensors(target) for _ in range(2)]
    inside, left = (threading.Event(), threading.Event()), threading.Event()
    found: dict[int, object] = {}

    def first() -> None:
        found[0] = target.call(tensors[0], x, inside[0], inside[1])
        left.set()

    def second() -> None:
        inside[0].wait(10)
        found[1] = target.call(tensors[1], x, inside[1], left)

    threads = [threading.Thread(target=work) for work in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for k in range(2):
        expected = x @ tensors[k]["layer.weight"].T + tensors[k]["layer.bias"]
        torch.testing.assert_close(found[k], expected)
    weight = target.module.get_submodule("layer").weight
    assert isinstance(weight, Tensor)
    assert not weight.requires_grad
    assert not weight.any()


def test_copies_and_pickles_have_a_lock_of_their_own() -> None:
    module, x = residual_input()
    target = Target(module)
    tensors = random_tensors(target)
    for twin in (copy.deepcopy(target), pickle.loads(pickle.dumps(target))):
        assert twin.lock is not target.lock
        torch.testing.assert_close(twin.call(tensors, x), target.call(tensors, x))


def test_a_layer_may_write_to_its_weights() -> None:
    # Embedding(max_norm=…) scales rows in place, after another layer has saved its own weights.
    class Lookup(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(2, 2)
            self.embed = nn.Embedding(5, 2, max_norm=0.1)

        def forward(self, x: Tensor, tokens: Tensor) -> Tensor:
            out: Tensor = self.first(x) * self.embed(tokens)
            return out

    module = Lookup()
    inputs = torch.randn(3, 2, requires_grad=True), torch.tensor([0, 1, 4])
    target = Target(module)
    tensors = random_tensors(target)
    twin = loaded(module, tensors)
    gradients = []
    for out in (target.call(tensors, *inputs), twin(*inputs)):
        assert isinstance(out, Tensor)
        gradients.append(torch.autograd.grad(out.square().sum(), inputs[0])[0])
    torch.testing.assert_close(*gradients)


@pytest.mark.parametrize("select", [5, [5], ["head.weight", None], b"head", 1.5])
def test_select_of_another_type_is_refused(select: Select) -> None:
    module, _ = residual_input()
    with pytest.raises(InputError, match="select must be None, names or patterns"):
        Target(module, select)


def pruned() -> nn.Module:
    layer = nn.Linear(3, 2)
    prune.l1_unstructured(layer, "weight", 2)  # type: ignore[no-untyped-call]
    return layer


@pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: nn.LazyLinear(4), r"'weight' of layer '1' has no values yet"),
        (lambda: nn.Linear(3, 2, device="meta"), r"'weight' of layer '1' has no values yet"),
        (lambda: weight_norm(nn.Linear(3, 2)), r"layer '1' .*parametrizations\.weight_norm"),
        (lambda: spectral_norm(nn.Linear(3, 2)), r"layer '1' .*parametrizations\.spectral_norm"),
        (pruned, r"layer '1' .*prune\.remove"),
    ],
)
def test_layers_that_cannot_be_served_are_named(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(InputError, match=message):
        Target(nn.Sequential(nn.Linear(3, 3), make()))


@pytest.mark.filterwarnings("ignore:.*torch.jit.* is deprecated:DeprecationWarning")
def test_scripted_modules_are_refused() -> None:
    scripted = torch.jit.script(nn.Linear(3, 2))
    with pytest.raises(InputError, match=r"layer '0' is compiled by torch\.jit"):
        Target(nn.Sequential(scripted))


def test_a_target_that_cannot_be_copied_is_refused() -> None:
    module = nn.Linear(3, 2)
    module.extra = module.weight * 2  # a tensor with a history
    with pytest.raises(InputError, match="cannot be copied") as caught:
        Target(module)
    assert "\n" not in str(caught.value)


def test_parametrized_layers_work() -> None:
    module = parametrizations.weight_norm(nn.Linear(3, 2))
    target, x = Target(module), torch.randn(4, 3)
    tensors = random_tensors(target)
    direction = tensors["parametrizations.weight.original1"]
    weight = direction / direction.norm(dim=1, keepdim=True)
    weight = weight * tensors["parametrizations.weight.original0"]
    torch.testing.assert_close(target.call(tensors, x), x @ weight.T + tensors["bias"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(value: float) -> None:
    module, _ = residual_input()
    with torch.no_grad():
        module.get_parameter("head.bias")[1] = value
    with pytest.raises(InputError, match=r"'head\.bias' of the target holds a NaN or an inf"):
        Target(module)
    Target(module, "conv1.*")


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_tensor_without_entries_has_finite_statistics() -> None:
    slots = {slot.name: slot for slot in Target(nn.Linear(0, 4)).slots}
    assert (slots["weight"].mean, slots["weight"].std) == (0, CONSTANT_SPREAD)
