"""Forecasts against the facts sheet's formulae and against repeated experiments."""

from __future__ import annotations

import math

import numpy as np
import pytest

from qt_hw.errors import InputError
from qt_hw.mitigation import Confusion, PairConfusion, correct, estimate, project
from qt_hw.mitigation.confusion import apply_axes
from qt_hw.mitigation.decay import Decay
from qt_hw.mitigation.forecast import bias_squared, break_even, forecast, forecasts, noise_of
from qt_hw.mitigation.readout import variance
from qt_hw.mitigation.situation import RESIDUAL, Method, Situation

RAW = Method("raw", False)
READOUT = Method("readout", True)
RESCALE = Method("readout+rescale", True, rescale=True)
ZNE = Method("readout+zne", True, (1.5, -0.5), (1.0, 3.0), (0.5, 0.5))
RICHARDSON = Method("readout+zne", True, (1.875, -1.25, 0.375), (1.0, 3.0, 5.0), (1 / 3,) * 3)
METHODS = [RAW, READOUT, RESCALE, ZNE]


def flips(n, p01=0.01, p10=0.03, shots=None):
    """A confusion of n equal qubits."""
    matrix = np.array([[1 - p01, p10], [p01, 1 - p10]])
    return Confusion(matrices=np.repeat(matrix[None], n, axis=0), shots=shots)


def decayed(p, f):
    """A global decay."""
    u = 1 / p.shape[-1]
    return u + f * (p - u)


def vector(n, square=None, seed=0):
    """A random vector, with the square S of p - u where one is given."""
    p = np.random.default_rng(seed).dirichlet(np.full(2**n, 1.0 if square is None else 0.15))
    if square is None:
        return p
    factor = math.sqrt(square / ((p - 1 / p.size) ** 2).sum())
    assert factor <= 1
    return decayed(p, factor)


# The break-even table of the shared facts, section 5: n, f, S, V, and in thousands of shots:
# decay against readout; linear extrapolation against readout, exactly and by the formula.
TABLE = [
    (4, 0.952, 0.095, 1.05, 0.5, 18.2, 20.4),
    (6, 0.897, 0.058, 1.23, 0.5, 7.5, 9.1),
    (6, 0.963, 0.059, 1.22, 1.3, 58, 68),
    (4, 0.888, 0.09, 1.07, 0.3, 3.8, 4.2),
    (6, 0.954, 0.042, 1.26, 1.7, 59, 67),
    (5, 0.913, 0.091, 1.13, 0.5, 8.5, 10.1),
    (8, 0.922, 0.013, 1.35, 2.9, 57, 69),
]


@pytest.mark.parametrize(("n", "f", "square", "noise", "rescale", "exact", "zne"), TABLE)
def test_break_even_is_that_of_the_sheet(n, f, square, noise, rescale, exact, zne):
    p = vector(n, square)
    low, high = 0.0, 0.2
    for _ in range(50):  # the readout error that makes the sheet's variance of one shot
        middle = (low + high) / 2
        known = flips(n, middle, middle)
        law = apply_axes(decayed(p, f), known.matrices)
        if variance(law[None], known)[0] < noise:
            low = middle
        else:
            high = middle
    situation = Situation(p, 1000, known, Decay(value=f, n_circuits=1))
    kept = 1.5 * f - 0.5 * f**3
    formula = (5 - 1) * noise / (square * ((1 - f) ** 2 - (1 - kept) ** 2))
    assert break_even(ZNE, READOUT, situation) == pytest.approx(formula, rel=0.02)
    other = (1 / f**2 - 1) * noise / (square * (1 - f) ** 2)
    assert break_even(RESCALE, READOUT, situation) == pytest.approx(other, rel=0.02)
    # The printed numbers are means over several circuits, the columns are their rounded means.
    assert 780 * exact < break_even(ZNE, READOUT, situation) < 1050 * zne
    assert 600 * rescale < break_even(RESCALE, READOUT, situation) < 1250 * rescale


def test_break_even_is_zero_or_infinite_where_nothing_crosses():
    situation = Situation(vector(4), 1000, flips(4), 0.9)
    assert break_even(RAW, READOUT, situation) == math.inf
    assert break_even(READOUT, READOUT, situation) == math.inf
    wasteful = Method("readout+wasteful", True, (0.5, 0.5), (1.0, 1.0), (0.9, 0.1))
    assert break_even(READOUT, wasteful, situation) == 0.0
    assert break_even(wasteful, READOUT, situation) == math.inf


