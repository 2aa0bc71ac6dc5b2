"""Cancel, retry, status and cost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from qt_hw.errors import BadResult, BudgetExceeded, InputError, StorageError
from qt_hw.execution.backend import Cost
from qt_hw.hardware.billing import bills
from qt_hw.hardware.collect import collect
from qt_hw.hardware.evaluate import submit
from qt_hw.hardware.evaluation import records
from qt_hw.hardware.home import homes
from qt_hw.hardware.jobs import cancel, retry
from qt_hw.hardware.status import standings
from qt_hw.storage import locked
from tests.hardware.paper import Vendor
from tests.hardware.test_collect import send, states


def test_a_queued_job_is_cancelled_and_costs_nothing(pair: Path, vendor: Vendor) -> None:
    vendor.set(held=True)
    send(pair / "noiseless")
    ((_, request, row),) = cancel(pair)
    assert (request.label, row.state, vendor.jobs()[0]["state"]) == (
        "evaluation 1",
        "cancelled",
        "cancelled",
    )
    (bill,) = bills(pair)
    assert bill.totals.usd_spent == 0.0
    assert states(collect(pair)) == ["cancelled"]
    assert cancel(pair) == []
    assert send(pair / "noiseless").news == "cancelled"
    assert len(vendor.jobs()) == 1


def test_one_job_is_named_by_id_token_or_a_start_of_them(pair: Path, vendor: Vendor) -> None:
    vendor.set(held=True)
    first, second, third = (
        send(pair / "noiseless", shots=shots).jobs[0] for shots in (100, 200, 300)
    )
    for row, name in ((first, first.id), (second, second.token), (third, third.token[:12])):
        ((_, _, cancelled),) = cancel(pair, name)
        assert (cancelled.token, cancelled.state) == (row.token, "cancelled")
    with pytest.raises(InputError, match="has ended already"):
        cancel(pair, first.id)
    for wrong in ("paper/99999", "qthw-"):
        with pytest.raises(InputError, match=f"no job {wrong} in .*qt-hw status"):
            cancel(pair, wrong)


def test_a_finished_job_stays_when_cancelled(pair: Path, vendor: Vendor) -> None:
    send(pair / "noiseless")
    ((_, _, row),) = cancel(pair)
    assert row.state == "done"
    assert states(collect(pair)) == ["finished"]


def test_a_retry_is_priced_capped_and_paid_once(pair: Path, vendor: Vendor) -> None:
    vendor.set(fail=1)
    submit(pair / "noiseless", "paper:a4", shots=100, max_usd=2.0)
    collect(pair)
    told: list[Cost] = []
    with pytest.raises(BudgetExceeded, match=r"1\.30 USD spent"):
        retry(pair, quoted=lambda label, cost: told.append(cost))
    assert (len(vendor.jobs()), [cost.usd_high for cost in told]) == (1, [1.3])
    assert states(collect(pair)) == ["failed"]  # nothing is left behind that collect would send
    ((home, _, row),) = retry(pair, max_usd=2.6)
    assert (row.attempt, row.state, len(vendor.jobs())) == (1, "submitted", 2)
    assert records(home)[0].max_usd == 2.6
    assert states(collect(pair)) == ["finished"]
    with pytest.raises(InputError, match="nothing to retry"):
        retry(pair)
    assert len({job["token"] for job in vendor.jobs()}) == 2


def test_a_cancelled_job_is_retried(pair: Path, vendor: Vendor) -> None:
    vendor.set(held=True)
    send(pair / "noiseless")
    cancel(pair)
    vendor.set(held=0)
    retry(pair)
    assert states(collect(pair)) == ["finished"]


def test_an_unreadable_result_is_given_up_only_by_name(pair: Path, vendor: Vendor) -> None:
    vendor.set(garbled=True)
    job = send(pair / "noiseless").jobs[0]
    (outcome,) = collect(pair).outcomes
    assert isinstance(outcome.error, BadResult)
    with pytest.raises(InputError, match="nothing to retry"):
        retry(pair)
    ((_, _, row),) = retry(pair, job.id)
    assert (row.attempt, len(vendor.jobs())) == (1, 2)
    vendor.set(garbled=0)
    assert states(collect(pair)) == ["finished"]


def test_a_result_that_can_be_read_after_all_is_not_paid_again(pair: Path, vendor: Vendor) -> None:
    job = send(pair / "noiseless").jobs[0]
    said: list[str] = []
    assert retry(pair, job.id, say=said.append) == []
    assert said == ["the result could be read after all: nothing is paid again"]
    assert len(vendor.jobs()) == 1


def test_a_job_on_its_way_is_not_retried(pair: Path, vendor: Vendor) -> None:
    vendor.set(held=True)
    job = send(pair / "noiseless").jobs[0]
    with pytest.raises(InputError, match="cancel it first"):
        retry(pair, job.id)


def test_a_folder_in_use_is_left_alone(pair: Path, vendor: Vendor) -> None:
    vendor.set(held=True)
    send(pair / "noiseless")
    with locked(pair / "noiseless"):
        for act in (cancel, lambda p: send(p / "noiseless", shots=200)):
            with pytest.raises(StorageError, match="another process is writing"):
                act(pair)
        (outcome,) = collect(pair).outcomes
        assert isinstance(outcome.error, StorageError)
        (standing,) = standings(pair)  # looking is allowed
        assert standing.lines[0].state == "queued"


# ---- status and cost


def test_status_tells_what_the_vendor_says(pair: Path, vendor: Vendor) -> None:
    vendor.set(held=True)
    done = send(pair / "noiseless")
    send(pair / "noiseless", rehearsal={"queue_seconds": 1000.0})
    real, rehearsed = standings(pair)
    (line,) = real.lines
    assert (line.state, line.place, line.row.token) == ("queued", "7", done.jobs[0].token)
    assert (real.totals.usd_queued, real.caps.max_usd, real.n_moving) == (1.3, 100.0, 1)
    assert (real.home.rehearsed, rehearsed.home.rehearsed) == (False, True)
    assert rehearsed.lines[0].state == "queued"
    vendor.set(held=0)
    (real, _) = standings(pair)
    assert (real.lines[0].state, real.n_moving) == ("done, not collected", 0)


def test_status_works_without_the_vendor(pair: Path, vendor: Vendor) -> None:
    send(pair / "noiseless")
    vendor.set(unreachable=True)
    (standing,) = standings(pair)
    assert standing.lines[0].state == "submitted"
    assert "paper:a4 cannot be asked (the paper mill does not answer)" in standing.problems[0]
    (standing,) = standings(pair, asking=False)
    assert list(standing.problems) == []


def test_the_bill_is_the_vendors_and_rehearsals_are_not_in_it(pair: Path, vendor: Vendor) -> None:
    send(pair / "noiseless")
    send(pair / "sampled", shots=200)
    send(pair / "noiseless", rehearsal={})
    collect(pair)
    noiseless, sampled, rehearsed = bills(pair)
    assert noiseless.totals.usd_spent + sampled.totals.usd_spent == pytest.approx(vendor.bill())
    ((_, row),) = sampled.jobs
    assert (row.usd, row.charge_source) == (2.3, "vendor")
    assert (rehearsed.home.rehearsed, rehearsed.totals.usd_spent) == (True, 1.3)


def test_a_charge_is_asked_for_again(pair: Path, vendor: Vendor) -> None:
    send(pair / "noiseless")
    collect(pair)
    (home,) = homes(pair)
    import sqlite3

    with sqlite3.connect(home.journal) as db:  # as if the vendor had not told it at first
        db.execute("update jobs set usd = null, qpu_seconds = null, charge_source = null")
    db.close()
    vendor.set(unreachable=True)
    job = json.loads((vendor.desk / "jobs" / "00000.json").read_text())
    (bill,) = bills(pair)
    assert bill.totals.usd_spent == pytest.approx(job["usd"])
    assert bill.jobs[0][1].charge_source == "vendor"
