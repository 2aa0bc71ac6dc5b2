"""Techniques by name, their options, and which go together."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from qt_hw.errors import InputError, MissingExtra, UnknownName
from qt_hw.mitigation import (
    Cdr,
    Confusion,
    Ddd,
    Lre,
    Mitigation,
    Pec,
    Readout,
    Rescale,
    Twirling,
    Zne,
)
from qt_hw.mitigation.combination import CANDIDATES, TWIRLED, Combination
from qt_hw.mitigation.decay import Decay
from qt_hw.mitigation.extrapolation import coefficients
from qt_hw.mitigation.recipe import Recipe
from qt_hw.mitigation.techniques import TECHNIQUES, Technique, technique

CONFUSION = Confusion(matrices=np.tile([[0.98, 0.05], [0.02, 0.95]], (2, 1, 1)), shots=1000)


@pytest.mark.parametrize("name", TECHNIQUES)
def test_each_technique_comes_back_from_its_options(name: str) -> None:
    given = {"noise": 0.01} if name == "pec" else {}
    made = technique(name, given)
    stored = made.to_dict()
    assert type(made) is TECHNIQUES[name] and stored.pop("name") == name
    assert technique(name, stored) == made
    assert made.bound == (name in ("ddd", "cdr", "pec", "lre"))


def test_a_known_confusion_comes_back() -> None:
    stored = Readout(confusion=CONFUSION).to_dict()
    stored.pop("name")
    again = technique("readout", stored)
    assert isinstance(again, Readout) and again.confusion is not None
    np.testing.assert_array_equal(again.confusion.matrices, CONFUSION.matrices)


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("zen", {}, "did you mean 'zne'"),
        ("zne", {"scale": [1, 3]}, "did you mean 'scales'"),
        ("zne", {"scales": 3}, "scales is a list of numbers"),
        ("readout", {"confusion": (0.1, 0.2)}, "confusion is a Confusion"),
        ("readout", {"correlated": "no"}, "correlated is true or false"),
        ("zne", {"scales": [0.5, 3]}, "scale factors are 1 or more, not"),
        ("zne", {"scales": [1]}, "needs 2 or more different scale factors"),
        ("zne", {"scales": [3, 3]}, "needs 2 or more different scale factors"),
        ("zne", {"scales": []}, "scale factors are 1 or more"),
        ("zne", {"scales": [1, float("nan")]}, "scales takes numbers"),
        ("zne", {"scales": [1, "3"]}, "scales takes numbers"),
        ("zne", {"scales": [1, 3], "fit": "polynomial"}, "degree 2 needs 3 or more"),
        ("zne", {"fit": "cubic"}, "unknown fit 'cubic' of zne"),
        ("zne", {"folding": "gates"}, "unknown folding 'gates' of zne"),
        ("zne", {"split": "half"}, "unknown split 'half' of zne"),
        ("zne", {"order": 0}, "order must be a whole number of at least 1"),
        ("readout", {"pairs": 0}, "pairs must be a whole number"),
        ("readout", {"pairs": True}, "pairs must be a whole number"),
        ("readout", {"source": "propertys"}, "did you mean 'properties'"),
        ("rescale", {"decay": 0.01}, "decay must lie between 0.05 and 1"),
        ("rescale", {"decay": 1.1}, "decay must lie between 0.05 and 1"),
        ("rescale", {"fit": "fold"}, "of rescale; did you mean 'folding'"),
        ("rescale", {"circuits": 0}, "circuits must be a whole number"),
        ("twirling", {"variants": 0}, "variants must be a whole number"),
        ("twirling", {"seed": -1}, "seed must be a whole number"),
        ("pec", {}, "pec needs to know the noise"),
        ("pec", {"noise": 0.8}, "noise must lie between 0 and 0.75"),
        ("cdr", {"share": 1.0}, "share must lie between 0 and 1"),
        ("cdr", {"circuits": 1}, "circuits must be a whole number of at least 2"),
        ("ddd", {"rule": "zz"}, "unknown rule 'zz' of ddd"),
        ("lre", {"chunks": 0}, "chunks must be a whole number"),
    ],
)
def test_wrong_options_are_refused_in_one_line(name: str, options: Any, words: str) -> None:
    with pytest.raises((InputError, UnknownName)) as caught:
        technique(name, options)
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_wrong_kinds_of_options_are_refused() -> None:
    with pytest.raises(InputError, match="scales is a list of numbers"):
        Zne(scales=3.0)  # type: ignore[arg-type]
    assert Zne(scales=np.array([1.0, 3.0])).scales == (1.0, 3.0)  # type: ignore[arg-type]
    for options in (5, {"readout": 5}):
        with pytest.raises(InputError, match="options map the name"):
            Mitigation.of("readout", options=options)  # type: ignore[arg-type]


def test_correlated_readout_takes_two_pairs_of_circuits() -> None:
    assert Readout(correlated=True).pairs == 2
    assert Readout(correlated=True, pairs=3).pairs == 3


@pytest.mark.parametrize(
    ("one", "linear"),
    [
        (Readout(), True),
        (Twirling(), True),
        (Zne(), True),
        (Zne(scales=(1, 2, 3), fit="richardson"), True),
        (Zne(fit="exponential"), False),
        (Rescale(), True),
        (Rescale(fit="data"), False),
        (Rescale(fit="data", decay=0.9), True),
        (Cdr(), False),
        (Ddd(), False),
        (Pec(noise=0.01), False),
        (Lre(), False),
    ],
)
def test_which_techniques_let_gradients_pass(one: Technique, linear: bool) -> None:
    assert one.differentiable == linear
    assert Combination((one,)).differentiable == linear
    assert bool(Combination((one,)).not_differentiable) != linear


@pytest.mark.parametrize(
    ("techniques", "words"),
    [
        ((Zne(), Rescale()), "zne and rescale both undo the errors of the gates; use one"),
        ((Rescale(), Cdr()), "rescale and cdr both undo"),
        ((Zne(), Zne(scales=(1, 5))), "zne is given twice"),
        ((Twirling(), Pec(noise=0.1)), "pec goes together with readout only, not with twirling"),
        ((Ddd(), Zne()), "ddd goes together with readout only"),
    ],
)
def test_what_does_not_go_together_is_refused(techniques: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Combination(techniques)


def test_combinations_are_sorted_and_named() -> None:
    assert Combination().name == "raw"
    assert Combination((Rescale(), Twirling(), Readout())).name == "readout+twirling+rescale"
    assert Combination((Cdr(), Readout())).bound == Cdr()
    names = [one.name for one in (*CANDIDATES, *TWIRLED)]
    assert len(set(names)) == len(names) and names[0] == "raw"


@pytest.mark.parametrize(
    "value",
    ["zne+readout", "readout, zne", ["zne", "readout"], [Zne(), "readout"], (Readout(), Zne())],
)
def test_users_write_combinations_in_many_ways(value: Any) -> None:
    made = Mitigation.of(value)
    assert made is not None and made.combination == Combination((Readout(), Zne()))
    assert Mitigation.of(made) is made


def test_options_come_from_tables() -> None:
    made = Mitigation.of("readout+zne", options={"zne": {"scales": [1, 3, 5]}})
    assert made is not None
    assert made.combination.techniques[1] == Zne(scales=(1, 3, 5))
    assert made.options == {"zne": {"scales": [1.0, 3.0, 5.0]}}
    again = Mitigation.of(made.name, options=made.options)
    assert again == made
    assert made.describe()["techniques"][1]["scales"] == [1.0, 3.0, 5.0]


@pytest.mark.parametrize("value", [None, "none", []])
def test_none_is_nothing(value: Any) -> None:
    assert Mitigation.of(value) is None


@pytest.mark.parametrize(
    ("value", "options", "words"),
    [
        ("", {}, "unknown mitigation ''"),
        ("readout+none", {}, "'none' goes alone"),
        ("auto+zne", {}, "'auto' goes alone"),
        ("auto", {"zne": {}}, "options of zne, which is not used"),
        ("none", {"zne": {}}, "options of zne, which is not used"),
        ("readout", {"zne": {}}, "options of zne, which is not used"),
        ("readout+readout", {}, "readout is given twice"),
        (7, {}, "not 7"),
        ([7], {}, r"not \[7\]"),
    ],
)
def test_other_wishes_are_refused(value: Any, options: Any, words: str) -> None:
    with pytest.raises((InputError, UnknownName), match=words):
        Mitigation.of(value, options=options)


@pytest.mark.parametrize("shots", [0, -1, 1.5, True])
def test_calibrations_need_shots(shots: Any) -> None:
    with pytest.raises(InputError, match="shots"):
        Mitigation(calibration_shots=shots)


# Recipes: pure numbers


def vectors(count: int) -> list[Any]:
    return list(np.random.default_rng(1).dirichlet(np.ones(4), (count, 3)))


def test_a_recipe_is_a_weighted_sum_corrected_and_rescaled() -> None:
    recipe = Recipe(weights=(1.5, -0.5), scales=(1.0, 3.0), readout=True, rescale=True)
    a, b = vectors(2)
    found = recipe.combine([a, b], [None, None], CONFUSION, Decay(value=0.8))
    inverse = np.linalg.inv(np.kron(CONFUSION.matrices[1], CONFUSION.matrices[0]))
    expected = 0.25 + ((1.5 * a - 0.5 * b) @ inverse.T - 0.25) / 0.8
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)


def test_pulling_back_is_the_transposed() -> None:
    recipe = Recipe(readout=True, rescale=True)
    rng = np.random.default_rng(2)
    (v,), g = vectors(1), rng.normal(size=(3, 4))
    direction = rng.normal(size=(3, 4))
    direction -= direction.mean(axis=1, keepdims=True)
    known = (CONFUSION, Decay(value=0.7))
    moved = recipe.combine([v + direction], [None], *known) - recipe.combine([v], [None], *known)
    found = (recipe.pull_back(g, *known) * direction).sum(axis=1)
    np.testing.assert_allclose(found, (g * moved).sum(axis=1), rtol=0, atol=1e-12)


def test_a_decay_of_the_same_data_is_found_and_undone() -> None:
    (ideal,) = vectors(1)
    ideal = 0.25 + (ideal[:1] - 0.25)
    folded = Recipe(rule="folds", weights=(1.0, 0.0), scales=(1.0, 3.0), readout=True)
    f = 0.85
    noisy = [0.25 + f**s * (ideal - 0.25) for s in (1, 3)]
    full = np.kron(CONFUSION.matrices[1], CONFUSION.matrices[0])
    found = folded.combine([v @ full.T for v in noisy], [None, None], CONFUSION)
    np.testing.assert_allclose(found, ideal, rtol=0, atol=1e-12)
    known = Recipe(
        rule="known", weights=(1.0, 0.0, 0.0), scales=(1.0,) * 3, ideal=vectors(2)[0][:2]
    )
    training = [0.25 + f * (row[None] - 0.25) for row in known.ideal]  # type: ignore[union-attr]
    found = known.combine([noisy[0], *training], [None] * 3)
    np.testing.assert_allclose(found, ideal, rtol=0, atol=1e-12)


def test_recipes_are_stored() -> None:
    recipe = Recipe(
        rule="known", weights=(1.0, 0.0), scales=(1.0, 1.0), ideal=np.full((1, 4), 0.25)
    )
    again = Recipe.from_dict(recipe.to_dict())
    assert again.to_dict() == recipe.to_dict()
    with pytest.raises(InputError, match="damaged"):
        Recipe.from_dict({"rule": "linear"})


def test_recipes_ask_for_what_they_lack() -> None:
    v = vectors(1)
    with pytest.raises(InputError, match="readout was not calibrated"):
        Recipe(readout=True).combine(v, [None])
    with pytest.raises(InputError, match="decay was not calibrated"):
        Recipe(rescale=True).combine(v, [None])
    with pytest.raises(InputError, match="not linear: it has no gradient"):
        Recipe(rule="folds").pull_back(v[0], None, None)


def test_what_forecasts_need_counts_twirls_once() -> None:
    from qiskit import QuantumCircuit

    from qt_hw.mitigation.variants import make_variants

    circuit = QuantumCircuit(2)
    circuit.cx(0, 1)
    combination = Combination((Readout(), Twirling(variants=4), Zne(split="equal")))
    method = combination.method(make_variants(combination.techniques, circuit, equal=False))
    assert method.name == "readout+twirling+zne" and method.twirled and method.readout
    np.testing.assert_allclose(method.weights, coefficients([1, 3], 1))
    np.testing.assert_allclose(method.shares, [0.5, 0.5])
    assert method.scales == (1.0, 3.0)


@pytest.mark.parametrize("wanted", ["pec", "cdr", "lre", "ddd", "exponential"])
def test_missing_packages_are_missed_before_anything_is_measured(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = {"pec": Pec(noise=0.01), "exponential": Zne(fit="exponential")}.get(wanted)
    combination = Combination((Readout(), one or technique(wanted)))
    combination.check_installed()
    monkeypatch.setitem(sys.modules, "mitiq", None)
    with pytest.raises(MissingExtra, match=r"qt-hw\[mitigation\]"):
        combination.check_installed()
    Combination((Readout(), Zne())).check_installed()
    Combination((Readout(), Rescale())).check_installed()