def experiments(p, f, known, shots, repeats, calibration_shots=None, seed=1):
    """Vectors of repeated experiments under a global decay, ``(repeats, methods, D)``."""
    rng, n = np.random.default_rng(seed), known.n_qubits
    laws = {s: apply_axes(decayed(p, f**s), known.matrices) for s in (1.0, 3.0)}
    edges = [apply_axes(np.eye(2**n)[i], known.matrices) for i in (0, 2**n - 1)]
    out = []
    for _ in range(repeats):
        used = known
        if calibration_shots:
            used = estimate([rng.multinomial(calibration_shots, e)[None] for e in edges])
        row = []
        for method in METHODS:
            v = np.zeros_like(p)
            for w, s, share in zip(method.weights, method.scales, method.shares, strict=True):
                count = round(shots * share)
                v = v + w * rng.multinomial(count, laws[s]) / count
            v = correct(v, used) if method.readout else v
            row.append(decayed(v, 1 / f) if method.rescale else v)
        out.append(row)
    return np.array(out)


@pytest.mark.parametrize("calibration_shots", [None, 300])
def test_l2_errors_are_those_of_repeated_experiments(calibration_shots):
    p, f, shots, repeats = vector(4, seed=3), 0.88, 3000, 1500
    vectors = experiments(p, f, flips(4), shots, repeats, calibration_shots)
    squares = ((vectors - p) ** 2).sum(axis=-1)
    known = flips(4, shots=calibration_shots)
    situation = Situation(p, shots, known, Decay(value=f, n_circuits=1))
    for method, found, measured in zip(
        METHODS, forecasts(METHODS, situation), squares.T, strict=True
    ):
        assert found.method is method
        tolerance = 5 * measured.std() / math.sqrt(repeats) + 0.02 * measured.mean()
        assert abs(found.l2**2 - measured.mean()) < tolerance, method.name
        assert found.l2**2 == pytest.approx(found.bias2 + found.noise / shots)


@pytest.mark.parametrize("n", [5, 8])
@pytest.mark.parametrize("shots", [1000, 4000, 16_000, 100_000])
def test_total_variations_are_those_of_repeated_experiments(n, shots):
    p, f, repeats = vector(n, seed=n), 0.93, 30
    vectors = experiments(p, f, flips(n), shots, repeats, calibration_shots=8192)
    measured = 0.5 * np.abs(project(vectors) - p).sum(axis=-1)
    situation = Situation(p, shots, flips(n, shots=8192), Decay(value=f, n_circuits=1))
    predicted = np.array([one.total_variation for one in forecasts(METHODS, situation)])
    tolerance = 4 * measured.std(axis=0) / math.sqrt(repeats) + 0.03 * measured.mean(axis=0)
    assert (np.abs(predicted - measured.mean(axis=0)) < tolerance).all()


def test_the_residual_is_half_of_the_signal_that_decays_faster():
    rng, f, rho = np.random.default_rng(0), 0.92, 0.03
    p = vector(5)
    centred = p - p.mean()
    other = rng.standard_normal(32)
    other -= other.mean() + centred * (other @ centred) / (centred @ centred)
    other *= np.linalg.norm(centred) / np.linalg.norm(other)
    slow, fast = (centred + other) / 2, (centred - other) / 2
    q = {s: p.mean() + (f + rho) ** s * slow + (f - rho) ** s * fast for s in (1.0, 3.0)}
    situation = Situation(p, 1000, None, Decay(value=f, residual=rho, n_circuits=8))
    for method in METHODS:
        v = sum(w * q[s] for w, s in zip(method.weights, method.scales, strict=True))
        v = decayed(v, 1 / f) if method.rescale else v
        assert bias_squared(method, situation) == pytest.approx(((v - p) ** 2).sum(), rel=1e-9)


def test_what_is_no_decay_stays_at_every_scale():
    coherent = Situation(vector(5), 1000, None, Decay(value=0.98, residual=0.2, n_circuits=8))
    left = bias_squared(ZNE, coherent) / bias_squared(READOUT, coherent)
    assert 0.7 < left < 1.3


def test_a_given_decay_has_the_usual_residual():
    p = vector(5)
    for given in (0.9, Decay(value=0.9)):
        assert Situation(p, 10, None, given).signal.residual == pytest.approx(RESIDUAL * 0.1)
    assert Situation(p, 10, None, Decay(value=0.9, n_circuits=3)).signal.residual == 0.0
    assert Situation(p, 10).signal == Decay(value=1.0)


def test_the_standard_error_of_the_decay_counts():
    p, n_circuits = vector(5), 4
    plain = Situation(p, 10**8, None, Decay(value=0.9, n_circuits=n_circuits))
    poor = Situation(p, 10**8, None, Decay(value=0.9, standard_error=0.009, n_circuits=n_circuits))
    added = bias_squared(RESCALE, poor) - bias_squared(RESCALE, plain)
    assert added == pytest.approx(0.01**2 * float(plain.squares[0]))
    assert forecast(RESCALE, poor).total_variation > 2 * forecast(RESCALE, plain).total_variation


