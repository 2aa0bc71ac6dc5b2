"""Training on a device: left at any point, gone on with, the same numbers, never paid twice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from qt_hw.errors import BudgetExceeded, InputError, JobFailed, Pending
from qt_hw.execution.journal import Journal
from qt_hw.hardware.billing import bills
from qt_hw.hardware.estimate import estimate_training
from qt_hw.hardware.home import homes
from qt_hw.hardware.jobs import retry
from qt_hw.hardware.training import fetch, go_on, unfinished
from qt_hw.training.compare import Comparison, train_pair
from qt_hw.training.config import RunConfig
from qt_hw.training.metrics import TIME_COLUMNS
from qt_hw.training.paid import Hardware
from qt_hw.training.run import Run, train
from tests.hardware.paper import Vendor, killed_in_child
from tests.training.small import small_config

STEPS = 3
#: 4 qubits, 2 layers: 8 angles of two terms and the base in each step, the base at the end.
CIRCUITS = STEPS * 17 + 1


def paid(*changes: str) -> RunConfig:
    return small_config(
        "backend.name=paper:a4",
        f"optimizer.steps={STEPS}",
        "optimizer.eval_every=2",
        "budget.max_usd=200",
        *changes,
        shots=100,
    )


def practise(config: RunConfig, out: Path, **more: Any) -> Run:
    return train(config, out=out, progress=False, **more)


def numbers(run: Run) -> tuple[list[dict[str, Any]], dict[str, list[float]]]:
    """Return everything that must not depend on interruptions."""
    rows = [{k: v for k, v in row.items() if k not in TIME_COLUMNS} for row in run.metrics]
    return rows, {name: array.tolist() for name, array in run.arrays().items()}


def asked(vendor: Vendor) -> list[list[Any]]:
    """Return what the vendor's jobs measured, without tokens and times."""
    return [job["counts"] for job in vendor.jobs()]


def test_one_step_is_one_job_and_the_bill_is_the_estimate(tmp_path: Path, vendor: Vendor) -> None:
    quote = estimate_training(paid())
    run = practise(paid(), tmp_path / "run")
    assert [job["circuits"] for job in vendor.jobs()] == [17, 17, 17, 1]
    assert (quote.total.circuits, quote.total.jobs) == (CIRCUITS, STEPS + 1)
    assert quote.total.usd_high == pytest.approx(vendor.bill())
    assert run.results()["circuits"] == CIRCUITS
    assert run.results()["shots"] == 100 * CIRCUITS
    (bill,) = bills(run.folder)
    assert bill.totals.usd_spent == pytest.approx(vendor.bill())


def test_early_stopping_is_in_the_estimate(tmp_path: Path, vendor: Vendor) -> None:
    config = paid("optimizer.steps=4", "optimizer.early_stopping={patience=9}")
    quote = estimate_training(config)
    practise(config, tmp_path / "run")
    # Step 2 is evaluated before it is known whether it is taken: base and shifts apart.
    assert [job["circuits"] for job in vendor.jobs()] == [17, 17, 1, 16, 17, 1]
    assert (quote.total.jobs, quote.total.circuits) == (6, 4 * 17 + 1)
    assert quote.total.usd_high == pytest.approx(vendor.bill())


def test_gone_on_with_step_by_step_it_gives_the_same(tmp_path: Path, vendor: Vendor) -> None:
    whole = practise(paid(), tmp_path / "whole")
    first = asked(vendor)
    vendor.set(held=True)
    with pytest.raises(Pending, match="step 0"):
        practise(paid(), tmp_path / "parts", hardware=Hardware(waiting=False))
    for number in range(STEPS):
        assert len(vendor.jobs()) == len(first) + number + 1
        for _ in range(2):  # asking too early changes nothing
            with pytest.raises(Pending, match=f"step {number}"):
                go_on(tmp_path / "parts")
        text, error = fetch(tmp_path / "parts", Hardware()) or ("", None)
        assert text == f"step {number}: 1 of 1 jobs queued or running"
        assert isinstance(error, Pending)
        vendor.set(held=0)
        text, error = fetch(tmp_path / "parts", Hardware()) or ("", None)
        assert (text, error) == (
            f"step {number} is measured; --continue takes it and submits the next",
            None,
        )
        vendor.set(held=True)
        with pytest.raises(Pending, match=f"step {number + 1}"):
            go_on(tmp_path / "parts")
    vendor.set(held=0)
    parts = go_on(tmp_path / "parts")
    assert isinstance(parts, Run)
    assert asked(vendor)[len(first) :] == first
    assert numbers(parts) == numbers(whole)
    assert unfinished(tmp_path / "parts") is None
    with pytest.raises(InputError, match="no training on a device is under way"):
        go_on(tmp_path / "parts")


