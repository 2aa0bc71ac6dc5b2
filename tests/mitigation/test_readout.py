"""Readout correction: dense oracles, bit order, gradients, calibration through backends."""

from __future__ import annotations

import io
import json
from functools import reduce

import numpy as np
import pytest
import torch
from qiskit import qpy
from qiskit_aer.noise import NoiseModel, ReadoutError

import qt_hw_aer
from qt_hw.circuits.builtin import HardwareEfficient, RyCnot, U3Cu3
from qt_hw.errors import InputError
from qt_hw.execution.backend import Batch, Item
from qt_hw.execution.canonical import payload
from qt_hw.execution.checks import check_batch
from qt_hw.execution.registry import open_backend
from qt_hw.mitigation import Confusion, construct, correct, estimate
from qt_hw.mitigation.readout import apply_axes

SIGMAS = 5.0


def confusion(n, *, most=0.2, seed=0, shots=None):
    p01, p10 = np.random.default_rng(seed).uniform(0, most, (2, n))
    matrices = np.moveaxis(np.array([[1 - p01, p10], [p01, 1 - p10]]), -1, 0)
    return Confusion(matrices=matrices, shots=shots, date="2025-06-01T12:00:00+00:00")


def dense(matrices):
    # The first factor of a Kronecker product is the most significant qubit.
    return reduce(np.kron, matrices[::-1])


def vectors(n, rows=3, seed=1):
    return np.random.default_rng(seed).dirichlet(np.ones(2**n), rows)


def within(found, expected, errors):
    """Check agreement in units of the standard errors; no error, no difference."""
    np.testing.assert_array_less(np.abs(found - expected), SIGMAS * errors + 1e-12)


# ---- the maths


