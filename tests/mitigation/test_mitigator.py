"""Mitigation at work: what it refuses, what it needs, what it warns of, what it reuses."""

from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import qt_hw as qt
from qt_hw.circuits.builtin import RyCnot
from qt_hw.errors import InputError, MitigationWarning, PreflightError
from qt_hw.execution.backend import Batch, Counts
from qt_hw.mitigation import Calibration, Confusion, Mitigation, Readout, Rescale, Twirling, Zne
from qt_hw.mitigation.calibrator import Circuit, looks_coherent
from qt_hw.mitigation.combination import CANDIDATES, TWIRLED
from qt_hw.mitigation.mitigator import Mitigator

Array = NDArray[np.float64]
DATE = "2026-03-01T12:00:00+00:00"
ANSATZ = RyCnot(3, 2)
ANGLES = np.random.default_rng(4).uniform(-2, 2, ANSATZ.n_angles)


@functools.cache
def aer() -> Any:
    return qt.backend("aer", noise="depolarizing(p2=1e-2)+readout(p01=0.02, p10=0.04)")


def mitigator(wanted: Any, shots: int | None = None, **given: Any) -> Mitigator:
    made = Mitigation.of(wanted, **given)
    assert made is not None
    circuit = Circuit(ansatz=ANSATZ, prepared=aer().prepare(ANSATZ))
    return Mitigator(made, [circuit], aer(), shots)


class Runner:
    """Runs batches and keeps them."""

    def __init__(self) -> None:
        self.batches: list[Batch] = []

    def __call__(self, batch: Batch) -> Counts:
        self.batches.append(batch)
        result: Counts = aer().submit(batch, "t").result()
        return result


def calibrated(wanted: Any, shots: int | None = None, **given: Any) -> tuple[Mitigator, Runner]:
    made, run = mitigator(wanted, shots, **given), Runner()
    made.calibrate(run, 7, [ANGLES], DATE)
    return made, run


KNOWN = Readout(confusion=Confusion(matrices=np.tile([[0.98, 0.04], [0.02, 0.96]], (3, 1, 1))))


@pytest.mark.parametrize(
    ("wanted", "ready"),
    [
        ("readout", False),
        ("rescale", False),
        ("auto", False),
        ("zne", True),
        ("twirling", True),
        ([KNOWN], True),
        ([KNOWN, Rescale(decay=0.9)], True),
        ([KNOWN, Rescale()], False),
    ],
)
def test_only_what_needs_it_is_calibrated(wanted: Any, ready: bool) -> None:
    assert mitigator(wanted).ready == ready


def test_extrapolation_of_shots_is_judged_first() -> None:
    assert mitigator("zne").ready and not mitigator("zne", shots=1000).ready
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MitigationWarning)
        made, run = calibrated("zne", 1000)
    (batch,) = run.batches
    assert [item.role for item in batch.items] == ["training", "fold(3)"]
    assert made.ready and batch.n_shots == 16 * 8192


def test_the_calibration_says_what_it_took() -> None:
    made, run = calibrated("readout+rescale", 1000, calibration_shots=500)
    (batch,) = run.batches
    found = made.calibration
    assert found is not None
    assert (found.backend, found.date) == ("aer", DATE)
    assert (found.n_circuits, found.n_shots) == (batch.n_circuits, batch.n_shots) == (10, 5000)
    again = made.calibration_batch(7)
    assert again.n_shots == batch.n_shots and again.seed == batch.seed
    np.testing.assert_array_equal(again.items[-1].bindings, batch.items[-1].bindings)


def test_exact_vectors_are_calibrated_exactly() -> None:
    made, run = calibrated("readout+rescale")
    assert run.batches[0].n_shots == 0
    assert made.shots(0) == (None,)


def test_equal_seeds_give_equal_calibrations() -> None:
    one, two = (calibrated("auto", 4000)[0].calibration for _ in range(2))
    assert one is not None and two is not None and one.to_dict() == two.to_dict()


@pytest.mark.parametrize("shots", [1000, 1001, 3333])
@pytest.mark.parametrize("wanted", ["readout", "twirling", "twirling+zne"])
def test_a_vector_takes_the_shots_asked_for(wanted: str, shots: int) -> None:
    assert sum(n or 0 for n in mitigator(wanted, shots).shots(0)) == shots


def test_fewer_shots_than_circuits_are_refused() -> None:
    with pytest.raises(PreflightError, match="32 circuits: ask for 32 shots or more, not 31"):
        mitigator("twirling+zne", 31)
    assert mitigator("twirling+zne", 32).shots(0) == (1,) * 32


def test_stored_calibrations_are_used_again() -> None:
    first, _ = calibrated("readout+rescale")
    stored = first.calibration
    assert stored is not None
    second = mitigator("readout+rescale", calibration=Calibration.from_dict(stored.to_dict()))
    assert second.ready
    raw = np.random.default_rng(0).dirichlet(np.ones(8), 2)
    np.testing.assert_array_equal(first.combine(0, [raw]), second.combine(0, [raw]))
    np.testing.assert_array_equal(first.pull_back(0, raw), second.pull_back(0, raw))
    # It does for less, too.
    assert mitigator("readout", calibration=stored).ready


