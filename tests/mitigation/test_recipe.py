"""From the vectors of all variants to one: each rule on synthetic vectors, storage, gradients."""

from __future__ import annotations

import json

import numpy as np
import pytest
from qiskit import QuantumCircuit

from qt_hw.errors import InputError
from qt_hw.mitigation.confusion import Confusion, PairConfusion, apply_axes
from qt_hw.mitigation.decay import Decay
from qt_hw.mitigation.recipe import Recipe
from qt_hw.mitigation.variants import Variant

OUTCOMES, U = 8, 1 / 8

LINEAR = {"weights": (1.5, -0.5), "scales": (1.0, 3.0)}


def vectors(rows=3, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(OUTCOMES), rows)


def decayed(p, f):
    return U + f * (p - U)


def confusion(seed=0):
    p01, p10 = np.random.default_rng(seed).uniform(0.01, 0.1, (2, 3))
    return Confusion(matrices=np.moveaxis(np.array([[1 - p01, p10], [p01, 1 - p10]]), -1, 0))


def by_pairs():
    a = confusion().matrices
    return PairConfusion(matrices=(np.kron(a[1], a[0]), a[2]))


def close(found, expected, atol=1e-12):
    np.testing.assert_allclose(found, expected, rtol=0, atol=atol)


# ---- the rules


def test_the_plain_recipe_is_the_vector_itself():
    close(Recipe().combine([vectors()], [100]), vectors(), atol=0)


def test_the_weighted_sum_with_readout_and_decay():
    p, f, known = vectors(), 0.8, confusion()
    levels = [apply_axes(decayed(p, f**s), known.matrices) for s in (1, 3)]
    kept = 1.5 * f - 0.5 * f**3
    recipe = Recipe(readout=True, **LINEAR)
    close(recipe.combine(levels, [None, None], known), decayed(p, kept))
    both = Recipe(readout=True, rescale=True, **LINEAR)
    close(both.combine(levels, [10, 10], known, Decay(value=kept)), p)
    close(both.combine(levels, [10, 10], by_pairs(), Decay(value=kept)), p)
    # What is passed but not asked for is left alone.
    raw = Recipe(**LINEAR).combine(levels, [None, None], known, Decay(value=kept))
    close(raw, 1.5 * levels[0] - 0.5 * levels[1])


@pytest.mark.parametrize("twirls", [1, 4])
def test_folds_find_the_decay_of_each_vector(twirls):
    p, known = vectors(), confusion()
    scales = (1.0,) * twirls + (3.0,) * twirls
    recipe = Recipe(rule="folds", weights=(1.0,) * len(scales), scales=scales, readout=True)
    one = p[:1]
    laws = [apply_axes(decayed(one, 0.7**s), known.matrices) for s in scales]
    close(recipe.combine(laws, [None] * len(scales), known), one)
    all_ = [apply_axes(decayed(p, 0.7**s), known.matrices) for s in scales]
    close(recipe.combine(all_, [None] * len(scales), known), p)


def test_folds_take_the_variance_of_the_mean_out():
    rng, shots, twirls, f = np.random.default_rng(5), 40, 8, 0.8
    p, known, levels = vectors(20), confusion(), (1.0,) * 8 + (3.0,) * 8
    recipe = Recipe(rule="folds", weights=(1.0,) * 16, scales=levels, readout=True)

    def kept(with_shots):
        # How large the result is, along the exact vectors, on average over draws.
        found = []
        for _ in range(40):
            laws = [apply_axes(decayed(p, f**s), known.matrices) for s in levels]
            seen = [rng.multinomial(shots, law) / shots for law in laws]
            out = recipe.combine(seen, [shots if with_shots else None] * (2 * twirls), known)
            found.append(((out - U) * (p - U)).sum() / ((p - U) ** 2).sum())
        return np.mean(found), np.std(found, ddof=1) / np.sqrt(len(found))

    mean, error = kept(True)
    assert abs(mean - 1) < 4 * error + 2e-3
    mean, error = kept(False)
    assert mean - 1 > 4 * error