@pytest.mark.parametrize("n", [1, 2, 4, 5, 9])
def test_correction_is_the_dense_inverse(n):
    known, p = confusion(n), vectors(n)
    expected = np.linalg.solve(dense(known.matrices), p.T).T
    np.testing.assert_allclose(correct(p, known), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(correct(p[0], known), expected[0], rtol=0, atol=1e-12)
    tensor = correct(torch.from_numpy(p), known)
    np.testing.assert_allclose(tensor.numpy(), expected, rtol=0, atol=1e-12)


def test_correction_undoes_the_confusion_and_keeps_the_sum():
    known, p = confusion(6), vectors(6)
    back = correct(apply_axes(p, known.matrices), known)
    np.testing.assert_allclose(back, p, rtol=0, atol=1e-12)
    assert correct(p[:0], known).shape == (0, 64)
    rough = correct(np.eye(64)[:4], known)
    np.testing.assert_allclose(rough.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert rough.min() < 0


def test_inverses_are_those_of_each_qubit():
    known = confusion(4)
    np.testing.assert_allclose(known.inverses, np.linalg.inv(known.matrices), rtol=0, atol=1e-14)


@pytest.mark.parametrize("qubit", [0, 2])
def test_qubit_0_is_the_least_significant_bit(qubit):
    matrices = np.repeat(np.eye(2)[None], 3, axis=0)
    matrices[qubit] = [[0.9, 0.3], [0.1, 0.7]]
    observed = np.zeros(8)
    observed[0], observed[1 << qubit] = 0.9, 0.1
    np.testing.assert_allclose(
        correct(observed, Confusion(matrices=matrices)), np.eye(8)[0], rtol=0, atol=1e-14
    )
    other = np.zeros(8)
    other[0], other[1 << (2 - qubit)] = 0.9, 0.1
    assert np.abs(correct(other, Confusion(matrices=matrices)) - np.eye(8)[0]).max() > 0.05


def test_gradient_passes_through_the_correction():
    known = confusion(3)
    p = torch.from_numpy(vectors(3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: correct(q, known), (p,))
    assert torch.autograd.gradcheck(lambda q: correct(q, known), (p[0],))
    weights = torch.from_numpy(vectors(3, seed=5))
    (found,) = torch.autograd.grad((correct(p, known) * weights).sum(), p)
    expected = weights.numpy() @ np.linalg.inv(dense(known.matrices))
    np.testing.assert_allclose(found.numpy(), expected, rtol=0, atol=1e-12)


def test_tensors_keep_their_dtype():
    p = torch.from_numpy(vectors(3)).float()
    assert correct(p, confusion(3)).dtype == torch.float32
    with pytest.raises(InputError, match=r"floating-point tensors, not torch\.int64"):
        correct(torch.ones(8, dtype=torch.int64), confusion(3))


# ---- estimating


def test_fractions_of_flips_and_their_standard_errors():
    zero, one = np.zeros((1, 8), dtype=np.int64), np.zeros((1, 8), dtype=np.int64)
    zero[0, [0b000, 0b001, 0b101]] = 880, 100, 20
    one[0, [0b111, 0b011, 0b110]] = 690, 300, 10
    found = estimate([zero, one], date="2025-06-01")
    np.testing.assert_allclose(found.flips, [[0.12, 0.01], [0.0, 0.0], [0.02, 0.3]], atol=1e-15)
    np.testing.assert_allclose(found.matrices[2], [[0.98, 0.3], [0.02, 0.7]], atol=1e-15)
    expected = np.sqrt(found.flips * (1 - found.flips) / 1000)
    np.testing.assert_allclose(found.standard_errors, expected, rtol=1e-12)
    assert (found.shots, found.date, found.n_qubits) == (1000, "2025-06-01", 3)


def test_standard_errors_are_the_spread_of_the_estimates():
    known, shots, rng = confusion(3, seed=4), 500, np.random.default_rng(6)
    zero, one = (apply_axes(np.eye(8)[i], known.matrices) for i in (0, 7))
    found = [
        estimate([rng.multinomial(shots, law)[None] for law in (zero, one)]) for _ in range(800)
    ]
    spread = np.std([f.flips for f in found], axis=0)
    mean = np.mean([f.standard_errors for f in found], axis=0)
    # The relative error of a standard deviation of 800 draws is 1/√1600 = 2.5 %.
    np.testing.assert_allclose(mean, spread, rtol=SIGMAS * 0.025)
    average = np.mean([f.flips for f in found], axis=0)
    within(average, known.flips, spread / np.sqrt(800))


def test_rows_of_a_vendors_own_mitigation_are_taken():
    zero, one = np.array([[99.5, 0.5 - 1e-9]]), np.array([[1.25, 98.75]])
    found = estimate([zero, one])
    np.testing.assert_allclose(found.flips, [[0.005, 0.0125]], atol=1e-9)
    assert found.shots == 100


def test_json_gives_the_same_confusion_back():
    known = confusion(4, shots=500)
    back = Confusion.from_dict(json.loads(json.dumps(known.to_dict())))
    np.testing.assert_array_equal(back.matrices, known.matrices)
    assert (back.shots, back.date) == (known.shots, known.date)
    exact = Confusion.from_dict(json.loads(json.dumps(confusion(1).to_dict())))
    assert exact.shots is None and not exact.standard_errors.any()


# ---- through backends


def calibrated(backend, ansatz, shots, seed=(3, 1)):
    prepared = backend.prepare(ansatz)
    items = construct(prepared, shots, parts=(10, 11))
    counts = backend.submit(Batch(items=items, seed=seed), "token").result().arrays
    return prepared, estimate(counts, date=prepared.calibration_date)


def law(backend, prepared, angles):
    item = Item(circuit=prepared.circuit, bindings=prepared.form.gate_angles(angles), shots=None)
    return backend.submit(Batch(items=(item,)), "law").result().arrays[0]


def test_flips_of_a_noisy_simulator_are_found_in_every_qubit():
    model = NoiseModel()
    flips = np.array([[0.02, 0.11], [0.05, 0.01], [0.0, 0.2]])
    for qubit, (p01, p10) in enumerate(flips):
        model.add_readout_error(ReadoutError([[1 - p01, p01], [p10, 1 - p10]]), [qubit])
    backend, ansatz = qt_hw_aer.open(noise=model), RyCnot(3, 2)
    prepared, found = calibrated(backend, ansatz, 20_000)
    within(found.flips, flips, np.sqrt(flips * (1 - flips) / 20_000))
    angles = np.random.default_rng(2).uniform(-3, 3, (2, ansatz.n_angles))
    ideal = law(qt_hw_aer.open(), qt_hw_aer.open().prepare(ansatz), angles)
    observed = law(backend, prepared, angles)
    assert np.abs(observed - ideal).max() > 0.01
    exact = Confusion(matrices=np.array([[[1 - a, b], [a, 1 - b]] for a, b in flips]))
    np.testing.assert_allclose(correct(observed, exact), ideal, rtol=0, atol=1e-12)
    # To first order, a flip from s off by ε shifts ε/det times the entries with the value s.
    rest = np.abs(correct(observed, found) - ideal).max()
    assert rest < SIGMAS * np.sqrt((found.standard_errors**2).sum()) / 0.8


def test_routed_circuits_are_calibrated_on_the_qubits_that_they_measure():
    backend = qt_hw_aer.open("fake_guadalupe", layout=[4, 2, 0])
    ansatz = RyCnot(3, 1)
    prepared, found = calibrated(backend, ansatz, 100_000)
    circuit = prepared.circuit
    assert circuit.num_ancillas and prepared.properties["layout"] != [4, 2, 0]
    zeros, ones = construct(prepared, 100, parts=(1, 2))
    for item in (zeros, ones):
        assert item.circuit.metadata == circuit.metadata
        assert item.circuit.qubits == circuit.qubits
        assert item.circuit.num_ancillas == circuit.num_ancillas
        assert not item.circuit.num_parameters and not item.circuit.num_clbits
    flipped = [ones.circuit.find_bit(entry.qubits[0]).index for entry in ones.circuit.data]
    assert flipped == [0, 1, 2] and set(ones.circuit.count_ops()) == {"x"}
    # The error of the X gate, below 1e-3 here with its relaxation, counts as readout error.
    expected = np.stack([prepared.properties[f"readout_p{k}"] for k in ("01", "10")], axis=1)
    excess = found.flips - expected
    within(excess[:, 0], 0.0, found.standard_errors[:, 0])
    within(excess[:, 1], 1e-3, found.standard_errors[:, 1] + 1e-3 / SIGMAS)
    assert np.ptp(expected[:, 0]) > 2 * SIGMAS * found.standard_errors.max()


@pytest.mark.parametrize(
    "ansatz", [U3Cu3(2, 1), HardwareEfficient(2, 1)], ids=["u3cu3", "hardware"]
)
def test_items_are_what_every_backend_takes(ansatz):
    backend = open_backend("statevector")
    items = construct(backend.prepare(ansatz), 400, parts=(7, 9))
    check_batch(Batch(items=items), backend.limits)
    assert [(i.role, i.shots, i.part, i.bindings.shape) for i in items] == [
        ("calibration", 400, 7, (1, 0)),
        ("calibration", 400, 9, (1, 0)),
    ]
    first, second = backend.submit(Batch(items=items), "t").result().arrays
    assert first.tolist() == [[400, 0, 0, 0]] and second.tolist() == [[0, 0, 0, 400]]


def test_items_survive_being_stored():
    prepared = qt_hw_aer.open("fake_guadalupe", layout=[4, 2, 0]).prepare(RyCnot(3, 1))
    items = construct(prepared, 100, parts=(1, 2))
    file = io.BytesIO()
    qpy.dump([item.circuit for item in items], file)
    file.seek(0)
    stored = [
        Item(circuit=c, bindings=np.empty((1, 0)), shots=100, role="calibration")
        for c in qpy.load(file)
    ]
    assert payload(Batch(items=tuple(stored))) == payload(Batch(items=items))
    assert payload(Batch(items=items[:1])) != payload(Batch(items=items[1:]))


# ---- bad input


@pytest.mark.parametrize("flips", [(0.5, 0.5), (0.7, 0.3), (0.9, 0.4)])
def test_a_readout_without_inverse_is_refused(flips):
    matrices = confusion(3).matrices.copy()
    matrices[1] = [[1 - flips[0], flips[1]], [flips[0], 1 - flips[1]]]
    known = Confusion(matrices=matrices)
    with pytest.raises(InputError, match="the readout of qubit 1 cannot be corrected"):
        correct(vectors(3), known)
    with pytest.raises(InputError, match="leave readout mitigation off"):
        correct(torch.from_numpy(vectors(3)), known)


@pytest.mark.parametrize(
    ("matrices", "message"),
    [
        (np.eye(2), r"the shape \(2, 2\); pass \(qubits, 2, 2\)"),
        (np.zeros((0, 2, 2)), "the shape"),
        ("nonsense", "not an array of numbers"),
        ([[[0.9, 0.1], [0.2, 0.8]]], "columns add up to 1"),
        ([[[1.1, 0.0], [-0.1, 1.0]]], "columns add up to 1"),
        ([[[np.nan, 0.0], [0.0, 1.0]]], "columns add up to 1"),
    ],
)
def test_wrong_matrices_are_refused(matrices, message):
    with pytest.raises(InputError, match=message):
        Confusion(matrices=matrices)


def test_wrong_calibrations_are_refused():
    good = np.array([[90, 10]])
    with pytest.raises(InputError, match=r"circuit 0 have the shape \(2,\)"):
        estimate([good[0], good])
    with pytest.raises(InputError, match=r"circuit 1 have the shape \(1, 3\)"):
        estimate([good, np.array([[1, 2, 3]])])
    with pytest.raises(InputError, match=r"same qubits and shots, not \[2\] outcomes and \[100"):
        estimate([good, 2 * good])
    with pytest.raises(InputError, match=r"same qubits and shots, not \[2, 4\] outcomes"):
        estimate([good, np.array([[25, 25, 25, 25]])])
    with pytest.raises(InputError, match="2 calibration circuits, but counts of 3"):
        estimate([good, good, good])
    for bad in ([[0, 0]], [[101, -1]], [[0.9, 0.6]], [[np.nan, 1]]):
        with pytest.raises(InputError, match="whole number of shots"):
            estimate([np.array(bad), good])
    prepared = open_backend("statevector").prepare(RyCnot(2, 1))
    with pytest.raises(InputError, match="at least 1"):
        construct(prepared, 0, parts=(1, 2))
    for parts in [(3, 3), (3,), (1, 2, 3)]:
        with pytest.raises(InputError, match="2 calibration items need as many different parts"):
            construct(prepared, 10, parts=parts)
    for stored in ({"matrices": []}, []):
        with pytest.raises(InputError, match="fields matrices, shots and date"):
            Confusion.from_dict(stored)
    with pytest.raises(InputError, match="the confusion of 2 qubits corrects"):
        correct(vectors(3), confusion(2))
    with pytest.raises(InputError, match="the confusion of 2 qubits corrects"):
        correct(np.float64(1.0), confusion(2))
