"""Circuits in place of one: weights, shares, scales, and the same unitary."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import Operator

from qt_hw.errors import InputError
from qt_hw.mitigation.extrapolation import coefficients
from qt_hw.mitigation.techniques import Readout, Rescale, Technique, Twirling, Zne
from qt_hw.mitigation.variants import make_variants, of_kind, split_shots


def example() -> QuantumCircuit:
    a = ParameterVector("a", 4)
    circuit = QuantumCircuit(3, metadata={"physical_qubits": [4, 5, 6]})
    for qubit in range(3):
        circuit.ry(a[qubit], qubit)
    circuit.cx(0, 1)
    circuit.rz(a[3], 1)
    circuit.cx(1, 2)
    return circuit


CASES: list[tuple[Technique, ...]] = [
    (),
    (Readout(),),
    (Zne(),),
    (Zne(scales=(1, 2, 3), fit="richardson", folding="layers"),),
    (Zne(scales=(1, 3, 5, 7), fit="polynomial", order=2),),
    (Twirling(variants=3),),
    (Readout(), Twirling(variants=3), Zne()),
    (Rescale(),),
    (Rescale(fit="data"),),
    (Twirling(variants=2), Rescale(fit="data")),
]


@pytest.mark.parametrize("techniques", CASES)
def test_all_variants_are_the_same_unitary(techniques: tuple[Technique, ...]) -> None:
    circuit = example()
    values = np.random.default_rng(0).uniform(-3, 3, 4)
    unitary = Operator(circuit.assign_parameters(values))
    made = make_variants(techniques, circuit, equal=False)
    for one in made:
        assert list(one.circuit.parameters) == list(circuit.parameters)
        assert one.circuit.metadata == circuit.metadata
        assert Operator(one.circuit.assign_parameters(values)).equiv(unitary)
    assert sum(one.weight for one in made) == pytest.approx(1.0)
    assert sum(one.share for one in made) == pytest.approx(1.0)
    assert len({one.role for one in made}) == len(made)


def test_nothing_leaves_the_circuit_as_it_is() -> None:
    circuit = example()
    for techniques in ((), (Readout(),), (Rescale(),), (Rescale(fit="data", decay=0.9),)):
        (one,) = make_variants(techniques, circuit, equal=False)
        assert one.circuit is circuit and one.role == ""


@pytest.mark.parametrize("equal", [False, True])
def test_extrapolation_weighs_the_scales_that_were_reached(equal: bool) -> None:
    made = make_variants([Zne(scales=(1, 2, 3), fit="polynomial")], example(), equal=equal)
    scales = [one.scale for one in made]
    cx = [one.circuit.count_ops()["cx"] for one in made]
    assert scales == [count / 2 for count in cx] == [1.0, 2.0, 3.0]
    expected = coefficients(scales, 2)
    np.testing.assert_allclose([one.weight for one in made], expected, rtol=1e-12)
    shares = np.full(3, 1 / 3) if equal else np.abs(expected) / np.abs(expected).sum()
    np.testing.assert_allclose([one.share for one in made], shares, rtol=1e-12)
    assert [one.role for one in made] == ["", "fold(2)", "fold(3)"]


def test_what_the_user_says_of_the_split_wins() -> None:
    for split, share in (("equal", 0.5), ("proportional", 0.75)):
        for equal in (False, True):
            first, _ = make_variants([Zne(split=split)], example(), equal=equal)  # type: ignore[arg-type]
            assert first.share == pytest.approx(share)


def test_folds_are_twirled_not_twirls_folded() -> None:
    circuit = example()
    made = make_variants([Zne(), Twirling(variants=2, seed=3)], circuit, equal=False)
    assert [one.role for one in made] == [
        "twirl(1)",
        "twirl(2)",
        "fold(3) twirl(1)",
        "fold(3) twirl(2)",
    ]
    assert [one.weight for one in made] == pytest.approx([0.75, 0.75, -0.25, -0.25])
    assert [one.share for one in made] == pytest.approx([0.375, 0.375, 0.125, 0.125])
    # Each of the six gates of a fold has Paulis of its own: no copy repeats them.
    texts = [str([i.operation.name for i in one.circuit.data]) for one in made]
    assert len(set(texts)) == 4
    again = make_variants([Zne(), Twirling(variants=2, seed=3)], circuit, equal=False)
    assert [one.circuit for one in again] == [one.circuit for one in made]


def test_a_decay_of_the_same_shots_takes_half_of_them() -> None:
    first, second = make_variants([Rescale(fit="data")], example(), equal=True)
    assert (first.share, second.share) == (0.5, 0.5)
    assert (first.weight, second.weight, second.scale) == (1.0, 0.0, 3.0)


def test_what_cannot_be_twirled_or_reached_is_said() -> None:
    circuit = QuantumCircuit(2)
    circuit.rzz(0.3, 0, 1)
    with pytest.raises(InputError, match="rzz"):
        make_variants([Twirling()], circuit, equal=False)
    short = QuantumCircuit(2)
    short.cx(0, 1)
    with pytest.raises(InputError, match="too few gates"):
        make_variants([Zne(scales=(1, 2))], short, equal=False)


@pytest.mark.parametrize("shots", [7, 16, 1000, 1001, 4999])
def test_shots_are_split_without_loss(shots: int) -> None:
    rng = np.random.default_rng(shots)
    for size in (1, 2, 3, 7):
        shares = rng.dirichlet(np.ones(size))
        out = split_shots(shots, list(shares))
        assert min(out) >= 1
        assert sum(out) == shots
        if min(shots * shares) >= 1:
            assert all(abs(n - shots * s) < 1 + 1e-9 for n, s in zip(out, shares, strict=True))


def test_small_shares_do_not_cost_more_than_there_is() -> None:
    for shots, shares in ((4, [0.97, 0.01, 0.01, 0.01]), (10, [0.9, 0.05, 0.05])):
        assert sum(split_shots(shots, shares)) == shots
    assert split_shots(6, [0.9, 0.05, 0.05], least=2) == (2, 2, 2)


def test_finding_a_technique() -> None:
    assert of_kind([Readout(), Zne()], Zne) == Zne()
    assert of_kind([Readout()], Zne) is None
