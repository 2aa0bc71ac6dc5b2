"""Submitting an evaluation: priced, capped, recorded, sent once, whatever happens."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from qt_hw.errors import (
    AmbiguousSubmission,
    BudgetExceeded,
    ConfigError,
    InputError,
    PermanentError,
    PreflightError,
    StorageError,
    UnknownName,
)
from qt_hw.execution.backend import Cost
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import JobRow, Journal
from qt_hw.execution.registry import open_backend
from qt_hw.hardware.collect import collect
from qt_hw.hardware.evaluate import Submission, submit
from qt_hw.hardware.evaluation import records
from qt_hw.hardware.home import Home, homes
from tests.hardware.paper import SECRET, Vendor, kill_this, killed_in_child


def send(pair: Path, *, shots: int = 100, max_usd: float | None = 10.0, **more) -> Submission:
    return submit(pair / "noiseless", "paper:a4", shots=shots, max_usd=max_usd, **more)


def home(pair: Path) -> Home:
    return Home(run=pair / "noiseless", rehearsed=False)


def test_one_request_is_sent_after_its_price_was_told(pair: Path, vendor: Vendor) -> None:
    told: list[tuple[Cost, int]] = []
    done = send(pair, quoted=lambda cost: told.append((cost, len(vendor.jobs()))))
    ((cost, sent_before),) = told
    assert (cost.usd_high, cost.circuits, cost.shots, sent_before) == (1.3, 1, 100, 0)
    (job,) = vendor.jobs()
    (row,) = done.jobs
    assert (done.news, row.id, row.token) == ("sent", job["id"], job["token"])
    (record,) = records(home(pair))
    assert (record.number, record.backend, record.shots, record.max_usd) == (1, "paper:a4", 100, 10)
    ((request, _),) = home(pair).requests()
    assert (request.step, request.label, request.id) == (-1, "evaluation 1", record.request)
    assert request.calibration == "2025-01-01T00:00:00"


def test_asking_twice_pays_once(pair: Path, vendor: Vendor) -> None:
    first = send(pair)
    second = send(pair)
    assert (second.news, second.jobs) == ("resumed", first.jobs)
    collect(pair)
    assert send(pair).news == "done"
    assert len(vendor.jobs()) == 1
    again = send(pair, again=True)
    assert (again.news, again.evaluation.number) == ("sent", 2)
    assert len({job["token"] for job in vendor.jobs()}) == 2


def test_again_is_for_what_is_over(pair: Path, vendor: Vendor) -> None:
    vendor.set(held=True)
    send(pair)
    with pytest.raises(InputError, match="evaluation 1 asks for the same and is under way"):
        send(pair, again=True)
    assert len(vendor.jobs()) == 1


def test_another_question_is_another_evaluation(pair: Path, vendor: Vendor) -> None:
    send(pair)
    assert send(pair, shots=200).evaluation.number == 2
    assert send(pair, options={"region": "mill"}).evaluation.number == 3
    assert submit(pair / "sampled", "paper:a4", shots=100, max_usd=5.0).evaluation.number == 1
    assert len(vendor.jobs()) == 4


@pytest.mark.parametrize(
    ("more", "error", "text"),
    [
        ({"max_usd": None}, BudgetExceeded, "set --max-usd"),
        ({"max_usd": 1.29}, BudgetExceeded, "1.30 .* above max_usd = 1.29"),
        ({"max_usd": float("nan")}, ConfigError, "budget.max_usd"),
        ({"max_usd": -1.0}, ConfigError, "budget.max_usd"),
        ({"shots": 0}, ConfigError, "backend.shots"),
        ({"shots": 9}, PreflightError, "at least 10"),
        ({"options": {"colour": "blue"}}, UnknownName, "colour"),
        ({"mitigation": "zen"}, UnknownName, "did you mean .*zne"),
        ({"mitigation": "zne+rescale"}, InputError, "both undo the errors of the gates"),
        ({"calibration_shots": 50}, InputError, "belongs to --mitigation"),
    ],
)
def test_what_is_refused_leaves_nothing(
    more: dict, error: type[Exception], text: str, pair: Path, vendor: Vendor
) -> None:
    with pytest.raises(error, match=text):
        send(pair, **more)
    assert vendor.jobs() == []
    assert records(home(pair)) == []
    assert all(not found.requests() for found in homes(pair))


def test_the_cap_holds_for_all_evaluations_together(pair: Path, vendor: Vendor) -> None:
    send(pair, max_usd=2.0)
    with pytest.raises(BudgetExceeded, match=r"1\.30 queued \+ 2\.30 .* above max_usd = 2\.00"):
        send(pair, shots=200, max_usd=2.0)
    collect(pair)
    with pytest.raises(BudgetExceeded, match=r"1\.30 USD spent \+ 0\.00 queued"):
        send(pair, shots=200, max_usd=2.0)
    send(pair, shots=200, max_usd=3.6)
    assert vendor.bill() == pytest.approx(3.6)


def test_what_costs_nothing_is_not_submitted(pair: Path) -> None:
    with pytest.raises(InputError, match="statevector costs nothing"):
        submit(pair / "noiseless", "statevector", shots=100, max_usd=1.0)


def test_only_a_finished_run_is_evaluated(pair: Path, vendor: Vendor) -> None:
    (pair / "noiseless" / "manifest.json").unlink()
    with pytest.raises(StorageError, match="not finished"):
        send(pair)


@pytest.mark.parametrize(
    ("control", "error", "text"),
    [
        ({"refuse": 1}, PermanentError, "refuses"),
        ({"offline": 1}, PreflightError, "paper is wet"),
    ],
)
def test_a_refused_evaluation_is_over(
    control: dict, error: type[Exception], text: str, pair: Path, vendor: Vendor
) -> None:
    vendor.set(**control)
    with pytest.raises(error, match=text):
        send(pair)
    (record,) = records(home(pair))
    assert text in record.refused
    vendor.set(refuse=0, offline=0)
    (outcome,) = collect(pair).outcomes  # must not send it after all
    assert (outcome.state, vendor.jobs()) == ("refused", [])
    assert send(pair).evaluation.number == 2
    assert len(vendor.jobs()) == 1


def test_a_lost_reply_is_looked_for(pair: Path, vendor: Vendor) -> None:
    vendor.set(lose_reply=1)
    said: list[str] = []
    done = send(pair, say=said.append)
    assert [row.id for row in done.jobs] == [job["id"] for job in vendor.jobs()]
    assert len(vendor.jobs()) == 1
    assert "looking for its job" in said[0]


def test_a_lost_request_is_sent_again_only_when_asked(pair: Path, vendor: Vendor) -> None:
    vendor.set(lose_request=1)
    with pytest.raises(AmbiguousSubmission, match="repeat the command"):
        send(pair)
    assert vendor.jobs() == []
    assert send(pair).news == "resumed"
    assert len(vendor.jobs()) == 1


def test_an_object_takes_the_place_of_a_name(pair: Path, vendor: Vendor) -> None:
    device = open_backend("paper:a4", max_bindings=3)
    done = submit(pair / "noiseless", device, shots=100, max_usd=5.0)
    assert done.evaluation.backend == "paper:a4"
    (outcome,) = collect(pair, backend=device).outcomes
    assert outcome.state == "finished"


def test_a_rehearsal_stays_apart(pair: Path, vendor: Vendor) -> None:
    before = dict(os.environ)
    done = send(pair, rehearsal={})
    assert dict(os.environ) == before
    assert vendor.jobs() == []
    assert done.home.path == pair / "noiseless" / "rehearsal"
    stand_in = Vendor(done.home.path / "service" / "paper")
    assert len(stand_in.jobs()) == 1
    assert not (pair / "noiseless" / "journal.sqlite").exists()
    # The rehearsed money counts for nothing.
    assert send(pair, max_usd=1.3).news == "sent"
    assert len(vendor.jobs()) == 1


def test_an_object_is_never_rehearsed_with(pair: Path, vendor: Vendor) -> None:
    device = open_backend("paper:a4")
    with pytest.raises(InputError, match="a rehearsal needs the backend's name"):
        submit(pair / "noiseless", device, shots=100, max_usd=5.0, rehearsal={})
    send(pair, rehearsal={})
    (outcome,) = collect(pair, backend=device).outcomes
    assert (outcome.state, vendor.jobs()) == ("finished", [])


# ---- killed


@pytest.mark.parametrize("by", ["collect", "submit"])
@pytest.mark.parametrize("at", ["plan", "submit", "reply"])
def test_a_kill_neither_loses_nor_repeats(
    at: str, by: str, pair: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    if at == "reply":
        vendor.set(die_at=1)
        killed_in_child(lambda: send(pair))
    else:
        with monkeypatch.context() as patch:
            patch.setattr(Dispatcher, at, kill_this)
            killed_in_child(lambda: send(pair))
    assert len(vendor.jobs()) == (at == "reply")
    if by == "submit":
        assert send(pair).news == "resumed"
    (outcome,) = collect(pair).outcomes
    assert (outcome.state, outcome.evaluation.number) == ("finished", 1)
    assert len(vendor.jobs()) == 1
    with Journal(home(pair).journal) as journal:
        assert journal.totals().usd_spent == pytest.approx(vendor.bill()) == pytest.approx(1.3)


def test_a_kill_while_a_refusal_is_recorded_leaves_nothing_to_pay(
    pair: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = {"mitigation": "readout", "options": {"max_bindings": 1}}
    withdraw, withdrawn = Dispatcher.cancel, []

    def first_only(dispatcher: Dispatcher, row: JobRow) -> None:
        if withdrawn:
            kill_this()
        withdraw(dispatcher, row)
        withdrawn.append(row)

    vendor.set(offline=True)
    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, "cancel", first_only)
        killed_in_child(lambda: send(pair, **more))
    vendor.set(offline=False)
    assert collect(pair).outcomes[0].state == "refused"
    second = send(pair, **more)
    assert (second.news, second.evaluation.number, len(second.jobs)) == ("sent", 2, 3)
    assert [outcome.state for outcome in collect(pair).outcomes] == ["refused", "finished"]
    assert [job["token"] for job in vendor.jobs()] == [row.token for row in second.jobs]


def test_collect_keeps_to_the_recorded_cap(
    pair: Path, vendor: Vendor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Dispatcher, "submit", kill_this)
        killed_in_child(lambda: send(pair))
    send(pair, shots=860, max_usd=10.0)  # 8.90 USD: with the 1.30 of the first above 10
    first, second = collect(pair).outcomes
    assert isinstance(first.error, BudgetExceeded)
    assert (first.state, second.state) == ("open", "finished")
    assert len(vendor.jobs()) == 1


def test_no_secret_is_written_anywhere(pair: Path, vendor: Vendor) -> None:
    said: list[str] = []
    vendor.set(lose_reply=1)
    send(pair, say=said.append)
    collect(pair, say=said.append)
    for path in pair.rglob("*"):
        if path.is_file():
            assert SECRET.encode() not in path.read_bytes(), path
    assert SECRET not in " ".join(said)