def test_measured_biases_replace_those_of_the_model():
    p, shots = vector(5), 10**7
    biases = {"readout+zne": 0.01, "readout+rescale": 0.0}
    situation = Situation(p, shots, flips(5), 0.9, biases)
    zne, rescale, readout = forecasts([ZNE, RESCALE, READOUT], situation)
    assert zne.bias2 == pytest.approx(0.01 * float(situation.squares[0]))
    assert rescale.bias2 == 0.0 and rescale.total_variation < 0.002
    plain = forecast(READOUT, Situation(p, shots, flips(5), 0.9))
    assert readout == plain
    # Its direction is a guess: between that of the signal and a random one.
    ratio = zne.total_variation / forecast(READOUT, situation).total_variation
    assert ratio == pytest.approx(math.sqrt(zne.bias2 / readout.bias2), rel=0.25)


def test_without_readout_correction_the_decay_includes_the_readout():
    p, f = vector(5), 0.9
    alone = Method("rescale", False, rescale=True)
    situation = Situation(p, 1000, flips(5), Decay(value=f, n_circuits=1))
    law = apply_axes(decayed(p, f), flips(5).matrices)
    centred = p - p.mean()
    gain = (law - p.mean()) @ centred / (centred @ centred)
    assert situation.gain(alone) == pytest.approx(gain)
    assert gain < 0.9 * f + 0.05
    assert bias_squared(alone, situation) == pytest.approx(
        ((decayed(law, 1 / gain) - p) ** 2).sum()
    )
    assert noise_of(alone, situation) == pytest.approx((1 - (law**2).sum()) / gain**2)


def test_pairs_that_are_misread_alone_give_the_same_forecast():
    single, (matrix, *_) = flips(5, shots=1000), flips(1).matrices
    pair = np.kron(matrix, matrix)
    pairs = PairConfusion(matrices=(pair, pair, matrix), shots=1000)
    p = vector(5)
    for method in METHODS:
        one, two = (forecast(method, Situation(p, 4000, c, 0.9)) for c in (single, pairs))
        assert two.noise == pytest.approx(one.noise)
        assert two.total_variation == pytest.approx(one.total_variation, rel=0.02)
        # Four columns of a pair, each with as many shots, leave more error than two of a qubit.
        assert one.bias2 - 1e-12 <= two.bias2 < 3 * one.bias2 + 1e-3


def test_several_vectors_give_their_mean():
    p = np.stack([vector(5, seed=1), vector(5, seed=2)])
    both = forecast(RESCALE, Situation(p, 4000, flips(5), 0.9))
    each = [forecast(RESCALE, Situation(row, 4000, flips(5), 0.9)) for row in p]
    assert both.bias2 == pytest.approx(np.mean([one.bias2 for one in each]))
    assert both.noise == pytest.approx(np.mean([one.noise for one in each]))
    mean = np.mean([one.total_variation for one in each])
    assert both.total_variation == pytest.approx(mean, rel=0.05)


def test_forecasts_do_not_change_from_call_to_call():
    situation = Situation(vector(5), 1000, flips(5, shots=1000), 0.9)
    assert forecasts(METHODS, situation) == forecasts(METHODS, situation)
    alone = [forecast(method, situation) for method in METHODS]
    assert alone == forecasts(METHODS, situation)


def test_the_noise_factor_is_that_of_the_sheet():
    assert ZNE.noise_factor == pytest.approx(5.0)
    assert RICHARDSON.noise_factor == pytest.approx(15.7, abs=0.05)
    total = sum(abs(w) for w in RICHARDSON.weights)
    shares = tuple(abs(w) / total for w in RICHARDSON.weights)
    best = Method("best", True, RICHARDSON.weights, RICHARDSON.scales, shares)
    assert best.noise_factor == pytest.approx(3.5**2)


def test_wrong_input_is_refused():
    p = vector(3)
    for bad, match in [
        (lambda: Method("x", True, (1.0, 2.0)), "one of each"),
        (lambda: Method("x", True, shares=(0.5,)), "add up to 1"),
        (lambda: Situation(np.ones(3) / 3, 10), r"\(2\*\*n,\)"),
        (lambda: Situation(np.ones(4), 10), "add up to 1"),
        (lambda: Situation(p, 10, flips(2)), "of 2 qubits"),
        (lambda: Situation(p, 10, flips(3), 0.01), "decay"),
        (lambda: Situation(p, 10, flips(3), 1.2), "decay"),
        (lambda: Situation(p, 0), "at least 1"),
        (lambda: Situation(p, None), "no forecast"),
    ]:
        with pytest.raises(InputError, match=match):
            bad()
    useless = Confusion(matrices=np.full((3, 2, 2), 0.5))
    with pytest.raises(InputError, match="cannot be corrected"):
        forecast(READOUT, Situation(p, 10, useless))