@pytest.mark.parametrize("job", [1, 3, 4])
def test_a_kill_during_a_request_changes_nothing(job: int, tmp_path: Path, vendor: Vendor) -> None:
    vendor.set(die_at=job)
    killed_in_child(lambda: practise(paid(), tmp_path / "run"))
    assert len(vendor.jobs()) == job
    vendor.set(die_at=0)
    done = go_on(tmp_path / "run", hardware=Hardware())
    assert isinstance(done, Run)
    assert len(vendor.jobs()) == STEPS + 1
    whole = practise(paid(), tmp_path / "whole")
    assert numbers(done) == numbers(whole)
    first, second = asked(vendor)[: STEPS + 1], asked(vendor)[STEPS + 1 :]
    assert first == second


def test_the_budget_ends_it_before_it_is_crossed(tmp_path: Path, vendor: Vendor) -> None:
    # Each step costs 17.30 USD.
    config = paid("budget.max_usd=40")
    with pytest.raises(BudgetExceeded, match=r"34\.60 USD spent .* above max_usd = 40\.00"):
        practise(config, tmp_path / "run")
    assert vendor.bill() == pytest.approx(34.6)
    with pytest.raises(BudgetExceeded):
        go_on(tmp_path / "run", hardware=Hardware())
    assert len(vendor.jobs()) == 2
    done = practise(paid("budget.max_usd=60"), tmp_path / "run", resume=True)
    assert done.finished
    assert Run.open(tmp_path / "run").config.budget.max_usd == 60
    assert vendor.bill() == pytest.approx(3 * 17.3 + 1.3)


def test_without_a_cap_nothing_is_made(tmp_path: Path, vendor: Vendor) -> None:
    with pytest.raises(BudgetExceeded, match="paper:a4 costs money: set a cap"):
        practise(paid("budget.max_usd="), tmp_path / "run")
    assert vendor.jobs() == []
    assert not (tmp_path / "run").exists()


def test_a_failed_job_is_paid_again_on_the_users_word_only(tmp_path: Path, vendor: Vendor) -> None:
    vendor.set(fail=1)
    with pytest.raises(JobFailed, match=r"the ink ran out.*qt-hw retry"):
        practise(paid(), tmp_path / "run")
    for _ in range(2):
        with pytest.raises(JobFailed):
            go_on(tmp_path / "run", hardware=Hardware())
    assert len(vendor.jobs()) == 1
    text, error = fetch(tmp_path / "run", Hardware()) or ("", None)
    assert (text, error) == ("step 0 failed; qt-hw retry pays for it once more", None)
    ((_, request, row),) = retry(tmp_path / "run")
    # Half of the shifted circuits came back; the base did not.
    assert (request.label, row.circuits, row.attempt) == ("step 0", 9, 1)
    assert go_on(tmp_path / "run", hardware=Hardware()).finished  # type: ignore[union-attr]
    assert [job["circuits"] for job in vendor.jobs()] == [17, 9, 17, 17, 1]


def test_a_retry_may_raise_the_cap_of_a_training(tmp_path: Path, vendor: Vendor) -> None:
    vendor.set(fail=1)
    with pytest.raises(JobFailed):
        practise(paid("budget.max_usd=20"), tmp_path / "run")
    with pytest.raises(BudgetExceeded):
        retry(tmp_path / "run")
    retry(tmp_path / "run", max_usd=80.0)
    assert Run.open(tmp_path / "run").config.budget.max_usd == 80
    assert go_on(tmp_path / "run", hardware=Hardware()).finished  # type: ignore[union-attr]


