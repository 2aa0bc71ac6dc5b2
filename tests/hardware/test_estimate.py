from __future__ import annotations

from pathlib import Path

import pytest

from qt_hw.errors import InputError, PreflightError, StorageError
from qt_hw.execution.budget import Cap, Totals
from qt_hw.hardware.estimate import estimate_evaluation, estimate_training, spent_in, verdict
from qt_hw.hardware.evaluate import submit
from tests.hardware.paper import Vendor
from tests.training.small import small_config


def test_an_evaluation_costs_what_it_is_estimated_at(pair: Path, vendor: Vendor) -> None:
    cost = estimate_evaluation(pair / "noiseless", "paper:a4", shots=250)
    assert (cost.circuits, cost.shots, cost.jobs, cost.usd_high) == (1, 250, 1, 2.8)
    assert cost.source == "prices of 2025-01 (paper)"
    assert vendor.jobs() == []
    submit(pair / "noiseless", "paper:a4", shots=250, max_usd=5.0)
    assert vendor.bill() == pytest.approx(cost.usd_high)
    assert spent_in(pair / "noiseless").usd_queued == pytest.approx(cost.usd_high)
    assert spent_in(pair / "sampled") == Totals()


def test_a_rehearsed_estimate_leaves_nothing(pair: Path, vendor: Vendor) -> None:
    cost = estimate_evaluation(pair / "noiseless", "paper:a4", shots=250, rehearsal={})
    assert cost.usd_high == 2.8
    assert not (pair / "noiseless" / "rehearsal").exists()


def test_what_cannot_run_is_refused_with_the_reason(pair: Path, vendor: Vendor) -> None:
    with pytest.raises(PreflightError, match="takes at least 10"):
        estimate_evaluation(pair / "noiseless", "paper:a4", shots=9)
    large = small_config("ansatz.n_qubits=7", "backend.name=paper:a4", "mapping.chunk_size=19")
    with pytest.raises(PreflightError, match="7 qubits, the backend takes 6"):
        estimate_training(large)
    with pytest.raises(PreflightError, match=r"set backend\.shots"):
        estimate_training(small_config("backend.name=paper:a4", shots=None))
    with pytest.raises(InputError, match="zne and rescale both undo the errors of the gates"):
        estimate_evaluation(pair / "noiseless", "paper:a4", shots=100, mitigation="zne+rescale")
    with pytest.raises(PreflightError, match="ask for 20 shots or more, not 19"):
        estimate_evaluation(pair / "noiseless", "paper:a4", shots=19, mitigation="zne")
    (pair / "noiseless" / "manifest.json").unlink()
    with pytest.raises(StorageError, match="not finished"):
        estimate_evaluation(pair / "noiseless", "paper:a4", shots=100)


def test_a_split_step_is_priced_job_by_job(vendor: Vendor) -> None:
    config = small_config(
        "backend.name=paper:a4", "backend.options={max_bindings=5}", "optimizer.steps=2", shots=10
    )
    quote = estimate_training(config)
    # 17 circuits in jobs of 5 are four jobs: 4 × 0.30 + 170 × 0.01.
    assert (quote.step.jobs, quote.step.usd_high) == (4, pytest.approx(2.9))
    assert (quote.last.jobs, quote.last.usd_high) == (1, pytest.approx(0.4))
    assert (quote.total.jobs, quote.total.usd_high) == (9, pytest.approx(6.2))
    assert [quote.affordable_steps(most, "usd") for most in (2.8, 2.9, 5.8, 100.0)] == [0, 1, 2, 2]


def test_the_calibration_of_a_training_is_priced_with_it(vendor: Vendor) -> None:
    config = small_config(
        "backend.name=paper:a4",
        "optimizer.steps=2",
        "mitigation.method=readout",
        "mitigation.calibration_shots=40",
        shots=10,
    )
    quote = estimate_training(config)
    assert quote.calibration is not None
    # Two circuits of 40 shots, once; the steps are as without mitigation.
    assert (quote.calibration.circuits, quote.calibration.shots) == (2, 80)
    assert quote.calibration.usd_high == pytest.approx(1.1)
    assert (quote.step.circuits, quote.step.usd_high) == (17, pytest.approx(2.0))
    assert quote.total.usd_high == pytest.approx(1.1 + 2 * 2.0 + 0.4)


def test_local_backends_cost_nothing() -> None:
    quote = estimate_training(small_config("optimizer.steps=2"))
    assert (quote.total.circuits, quote.total.shots) == (35, 35 * 256)
    assert (quote.total.usd_high, quote.total.qpu_seconds_high) == (0.0, 0.0)
    assert verdict(quote.total, Cap()).text == "it costs nothing"
    exact = estimate_training(small_config("optimizer.steps=2", shots=None))
    assert (exact.total.circuits, exact.total.shots) == (3, 0)


def test_the_verdict_counts_what_is_spent(pair: Path, vendor: Vendor) -> None:
    cost = estimate_evaluation(pair / "noiseless", "paper:a4", shots=250)
    assert not verdict(cost, Cap()).fits
    assert not verdict(cost, Cap()).capped
    assert verdict(cost, Cap(max_usd=2.8)).fits
    assert not verdict(cost, Cap(max_usd=2.8), Totals(usd_spent=0.01)).fits
