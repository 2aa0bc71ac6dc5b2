"""Durable, atomic, one winner: the journal between processes and after their sudden end."""

from __future__ import annotations

import os
import resource
import sqlite3
import threading
from pathlib import Path

import pytest

from qt_hw.errors import BudgetExceeded, StorageError
from qt_hw.execution import rows
from qt_hw.execution.backend import Charge, Cost
from qt_hw.execution.budget import Cap, Totals
from qt_hw.execution.journal import Journal, new_job, new_request
from qt_hw.execution.splitting import Piece
from tests.execution.killing import run_child, together

ENOUGH = Cap(max_usd=1000.0)


def add(journal: Journal, *tokens: str, request: str = "q", usd: float = 10.0, run: str = "r"):
    """Plan one request with one job of ``usd`` (or of ``usd`` seconds) for each token."""
    jobs = [
        new_job(
            token=token,
            request=request,
            place=(part, 0, 0),
            payload="p",
            key=f"k{token}",
            pieces=[Piece(item=0, start=part, stop=part + 1, shots=100)],
            cost=Cost(circuits=1, shots=100, usd_low=usd / 2, usd_high=usd, source="list"),
        )
        for part, token in enumerate(tokens)
    ]
    row = new_request(id=request, run=run, step=0, label="step 0", backend="cloud", payload="p")
    journal.plan(row, jobs)


@pytest.fixture
def journal(tmp_path):
    with Journal(tmp_path / "deep" / "journal.sqlite") as opened:
        yield opened


def states(journal: Journal) -> dict[str, str]:
    return {row.token: row.state for row in journal.jobs()}


# States


def test_a_job_goes_through_its_states_and_every_one_is_an_event(journal):
    add(journal, "a")
    journal.reserve("a", ENOUGH)
    journal.release("a", "429")
    journal.reserve("a", ENOUGH)
    journal.adopt("a", "job-1")
    journal.note("a", "cancelling")
    journal.end("a", "done", result=("file", "sha"))
    journal.charge("a", Charge(usd=8.0, source="vendor"))
    row = journal.job("a")
    assert (row.state, row.id, row.result, row.result_sha256) == ("done", "job-1", "file", "sha")
    assert (row.usd, row.qpu_seconds, row.charge_source) == (8.0, None, "vendor")
    assert row.pieces == (Piece(item=0, start=0, stop=1, shots=100),)
    assert row.submitted is not None and row.ended is not None
    assert [(e["state"], e["note"]) for e in journal.events("a")] == [
        ("planned", ""),
        ("submitting", ""),
        ("planned", "429"),
        ("submitting", ""),
        ("submitted", ""),
        ("submitted", "cancelling"),
        ("done", ""),
    ]


TO = {
    "planned": lambda j: None,
    "submitting": lambda j: j.reserve("a", ENOUGH),
    "submitted": lambda j: (j.reserve("a", ENOUGH), j.adopt("a", "job-1")),
    "done": lambda j: (j.reserve("a", ENOUGH), j.adopt("a", "job-1"), j.end("a", "done")),
    "failed": lambda j: (j.reserve("a", ENOUGH), j.adopt("a", "job-1"), j.end("a", "failed")),
    "cancelled": lambda j: j.withdraw(j.job("a"), ""),
}
MOVES = {
    "reserve": lambda j: j.reserve("a", ENOUGH),
    "release": lambda j: j.release("a", ""),
    "adopt": lambda j: j.adopt("a", "job-2"),
    "end": lambda j: j.end("a", "done"),
    "fail": lambda j: j.end("a", "failed"),
    "withdraw": lambda j: j.withdraw(j.job("a"), ""),
}
ALLOWED = {
    "planned": {"reserve", "withdraw"},
    "submitting": {"release", "adopt", "withdraw"},
    "submitted": {"adopt", "end", "fail"},
    "done": {"end"},
    "failed": {"fail"},
    "cancelled": set(),
}


