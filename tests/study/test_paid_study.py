"""Cells that cost money: one ledger, one cap, each job once, whatever happens on the way."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from qt_hw.errors import BudgetExceeded, InputError, JobFailed, Pending, StorageError
from qt_hw.hardware.billing import bills
from qt_hw.hardware.collect import collect
from qt_hw.hardware.jobs import cancel, retry
from qt_hw.hardware.status import standings
from qt_hw.storage import locked
from qt_hw.study.config import StudyConfig
from qt_hw.study.folder import StudyFolder
from qt_hw.study.loading import load_study
from qt_hw.study.quote import StudyQuote
from qt_hw.study.runner import Runner
from qt_hw.study.study import _check_money, open_study, quote
from qt_hw.study.table import rows_of
from qt_hw.training.paid import Hardware
from tests.hardware.paper import Vendor, installed, killed_in_child, vendor
from tests.rendering import unrendered
from tests.study.small import small_study
from tests.study.test_runner import Here, without_time

__all__ = ["installed", "unrendered", "vendor"]

pytestmark = pytest.mark.usefixtures("unrendered")

#: Each of two seeds: an evaluation of 100 shots, measured twice, and a training of three steps.
EVALUATION = 2 * (0.30 + 100 * 0.01)
TRAINING = 3 * (0.30 + 17 * 50 * 0.01) + (0.30 + 50 * 0.01)
ALL = 2 * (EVALUATION + TRAINING)
JOBS = 2 * (2 + 4)


def paid_study(folder: Path, **tables: Any) -> StudyConfig:
    study = {
        "controls": [],
        "evaluate": [{"backend": "paper:a4", "shots": 100, "repeats": 2}],
        "train": [{"backend": "paper:a4", "shots": 50}],
        "budget": {"max_usd": 200},
    }
    return small_study(folder, **{**study, **tables})


def run(
    study: StudyConfig, out: Path, *, resume: bool = False, hardware: Hardware | None = None
) -> StudyFolder:
    hardware = hardware or Hardware()
    folder = open_study(study, out, resume=resume, rehearsal=hardware.rehearsal)
    _check_money(folder, hardware, lambda found: None)
    Runner(folder, lambda: Here(out), hardware=hardware).run()
    return folder


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("qt_hw.study.runner._POLL_SECONDS", (0.01, 0.05))


def test_one_ledger_holds_what_the_estimate_said(tmp_path: Path, vendor: Vendor) -> None:
    study = paid_study(tmp_path)
    quoted, done = quote(study, tmp_path / "out", timed=False)
    assert (quoted.cells, done, quoted.reasons) == (6, 0, ())
    assert quoted.total.usd_high == pytest.approx(ALL)
    folder = run(study, tmp_path / "out")
    assert folder.failures() == []
    assert len(vendor.jobs()) == JOBS
    assert vendor.bill() == pytest.approx(ALL)
    (bill,) = bills(tmp_path / "out")
    assert bill.totals.usd_spent == pytest.approx(ALL)
    assert len(bill.jobs) == JOBS
    assert not list(folder.path.glob("cells/*/journal.sqlite"))
    assert len({job["token"] for job in vendor.jobs()}) == JOBS


def test_cells_that_differ_in_an_option_have_prices_of_their_own(
    tmp_path: Path, vendor: Vendor
) -> None:
    """They share a condition, so that only the first was priced."""
    once = {"backend": "paper:a4", "shots": 100, "repeats": 1}
    evaluate = [once, {**once, "repeats": 3}, {**once, "mitigation": "readout"}]
    evaluate.append({**evaluate[-1], "calibration_shots": 700})
    study = paid_study(tmp_path, train=[], evaluate=evaluate)
    quoted, _ = quote(study, tmp_path / "out", timed=False)
    assert run(study, tmp_path / "out").failures() == []
    assert quoted.total.usd_high == pytest.approx(vendor.bill())


def test_jobs_of_simulators_are_not_counted_against_the_cap(tmp_path: Path, vendor: Vendor) -> None:
    study = paid_study(tmp_path, budget={"max_usd": 1}, train=[])
    quoted, _ = quote(study, tmp_path / "out", timed=False)
    assert len(quoted.reasons) == 1
    assert f"+ {2 * EVALUATION:.2f} for the next 4 jobs" in quoted.reasons[0]


def test_resuming_pays_nothing(tmp_path: Path, vendor: Vendor) -> None:
    study = paid_study(tmp_path)
    run(study, tmp_path / "out")
    before = rows_of(StudyFolder(tmp_path / "out"))
    run(study, tmp_path / "out", resume=True)
    assert len(vendor.jobs()) == JOBS
    assert rows_of(StudyFolder(tmp_path / "out")) == before


def test_further_cells_are_priced_and_held_against_the_cap(tmp_path: Path, vendor: Vendor) -> None:
    study = paid_study(tmp_path, train=[], budget={"max_usd": 3 * EVALUATION - 0.1})
    run(study, tmp_path / "out")
    told: list[StudyQuote] = []
    wider = study.model_copy(update={"seeds": (0, 1, 2)})
    folder = open_study(wider, tmp_path / "out", resume=True)
    with pytest.raises(BudgetExceeded, match=r"5\.20 USD spent"):
        _check_money(folder, Hardware(), told.append)
    assert told[0].total.usd_high == pytest.approx(EVALUATION)
    assert len(vendor.jobs()) == 4


def test_a_network_that_fails_while_waiting(tmp_path: Path, vendor: Vendor) -> None:
    """It is told once, and asked again until there is an answer."""
    said: list[str] = []
    study = paid_study(tmp_path, train=[], seeds=1)
    vendor.set(held=True)
    with pytest.raises(Pending):
        run(study, tmp_path / "out", hardware=Hardware(waiting=False))
    vendor.set(held=0, unreachable=3)
    folder = run(study, tmp_path / "out", resume=True, hardware=Hardware(say=said.append))
    assert folder.failures() == []
    assert sum("asking again until there is an answer" in line for line in said) == 1
    assert len(vendor.jobs()) == 2


def test_without_a_cap_or_above_it_nothing_is_sent(tmp_path: Path, vendor: Vendor) -> None:
    for budget, message in (({}, "set max_usd"), ({"max_usd": ALL - 0.1}, "above max_usd")):
        study = paid_study(tmp_path, budget=budget)
        with pytest.raises(BudgetExceeded, match=message):
            run(study, tmp_path / "out")
    assert vendor.jobs() == []
    run(paid_study(tmp_path, budget={"max_usd": ALL}), tmp_path / "out")  # no --resume needed
    assert vendor.bill() == pytest.approx(ALL)


def test_the_price_is_told_before_anything_is_sent(tmp_path: Path, vendor: Vendor) -> None:
    told: list[StudyQuote] = []
    study = paid_study(tmp_path)
    folder = open_study(study, tmp_path / "out", resume=False)
    _check_money(folder, Hardware(), told.append)
    assert vendor.jobs() == []
    assert told[0].total.usd_high == pytest.approx(ALL)
    assert told[0].total.jobs == JOBS


@pytest.mark.parametrize("job", [2, JOBS])
def test_a_kill_during_a_request_changes_nothing(job: int, tmp_path: Path, vendor: Vendor) -> None:
    study = paid_study(tmp_path)
    whole = run(study, tmp_path / "whole")
    vendor.set(die_at=JOBS + job)
    killed_in_child(lambda: run(study, tmp_path / "out"))
    assert len(vendor.jobs()) == JOBS + job
    vendor.set(die_at=0)
    again = run(study, tmp_path / "out", resume=True)
    assert len(vendor.jobs()) == 2 * JOBS
    assert without_time(rows_of(again)) == without_time(rows_of(whole))


def test_left_while_jobs_are_queued_and_gone_on_with(tmp_path: Path, vendor: Vendor) -> None:
    study = paid_study(tmp_path, train=[])
    vendor.set(held=True)
    with pytest.raises(Pending, match="2 cells wait for jobs; come back"):
        run(study, tmp_path / "out", hardware=Hardware(waiting=False, go_on="come back"))
    assert len(vendor.jobs()) == 4  # every repeat of every cell is on its way
    (standing,) = standings(tmp_path / "out")
    assert standing.n_moving == 4
    vendor.set(held=0)
    folder = run(study, tmp_path / "out", resume=True)
    assert len(vendor.jobs()) == 4
    assert folder.failures() == []


def test_a_failed_job_is_paid_again_only_on_the_users_word(tmp_path: Path, vendor: Vendor) -> None:
    study = paid_study(tmp_path, train=[])
    vendor.set(fail=1)
    folder = run(study, tmp_path / "out")
    (failure,) = folder.failures()
    assert failure.kind == JobFailed.__name__
    assert "nothing is sent again by itself" in failure.error
    assert len(vendor.jobs()) == 3  # its second repeat was not sent
    run(study, tmp_path / "out", resume=True)
    assert len(vendor.jobs()) == 3
    done = retry(tmp_path / "out", max_usd=50)
    assert len(done) == 1
    assert tomllib.loads((tmp_path / "out/study.toml").read_text())["budget"] == {"max_usd": 50}
    folder = run(load_study(tmp_path / "out/study.toml"), tmp_path / "out", resume=True)
    assert folder.failures() == []
    assert len(vendor.jobs()) == 5


def test_a_refused_cell_does_not_stop_the_others(tmp_path: Path, vendor: Vendor) -> None:
    study = paid_study(tmp_path, train=[])
    vendor.set(refuse=1)
    folder = run(study, tmp_path / "out")
    (failure,) = folder.failures()
    assert "the paper mill refuses" in failure.error
    assert len(vendor.jobs()) == 2
    folder = run(study, tmp_path / "out", resume=True)
    assert folder.failures() == []
    assert len(vendor.jobs()) == 4


def test_jobs_of_a_study_are_cancelled(tmp_path: Path, vendor: Vendor) -> None:
    study = paid_study(tmp_path, train=[], seeds=1)
    vendor.set(held=True)
    with pytest.raises(Pending):
        run(study, tmp_path / "out", hardware=Hardware(waiting=False))
    with locked(tmp_path / "out"), pytest.raises(StorageError, match="its study is running"):
        cancel(tmp_path / "out")
    assert [row.state for _, _, row in cancel(tmp_path / "out")] == ["cancelled"] * 2
    with pytest.raises(InputError, match="is a study; go on with: qt-hw study"):
        collect(tmp_path / "out")


def test_a_rehearsal_is_a_study_of_its_own(tmp_path: Path, vendor: Vendor) -> None:
    study = paid_study(tmp_path, train=[], seeds=1)
    rehearsal = Hardware(rehearsal={"queue_seconds": 0.0})
    folder = run(study, tmp_path / "out", hardware=rehearsal)
    assert vendor.jobs() == []
    assert folder.failures() == []
    assert folder.ledger == tmp_path / "out/rehearsal/journal.sqlite"
    assert not (tmp_path / "out/journal.sqlite").exists()
    (bill,) = bills(tmp_path / "out")
    assert bill.home.rehearsed
    assert bill.totals.usd_spent == pytest.approx(EVALUATION)
    from qt_hw.study.study import _check_kind

    with pytest.raises(InputError, match="is a rehearsal"):
        _check_kind(folder, None)
    real = open_study(study, tmp_path / "real", resume=False)
    with pytest.raises(InputError, match="is a real study"):
        _check_kind(real, rehearsal.rehearsal)
