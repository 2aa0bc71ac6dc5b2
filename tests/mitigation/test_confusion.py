"""Readout of single qubits and of pairs: dense oracles, mitiq's inverse, shots, correlations."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import reduce

import numpy as np
import pytest
import torch
from qiskit_aer.noise import NoiseModel, ReadoutError

import qt_hw_aer
from qt_hw.circuits.builtin import RyCnot
from qt_hw.errors import InputError
from qt_hw.execution.backend import Batch
from qt_hw.execution.registry import open_backend
from qt_hw.mitigation.confusion import Confusion, PairConfusion, apply_axes, load_confusion
from qt_hw.mitigation.readout import (
    construct,
    correct,
    correlated_flips,
    estimate,
    patterns,
    pull_back,
    variance,
    variances,
)

SIGMAS = 5.0

DATE = "2025-06-01T12:00:00+00:00"


def single(n, seed=0, most=0.2):
    p01, p10 = np.random.default_rng(seed).uniform(0, most, (2, n))
    matrices = np.moveaxis(np.array([[1 - p01, p10], [p01, 1 - p10]]), -1, 0)
    return Confusion(matrices=matrices, shots=500, date=DATE)


def pairs(n, seed=0):
    rng = np.random.default_rng(seed)
    sizes = [4] * (n // 2) + [2] * (n % 2)
    blocks = [0.75 * np.eye(d) + 0.25 * rng.dirichlet(np.ones(d), d).T for d in sizes]
    return PairConfusion(matrices=tuple(blocks), shots=500, date=DATE)


KINDS = pytest.mark.parametrize("make", [single, pairs], ids=["single", "pairs"])


def dense(confusion):
    # The first factor of a Kronecker product is the most significant qubit.
    return reduce(np.kron, list(confusion.matrices)[::-1])


def vectors(n, rows=3, seed=1):
    return np.random.default_rng(seed).dirichlet(np.ones(2**n), rows)


# ---- the maths


@KINDS
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_applied_and_inverted_by_blocks_as_by_the_dense_matrix(make, n):
    known, p = make(n), vectors(n)
    matrix = dense(known)
    assert known.n_qubits == n and matrix.shape == (2**n, 2**n)
    np.testing.assert_allclose(apply_axes(p, known.matrices), p @ matrix.T, rtol=0, atol=1e-13)
    expected = np.linalg.solve(matrix, p.T).T
    np.testing.assert_allclose(correct(p, known), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(correct(p[1], known), expected[1], rtol=0, atol=1e-12)
    tensor = torch.from_numpy(p)
    np.testing.assert_allclose(correct(tensor, known).numpy(), expected, rtol=0, atol=1e-12)
    seen = apply_axes(tensor, known.matrices).numpy()
    np.testing.assert_allclose(seen, p @ matrix.T, rtol=0, atol=1e-13)


@KINDS
@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_pulling_back_is_the_adjoint_of_correcting(make, n):
    known, p, g = make(n), vectors(n), np.random.default_rng(2).normal(size=(3, 2**n))
    left, right = (g * correct(p, known)).sum(axis=1), (pull_back(g, known) * p).sum(axis=1)
    np.testing.assert_allclose(left, right, rtol=0, atol=1e-12)
    np.testing.assert_allclose(
        pull_back(g, known), np.linalg.solve(dense(known).T, g.T).T, rtol=0, atol=1e-11
    )
    tensor = torch.from_numpy(p).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: correct(q, known), (tensor,))
    (correct(tensor, known) * torch.from_numpy(g)).sum().backward()
    np.testing.assert_allclose(tensor.grad.numpy(), pull_back(g, known), rtol=0, atol=1e-11)


@pytest.mark.parametrize("n", [1, 2, 3, 4])
def test_mitiqs_tensored_inverse_is_the_same(n):
    rem = pytest.importorskip("mitiq.rem")
    for known in (single(n), pairs(n)):
        inverse = rem.generate_tensored_inverse_confusion_matrix(n, list(known.matrices)[::-1])
        p = vectors(n)
        np.testing.assert_allclose(correct(p, known), p @ inverse.T, rtol=0, atol=1e-12)


@KINDS
@pytest.mark.parametrize("n", [1, 2, 3])
def test_variances_are_the_diagonal_of_the_multinomial_covariance(make, n):
    known, p = make(n), vectors(n)
    inverse = np.linalg.inv(dense(known))
    covariances = [inverse @ (np.diag(q) - np.outer(q, q)) @ inverse.T for q in p]
    expected = np.array([np.diag(c) for c in covariances])
    np.testing.assert_allclose(variances(p, known), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(variance(p, known), expected.sum(axis=1), rtol=0, atol=1e-12)
    plain = np.array([np.diag(np.diag(q) - np.outer(q, q)) for q in p])
    np.testing.assert_allclose(variances(p, None), plain, rtol=0, atol=1e-14)


def test_a_pair_of_independent_qubits_is_their_product():
    known = single(5)
    a = list(known.matrices)
    blocks = (np.kron(a[1], a[0]), np.kron(a[3], a[2]), a[4])
    np.testing.assert_allclose(
        correct(vectors(5), PairConfusion(matrices=blocks)),
        correct(vectors(5), known),
        rtol=0,
        atol=1e-12,
    )


# ---- stored


@KINDS
@pytest.mark.parametrize("n", [1, 4, 5])
def test_json_gives_the_same_kind_back(make, n):
    known = make(n)
    back = load_confusion(json.loads(json.dumps(known.to_dict())))
    assert type(back) is type(known)
    assert len(back.matrices) == len(known.matrices)
    for found, expected in zip(back.matrices, known.matrices, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert (back.shots, back.date) == (500, DATE)


def test_damaged_files_are_refused():
    with pytest.raises(InputError, match="fields matrices, shots and date"):
        load_confusion({"matrices": [np.eye(2).tolist()]})
    for stored in ({"pairs": [np.eye(4).tolist()]}, {"pairs": 3, "shots": 1, "date": None}):
        with pytest.raises(InputError, match="damaged; calibrate anew"):
            load_confusion(stored)
    with pytest.raises(InputError, match="blocks of the shapes"):
        load_confusion({"pairs": [np.eye(3).tolist()], "shots": 1, "date": None})


# ---- bad matrices


@pytest.mark.parametrize(
    "blocks",
    [(), (np.eye(2), np.eye(4)), (np.eye(8),), (np.eye(4), np.eye(2), np.eye(2))],
)
def test_blocks_of_wrong_shapes_are_refused(blocks):
    with pytest.raises(InputError, match="blocks of the shapes"):
        PairConfusion(matrices=blocks)


def test_blocks_that_are_not_stochastic_are_refused():
    with pytest.raises(InputError, match="columns add up to 1"):
        PairConfusion(matrices=(0.9 * np.eye(4),))
    with pytest.raises(InputError, match="columns add up to 1"):
        PairConfusion(matrices=(np.eye(4) + np.array([[0.1], [-0.1], [0], [0]]),))


def test_blocks_cannot_be_changed_afterwards():
    block = np.eye(4)
    known = PairConfusion(matrices=(block,))
    block[:] = 0.25
    np.testing.assert_array_equal(known.matrices[0], np.eye(4))
    with pytest.raises(ValueError, match="read-only"):
        known.matrices[0][0, 0] = 0.5


@pytest.mark.parametrize("keep", [0.0, 0.01])
def test_a_block_without_a_sound_inverse_is_refused_by_its_qubits(keep):
    flat = keep * np.eye(4) + (1 - keep) / 4
    message = "the readout of qubits 2 and 3 cannot be corrected.*badly conditioned"
    with pytest.raises(InputError, match=message):
        correct(vectors(5), PairConfusion(matrices=(np.eye(4), flat, np.eye(2))))
    last = keep * np.eye(2) + (1 - keep) / 2
    with pytest.raises(InputError, match="the readout of qubit 4 cannot be corrected"):
        correct(vectors(5), PairConfusion(matrices=(np.eye(4), np.eye(4), last)))


def test_the_condition_may_be_fifty_and_no_more():
    # A symmetric flip of probability p has the condition 1/(1 - 2p).
    for p, fits in [(0.489, True), (0.491, False)]:
        matrices = np.array([np.eye(2), [[1 - p, p], [p, 1 - p]]])
        known = Confusion(matrices=matrices)
        assert np.linalg.cond(matrices[1]) == pytest.approx(1 / (1 - 2 * p))
        if fits:
            correct(vectors(2), known)
            continue
        with pytest.raises(InputError, match="the readout of qubit 1 cannot be corrected: its"):
            correct(vectors(2), known)
        with pytest.raises(InputError, match="qubit 1"):
            variance(vectors(2), known)


def test_vectors_of_other_sizes_are_refused():
    for apply in (correct, pull_back):
        with pytest.raises(InputError, match=r"the confusion of 3 qubits corrects \(…, 8\)"):
            apply(vectors(2), pairs(3))


# ---- which states a calibration prepares


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_each_qubit_is_as_often_0_as_1(n, correlated):
    for count in range(1 + correlated, 6):
        bits = patterns(n, count, correlated=correlated, seed=3)
        assert bits.shape == (2 * count, n) and bits.dtype == bool
        np.testing.assert_array_equal(bits.sum(axis=0), np.full(n, count))
        np.testing.assert_array_equal(bits[::2], ~bits[1::2])
        assert not bits[0].any() and bits[1].all()
        for q in range(0, n - 1, 2) if correlated else ():
            assert {tuple(row) for row in bits[:4, q : q + 2]} == {
                (a, b) for a in (False, True) for b in (False, True)
            }


def test_patterns_are_those_of_the_seed():
    first = patterns(8, 6, seed=1)
    np.testing.assert_array_equal(first, patterns(8, 6, seed=1))
    assert (first != patterns(8, 6, seed=2)).any()


def test_too_few_patterns_are_refused():
    with pytest.raises(InputError, match="at least one pair of circuits, not 0"):
        patterns(3, 0)
    with pytest.raises(InputError, match="at least two pairs of circuits, not 1"):
        patterns(3, 1, correlated=True)
    counts = [np.array([[100, 0, 0, 0]]), np.array([[0, 0, 0, 100]])]
    with pytest.raises(InputError, match="do not prepare every state of each pair"):
        estimate(counts, correlated=True)


# ---- correlated flips


def crosstalk():
    """Return a readout of 5 qubits where 2 and 3 flip together, on top of own flips."""
    blocks = [np.kron(*single(2, seed=s, most=0.05).matrices) for s in (1, 2)]
    both = np.eye(4)[::-1]
    blocks[1] = 0.9 * blocks[1] + 0.1 * both
    return PairConfusion(matrices=(*blocks, single(1, most=0.05).matrices[0]))


def calibrated(known, bits, shots, rng):
    """Return multinomial counts of the basis states ``bits`` as ``known`` misreads them."""
    prepared = np.eye(2**known.n_qubits)[bits @ (1 << np.arange(known.n_qubits))]
    laws = apply_axes(prepared, known.matrices)
    return [rng.multinomial(shots, law)[None] for law in laws]


def test_correlated_misreadings_need_the_correction_by_pairs():
    known, shots, rng = crosstalk(), 100_000, np.random.default_rng(7)
    bits = patterns(5, 2, correlated=True)
    counts = calibrated(known, bits, shots, rng)
    by_pairs = estimate(counts, patterns=bits, correlated=True, date=DATE)
    tensored = estimate(counts, patterns=bits, date=DATE)
    assert isinstance(by_pairs, PairConfusion) and isinstance(tensored, Confusion)
    assert (by_pairs.shots, tensored.shots) == (shots, 2 * shots)
    for found, expected in zip(by_pairs.matrices, known.matrices, strict=True):
        bound = SIGMAS * np.sqrt(expected * (1 - expected) / shots)
        np.testing.assert_array_less(np.abs(found - expected), bound + 1e-12)
    p = vectors(5)
    seen = apply_axes(p, known.matrices)
    # An entry off by ε shifts about ε times the entries; the inverse, at most twofold here.
    bound = 2 * SIGMAS / np.sqrt(shots) * np.sqrt((p**2).sum(axis=1)).max()
    assert np.abs(correct(seen, by_pairs) - p).max() < bound
    assert np.abs(correct(seen, tensored) - p).max() > 2 * bound
    exact = [row / row.sum() for row in calibrated(known, bits, 10**9, rng)]
    assert estimate(exact, patterns=bits, correlated=True, exact=True).shots is None


def test_the_pair_that_flips_together_is_found_and_no_other():
    rng, bits = np.random.default_rng(8), patterns(5, 2, correlated=True)
    found = correlated_flips(calibrated(crosstalk(), bits, 2000, rng), bits)
    assert [(q, r) for q, r, _ in found] == [(2, 3)] and found[0][2] > 10
    never = np.kron(*[[[0.8, 0.2], [0.2, 0.8]]] * 2)
    never[3, 0] = never[2, 1] = never[1, 2] = never[0, 3] = 0
    never /= never.sum(axis=0)
    known = PairConfusion(matrices=(never,))
    both = patterns(2, 2, correlated=True)
    ((q, r, z),) = correlated_flips(calibrated(known, both, 2000, rng), both)
    assert (q, r) == (0, 1) and z < -4


@pytest.mark.parametrize("most", [0.003, 0.03, 0.3])
def test_independent_flips_are_not_taken_for_correlated(most):
    # 60 calibrations × 28 pairs: 0.1 deviations of 4 sigma are expected of a normal law.
    rng, bits = np.random.default_rng(9), patterns(8, 1)
    known = single(8, seed=5, most=most)
    found = [correlated_flips(calibrated(known, bits, 1000, rng), bits) for _ in range(60)]
    assert sum(len(one) for one in found) <= 2


# ---- through backends


@pytest.fixture(scope="module")
def torino():
    backend = qt_hw_aer.open("fake_torino")
    return backend, backend.prepare(RyCnot(4, 1))


def exactly(backend, prepared, bits):
    items = construct(prepared, None, parts=range(len(bits)), patterns=bits)
    return backend.submit(Batch(items=items), "exact").result().arrays


def test_the_simulators_readout_is_that_of_the_properties(torino):
    backend, prepared = torino
    known = Confusion.of_properties(prepared)
    assert (known.n_qubits, known.shots) == (4, None)
    assert known.date == prepared.calibration_date is not None
    from qiskit_ibm_runtime.fake_provider import FakeTorino

    device = FakeTorino().properties()
    for flips, qubit in zip(known.flips, prepared.circuit.metadata["physical_qubits"], strict=True):
        measured = device.qubit_property(qubit)
        expected = [measured[key][0] for key in ("prob_meas1_prep0", "prob_meas0_prep1")]
        # Snapshots of a symmetric assignment error differ between the two by less than this.
        assert np.mean(flips) == pytest.approx(np.mean(expected), abs=1e-12)
    bits = patterns(4, 2, correlated=True)
    found = estimate(exactly(backend, prepared, bits), patterns=bits, exact=True)
    assert found.shots is None and not found.standard_errors.any()
    np.testing.assert_allclose(found.flips[:, 0], known.flips[:, 0], rtol=0, atol=1e-12)
    # A 1 is prepared by an X gate, whose own error, below 1e-3, counts as readout.
    excess = found.flips[:, 1] - known.flips[:, 1]
    assert (excess > 0).all() and (excess < 1e-3).all()


def test_readout_of_the_properties_undoes_the_simulators_to_the_gate_errors(torino):
    backend, prepared = torino
    bits = patterns(4, 2, correlated=True)
    laws = np.concatenate(exactly(backend, prepared, bits))
    rest = correct(laws, Confusion.of_properties(prepared))
    states = np.eye(16)[bits @ (1 << np.arange(4))]
    np.testing.assert_allclose(rest[0], states[0], rtol=0, atol=1e-12)
    # Each excited qubit is wrong by the error of its X gate only, independently.
    assert rest.min() > -1e-12 and np.abs(rest - states).max() < 4e-3
    wrong = 1 - (rest[1] @ ((np.arange(16)[:, None] >> np.arange(4)) & 1))
    assert rest[1, 15] == pytest.approx(np.prod(1 - wrong), abs=1e-12)


def test_flips_of_0_and_1_are_not_exchanged():
    flips = np.array([[0.02, 0.11], [0.05, 0.01]])
    model = NoiseModel()
    for qubit, (p01, p10) in enumerate(flips):
        model.add_readout_error(ReadoutError([[1 - p01, p01], [p10, 1 - p10]]), [qubit])
    backend = qt_hw_aer.open(noise=model)
    prepared = backend.prepare(RyCnot(2, 1))
    properties = {"readout_p01": flips[:, 0].tolist(), "readout_p10": flips[:, 1].tolist()}
    known = Confusion.of_properties(replace(prepared, properties=properties))
    np.testing.assert_allclose(known.flips, flips, rtol=0, atol=1e-15)
    bits = patterns(2, 2, correlated=True)
    found = estimate(exactly(backend, prepared, bits), patterns=bits, exact=True)
    np.testing.assert_allclose(found.flips, flips, rtol=0, atol=1e-12)


def test_without_properties_of_the_readout_it_must_be_measured():
    prepared = open_backend("statevector").prepare(RyCnot(2, 1))
    with pytest.raises(InputError, match="say nothing of the readout: measure it"):
        Confusion.of_properties(prepared)