def test_training_circuits_find_the_decay():
    p, training, known, f = vectors(1), vectors(5, seed=3), confusion(), 0.6
    recipe = Recipe(
        rule="known",
        weights=(1.0, *(0.0,) * 5),
        scales=(1.0,) * 6,
        readout=True,
        ideal=training,
    )
    laws = [apply_axes(decayed(v, f), known.matrices) for v in (p, *training[:, None])]
    close(recipe.combine(laws, [None] * 6, known), p)
    # The exact noise cancels in the regression, whatever the shots are said to be.
    close(recipe.combine(laws, [100] * 6, known), p)


def test_exponential_extrapolation_undoes_pure_decay():
    pytest.importorskip("mitiq")
    p = vectors(2)
    scales = (1.0, 2.0, 3.0)
    recipe = Recipe(rule="exponential", weights=(1.0,) * 3, scales=scales)
    laws = [decayed(p, 0.8**s) for s in scales]
    close(recipe.combine(laws, [None] * 3), p, atol=1e-6)


def test_weights_and_scales_are_those_of_the_variants():
    circuit = QuantumCircuit(3)
    made = [Variant(circuit=circuit, weight=w, scale=s) for w, s in [(1.5, 1.0), (-0.5, 3.0)]]
    recipe = Recipe.of(made, readout=True)
    assert (recipe.weights, recipe.scales) == ((1.5, -0.5), (1.0, 3.0))
    assert (recipe.rule, recipe.readout, recipe.rescale) == ("linear", True, False)


# ---- gradients


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("known", [confusion(), by_pairs()], ids=["single", "pairs"])
def test_pulling_back_is_the_gradient_of_combining(rescale, known):
    g, decay = np.random.default_rng(2).normal(size=(3, OUTCOMES)), Decay(value=0.7)
    recipe = Recipe(readout=True, rescale=rescale, **LINEAR)
    v, step = [vectors(), vectors(seed=1)], [vectors(seed=2), vectors(seed=3)]

    def value(levels):
        return (g * recipe.combine(levels, [None, None], known, decay)).sum(axis=1)

    change = value([a + b for a, b in zip(v, step, strict=True)]) - value(v)
    moved = sum(w * s for w, s in zip(recipe.weights, step, strict=True))
    if rescale:
        np.testing.assert_allclose(moved.sum(axis=1), 1.0, rtol=1e-12)
    close((recipe.pull_back(g, known, decay) * moved).sum(axis=1), change, atol=1e-11)


def test_fitted_rules_have_no_gradient():
    with pytest.raises(InputError, match="the rule 'folds' is not linear"):
        Recipe(rule="folds").pull_back(vectors(), None, None)


# ---- stored, refused


def test_json_gives_the_same_recipe_back():
    recipes = [
        Recipe(readout=True, rescale=True, **LINEAR),
        Recipe(rule="known", weights=(1.0, 0.0, 0.0), scales=(1.0,) * 3, ideal=vectors(2)),
    ]
    for one in recipes:
        back = Recipe.from_dict(json.loads(json.dumps(one.to_dict())))
        assert back.to_dict() == one.to_dict()
        assert (back.ideal is None) == (one.ideal is None)
        if one.ideal is not None:
            np.testing.assert_array_equal(back.ideal, one.ideal)
    for damaged in ({}, [], one.to_dict() | {"weights": None}, one.to_dict() | {"scales": ["x"]}):
        with pytest.raises(InputError, match="a stored mitigation recipe is damaged"):
            Recipe.from_dict(damaged)


def test_missing_calibrations_are_named():
    with pytest.raises(InputError, match="the readout was not calibrated: pass a confusion"):
        Recipe(readout=True).combine([vectors()], [10])
    with pytest.raises(InputError, match="the decay was not calibrated: pass one"):
        Recipe(rescale=True).combine([vectors()], [10])