def test_a_pair_is_gone_on_with_and_compared(tmp_path: Path, vendor: Vendor) -> None:
    vendor.set(held=True)
    told: list[float] = []
    how = Hardware(waiting=False, quoted=lambda config, quote: told.append(quote.total.usd_high))
    with pytest.raises(Pending):
        train_pair(paid("account.region=mill"), out=tmp_path / "pair", progress=False, hardware=how)
    assert told == [pytest.approx(STEPS * 17.3 + 1.3)]
    assert Run.open(tmp_path / "pair" / "noiseless").finished
    vendor.set(held=0)
    done = go_on(tmp_path / "pair", hardware=Hardware())
    assert isinstance(done, Comparison)
    assert list(done.results()) == ["noiseless", "sampled"]
    assert (tmp_path / "pair" / "comparison.csv").exists()
    assert len(vendor.jobs()) == STEPS + 1
    # A finished one is only read again.
    vendor.set(unreachable=True)
    train_pair(paid("account.region=mill"), out=tmp_path / "pair", resume=True, progress=False)


def test_a_cap_below_one_step_is_refused_before_anything_is_trained(
    tmp_path: Path, vendor: Vendor
) -> None:
    with pytest.raises(BudgetExceeded, match=r"17\.30 for the next job .* max_usd = 17\.00"):
        train_pair(paid("budget.max_usd=17"), out=tmp_path / "pair", progress=False)
    assert vendor.jobs() == []
    assert not (tmp_path / "pair" / "noiseless").exists()


def test_a_rehearsal_is_found_again_and_never_becomes_real(tmp_path: Path, vendor: Vendor) -> None:
    rehearsal = {"queue_seconds": 1e6}
    how = Hardware(waiting=False, rehearsal=rehearsal)
    with pytest.raises(Pending):
        practise(paid(), tmp_path / "run", hardware=how)
    with pytest.raises(InputError, match="is a rehearsal: go on with --rehearse"):
        practise(paid(), tmp_path / "run", resume=True)
    rehearsed = Vendor(tmp_path / "run" / "rehearsal" / "service" / "paper")
    rehearsed.set(queue_seconds=0.0)
    done = go_on(tmp_path / "run", hardware=Hardware())
    assert isinstance(done, Run)
    assert done.finished
    assert vendor.jobs() == []
    assert len(rehearsed.jobs()) == STEPS + 1
    (home,) = homes(tmp_path / "run")
    assert home.rehearsed


def test_real_jobs_are_not_mixed_with_a_rehearsal(tmp_path: Path, vendor: Vendor) -> None:
    vendor.set(held=True)
    with pytest.raises(Pending):
        practise(paid(), tmp_path / "run", hardware=Hardware(waiting=False))
    with pytest.raises(InputError, match="has real jobs; choose another --out"):
        practise(
            paid(),
            tmp_path / "run",
            resume=True,
            hardware=Hardware(waiting=False, rehearsal={}),
        )


def test_a_rehearsal_of_what_is_free_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs no rehearsal"):
        practise(small_config(), tmp_path / "run", hardware=Hardware(rehearsal={}))
    assert not (tmp_path / "run").exists()


def test_the_manifest_holds_the_circuit_that_was_sent(tmp_path: Path, vendor: Vendor) -> None:
    run = practise(paid(), tmp_path / "run")
    (factor,) = run.manifest["circuits"]["factors"]
    assert factor["properties"] == {"grain": "fine"}
    assert factor["calibration_date"] == "2025-01-01T00:00:00"
    assert run.manifest["backend"] == {"name": "paper:a4", "mill": "test"}
    with Journal(run.folder / "journal.sqlite") as journal:
        assert [request.label for request in journal.requests()] == [
            f"step {number}" for number in range(STEPS + 1)
        ]
