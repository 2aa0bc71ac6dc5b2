from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import stats

from qt_hw.errors import InputError
from qt_hw.study.statistics.intervals import interval
from qt_hw.study.statistics.paired import compare, holm, signed_rank_p, smallest_p


def enumerated(differences: np.ndarray) -> float:
    """The two-sided p over all patterns of signs, by brute force."""
    ranks = stats.rankdata(np.abs(differences))
    sums = np.array([ranks @ np.array(s) for s in product([0.0, 1.0], repeat=len(ranks))])
    far = np.abs(sums - ranks.sum() / 2)
    observed = abs(ranks[differences > 0].sum() - ranks.sum() / 2)
    return float(np.mean(far >= observed - 1e-9))


@pytest.mark.parametrize("n", [5, 8])
def test_every_pattern_of_signs_has_the_p_of_an_enumeration(n: int) -> None:
    sizes = np.arange(1.0, n + 1)
    ranks = np.array(list(product([-1.0, 1.0], repeat=n)))
    for signs in ranks[:: 1 if n == 5 else 7]:
        assert signed_rank_p(signs * sizes) == pytest.approx(enumerated(signs * sizes))


@pytest.mark.parametrize("n", [4, 8])
def test_equal_sizes_are_counted_exactly_too(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(20):
        differences = rng.integers(1, 4, n) * rng.choice([-1.0, 1.0], n)
        assert signed_rank_p(differences) == pytest.approx(enumerated(differences))


def test_equal_sizes_agree_with_scipys_permutations() -> None:
    differences = np.array([0.1, 0.1, -0.1, 0.2, 0.3, 0.3, 0.3, -0.2, 0.5, 0.6])
    method = stats.PermutationMethod(n_resamples=2**10)
    expected = stats.wilcoxon(differences, method=method).pvalue
    assert signed_rank_p(differences) == pytest.approx(expected)


def test_many_differences_have_scipys_normal_approximation() -> None:
    differences = np.random.default_rng(0).normal(0.2, 1.0, 60)
    expected = stats.wilcoxon(differences, method="approx").pvalue
    assert signed_rank_p(differences) == pytest.approx(expected)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 30])
def test_the_smallest_p_is_that_of_equal_signs(n: int) -> None:
    assert signed_rank_p(np.arange(1.0, n + 1)) == pytest.approx(smallest_p(n))
    assert smallest_p(n) == min(1.0, 2 / 2**n)


def test_zeros_are_dropped() -> None:
    assert signed_rank_p([0.0, 1.0, 2.0, 0.0, 3.0]) == 0.25
    assert signed_rank_p([0.0] * 5) == 1.0
    assert signed_rank_p([]) == 1.0


def test_holm_against_an_example_worked_by_hand() -> None:
    # Sorted .005, .01, .02, .04 become 4 x .005, 3 x .01, 2 x .02, 1 x .04.
    assert holm([0.02, 0.01, 0.04, 0.005]) == pytest.approx([0.04, 0.03, 0.04, 0.02])
    # The second of .01, .011, .9 would fall below the first.
    assert holm([0.9, 0.011, 0.01]) == pytest.approx([0.9, 0.03, 0.03])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_family_errs_as_rarely_as_it_says() -> None:
    # 4 true hypotheses tested with 8 pairs each: some rejection in at most 5 % of 300 studies.
    rng = np.random.default_rng(7)
    wrong = 0
    for _ in range(300):
        pairs = {k: (rng.standard_normal(8), rng.standard_normal(8)) for k in range(4)}
        wrong += any(one.significant for one in compare(pairs).values())
    assert wrong <= 15 + 5 * np.sqrt(300 * 0.05 * 0.95)


def test_differences_and_their_interval() -> None:
    values, twins = [0.91, 0.88, 0.93, 0.9], [0.95, 0.94, 0.95, 0.97]
    found = compare({"a": (values, twins)}, family="f")["a"]
    assert found.difference == interval([-0.04, -0.06, -0.02, -0.07])
    assert (found.n, found.zeros, found.comparisons, found.family) == (4, 0, 1, "f")
    assert found.p_value == found.smallest_p == 0.125


def test_few_seeds_decide_nothing_whatever_they_say() -> None:
    found = compare({"a": ([1.0, 2.0, 3.0, 4.0, 5.0], [0.0] * 5)})["a"]
    assert found.p_value == found.smallest_p == 0.0625
    assert found.significant is None


def test_the_correction_makes_it_undecidable() -> None:
    clear = ([float(k) for k in range(1, 11)], [0.0] * 10)
    few = compare(dict.fromkeys(range(25), clear))
    assert all(one.significant is True for one in few.values())
    assert few[0].p_adjusted == pytest.approx(25 * 2 / 2**10)
    many = compare(dict.fromkeys(range(26), clear))  # 26 x 0.00195 is above 0.05
    assert all(one.significant is None for one in many.values())


def test_what_could_be_significant_and_is_not() -> None:
    values = [1.0, -2.0, 3.0, -4.0, 5.0, -6.0, 7.0, -8.0]
    found = compare({"a": (values, [0.0] * 8)})["a"]
    assert found.significant is False
    assert found.p_value == pytest.approx(enumerated(np.array(values)))


def test_rounding_makes_no_difference_out_of_equal_values() -> None:
    # 0.96 - 0.94 is not 0.95 - 0.93 in binary, and 0.1 + 0.2 is not 0.3.
    found = compare({"a": ([0.96, 0.93, 0.1 + 0.2], [0.94, 0.95, 0.3])})["a"]
    assert (found.n, found.zeros, found.p_value) == (2, 1, 1.0)


def test_without_any_difference_p_is_one_and_nothing_is_decided() -> None:
    found = compare({"a": ([0.5] * 10, [0.5] * 10)})["a"]
    assert (found.p_value, found.smallest_p, found.n, found.zeros) == (1.0, 1.0, 0, 10)
    assert found.significant is None


def test_pairs_of_different_lengths_are_refused() -> None:
    with pytest.raises(InputError, match="as many values as twins"):
        compare({"a": ([1.0], [1.0, 2.0])})
    with pytest.raises(InputError, match="all finite"):
        compare({"a": ([float("nan")], [1.0])})
