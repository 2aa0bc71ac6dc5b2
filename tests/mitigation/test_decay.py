"""The decay of a signal: exact recovery, bias and errors under shot noise, undoing it."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from qt_hw.errors import InputError
from qt_hw.mitigation.decay import Decay, from_folds, from_known, undo

OUTCOMES, SHOTS, DRAWS = 16, 400, 200

U = 1 / OUTCOMES


def vectors(k, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(OUTCOMES), k)


def decayed(p, f):
    return U + f * (p - U)


def sampled(laws, rng, shots=SHOTS):
    """Return frequencies, and estimates of their summed variances without bias."""
    seen = np.array([rng.multinomial(shots, law) for law in laws]) / shots
    return seen, (seen * (1 - seen)).sum(axis=1) / (shots - 1)


def deviations(p, size, seed=3):
    """Return zero-sum vectors orthogonal to p - u, of ``size`` times its norm."""
    raw = np.random.default_rng(seed).normal(size=p.shape)
    raw -= raw.mean(axis=1, keepdims=True)
    c = p - U
    raw -= c * ((raw * c).sum(axis=1) / (c**2).sum(axis=1))[:, None]
    norms = np.linalg.norm(c, axis=1) / np.linalg.norm(raw, axis=1)
    return size * raw * norms[:, None]


def agrees(found, expected):
    """Check a mean of draws in units of its own standard error."""
    found = np.asarray(found)
    return abs(found.mean() - expected) < 4 * found.std(ddof=1) / np.sqrt(len(found))


# ---- without noise


@pytest.mark.parametrize("f", [0.06, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("k", [1, 6])
def test_pure_decay_is_found_exactly(f, k):
    p, none = vectors(k), np.zeros(k)
    known = from_known(decayed(p, f), p, none)
    assert known.value == pytest.approx(f, abs=1e-12)
    found = [known]
    if f > 0.4:
        for scale in (3.0, 2.2):
            folds = from_folds(decayed(p, f), decayed(p, f**scale), scale, none)
            assert folds.value == pytest.approx(f, abs=1e-12)
            found.append(folds)
    for one in found:
        assert one.n_circuits == k
        assert max(one.standard_error, one.spread, one.residual) < 1e-7
    np.testing.assert_allclose(undo(decayed(p, f), known.value), p, rtol=0, atol=1e-11)


@pytest.mark.parametrize("rho", [0.02, 0.2])
def test_a_known_deviation_is_the_residual(rho):
    p, f = vectors(6), 0.7
    e = deviations(p, rho)
    known = from_known(decayed(p, f) + e, p, np.zeros(6))
    assert (known.value, known.residual) == pytest.approx((f, rho), abs=1e-12)
    # Parts that decay at slightly other rates: what they add grows with the noise as s f^(s-1).
    a, b = decayed(p, f) + e, decayed(p, f**3) + 3 * f**2 * e
    folds = from_folds(a, b, 3.0, np.zeros(6))
    assert folds.residual == pytest.approx(rho, rel=3 * rho**2 / f**2 + 1e-9)


def test_the_spread_is_that_of_the_circuits():
    each = np.array([0.6, 0.7, 0.8, 0.65, 0.75])
    p = np.tile(vectors(1), (5, 1))
    p = np.array([np.roll(row, shift) for shift, row in enumerate(p)])
    found = from_known(decayed(p, each[:, None]), p, np.zeros(5))
    assert found.value == pytest.approx(each.mean(), abs=1e-12)
    assert found.spread == pytest.approx(each.std(ddof=1), abs=1e-12)
    assert found.standard_error == pytest.approx(each.std(ddof=1) / np.sqrt(5), abs=1e-12)


def test_a_circuit_with_a_uniform_vector_changes_nothing():
    rng, f = np.random.default_rng(4), np.array([0.6, 0.7, 0.8, 0.7])
    p = vectors(4)
    seen, noise = sampled(decayed(p, f[:, None]), rng, 10**5)
    plain = from_known(seen, p, noise)
    for nearly in (0.0, 1e-9):
        flat = decayed(vectors(1, seed=8), nearly)
        more, most = sampled(flat, rng, 10**5)
        found = from_known(
            np.concatenate([seen, more]), np.concatenate([p, flat]), np.concatenate([noise, most])
        )
        assert found.value == pytest.approx(plain.value, abs=1e-6)
        assert found.spread == pytest.approx(plain.spread, rel=1e-3)


# ---- with shots


@pytest.mark.parametrize("f", [0.3, 0.75])
def test_regression_on_exact_vectors_has_no_bias_and_the_right_error(f):
    p, rng = vectors(8), np.random.default_rng(11)
    found = [from_known(*_known(p, f, rng)) for _ in range(DRAWS)]
    values = [one.value for one in found]
    assert agrees(values, f)
    stated = np.sqrt(np.mean([one.standard_error**2 for one in found]))
    # A spread of 200 draws is known to 5 %; errors from 8 circuits are a little too small.
    assert stated == pytest.approx(np.std(values, ddof=1), rel=0.25)
    # As small as shots allow: without the noise taken out both were 3 to 8 times as large.
    signal = ((p - U) ** 2).sum()
    raw = np.sqrt(np.mean([_known(p, f, rng)[2].sum() for _ in range(20)]) / signal)
    assert np.mean([one.residual for one in found]) < raw / 2.5
    assert np.mean([one.spread for one in found]) < 0.05


def _known(p, f, rng):
    seen, noise = sampled(decayed(p, f), rng)
    return seen, p, noise


@pytest.mark.parametrize("concentration", [0.2, 1.0])
def test_the_error_of_a_single_circuit_is_that_of_its_shots(concentration):
    p = np.random.default_rng(2).dirichlet(np.full(OUTCOMES, concentration), 1)
    rng, f = np.random.default_rng(12), 0.7
    found = [from_known(*_known(p, f, rng)) for _ in range(DRAWS)]
    # A spread of 200 draws is known to 5 %.
    spread = np.std([one.value for one in found], ddof=1)
    assert np.mean([one.standard_error for one in found]) == pytest.approx(spread, rel=0.2)
    folds = [_folds(p, f, rng)[0] for _ in range(DRAWS)]
    spread = np.std([one.value for one in folds], ddof=1)
    assert np.mean([one.standard_error for one in folds]) == pytest.approx(spread, rel=0.3)


def _folds(p, f, rng, shots=SHOTS):
    """Return the decay by folding, and the squared ratio with and without the variance."""
    a, noise = sampled(decayed(p, f), rng, shots)
    b, _ = sampled(decayed(p, f**3), rng, shots)
    with_it = from_folds(a, b, 3.0, noise)
    without = from_folds(a, b, 3.0, np.zeros(len(p)))
    return with_it, without


def test_the_ratio_of_folded_circuits_has_no_bias_with_the_variance_only():
    p, f, rng = vectors(40), 0.8, np.random.default_rng(13)
    found, naive = zip(*(_folds(p, f, rng) for _ in range(DRAWS)), strict=True)
    assert agrees([one.value for one in found], f)
    assert not agrees([one.value for one in naive], f)
    assert np.mean([one.value for one in naive]) < f - 0.02
    spread = np.std([one.value for one in found], ddof=1)
    stated = np.sqrt(np.mean([one.standard_error**2 for one in found]))
    assert stated == pytest.approx(spread, rel=0.25)


def test_the_residual_shows_under_shot_noise():
    p, f, rho, rng = vectors(20), 0.7, 0.1, np.random.default_rng(14)
    e = deviations(p, rho)
    a, b = decayed(p, f) + e, decayed(p, f**3) + 3 * f**2 * e
    assert min(a.min(), b.min()) > 0
    shots = 4000
    known, folds = [], []
    for _ in range(40):
        seen, noise = sampled(a, rng, shots)
        folded, _ = sampled(b, rng, shots)
        known.append(from_known(seen, p, noise).residual)
        folds.append(from_folds(seen, folded, 3.0, noise).residual)
    # The mean of 40 is known to 1 %; that from folds is right to first order in the deviation.
    assert np.mean(known) == pytest.approx(rho, rel=0.04)
    assert np.mean(folds) == pytest.approx(rho, rel=0.08)


# ---- undone, stored, refused


def test_undoing_passes_gradients():
    p = torch.from_numpy(vectors(3)).requires_grad_()
    assert torch.autograd.gradcheck(lambda q: undo(q, 0.4), (p,))
    out = undo(p, 0.4)
    np.testing.assert_allclose(out.detach(), undo(vectors(3), 0.4), rtol=0, atol=1e-14)
    np.testing.assert_allclose(out.detach().sum(dim=1), 1.0, rtol=0, atol=1e-12)
    assert undo(p.float(), 0.4).dtype == torch.float32


@pytest.mark.parametrize("f", [0.0, 0.049, 1.0001, -0.5, float("nan"), float("inf")])
def test_a_decay_outside_its_range_is_refused(f):
    with pytest.raises(InputError, match=r"between 0\.05 \(nothing of the signal is left"):
        undo(vectors(1), f)
    with pytest.raises(InputError, match="a decay of"):
        Decay(value=f)


def test_noise_above_1_is_1():
    p = vectors(4)
    assert from_known(decayed(p, 1.02), p, np.zeros(4)).value == 1.0
    assert from_folds(p, decayed(p, 1.02), 3.0, np.zeros(4)).value == 1.0


def test_no_signal_is_refused():
    p, flat = vectors(3), np.full((3, OUTCOMES), U)
    with pytest.raises(InputError, match="the exact vectors of the calibration are uniform"):
        from_known(p, flat, np.zeros(3))
    with pytest.raises(InputError, match="nothing of the signal is left"):
        from_known(flat, p, np.zeros(3))
    with pytest.raises(InputError, match="no signal shows above the shot noise"):
        from_folds(flat, flat, 3.0, np.full(3, 1e-3))
    with pytest.raises(InputError, match="nothing of the signal is left"):
        from_folds(p, decayed(p, -0.1), 3.0, np.zeros(3))


def test_json_gives_the_same_decay_back():
    one = Decay(value=0.8, standard_error=0.01, spread=0.02, residual=0.1, n_circuits=12)
    assert Decay.from_dict(json.loads(json.dumps(one.to_dict()))) == one
    with pytest.raises(InputError, match="a stored decay needs the fields value"):
        Decay.from_dict({"value": 0.8})
    with pytest.raises(InputError, match="a decay of 2"):
        Decay.from_dict(one.to_dict() | {"value": 2.0})