@pytest.mark.parametrize("move", MOVES)
@pytest.mark.parametrize("state", TO)
def test_only_these_transitions_are_possible(journal, state, move):
    add(journal, "a")
    TO[state](journal)
    assert journal.job("a").state == state
    before, events = journal.job("a"), journal.events()
    if move == "withdraw" and state not in ("planned", "submitting"):
        return  # never called: a withdrawn job has not left
    if move in ALLOWED[state]:
        MOVES[move](journal)
        if (state, move) in (("done", "end"), ("failed", "fail")):
            assert journal.job("a") == before, "an end that is recorded twice is one end"
        return
    with pytest.raises(StorageError):
        MOVES[move](journal)
    assert journal.job("a") == before and journal.events() == events


def test_a_job_that_changed_meanwhile_is_not_withdrawn(journal):
    add(journal, "a")
    row = journal.job("a")
    journal.reserve("a", ENOUGH)
    journal.adopt("a", "job-1")
    with pytest.raises(StorageError, match="cannot become cancelled"):
        journal.withdraw(row, "")
    assert journal.job("a").state == "submitted"


def test_planning_twice_changes_nothing(journal):
    add(journal, "a", "b")
    journal.reserve("a", ENOUGH)
    before, request = journal.jobs(), journal.request("q")
    add(journal, "c")
    assert journal.jobs() == before and journal.request("q") == request
    assert journal.request("nothing") is None


def test_a_plan_is_all_or_nothing(journal):
    add(journal, "a")
    with pytest.raises(StorageError, match="UNIQUE"):
        add(journal, "b", "a", request="second")
    assert states(journal) == {"a": "planned"}
    assert [row.id for row in journal.requests()] == ["q"]


def test_rows_keep_their_order_although_clocks_jump(journal, monkeypatch):
    times = iter(f"{year}-01-01T00:00:00" for year in range(2030, 1900, -1))
    monkeypatch.setattr(rows, "now", lambda: next(times))
    monkeypatch.setattr("qt_hw.execution.journal.now", lambda: next(times))
    add(journal, "a", request="first")
    add(journal, "b", request="second")
    journal.duplicate("a", "job-2", cancelled=False)
    journal.duplicate("a", "job-3", cancelled=False)
    assert [row.id for row in journal.requests()] == ["first", "second"]
    assert [row.token for row in journal.jobs()] == ["a", "b"]
    assert [event["token"] for event in journal.events()] == ["a", "b"]
    assert [second["id"] for second in journal.duplicates()] == ["job-2", "job-3"]


# Money


def totals(spent: float = 0.0, queued: float = 0.0) -> Totals:
    return Totals(usd_spent=spent, usd_queued=queued)


def test_totals_follow_a_job(journal):
    add(journal, "a")
    assert journal.totals() == totals()
    journal.reserve("a", ENOUGH)
    assert journal.totals() == totals(queued=10.0)
    journal.release("a", "429")
    assert journal.totals() == totals()
    journal.reserve("a", ENOUGH)
    journal.adopt("a", "job-1")
    assert journal.totals() == totals(queued=10.0)
    journal.end("a", "done")
    assert journal.totals() == totals(spent=10.0), "not known yet: the high estimate"
    journal.charge("a", Charge(usd=7.5))
    assert journal.totals() == totals(spent=7.5)


def test_a_failed_job_counts_at_its_high_estimate_until_its_charge_is_known(journal):
    add(journal, "a")
    TO["failed"](journal)
    assert journal.totals() == totals(spent=10.0)
    assert [row.token for row in journal.uncharged("r", "cloud")] == ["a"]
    journal.charge("a", Charge(usd=0.0))
    assert journal.totals() == totals()
    assert journal.uncharged("r", "cloud") == []


@pytest.mark.parametrize("state", ["planned", "submitting"])
def test_a_job_that_never_left_costs_nothing(journal, state):
    add(journal, "a")
    TO[state](journal)
    journal.withdraw(journal.job("a"), "cancelled before it was sent")
    assert journal.totals() == totals()
    assert journal.uncharged("r", "cloud") == []


