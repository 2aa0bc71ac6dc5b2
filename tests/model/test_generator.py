"""Probabilities and their gradients, exact and measured, against each other and theory."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import qt_hw as qt
from qt_hw.errors import CheckpointError, InputError, PreflightError, UnknownName
from qt_hw.execution.statevector_backend import StatevectorBackend
from qt_hw.model.generator import Generator

PRODUCT = qt.ProductAnsatz([qt.U3Cu3(2, 1), qt.RyCnot(3, 2)])


def problem(ansatz, batch=2):
    rng = np.random.default_rng(7)
    angles = torch.tensor(rng.uniform(-3, 3, (batch, ansatz.n_angles)), requires_grad=True)
    cotangent = torch.tensor(rng.normal(size=(batch, 2**ansatz.n_qubits)))
    return angles, cotangent


def slope(ansatz, angles, cotangent, **options):
    p = qt.probabilities(ansatz, angles, **options)
    return torch.autograd.grad((p * cotangent).sum(), angles)[0]


@pytest.mark.parametrize("form", ["native", "lowered"])
@pytest.mark.parametrize("rule", ["parameter-shift", "subset(10000)"])
@pytest.mark.parametrize("ansatz", [PRODUCT, qt.U3Cu3(3, 2), qt.HardwareEfficient(3, 1)], ids=str)
def test_rules_without_noise_equal_the_exact_gradient(ansatz, rule, form):
    angles, cotangent = problem(ansatz)
    backend = qt.backend("statevector", form=form)
    exact = slope(ansatz, angles, cotangent, backend=backend)
    shifted = slope(ansatz, angles, cotangent, backend=backend, gradient=rule)
    torch.testing.assert_close(shifted, exact, atol=1e-13, rtol=0)


@pytest.mark.parametrize("rule", ["parameter-shift", "exact", "subset(4)", "spsa(step=0.01)"])
def test_estimates_are_unbiased(rule):
    angles, cotangent = problem(PRODUCT, 1)
    exact = slope(PRODUCT, angles, cotangent)
    shots = None if rule.startswith("spsa") else 300
    draws = torch.stack(
        [slope(PRODUCT, angles, cotangent, gradient=rule, shots=shots, seed=s) for s in range(200)]
    )
    sigma = draws.std(dim=0) / np.sqrt(len(draws))
    # A zero sigma belongs to angles whose estimate does not fluctuate, up to rounding; SPSA
    # has a bias of the order of its step squared.
    assert ((draws.mean(dim=0) - exact).abs() < 5 * sigma + 2e-4).all()
    assert (sigma > 0).any() or rule == "exact"


def test_shot_noise_of_the_gradient_has_the_multinomial_variance():
    ansatz, shots = qt.RyCnot(2, 1), 200
    angles, cotangent = problem(ansatz, 1)
    draws = torch.stack([slope(ansatz, angles, cotangent, shots=shots, seed=s) for s in range(800)])
    form = ansatz.form("lowered")
    variance = np.zeros(2)
    for i in range(2):
        for sign in (1, -1):
            shifted = angles.detach().clone()
            shifted[0, i] += sign * np.pi / 2
            p = qt.probabilities(ansatz, shifted).numpy()[0]
            g = cotangent.numpy()[0]
            variance[i] += 0.25 * ((g**2 * p).sum() - (g @ p) ** 2) / shots
    assert len(form.b) == 2
    # The relative error of a variance from N draws is sqrt(2 / N): 6 sigma.
    np.testing.assert_allclose(draws[:, 0].var(dim=0), variance, rtol=6 * np.sqrt(2 / 800))


def test_frequencies_of_one_shape_or_a_batch():
    angles, _ = problem(PRODUCT)
    p = qt.probabilities(PRODUCT, angles, shots=50, seed=1)
    assert p.shape == (2, 32) and p.dtype == torch.float64
    assert qt.probabilities(PRODUCT, angles[0], shots=50, seed=1).shape == (32,)
    torch.testing.assert_close(p.sum(dim=1), torch.ones(2, dtype=torch.float64))
    # Each factor is measured by itself: products of multiples of 1/50.
    torch.testing.assert_close((p * 2500).round(), p * 2500, atol=1e-9, rtol=0)


def test_seeds_decide_and_none_draws_anew():
    angles, cotangent = problem(PRODUCT)

    def draw(seed):
        p = qt.probabilities(PRODUCT, angles, shots=100, seed=seed)
        return torch.cat(
            [p.detach().flatten(), torch.autograd.grad((p * cotangent).sum(), angles)[0].flatten()]
        )

    assert torch.equal(draw(3), draw(3))
    assert not torch.equal(draw(3), draw(4))
    assert not torch.equal(draw(None), draw(None))


def test_single_precision_angles_get_single_precision_gradients():
    angles = torch.zeros(6, requires_grad=True)
    qt.probabilities(qt.RyCnot(3, 2), angles)[1].backward()
    assert angles.grad is not None and angles.grad.dtype == torch.float32


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"shots": 0}, "at least 1"),
        ({"shots": -1}, "at least 1"),
        ({"seed": -1}, "seed must be"),
        ({"seed": 1.5}, "seed must be"),
        ({"gradient": "subset(0)"}, "at least 1"),
        ({"gradient": "spsa(step=9)"}, "0 < step"),
        ({"gradient": "spsa(step=x)"}, "must be a number"),
        ({"mitigation": "readout"}, "exact probabilities have no errors to mitigate"),
    ],
)
def test_wrong_options_are_refused(options, words):
    with pytest.raises(InputError, match=words):
        qt.probabilities(qt.RyCnot(2, 1), torch.zeros(2), **options)


@pytest.mark.parametrize(
    ("options", "guess"),
    [
        ({"gradient": "parameter_shift"}, "parameter-shift"),
        ({"gradient": "spsa(steps=1)"}, "step"),
        ({"backend": "state-vector"}, "statevector"),
    ],
)
def test_mistyped_names_get_a_suggestion(options, guess):
    with pytest.raises(UnknownName, match=f"did you mean '{guess}'"):
        qt.probabilities(qt.RyCnot(2, 1), torch.zeros(2), **options)


@pytest.mark.parametrize(
    ("angles", "words"),
    [
        (torch.zeros(3), r"shape \(3,\); this ansatz takes \(2,\)"),
        (torch.zeros(1, 1, 2), r"shape \(1, 1, 2\)"),
        (torch.tensor([0.0, float("nan")]), "NaN"),
        (torch.tensor([0.0, float("inf")]), "NaN or an infinity"),
        (torch.zeros(2, dtype=torch.complex64), "real numbers"),
    ],
)
def test_wrong_angles_are_refused(angles, words):
    with pytest.raises(InputError, match=words):
        qt.probabilities(qt.RyCnot(2, 1), angles)


def test_a_circuit_is_no_ansatz():
    with pytest.raises(InputError, match=r"CircuitAnsatz\(circuit\)"):
        qt.probabilities(qt.RyCnot(2, 1).circuit(), torch.zeros(2))  # type: ignore[arg-type]


def test_the_papers_cifar_generator_is_refused_with_shots_but_not_exactly():
    ansatz = qt.U3Cu3(19, 95)
    with pytest.raises(PreflightError, match="21,623 vectors"):
        Generator(ansatz, shots=1000)
    assert Generator(ansatz, shots=1000, gradient="spsa").setup.n_shifts == 2
    assert Generator(ansatz).setup.rule.text == "exact"


class Counting(StatevectorBackend):
    """The exact engine; it notes what is run."""

    def __init__(self):
        super().__init__()
        self.roles: list[list[str]] = []

    def _run(self, batch):
        self.roles.append([f"{i.role}{len(i.bindings)}" for i in batch.items])
        return super()._run(batch)


def test_vectors_are_measured_once_per_value_of_the_angles():
    backend = Counting()
    generator = Generator(qt.RyCnot(3, 2), backend=backend, shots=100)
    first, second = generator(), generator()
    assert torch.equal(first, second) and backend.roles == [["base1"]]
    first.square().sum().backward()
    once = generator.angles.grad.clone()
    second.square().sum().backward()
    torch.testing.assert_close(generator.angles.grad, 2 * once)
    assert backend.roles == [["base1"], ["shift12"]]
    with torch.no_grad():
        generator.angles += 0.1
    assert not torch.equal(generator(), first)
    assert generator.step == 2
    assert (generator.usage.circuits, generator.usage.shots) == (14, 1400)


def test_evaluation_measures_no_shifts_and_training_reuses_its_base():
    backend = Counting()
    generator = Generator(qt.RyCnot(3, 2), backend=backend, shots=100)
    with torch.no_grad():
        quiet = generator()
    loud = generator()
    assert torch.equal(quiet, loud) and generator.step == 1
    loud[0].backward()
    assert backend.roles == [["base1"], ["shift12"]]


def test_refresh_measures_anew():
    generator = Generator(qt.RyCnot(3, 2), shots=100)
    first = generator()
    generator.refresh()
    assert not torch.equal(first, generator())
    assert generator.step == 2


@pytest.mark.parametrize("measured", [False, True])
def test_a_restored_generator_continues_with_the_same_numbers(measured):
    def advance(generator, steps):
        values = []
        for _ in range(steps):
            generator.zero_grad()
            p = generator()
            p.square().sum().backward()
            with torch.no_grad():
                generator.angles -= generator.angles.grad
            values.append(p.detach())
        return torch.stack(values)

    def fresh():
        return Generator(qt.U3Cu3(2, 1), shots=64, gradient="subset(3)", seed=5)

    whole = fresh()
    expected = advance(whole, 6)
    broken = fresh()
    start = advance(broken, 3)
    if measured:
        with torch.no_grad():
            broken()
    state = dict(broken.state_dict())
    resumed = fresh()
    resumed.load_state_dict(state)
    assert torch.equal(resumed.get_extra_state(), broken.get_extra_state())
    assert torch.equal(torch.cat([start, advance(resumed, 3)]), expected)
    assert torch.equal(resumed.angles, whole.angles)
    assert resumed.usage == whole.usage and resumed.step == whole.step


def test_a_damaged_state_is_refused():
    generator = Generator(qt.RyCnot(2, 1))
    with pytest.raises(CheckpointError, match="damaged"):
        generator.set_extra_state({"step": "x"})
    with pytest.raises(CheckpointError, match="damaged"):
        generator.set_extra_state(torch.tensor([1, 2]))


def test_initial_angles_come_from_the_seed_alone():
    torch.manual_seed(1)
    one = Generator(qt.U3Cu3(3, 4), seed=2).angles
    torch.manual_seed(2)
    two = Generator(qt.U3Cu3(3, 4), seed=2).angles
    assert torch.equal(one, two) and one.abs().max() < np.pi < 2 * one.abs().max()
    given = Generator(qt.RyCnot(2, 1), angles=torch.tensor([0.1, 0.2]))
    assert given.angles.tolist() == pytest.approx([0.1, 0.2])
    with pytest.raises(InputError, match=r"must be \(2,\)"):
        Generator(qt.RyCnot(2, 1), angles=torch.zeros(1, 2))
    with pytest.raises(InputError, match="NaN"):
        generator = Generator(qt.RyCnot(2, 1))
        with torch.no_grad():
            generator.angles[0] = float("nan")
        generator()


def test_the_description_names_form_and_circuits():
    text = Generator(qt.U3Cu3(8, 4), shots=10).describe()
    assert text["form"] == ["lowered"]
    assert text["circuits_per_step"] == {"base": 1, "shifted": 368}
    assert text["shifted_circuits_by_form"] == {"native": 418, "lowered": 368}


def test_large_sets_of_shifted_vectors_are_drawn_in_parts():
    # A small memory limit: several items, none of them kept between backward passes.
    small = qt.backend("statevector", memory_limit=1 << 20)
    ansatz = qt.ProductAnsatz([qt.RyCnot(11, 4), qt.U3Cu3(2, 1)])
    angles, cotangent = problem(ansatz, 1)
    backend = Counting()
    backend.limits = small.limits
    p = qt.probabilities(ansatz, angles, shots=100, seed=1, backend=backend)
    first, again = (
        torch.autograd.grad((p * cotangent).sum(), angles, retain_graph=True)[0] for _ in range(2)
    )
    assert torch.equal(first, again)
    # 2**20 / 32 bins are 16 vectors of 11 qubits: 88 rows in six items, drawn for each pass.
    sizes = [roles for roles in backend.roles if roles[0].startswith("shift")]
    assert sizes.count(["shift16"]) == 2 * 5 and sizes.count(["shift8"]) == 2
    exact = slope(ansatz, angles, cotangent, gradient="parameter-shift", backend=small)
    torch.testing.assert_close(exact, slope(ansatz, angles, cotangent), atol=1e-13, rtol=0)


def test_exact_probabilities_obey_the_limits_too():
    backend = qt.backend("statevector", memory_limit=1 << 20)
    with pytest.raises(PreflightError, match="16 qubits, the backend takes 13"):
        qt.probabilities(qt.RyCnot(16, 1), torch.zeros(16), backend=backend)
    # More rows than fit at a time give the same numbers and gradients.
    angles, cotangent = problem(qt.U3Cu3(6, 1), 40)
    found = slope(qt.U3Cu3(6, 1), angles, cotangent, backend=backend)
    torch.testing.assert_close(found, slope(qt.U3Cu3(6, 1), angles, cotangent))


def test_a_first_call_in_inference_mode_leaves_training_possible():
    ansatz = qt.RyCnot(3, 3, ring=True)
    generator = Generator(ansatz)
    with torch.inference_mode():
        generator()
    generator()[0].backward()
    assert generator.angles.grad is not None


def test_a_circuit_without_live_angles_has_zero_gradient():
    from qiskit import QuantumCircuit
    from qiskit.circuit import Parameter

    circuit = QuantumCircuit(2)
    circuit.h(1)
    circuit.rz(Parameter("t"), 1)
    for form, rule in itertools.product(("native", "lowered"), ("exact", "parameter-shift")):
        angles = torch.ones(1, dtype=torch.float64, requires_grad=True)
        backend = qt.backend("statevector", form=form)
        p = qt.probabilities(qt.CircuitAnsatz(circuit), angles, gradient=rule, backend=backend)
        p[0].backward()
        assert angles.grad is not None and abs(angles.grad.item()) < 1e-15


@pytest.mark.parametrize("angles", [None, "abc", [[0.0], [0.0, 1.0]], np.array([object()])])
def test_angles_that_are_no_numbers_are_refused(angles):
    with pytest.raises(InputError, match="angles must be"):
        qt.probabilities(qt.RyCnot(2, 1), angles)


def test_reversed_arrays_are_taken_and_empty_batches_refused():
    p = qt.probabilities(qt.RyCnot(2, 1), np.array([0.3, 1.0])[::-1])
    torch.testing.assert_close(p, qt.probabilities(qt.RyCnot(2, 1), torch.tensor([1.0, 0.3])))
    with pytest.raises(InputError, match=r"shape \(0, 2\)"):
        qt.probabilities(qt.RyCnot(2, 1), torch.zeros(0, 2))


def test_angles_keep_their_precision_and_states_can_be_cloned():
    generator = Generator(qt.RyCnot(3, 2), seed=3, shots=10)
    before = generator.angles.detach().clone()
    assert torch.equal(generator.float().angles, before)
    state = {key: value.clone() for key, value in generator.state_dict().items()}
    Generator(qt.RyCnot(3, 2), shots=10).load_state_dict(state)


def test_copies_carry_no_vectors_but_draw_the_same_again():
    import copy
    import io

    generator = Generator(qt.U3Cu3(6, 2), shots=50)
    p = generator()
    p.sum().backward()
    twin = copy.deepcopy(generator)
    assert torch.equal(twin(), p) and twin.step == generator.step
    assert twin.usage == generator.usage
    buffer = io.BytesIO()
    torch.save(generator.state_dict(), buffer)
    assert buffer.tell() < 10_000


def test_spsa_takes_a_whole_number_of_directions():
    for wrong in ("1.7", "inf", "0", "nan"):
        with pytest.raises(InputError, match="whole number of directions"):
            qt.probabilities(qt.RyCnot(2, 1), torch.zeros(2), gradient=f"spsa(directions={wrong})")
