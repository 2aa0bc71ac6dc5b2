"""Bootstrap intervals against the spread of repeated experiments."""

from __future__ import annotations

import json

import numpy as np
import pytest

from qt_hw.errors import InputError
from qt_hw.mitigation import Confusion, correct, estimate, project
from qt_hw.mitigation.confusion import apply_axes
from qt_hw.mitigation.verdict import assess


class Experiment:
    """One circuit and the two calibration circuits, under global decay and readout errors."""

    def __init__(self, n, shots, f=0.93, p01=0.01, p10=0.03, seed=0):
        self.rng = np.random.default_rng(seed)
        self.p = self.rng.dirichlet(np.ones(2**n))
        matrix = np.array([[1 - p01, p10], [p01, 1 - p10]])
        known = Confusion(matrices=np.repeat(matrix[None], n, axis=0))
        self.shots, edges = shots, np.eye(2**n)[[0, -1]]
        law = 2.0**-n + f * (self.p - 2.0**-n)
        self.laws = [apply_axes(v, known.matrices) for v in (law, *edges)]

    def counts(self):
        """Of one experiment."""
        return [self.rng.multinomial(self.shots, law)[None] for law in self.laws]

    @staticmethod
    def mitigate(counts):
        return correct(counts[0][0] / counts[0].sum(), estimate(counts[1:]))

    def distances(self, repeats):
        """Total variations, raw and mitigated, ``(repeats, 2)``."""
        out = []
        for _ in range(repeats):
            counts = self.counts()
            vectors = (counts[0][0] / self.shots, project(self.mitigate(counts)))
            out.append([0.5 * np.abs(v - self.p).sum() for v in vectors])
        return np.array(out)


@pytest.mark.parametrize(("n", "repeats"), [(5, 100), (8, 60)])
def test_intervals_cover_the_mean_distance(n, repeats):
    experiment = Experiment(n, 4000)
    raw, mitigated = experiment.distances(1000).mean(axis=0)
    covered = []
    for _ in range(repeats):
        v = assess(experiment.p, experiment.counts(), experiment.mitigate, replicates=60)
        covered.append(
            [
                v.raw.low <= raw <= v.raw.high,
                v.mitigated.low <= mitigated <= v.mitigated.high,
                v.difference.low <= mitigated - raw <= v.difference.high,
            ]
        )
    # Nominally 95 %; four standard errors of so many repetitions below.
    least = 0.95 - 4 * (0.05 * 0.95 / repeats) ** 0.5
    assert (np.mean(covered, axis=0) > least).all()


def test_observed_distances_are_reported():
    experiment = Experiment(4, 2000)
    counts = experiment.counts()
    verdict = assess(experiment.p, counts, experiment.mitigate)
    raw = counts[0][0] / 2000 - experiment.p
    done = project(experiment.mitigate(counts)) - experiment.p
    assert verdict.raw.total_variation == pytest.approx(0.5 * np.abs(raw).sum())
    assert verdict.raw.l2 == pytest.approx(np.linalg.norm(raw))
    assert verdict.mitigated.l2 == pytest.approx(np.linalg.norm(done))
    expected = verdict.mitigated.total_variation - verdict.raw.total_variation
    assert verdict.difference.total_variation == pytest.approx(expected)
    assert 0 <= verdict.raw.low < verdict.raw.total_variation < verdict.raw.high
    assert verdict == assess(experiment.p, counts, experiment.mitigate)
    assert json.loads(json.dumps(verdict.to_dict()))["raw"]["l2"] == verdict.raw.l2


def test_it_says_whether_mitigation_helped():
    good = Experiment(4, 20_000, p01=0.02, p10=0.06)
    verdict = assess(good.p, good.counts(), good.mitigate)
    assert verdict.helped is True and verdict.line.endswith(": mitigation helped")
    counts = good.counts()
    same = assess(good.p, counts, lambda c: c[0][0] / c[0].sum())
    assert same.helped is None and same.line.endswith(": too close to tell")
    bad = assess(good.p, counts, lambda c: np.full(16, 1 / 16))
    assert bad.helped is False and bad.line.endswith(": mitigation hurt")
    assert bad.mitigated.high - bad.mitigated.low < 1e-12
    assert "\n" not in verdict.line and verdict.line.startswith("total variation to the ideal")


def test_the_raw_vector_can_be_chosen_and_the_calibrations_noise_counts():
    experiment = Experiment(4, 4000)
    data, zero, one = experiment.counts()
    pooled = assess(
        experiment.p,
        [data, data, zero, one],
        lambda c: experiment.mitigate([c[0] + c[1], *c[2:]]),
        raw=lambda c: (c[0] + c[1])[0] / (c[0] + c[1]).sum(),
    )
    single = assess(experiment.p, [data, zero, one], experiment.mitigate)
    assert pooled.raw.total_variation == pytest.approx(single.raw.total_variation)
    width = (pooled.raw.high - pooled.raw.low) / (single.raw.high - single.raw.low)
    assert width == pytest.approx(0.5**0.5, rel=0.3)
    few = [data, zero * 0 + np.eye(16)[0] * 20, one * 0 + np.eye(16)[-1] * 20]
    few[1][0, :2], few[2][0, -2:] = (18, 2), (2, 18)
    poor = assess(experiment.p, few, experiment.mitigate)
    ends = [v.mitigated.high - v.mitigated.low for v in (poor, single)]
    assert ends[0] > 1.5 * ends[1]


def test_wrong_input_is_refused():
    p, counts = np.full(4, 0.25), [np.array([1.0, 2, 3, 4])]

    def same(c):
        return c[0] / c[0].sum()

    for bad, match in [
        (lambda: assess(p, [], same), "pass an exact vector"),
        (lambda: assess(p, [np.array([-1.0, 2, 3, 4])], same), "not negative"),
        (lambda: assess(p, [np.zeros(4)], same), "without a shot"),
        (lambda: assess(p, counts, lambda c: np.ones(2)), "of the shape"),
        (lambda: assess(p, counts, same, replicates=1), "2 replicates"),
    ]:
        with pytest.raises(InputError, match=match):
            bad()