@pytest.mark.parametrize(
    ("measured", "wanted", "words"),
    [
        ("rescale", "readout", "says nothing of the readout"),
        ("readout", "readout+rescale", r"no decay for 'readout\+rescale'"),
        ("rescale", "readout+rescale", "says nothing of the readout"),
        ("readout+rescale", "rescale", "no decay for 'rescale'"),
        ("readout+rescale", "readout+twirling+rescale", "no decay for"),
        ("readout", "auto", "was not made for mitigation 'auto'"),
    ],
)
def test_a_calibration_must_have_what_is_needed(measured: str, wanted: str, words: str) -> None:
    made, _ = calibrated(measured)
    with pytest.raises(InputError, match=words):
        mitigator(wanted, calibration=made.calibration)


def test_another_device_needs_another_calibration() -> None:
    made, _ = calibrated("readout")
    stored = made.calibration
    assert stored is not None
    other = Calibration.from_dict({**stored.to_dict(), "backend": "ibm:ibm_torino"})
    with pytest.raises(InputError, match="is of ibm:ibm_torino, the circuits run on aer"):
        mitigator("readout", calibration=other)


def test_auto_takes_one_of_its_candidates_and_says_why() -> None:
    made, run = calibrated("auto", 4000)
    assert made.calibration is not None
    (one,) = made.calibration.circuits
    assert one.choice == made.combination(0).name == "readout+rescale"
    assert all(c.name in one.reason for c in CANDIDATES)
    assert len(run.batches) == 1  # incoherent: nothing to twirl
    told = made.describe()
    assert told["name"] == "auto" and told["combinations"] == [one.choice]
    assert told["calibration"]["circuits"][0]["reason"] == one.reason


def test_auto_cannot_work_before_it_has_chosen() -> None:
    made = mitigator("auto", 4000)
    with pytest.raises(InputError, match="has not been calibrated yet"):
        made.variants(0)
    assert "combinations" not in made.describe()
    stored, _ = calibrated("auto", 4000)
    assert stored.calibration is not None
    strange = stored.calibration.to_dict()
    strange["circuits"][0]["choice"] = "magic"
    with pytest.raises(InputError, match="unknown combination 'magic'"):
        mitigator("auto", 4000, calibration=Calibration.from_dict(strange))


def test_what_looks_coherent() -> None:
    assert looks_coherent({"readout": 0.01, "readout+rescale": 0.009})
    assert not looks_coherent({"readout": 0.01, "readout+rescale": 0.003})
    assert not looks_coherent({"readout": 0.01}) and not looks_coherent({})
    assert all(one.twirling is not None for one in TWIRLED)


def test_prices_need_no_calibration() -> None:
    for wanted, circuits in (("readout+zne", 2), ("auto", 2), ("readout+rescale", 1)):
        made = mitigator(wanted, 1000)
        made.assume()
        assert made.ready and len(made.variants(0)) == circuits


@pytest.mark.parametrize("wanted", ["zne", "readout+zne", [Zne(scales=(1, 3, 5))]])
def test_extrapolation_at_few_shots_is_warned_of(wanted: Any) -> None:
    with pytest.warns(MitigationWarning, match="is expected to hurt at 500 shots") as caught:
        calibrated(wanted, 500)
    assert len(caught) == 1
    needed = int(str(caught[0].message).split("pays from about ")[1].split()[0].replace(",", ""))
    assert 500 < needed < 10**6
    calibrated(wanted, 4 * needed)  # without a warning


def test_what_helps_is_not_warned_of() -> None:
    calibrated("readout", 4000)
    calibrated("readout+rescale", 4000)


def test_results_are_distributions() -> None:
    made, _ = calibrated("readout+rescale")
    counts = np.random.default_rng(1).multinomial(50, np.full(8, 1 / 8), 20) / 50
    found = made.combine(0, [counts])
    assert found.min() >= 0 and found.shape == (20, 8)
    np.testing.assert_allclose(found.sum(axis=1), 1.0, atol=1e-12)


def test_nothing_is_combined_without_a_calibration() -> None:
    with pytest.raises(InputError, match="has not been calibrated yet"):
        mitigator("readout").combine(0, [np.full((1, 8), 1 / 8)])


def test_a_readout_that_says_nothing_is_refused() -> None:
    blind = qt.backend("aer", noise="readout(p=0.5)")
    circuit = Circuit(ansatz=ANSATZ, prepared=blind.prepare(ANSATZ))
    wanted = Mitigation.of("readout")
    assert wanted is not None
    made = Mitigator(wanted, [circuit], blind, None)
    with pytest.raises(InputError, match="qubit"):
        made.calibrate(lambda batch: blind.submit(batch, "t").result(), 1, [ANGLES], DATE)


def test_twirls_are_made_once_and_kept() -> None:
    made = mitigator([Twirling(variants=2)], 1000)
    assert made.variants(0) is made.variants(0)
