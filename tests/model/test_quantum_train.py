from __future__ import annotations

import copy
import math
import threading
import time
from collections.abc import Callable
from statistics import median

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from qiskit import QuantumCircuit
from torch import Tensor, nn

from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.errors import InputError, UnknownName
from qt_hw.model.mapping import AffineMapping, Mapping, MlpMapping, MpsMapping
from qt_hw.model.output import outputs_share
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.model.scaling import Scaling
from qt_hw.tasks.targets import build_target


def network(name: str = "mlp-64-32-10", seed: int = 0, activation: str | None = None) -> nn.Module:
    generator = torch.Generator().manual_seed(seed)
    return build_target(name, generator, activation=activation)


def small(seed: int = 0, **options: object) -> QuantumTrain:
    """Return a model of 430 trained parameters for the network of 2,410 weights."""
    arguments: dict[str, object] = {
        "ansatz": RyCnot(6, 4),
        "mapping": MlpMapping((8,), chunk_size=38),
        **options,
    }
    return QuantumTrain(network(seed=seed), seed=seed, **arguments)  # type: ignore[arg-type]


def images(n: int = 20, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(n, 64, generator=generator), torch.arange(n) % 10


def evaluations(model: QuantumTrain) -> list[int]:
    """Return a list that grows by one entry with each evaluation of the mapping."""
    seen: list[int] = []
    model.mapping.register_forward_hook(lambda *_: seen.append(1))
    return seen


def step(model: QuantumTrain) -> None:
    x, y = images()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    F.cross_entropy(model(x), y).backward()
    optimizer.step()
    optimizer.zero_grad()


def test_trained_parameters_are_angles_and_mapping_only() -> None:
    model = small()
    names = {name for name, _ in model.named_parameters()}
    assert names == {
        "generator.angles",
        *(f"mapping.layers.{k}.{kind}" for k in (0, 2) for kind in ("weight", "bias")),
    }
    assert sum(p.numel() for p in model.parameters()) == 430
    assert not any(key.startswith("target") for key in model.state_dict())


def test_paper_model_trains_1497_parameters() -> None:
    model = QuantumTrain(
        network("cnn-mnist"), ansatz=U3Cu3(13, 16), mapping=AffineMapping(), scaling="qt"
    )
    report = model.parameter_report()
    assert (report.n_generated, report.n_trained) == (6_690, 1_497)
    assert report.breakdown == {"angles": 1_248, "mapping": 249, "scaling": 0}
    assert report.share == pytest.approx(0.2238, abs=5e-5)
    assert (report.bins_used, report.bins) == (6_690, 8_192)


def test_reference_recipe_equals_the_published_pipeline() -> None:
    model = small(scaling="qt", mapping=AffineMapping((), chunk_size=38))
    p = model.generator().detach().numpy()
    x = (0.8 * np.tanh(0.1 * 2**5 * p)) ** 0.3
    x = x - x.mean()
    bits = np.array([[2 * int(c) - 1 for c in f"{k:06b}"] for k in range(64)])
    parameters = {k: v.detach().numpy() for k, v in model.mapping.named_parameters()}
    w = np.column_stack([bits, x]) @ parameters["layers.0.weight"].T + parameters["layers.0.bias"]
    w = w.reshape(-1)[:2_410]
    w = w - w.mean()
    weights = model.weights()
    assert list(weights) == ["fc1.weight", "fc1.bias", "fc2.weight", "fc2.bias"]
    flat = torch.cat([t.flatten() for t in weights.values()]).detach().numpy()
    np.testing.assert_allclose(flat, w, atol=2e-6)
    assert weights["fc1.weight"].shape == (32, 64)


@pytest.mark.parametrize("scaling", ["balanced", "qpa"])
def test_gradient_equals_finite_differences(scaling: str) -> None:
    model = small(scaling=scaling).double()
    x, y = images()
    x = x.double()

    def loss() -> Tensor:
        return F.cross_entropy(model(x), y)

    loss().backward()
    rng = np.random.default_rng(0)
    for parameter in model.parameters():
        direction = torch.from_numpy(rng.normal(size=parameter.shape))
        assert parameter.grad is not None
        analytic = float((parameter.grad * direction).sum())
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                parameter.add_(direction, alpha=sign * 1e-5)
                values.append(loss().item())
                parameter.sub_(direction, alpha=sign * 1e-5)
        assert (values[0] - values[1]) / 2e-5 == pytest.approx(analytic, rel=1e-5, abs=1e-9)


@pytest.mark.parametrize(
    "mapping", [MlpMapping, AffineMapping, lambda chunk_size: MpsMapping(3, chunk_size=chunk_size)]
)
def test_first_loss_is_that_of_an_ordinary_network(mapping: Callable[..., Mapping]) -> None:
    losses = []
    for seed in range(9):
        model = small(seed, mapping=mapping(chunk_size=38))
        x, y = images(200, seed)
        losses.append(F.cross_entropy(model(x), y).item())
    assert 2.2 < median(losses) < 2.6


def test_first_loss_of_the_published_network_is_usual_and_that_of_the_reference_is_not() -> None:
    # N(0, 1) images; measured on the reference: median 18 (2.3 to 445).
    losses: dict[str, list[float]] = {"balanced": [], "qt": []}
    for seed in range(5):
        x = torch.randn(64, 1, 28, 28, generator=torch.Generator().manual_seed(seed))
        for scaling, found in losses.items():
            model = QuantumTrain(
                network("cnn-mnist", seed),
                ansatz=RyCnot(13, 4),
                mapping=AffineMapping(),
                scaling=scaling,
                seed=seed,
            )
            found.append(F.cross_entropy(model(x), torch.arange(64) % 10).item())
    assert 2.2 < median(losses["balanced"]) < 2.6
    assert median(losses["qt"]) > 4


def response(weight: Tensor) -> float:
    """RMS response to inputs of which half the power is their common mean."""
    inputs = 1 + torch.randn(weight.shape[1], 500, generator=torch.Generator().manual_seed(0))
    return float((weight.detach() @ inputs).square().mean().sqrt())


@pytest.mark.parametrize(
    "mapping",
    [
        MlpMapping((8,), chunk_size=38),
        AffineMapping(chunk_size=38),
        MpsMapping(2, chunk_size=38),
    ],
)
def test_fitted_layers_respond_like_the_targets_own(mapping: Mapping) -> None:
    ratios: dict[str, list[float]] = {}
    for seed in range(9):
        own = dict(network(seed=seed).named_parameters())
        for name, weight in small(seed, mapping=mapping).weights().items():
            measure = response if weight.ndim == 2 else lambda w: float(w.detach().std())
            ratios.setdefault(name, []).append(measure(weight) / measure(own[name]))
    assert all(0.5 < median(values) < 1.5 for values in ratios.values()), ratios


def test_batch_norm_starts_around_one() -> None:
    target = nn.Sequential(nn.Linear(64, 40), nn.BatchNorm1d(40), nn.ReLU(), nn.Linear(40, 10))
    model = QuantumTrain(target, ansatz=RyCnot(7, 3), mapping=MlpMapping(chunk_size=40))
    weight = model.weights()["1.weight"]
    assert weight.mean().item() == pytest.approx(1, abs=0.1)
    assert 0.01 < weight.std().item() < 0.2


def test_centred_output_can_be_replaced_by_the_fitted_one() -> None:
    x, y = images(200)
    fitted = F.cross_entropy(small(scaling=Scaling("qt", output="fitted"))(x), y).item()
    assert fitted == pytest.approx(math.log(10), abs=0.1)
    centred = torch.cat([w.detach().flatten() for w in small(scaling="qt").weights().values()])
    assert centred.mean().item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("chunk", [1, 5])
def test_share_equals_the_analytic_value_of_an_affine_map(chunk: int) -> None:
    # w = V b + c + u x with x independent of b: share = sum u² var(x) / (chunk · var(w)).
    mapping = AffineMapping((), chunk_size=chunk).built(
        10, 1024, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    x = torch.randn(1024, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    u = mapping.get_parameter("layers.0.weight")[:, -1].detach()
    with torch.no_grad():
        variance = mapping(x).var(correction=0)
    expected = float(u.square().mean() * x.var(correction=0) / variance)
    found = outputs_share(mapping, x, 1024 * chunk)
    # Relative spread of one permutation's mean: about sqrt(3 / 1024) / 2, eight of them.
    assert found == pytest.approx(expected, rel=0.1)


def test_share_is_zero_without_x_and_one_with_x_alone() -> None:
    model = small()
    layer = model.mapping.get_parameter("layers.0.weight")
    with torch.no_grad():
        saved = layer.clone()
        layer[:, -1] = 0
        assert model.circuit_share() == 0
        layer.copy_(saved)
        layer[:, :-1] = 0
        model.mapping.get_parameter("layers.2.bias").zero_()
    assert model.circuit_share() == pytest.approx(1, abs=0.15)


@pytest.mark.parametrize(
    "mapping",
    [MlpMapping((8,), chunk_size=38), AffineMapping(chunk_size=38), MpsMapping(2, chunk_size=38)],
)
def test_balanced_starts_with_half_of_the_variance_from_the_circuit(mapping: Mapping) -> None:
    shares = [small(seed, mapping=mapping).circuit_share() for seed in range(9)]
    assert 0.4 < median(shares) < 0.6
    assert all(0.25 < share < 0.75 for share in shares)


def test_reference_recipe_starts_with_less_than_two_percent() -> None:
    # Measured on the reference: 0.06 % (0 to 0.25 %) for the published model.
    shares = [
        QuantumTrain(
            network("cnn-mnist"),
            ansatz=U3Cu3(13, 1),
            mapping=AffineMapping(),
            scaling="qt",
            seed=seed,
        ).circuit_share()
        for seed in range(5)
    ]
    assert median(shares) < 0.02


def test_500_forwards_cost_one_circuit_and_one_mapping() -> None:
    model = small()
    x, _ = images(1)
    seen = evaluations(model)
    before = model.generator.usage.circuits
    with torch.no_grad():
        outputs = [model(x) for _ in range(500)]
    assert len(seen) == 1
    assert model.generator.usage.circuits - before == 1
    assert torch.equal(outputs[0], outputs[-1])
    torch.testing.assert_close(model(x).detach(), outputs[0])


def test_weights_follow_every_change_of_what_they_depend_on() -> None:
    model = small(scaling=Scaling("qt", learnable=True))
    seen = evaluations(model)

    def weight() -> Tensor:
        with torch.no_grad():
            return model.weights()["fc1.weight"]

    previous = weight()
    changes: list[Tensor] = [
        model.generator.angles.data,
        model.mapping.get_parameter("layers.0.weight").data,
        model.scaling.get_parameter("logs.alpha").data,
    ]
    for tensor in changes:
        tensor.mul_(1.1)  # through .data, which leaves no trace in torch's version counter
        now = weight()
        assert not torch.equal(now, previous)
        previous = now
    assert torch.equal(weight(), previous)
    assert len(seen) == 1 + len(changes)


def test_sampled_weights_change_only_with_refresh_or_new_angles() -> None:
    model = small(shots=200)
    with torch.no_grad():
        first, again = model.weights()["fc1.weight"], model.weights()["fc1.weight"]
        assert torch.equal(first, again)
        model.refresh()
        second = model.weights()["fc1.weight"]
        assert not torch.equal(first, second)
        model.generator.refresh()
        assert not torch.equal(model.weights()["fc1.weight"], second)


def test_gradients_accumulate_over_forwards_on_one_measurement() -> None:
    model = small(shots=500)
    x, y = images(20)
    F.cross_entropy(model(x), y).backward()
    both = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    circuits = model.generator.usage.circuits
    model.zero_grad()
    for half in (slice(0, 10), slice(10, 20)):
        (F.cross_entropy(model(x[half]), y[half]) / 2).backward()
    halves = [p.grad for p in model.parameters()]
    torch.testing.assert_close(halves, both, rtol=1e-4, atol=1e-7)
    assert model.generator.usage.circuits == circuits == 49


def test_same_seed_same_model() -> None:
    for shots in (None, 64):
        a, b, c = small(1, shots=shots), small(1, shots=shots), small(2, shots=shots)
        for model in (a, b, c):
            step(model)
        for name, value in a.weights().items():
            assert torch.equal(value, b.weights()[name])
            assert not torch.equal(value, c.weights()[name])


def test_global_random_state_is_not_touched() -> None:
    state = torch.get_rng_state()
    step(small(shots=10))
    assert torch.equal(torch.get_rng_state(), state)


def test_state_dict_restores_the_weights() -> None:
    a, b = small(1), small(2)
    step(a)
    b.load_state_dict(copy.deepcopy(a.state_dict()))
    for name, value in a.weights().items():
        assert torch.equal(value, b.weights()[name])


@pytest.mark.parametrize("shots", [None, 1, 7])
@pytest.mark.parametrize("scaling", ["balanced", "qt", "qpa", "qtrl"])
def test_gradients_are_finite_down_to_one_shot(shots: int | None, scaling: str) -> None:
    model = small(shots=shots, scaling=Scaling(scaling, learnable=True))
    x, y = images()
    loss = F.cross_entropy(model(x), y)
    loss.backward()
    assert torch.isfinite(loss)
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_angles_at_zero_give_finite_gradients() -> None:
    # All angles 0: p is one-hot exactly.
    model = small()
    with torch.no_grad():
        model.generator.angles.zero_()
    step(model)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_small_batch_is_learnt_by_heart() -> None:
    model = small()
    x, y = images()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
    for _ in range(200):
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
    assert (model(x).argmax(1) == y).all()


def test_export_is_an_ordinary_module_with_the_present_weights() -> None:
    model = small(shots=300)
    step(model)
    x, _ = images()
    exported = model.export()
    assert type(exported) is nn.Sequential
    assert {type(m).__module__.split(".")[0] for m in exported.modules()} == {"torch"}
    torch.testing.assert_close(exported(x), model(x).detach(), rtol=0, atol=0, check_layout=True)
    network().load_state_dict(exported.state_dict())
    assert all(p.requires_grad for p in exported.parameters())


def test_select_trains_the_rest_as_usual() -> None:
    model = QuantumTrain(
        network(), ansatz=RyCnot(4, 2), mapping=MlpMapping((4,), chunk_size=24), select="fc2.*"
    )
    report = model.parameter_report()
    assert (report.n_generated, report.n_kept, report.n_target) == (330, 2_080, 2_410)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    step(model)
    assert {"target.module.fc1.weight", "target.module.fc1.bias"} < set(before)
    assert all(not torch.equal(p, before[n]) for n, p in model.named_parameters())
    assert "target.module.fc1.weight" in model.state_dict()
    x, _ = images()
    torch.testing.assert_close(model.export()(x), model(x).detach())


def test_lstm_weights_receive_gradients() -> None:
    class Forecast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = nn.LSTM(2, 6, num_layers=2, batch_first=True)
            self.head = nn.Linear(6, 1)

        def forward(self, x: Tensor) -> Tensor:
            out: Tensor = self.head(self.lstm(x)[0][:, -1])
            return out

    torch.manual_seed(0)
    model = QuantumTrain(Forecast(), ansatz=RyCnot(5, 2), mapping=MlpMapping(chunk_size=20))
    weights = model.weights()
    out = model.target.call(weights, torch.randn(3, 4, 2))
    assert isinstance(out, Tensor)
    gradients = torch.autograd.grad(out.sum(), list(weights.values()), retain_graph=True)
    assert all((g != 0).any() for g in gradients)
    assert not torch.autograd.grad(out.sum(), model.generator.angles)[0].eq(0).all()
    copy.deepcopy(model)


def test_other_dtypes() -> None:
    model = small().to(torch.float64)
    x, y = images()
    out = model(x.double())
    assert out.dtype == torch.float64
    assert {w.dtype for w in model.weights().values()} == {torch.float64}
    F.cross_entropy(out, y).backward()
    single = model.float()(x)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), out, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_equals_cpu() -> None:
    model = small()
    x, y = images()
    expected = model(x).detach()
    F.cross_entropy(model(x), y).backward()
    gradient = model.generator.angles.grad
    assert gradient is not None
    moved = copy.deepcopy(model).cuda()
    moved.zero_grad()
    out = moved(x.cuda())
    torch.testing.assert_close(out.detach().cpu(), expected, rtol=1e-4, atol=1e-5)
    F.cross_entropy(out, y.cuda()).backward()
    assert moved.generator.angles.grad is not None
    torch.testing.assert_close(moved.generator.angles.grad.cpu(), gradient, rtol=1e-3, atol=1e-6)


def test_too_few_qubits_say_how_many_or_which_chunk() -> None:
    message = (
        r"2,410 weights in chunks of 1 need 12 qubits, .* has 6: use 12 qubits, or chunk_size=38"
    )
    with pytest.raises(InputError, match=message):
        small(mapping=MlpMapping())
    assert math.ceil(2_410 / 38) <= 2**6 < math.ceil(2_410 / 37)


def test_too_many_qubits_leave_bins_unused() -> None:
    model = small(ansatz=RyCnot(7, 2))
    report = model.parameter_report()
    assert (report.bins_used, report.bins) == (64, 128)
    step(model)


def test_weights_are_the_callers_own() -> None:
    model = small()
    x, _ = images()
    with torch.no_grad():
        expected = model(x)
        weights = model.weights()
        before = {name: value.clone() for name, value in weights.items()}
        for value in weights.values():
            value.zero_()
        assert torch.equal(model(x), expected)
    for name, value in model.export().named_parameters():
        assert torch.equal(value, before[name])


def test_a_target_that_writes_to_its_weights_leaves_the_cache_alone() -> None:
    target = nn.Sequential(nn.Embedding(30, 4, max_norm=0.01), nn.Linear(4, 2))
    model = QuantumTrain(target, ansatz=RyCnot(4, 2), mapping=MlpMapping(chunk_size=20))
    tokens = torch.arange(30)
    model(tokens).sum().backward()
    before = model.export().get_parameter("0.weight")
    assert before.norm(dim=1).max() > 0.1
    for mode in (torch.inference_mode, torch.no_grad):
        with mode():
            model(tokens)
    assert torch.equal(model.export().get_parameter("0.weight"), before)


def test_autocast_leaves_the_weights_in_full_precision() -> None:
    model, twin = small(), small()
    x, _ = images()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        # Weights made here first, and a model made here, are those of a model without autocast.
        with torch.no_grad():
            assert model(x).dtype == torch.bfloat16
        built = small()
        share = twin.circuit_share()
        trained = twin.weights()
    assert share == twin.circuit_share()
    expected = dict(small().export().named_parameters())
    for name, value in expected.items():
        assert torch.equal(model.export().get_parameter(name), value)
        assert torch.equal(built.export().get_parameter(name), value)
        torch.testing.assert_close(trained[name], value, rtol=1e-6, atol=1e-6)


def test_threads_share_one_generation_of_the_weights() -> None:
    model = small(shots=50)
    model.mapping.register_forward_hook(lambda *_: time.sleep(0.2))
    seen = evaluations(model)
    x, _ = images()
    found: list[Tensor] = []

    def work() -> None:
        with torch.no_grad():
            found.append(model(x))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == model.generator.step == 1
    assert all(torch.equal(out, found[0]) for out in found)


@pytest.mark.parametrize("seed", [None, "x", -1, 1.5, True])
def test_wrong_seeds_are_refused(seed: int) -> None:
    with pytest.raises(InputError, match="seed must be a whole number of at least 0, not"):
        QuantumTrain(nn.Linear(2, 2), ansatz=RyCnot(3, 1), mapping=MlpMapping(), seed=seed)


@pytest.mark.parametrize("ansatz", ["RyCnot", QuantumCircuit(6), None])
def test_what_is_not_an_ansatz_is_refused(ansatz: object) -> None:
    with pytest.raises(InputError, match=r"CircuitAnsatz\(circuit\)\), not"):
        small(ansatz=ansatz)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(InputError, match="target must be a torch module, not str"):
        QuantumTrain("net", ansatz=RyCnot(6, 4), mapping=MlpMapping())  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"mapping must be .* not Linear"):
        small(mapping=nn.Linear(2, 2))
    with pytest.raises(InputError, match=r"scaling must be .* not float"):
        small(scaling=0.3)
    with pytest.raises(UnknownName, match="scaling recipe 'blanced'"):
        small(scaling="blanced")
    with pytest.raises(InputError, match="shots"):
        small(shots=0)
