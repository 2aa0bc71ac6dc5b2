from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from scipy import stats
from torch import Tensor, nn

from qt_hw.circuits.builtin import RyCnot
from qt_hw.circuits.custom import CircuitAnsatz
from qt_hw.errors import ConfigError, InputError, UnknownName
from qt_hw.model.controls import CONTROLS, VECTOR_CONTROLS, WEIGHT_CONTROLS, describe
from qt_hw.model.controls.hypernetwork import largest_width, n_label_parameters
from qt_hw.model.controls.low_rank import largest_rank, n_factors
from qt_hw.model.controls.make import Recipe, make_control, quantum_count
from qt_hw.model.controls.permuted import permuted_export
from qt_hw.model.controls.shared import hashed
from qt_hw.model.controls.vectors import ProductVector, drawn
from qt_hw.model.generator import probabilities
from qt_hw.model.mapping import MlpMapping, MpsMapping
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.model.scaling import Scaling
from qt_hw.model.trainable import Trainable

LR = 0.05


def net(seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(64, 5))


def recipe(**changes: object) -> Recipe:
    fields = {
        "target": net(),
        "ansatz": RyCnot(4, 2),
        "mapping": MlpMapping((3,), chunk_size=23),
        "scaling": Scaling(),
        "seed": 3,
        "steps": 10,
    }
    return Recipe(**{**fields, **changes})  # type: ignore[arg-type]


def flat(model: Trainable) -> Tensor:
    with torch.no_grad():
        return torch.cat([w.flatten() for w in model.weights().values()])


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(20, 1, 6, 6, generator=generator), torch.arange(20) % 5


def trained(model: Trainable, steps: int = 10) -> Trainable:
    x, y = batch()
    free = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(free, lr=LR)
    for step in range(1, steps + 1):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        model.stepped(step)
    return model


def quantum() -> QuantumTrain:
    made = recipe()
    return QuantumTrain(
        made.target, ansatz=made.ansatz, mapping=made.mapping, scaling=made.scaling, seed=made.seed
    )


def test_names_are_described_in_order() -> None:
    assert CONTROLS == VECTOR_CONTROLS + WEIGHT_CONTROLS
    assert len(set(CONTROLS)) == 12
    assert all("\n" not in describe(name) and "?" in describe(name) for name in CONTROLS)
    with pytest.raises(UnknownName, match="did you mean 'pruned'"):
        describe("prune")
    with pytest.raises(UnknownName):
        make_control("none", recipe())


@pytest.mark.parametrize("name", CONTROLS)
def test_every_control_is_a_seeded_trainable_model(name: str) -> None:
    model, again = make_control(name, recipe()), make_control(name, recipe())
    assert torch.equal(flat(model), flat(again))
    other = make_control(name, recipe(seed=4))
    fixed_start = ("direct", "smaller-target", "pruned", "low-rank")  # the target's own
    assert torch.equal(flat(model), flat(other)) == (name in fixed_start)
    x, y = batch()
    nn.functional.cross_entropy(model(x), y).backward()
    free = [p for p in model.parameters() if p.requires_grad]
    assert all(p.grad is not None for p in free)
    assert sum(float(p.grad.abs().sum()) for p in free) > 0
    before = flat(model)
    trained(model)
    assert not torch.equal(flat(model), before)
    assert torch.equal(flat(model), flat(trained(again)))
    module = model.export()
    assert isinstance(module, nn.Sequential)
    assert torch.equal(module(x), model(x))
    assert sum(p.numel() for p in module.parameters()) == 365
    copied = make_control(name, recipe(target=net()))
    copied.load_state_dict(model.state_dict())
    assert torch.equal(flat(copied), flat(model))