def test_a_second_job_counts_as_the_first_until_its_charge_is_known(journal):
    add(journal, "a")
    TO["submitted"](journal)
    journal.duplicate("a", "job-2", cancelled=False)
    assert journal.totals() == totals(spent=10.0, queued=10.0)
    journal.duplicate("a", "job-2", cancelled=True, ended=True)
    assert journal.totals() == totals(spent=10.0, queued=10.0)
    assert [d["id"] for d in journal.uncharged_duplicates("r", "cloud")] == ["job-2"]
    journal.duplicate("a", "job-2", cancelled=True, ended=True, charge=Charge(usd=0.5))
    assert journal.totals() == totals(spent=0.5, queued=10.0)
    assert [(d["cancelled"], d["ended"]) for d in journal.duplicates("a")] == [(1, 1)]
    assert journal.uncharged_duplicates("r", "cloud") == journal.duplicates("b") == []


def test_a_job_sent_again_is_not_counted_twice(journal):
    add(journal, "a")
    for _ in range(3):
        journal.reserve("a", Cap(max_usd=10))
        journal.release("a", "429")
    journal.reserve("a", Cap(max_usd=10))
    assert journal.totals() == totals(queued=10.0)


def test_the_cap_counts_spent_and_queued_over_all_runs(journal):
    add(journal, "a", "b", request="first", run="r")
    add(journal, "c", "d", request="second", run="s")
    journal.reserve("a", Cap(max_usd=30))
    journal.adopt("a", "job-1")
    journal.end("a", "done")
    journal.charge("a", Charge(usd=9.0))
    journal.reserve("c", Cap(max_usd=30))
    before = journal.events()
    with pytest.raises(BudgetExceeded, match=r"9.00 USD spent \+ 10.00 queued \+ 20.00 for the ne"):
        journal.check([journal.job("b"), journal.job("d")], Cap(max_usd=30))
    with pytest.raises(BudgetExceeded, match=r"= 29.00, above max_usd = 28.00"):
        journal.reserve("b", Cap(max_usd=28))
    assert journal.events() == before and journal.job("b").state == "planned"
    journal.reserve("b", Cap(max_usd=29))
    with pytest.raises(BudgetExceeded):
        journal.reserve("d", Cap(max_usd=30))


# Processes


def test_the_disk_is_asked_to_keep_every_transaction(tmp_path):
    with Journal(tmp_path / "j") as journal:
        assert journal._db.read("pragma journal_mode")[0][0] == "wal"
        assert journal._db.read("pragma synchronous")[0][0] == 2  # FULL


def test_what_was_written_is_there_after_a_kill(tmp_path):
    """The log file is left behind, and read when the journal is opened again."""

    def work():
        journal = Journal(tmp_path / "j")
        add(journal, "a", "b")
        journal.reserve("a", ENOUGH)
        with journal._db.change() as db:
            db.execute("update jobs set state = 'done'")
            os.kill(os.getpid(), 9)

    assert run_child(work).killed
    assert (tmp_path / "j-wal").stat().st_size > 0
    with Journal(tmp_path / "j") as journal:
        assert states(journal) == {"a": "submitting", "b": "planned"}
        assert len(journal.events()) == 3


def test_half_a_transaction_in_the_log_does_not_count(tmp_path):
    def work():
        journal = Journal(tmp_path / "j")
        add(journal, "a")
        journal.reserve("a", ENOUGH)
        os.kill(os.getpid(), 9)

    assert run_child(work).killed
    log = tmp_path / "j-wal"
    log.write_bytes(log.read_bytes()[:-100])
    with Journal(tmp_path / "j") as journal:
        assert states(journal) == {"a": "planned"}


@pytest.mark.parametrize("round", range(5))
def test_several_processes_make_one_journal(tmp_path, round):
    def work(number: int) -> int:
        with Journal(tmp_path / "j") as journal:
            name = journal.remember("run", str(number))
            add(journal, f"token {number}", request=f"q{number}")
            return int(name)

    names = together(4, work)
    assert len(set(names)) == 1 and names[0] < 4
    with Journal(tmp_path / "j") as journal:
        assert len(journal.jobs()) == 4


def test_one_of_several_processes_reserves_a_job(tmp_path):
    with Journal(tmp_path / "j") as journal:
        add(journal, "a")

    def work(number: int) -> int:
        with Journal(tmp_path / "j") as journal:
            try:
                journal.reserve("a", ENOUGH)
            except StorageError:
                return 1
            return 0

    assert sorted(together(5, work)) == [0, 1, 1, 1, 1]
    with Journal(tmp_path / "j") as journal:
        assert [e["state"] for e in journal.events()] == ["planned", "submitting"]


def test_several_processes_never_cross_the_cap_together(tmp_path):
    tokens = [f"t{i}" for i in range(40)]
    with Journal(tmp_path / "j") as journal:
        add(journal, *tokens)

    def work(number: int) -> int:
        won = 0
        with Journal(tmp_path / "j") as journal:
            for token in tokens[number::4]:
                try:
                    journal.reserve(token, Cap(max_usd=155.0))
                    won += 1
                    assert journal.totals().usd_queued <= 155.0
                except BudgetExceeded:
                    pass
        return won

    assert sum(together(4, work)) == 15
    with Journal(tmp_path / "j") as journal:
        assert journal.totals() == totals(queued=150.0)


def test_threads_of_a_process_take_turns(journal):
    tokens = [f"t{i}" for i in range(40)]
    add(journal, *tokens)

    def work(number: int) -> None:
        for token in tokens[number::4]:
            journal.reserve(token, ENOUGH)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(states(journal).values()) == {"submitting"}


def test_an_interruption_leaves_no_open_transaction(journal):
    add(journal, "a")
    with pytest.raises(KeyboardInterrupt), journal._db.change() as db:
        db.execute("update jobs set state = 'done'")
        raise KeyboardInterrupt
    assert states(journal) == {"a": "planned"}
    journal.reserve("a", ENOUGH)


# What cannot be opened or written


def test_a_full_disk_changes_nothing_and_is_no_end(tmp_path):
    """The limit on the size of files stands in for a full disk."""
    with Journal(tmp_path / "j") as journal:
        add(journal, "a")

        def work():
            with Journal(tmp_path / "j") as journal:
                size = (tmp_path / "j-wal").stat().st_size
                resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, resource.RLIM_INFINITY))
                with pytest.raises(StorageError, match="cannot write the journal"):
                    journal.reserve("a", ENOUGH)
                assert journal.job("a").state == "planned"
                resource.setrlimit(
                    resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
                )
                journal.reserve("a", ENOUGH)

        assert run_child(work).status == 0
        assert journal.job("a").state == "submitting"


def test_what_is_no_journal_is_reported(tmp_path: Path):
    (tmp_path / "text").write_text("not a database at all, but longer than a header of one\n" * 9)
    with pytest.raises(StorageError, match="cannot open the journal"):
        Journal(tmp_path / "text")
    with pytest.raises(StorageError, match="cannot open the journal"):
        Journal(tmp_path / "text" / "inside")
    with pytest.raises(StorageError, match="cannot open the journal"):
        Journal(tmp_path)


def test_a_journal_of_a_newer_version_is_left_alone(tmp_path):
    with Journal(tmp_path / "j"):
        pass
    db = sqlite3.connect(tmp_path / "j")
    db.execute("pragma user_version = 99")
    db.close()
    with pytest.raises(StorageError, match="newer version of qt-hw"):
        Journal(tmp_path / "j")


def test_a_busy_or_missing_row_is_reported(tmp_path, monkeypatch):
    monkeypatch.setattr("qt_hw.execution.database._PATIENCE", 0.1)
    with Journal(tmp_path / "j") as journal, Journal(tmp_path / "j") as other:
        add(journal, "a")
        with pytest.raises(StorageError, match="has no job b"):
            journal.job("b")
        with (
            other._db.change(),
            pytest.raises(StorageError, match="locked"),
        ):
            journal.reserve("a", ENOUGH)
        journal.reserve("a", ENOUGH)