@pytest.mark.parametrize("name", CONTROLS)
def test_counts_are_what_is_trained_and_at_most_the_quantum_models(name: str) -> None:
    most = quantum_count(recipe())
    assert most == quantum().parameter_report().n_trained
    model = make_control(name, recipe())
    report = model.parameter_report()
    assert sum(report.breakdown.values()) == report.n_trained
    free = sum(p.numel() for p in model.parameters() if p.requires_grad)
    assert report.n_trained == (most if name == "pruned" else free)
    assert (report.n_target, report.n_generated, report.n_kept) == (365, 365, 0)
    larger = {"direct": 365, "smaller-target": 365, "learned-vector": most - 8 + 16}
    assert report.n_trained == larger.get(name, report.n_trained)
    assert report.n_trained <= most or name in larger
    assert model.generator.usage.circuits == (name == "frozen-angles")
    assert "qubits" in str(report) if name in VECTOR_CONTROLS else "qubits" not in str(report)


@pytest.mark.parametrize("name", CONTROLS)
def test_what_select_leaves_out_is_trained_as_usual(name: str) -> None:
    made = recipe(select=("3.*",))
    model = make_control(name, made)
    own = dict(model.target.named_parameters())
    assert set(own) == {"module.0.weight", "module.0.bias"}
    report = model.parameter_report()
    assert (report.n_generated, report.n_kept, report.n_target) == (325, 40, 365)
    before = {key: value.detach().clone() for key, value in own.items()}
    exported = trained(model).export()
    assert all(not torch.equal(before[key], value) for key, value in own.items())
    assert torch.equal(exported[0].weight, own["module.0.weight"])


@pytest.mark.parametrize("name", ["porter-thomas", "dirichlet", "uniform", "frozen-angles"])
def test_frozen_vectors_stay(name: str) -> None:
    model = make_control(name, recipe())
    before = model.generator.ideal()
    assert not any(p.requires_grad for p in model.generator.parameters())
    trained(model)
    assert torch.equal(model.generator.ideal(), before)
    assert float(before.sum()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("name", ["learned-vector", "product"])
def test_trained_vectors_move(name: str) -> None:
    model = make_control(name, recipe())
    before = model.generator.ideal()
    after = trained(model).generator.ideal()
    assert float((after - before).abs().max()) > 1e-3
    assert float(after.sum()) == pytest.approx(1, abs=1e-12)


def test_learned_vector_starts_at_the_porter_thomas_draw() -> None:
    learned = make_control("learned-vector", recipe()).generator()
    frozen = make_control("porter-thomas", recipe()).generator()
    assert torch.allclose(learned, frozen, rtol=1e-12)
    assert torch.equal(frozen, drawn(16, 1.0, 3))


@pytest.mark.parametrize(("concentration", "variance"), [(1.0, 1.0), (0.5, 2.0)])
def test_draws_are_symmetric_dirichlet(concentration: float, variance: float) -> None:
    """D·p of Dirichlet(a) is a·D/(a·D + 1)… ≈ Gamma(a)/a for many outcomes, with variance 1/a."""
    n = 1 << 14
    r = n * drawn(n, concentration, 0).numpy()
    law = stats.gamma(concentration, scale=1 / concentration)
    assert stats.kstest(r, law.cdf).pvalue > 0.01
    sigma = math.sqrt((law.stats("k") + 2) / n) * variance
    assert r.var() == pytest.approx(variance, abs=5 * sigma)


def test_draws_are_those_of_random_states() -> None:
    """A random complex state has Porter–Thomas outcomes, a random real one Dirichlet(1/2)."""
    rng, n = np.random.default_rng(0), 1 << 14
    for concentration, state in (
        (1.0, rng.standard_normal(n) + 1j * rng.standard_normal(n)),
        (0.5, rng.standard_normal(n)),
    ):
        p = np.abs(state) ** 2
        found = stats.ks_2samp(drawn(n, concentration, 1).numpy(), p / p.sum())
        assert found.pvalue > 0.01


def test_product_is_a_layer_of_rotations() -> None:
    circuit = QuantumCircuit(4)
    for qubit in range(4):
        circuit.ry(Parameter(f"t{qubit}"), qubit)
    source = ProductVector("product", 4, seed=9)
    wanted = probabilities(CircuitAnsatz(circuit), source.angles.detach())
    assert torch.allclose(source(), wanted, atol=1e-14)


def test_frozen_angles_are_those_the_quantum_model_starts_with() -> None:
    frozen, start = make_control("frozen-angles", recipe()), quantum()
    assert torch.equal(flat(frozen), flat(start))
    trained(frozen)
    assert frozen.generator.usage.circuits == 1
    assert torch.equal(frozen.generator(), start.generator().detach())


def test_only_the_vector_differs_in_vector_controls() -> None:
    start = quantum()
    for name in VECTOR_CONTROLS:
        model = make_control(name, recipe())
        for key, value in start.mapping.state_dict().items():
            assert torch.equal(model.mapping.state_dict()[key], value)
        assert torch.equal(model.output.scale, start.output.scale)
        assert torch.equal(model.output.gain, start.output.gain)


def test_uniform_leaves_the_labels_alone() -> None:
    model = make_control("uniform", recipe())
    x = model._features(model.generator(), None)
    assert float(x.abs().max()) < 1e-9
    assert model.circuit_share() < 1e-9
    assert make_control("porter-thomas", recipe()).circuit_share() > 0.2


def test_single_precision_of_the_model_leaves_the_vector_double() -> None:
    for name in ("porter-thomas", "learned-vector"):
        model = make_control(name, recipe())
        before = model.generator().detach().clone()
        model.float()
        assert model.generator().dtype == torch.float64
        assert torch.equal(model.generator(), before)


def test_hypernetwork_is_as_wide_as_can_be() -> None:
    most = quantum_count(recipe())
    model = make_control("hypernetwork", recipe())
    width = largest_width(4, 23, most)
    count = n_label_parameters(4, 23, width)
    assert model.parameter_report().n_trained == count <= most
    assert n_label_parameters(4, 23, width + 1) > most
    assert not any("labels" in key for key in model.state_dict())


def test_hypernetwork_starts_with_the_targets_own_spread() -> None:
    weights = make_control("hypernetwork", recipe()).weights()
    for slot, value in ((key, weights[key].detach()) for key in ("0.weight", "3.weight")):
        own = dict(net().named_parameters())[slot].detach()
        assert float(value.mean()) == pytest.approx(float(own.mean()), abs=1e-5)
        assert float(value.std()) <= 1.01 * float(own.std())


def test_hypernetwork_that_cannot_be_says_what_to_lower() -> None:
    with pytest.raises(ConfigError, match=r"hypernetwork needs 374 .* trains 208: lower mapping"):
        made = recipe(mapping=MpsMapping(1, chunk_size=183), ansatz=RyCnot(7, 1))
        make_control("hypernetwork", made)


def test_direct_is_the_target_trained_by_the_same_optimiser() -> None:
    module, (x, y) = net(), batch()
    optimizer = torch.optim.Adam(module.parameters(), lr=LR)
    for _ in range(10):
        optimizer.zero_grad()
        nn.functional.cross_entropy(module(x), y).backward()
        optimizer.step()
    own = torch.cat([p.detach().flatten() for p in module.parameters()])
    assert torch.equal(flat(trained(make_control("direct", recipe()))), own)


def test_pruned_keeps_the_largest_weights_half_way() -> None:
    most = quantum_count(recipe())
    model, direct = make_control("pruned", recipe()), make_control("direct", recipe())
    trained(model, 4)
    assert int((flat(model) != 0).sum()) == 365
    half = flat(trained(make_control("pruned", recipe()), 5))
    dense = flat(trained(direct, 5)).abs()
    assert int((half != 0).sum()) == most < 365
    assert float(dense[half != 0].min()) >= float(dense[half == 0].max())
    whole = flat(trained(make_control("pruned", recipe()), 10))
    assert torch.equal(whole != 0, half != 0)
    assert not torch.equal(whole, half)


def test_shared_weights_have_as_many_values_as_buckets() -> None:
    most = quantum_count(recipe())
    model = trained(make_control("shared", recipe()))
    buckets = model.buckets.numel()
    # A hash misses a bucket with probability exp(-M/K); the number missed has less variance.
    missed = most * math.exp(-365 / most)
    assert 0 < buckets <= most
    assert most - buckets == pytest.approx(missed, abs=5 * math.sqrt(missed))
    values, parameters = model.weights(), dict(net().named_parameters())
    seen = set()
    for slot in model.target.slots:
        own = parameters[slot.name].detach().double()
        scaled = (values[slot.name].detach().double() - own.mean()) / own.std(correction=0)
        seen |= {round(float(v), 3) for v in scaled.abs().flatten()}
    assert len(seen) <= buckets


def test_hash_spreads_evenly() -> None:
    """SplitMix64 of Steele et al. 2014: the first output for seed 0 is the reference's."""
    codes = hashed(20_000, 5)
    counts = np.bincount((codes >> np.uint64(1)) % np.uint64(100), minlength=100)
    assert stats.chisquare(counts).pvalue > 0.001
    signs = int((codes & np.uint64(1)).sum())
    assert signs == pytest.approx(10_000, abs=5 * math.sqrt(5_000))
    assert not np.array_equal(codes, hashed(20_000, 6))
    assert hashed(3, 0).tolist() == [0xE220A8397B1DCDAF, 0x6E789E6AA1B965F4, 0x06C45D188009454F]


def test_low_rank_changes_have_the_largest_rank_that_fits() -> None:
    made = recipe()
    most = quantum_count(made)
    model = make_control("low-rank", made)
    parameters = dict(made.target.named_parameters())
    shapes = [tuple(p.shape) for p in parameters.values()]
    rank = largest_rank(shapes, most)
    assert model.parameter_report().n_trained == n_factors(shapes, rank) <= most
    assert n_factors(shapes, rank + 1) > most
    assert torch.equal(flat(model), torch.cat([p.detach().flatten() for p in parameters.values()]))
    values = trained(model).weights()
    for name, before in parameters.items():
        change = (values[name] - before).detach().flatten(1 if before.ndim > 1 else 0)
        assert float(change.abs().max()) > 0
        if before.ndim > 1:
            assert int(torch.linalg.matrix_rank(change.double(), rtol=1e-5)) == rank


def test_low_rank_is_one_where_even_that_is_too_much() -> None:
    shapes = [(32, 64), (32,)]
    assert (largest_rank(shapes, 10), n_factors(shapes, 1)) == (1, 128)
    assert largest_rank(shapes, 10**6) == 32


def test_tied_weights_stay_tied() -> None:
    target = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))
    target[2].weight = target[0].weight
    for name in WEIGHT_CONTROLS:
        exported = make_control(name, recipe(target=target)).export()
        assert exported[2].weight is exported[0].weight


def test_the_quantum_model_must_be_possible() -> None:
    for name in ("porter-thomas", "hypernetwork", "shared"):
        with pytest.raises(InputError, match="need 9 qubits, but the ansatz has 4"):
            make_control(name, recipe(mapping=MlpMapping((3,))))


def test_permuted_bins_keep_the_vector_and_move_the_weights() -> None:
    model = quantum()
    before = flat(model)
    module = permuted_export(model, seed=0)
    moved = torch.cat([p.detach().flatten() for p in module.parameters()])
    assert not torch.equal(moved, before)
    assert torch.equal(flat(model), before)
    again = permuted_export(copy.deepcopy(model), seed=0)
    assert all(
        torch.equal(a, b) for a, b in zip(module.parameters(), again.parameters(), strict=True)
    )
    other = permuted_export(model, seed=1)
    assert not torch.equal(next(iter(other.parameters())), next(iter(module.parameters())))


def test_permuted_bins_do_not_matter_where_p_does_not() -> None:
    model = make_control("uniform", recipe())
    module = permuted_export(model, seed=0)
    moved = torch.cat([p.detach().flatten() for p in module.parameters()])
    assert torch.allclose(moved, flat(model), atol=1e-7)
