"""Cells in local processes: killed workers, killed parents, errors, threads."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from qt_hw.errors import InputError, StorageError
from qt_hw.study.pools.local import LOG, LocalPool, cores
from qt_hw.study.pools.pool import Job, Outcome, Pool

HELPERS = str(Path(__file__).parent)
WRITE = "pool_work:write"


@pytest.fixture(autouse=True)
def helpers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(HELPERS)  # workers get our sys.path


def job(name: str, **values: object) -> Job:
    return Job(id=name, payload=json.dumps({"name": name, **values}))


def drain(pool: Pool, seconds: float = 120.0) -> dict[str, Outcome]:
    end, found = time.monotonic() + seconds, dict[str, Outcome]()
    while pool.running:
        assert time.monotonic() < end
        found |= {outcome.id: outcome for outcome in pool.wait(0.2)}
    return found


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def alive(pid: int) -> bool:
    """Whether a process is there and no zombie, or one with a thread that is still ending."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z" or len(os.listdir(f"/proc/{pid}/task")) > 1
    except OSError:
        return False


def test_jobs_end_each_with_its_own_result(tmp_path: Path) -> None:
    with LocalPool(tmp_path, 2, work=WRITE) as pool:
        assert pool.slots == 2 and pool.running == () and pool.wait(60.0) == []
        for name in "abcde":
            pool.submit(job(name))
        pool.submit(job("f", error="no luck"))
        pool.submit(job("g", raises="worse"))
        assert set(pool.running) == set("abcdefg")
        found = drain(pool)
    assert {id for id, outcome in found.items() if outcome.state == "done"} == set("abcde")
    for name in "abcde":
        assert (tmp_path / "cells" / name / "data" / "cell.bin").read_bytes() == name.encode() * 3
    assert found["f"] == Outcome(id="f", state="failed", error="no luck")
    assert found["g"] == Outcome(id="g", state="failed", error="ValueError: worse")
    assert "Traceback" in (tmp_path / LOG).read_text()


def test_killed_worker_costs_only_its_own_cell(tmp_path: Path) -> None:
    go = tmp_path / "go"
    begun = tmp_path / "begun"
    begun.mkdir()
    with LocalPool(tmp_path, 2, work=WRITE) as pool:
        pool.submit(job("a", until=str(go), begun=str(begun)))
        pool.submit(job("b", until=str(go), begun=str(begun)))
        until(lambda: len(list(begun.glob("*.json"))) == 2)
        first = {path.name[0]: int(path.stem[2:]) for path in begun.glob("*.json")}
        os.kill(first["a"], signal.SIGKILL)
        assert pool.wait(5.0) == [] and set(pool.running) == {"a", "b"}  # given to another
        go.touch()
        assert {outcome.state for outcome in drain(pool).values()} == {"done"}
    again = sorted(path.name[0] for path in begun.glob("*.json"))
    assert again == ["a", "a", "b"]


def test_worker_killed_while_it_waits_is_replaced(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    with LocalPool(tmp_path, 1, work=WRITE, retries=0) as pool:
        pool.submit(job("a", begun=str(begun)))
        assert drain(pool)["a"].state == "done"
        pid = int(next(begun.glob("*.json")).stem[2:])
        os.kill(pid, signal.SIGKILL)
        until(lambda: not alive(pid))
        pool.submit(job("b"))
        assert drain(pool)["b"].state == "done"


def test_cell_that_kills_every_worker_is_lost(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    with LocalPool(tmp_path, 1, work=WRITE, retries=1) as pool:
        pool.submit(job("a", dies=True, begun=str(begun)))
        pool.submit(job("b"))
        found = drain(pool)
    assert found["b"].state == "done"
    assert found["a"].state == "lost"
    assert "SIGKILL" in found["a"].error and "2 times" in found["a"].error
    assert len(list(begun.iterdir())) == 2


def test_worker_uses_one_thread(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    with LocalPool(tmp_path, 1, work="pool_work:threads") as pool:
        pool.submit(job("a"))
        said = json.loads(drain(pool)["a"].error)
    assert said[0] == 1 and set(said[1]) <= {1} and said[2] == "PASSIVE"


def test_prints_and_exits_do_no_harm(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    with LocalPool(tmp_path, 1, work="pool_work:chatter") as pool:
        pool.submit(Job(id="a", payload="bye"))
        assert drain(pool)["a"] == Outcome(id="a", state="failed", error="SystemExit: bye")
        pool.submit(Job(id="b", payload="again"))
        assert drain(pool)["b"].error == "SystemExit: again"
    assert capfd.readouterr() == ("", "")
    assert "noise on stderr" in (tmp_path / LOG).read_text()


@pytest.mark.parametrize("work", ["nowhere:write", "pool_work:nothing"])
def test_missing_work_function_is_said(tmp_path: Path, work: str) -> None:
    with LocalPool(tmp_path, 1, work=work) as pool:
        pool.submit(job("a"))
        found = drain(pool)["a"]
    assert found.state == "failed" and work.split(":")["nowhere" not in work] in found.error


def test_close_kills_at_once(tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    with LocalPool(tmp_path, 1, work=WRITE) as pool:
        pool.submit(job("a", until="/never", begun=str(begun)))
        pool.submit(job("b"))
        until(lambda: any(begun.glob("*.json")))
    assert pool.running == ()
    assert not alive(int(next(begun.glob("*.json")).stem[2:]))
    pool.close()


def test_defaults_and_what_cannot_be(tmp_path: Path) -> None:
    assert LocalPool(tmp_path).slots == cores() >= 1
    with pytest.raises(InputError, match="at least 1"):
        LocalPool(tmp_path, 0)
    with (
        LocalPool(tmp_path / "missing", 1, work=WRITE) as pool,
        pytest.raises(StorageError, match="cannot start a worker"),
    ):
        pool.submit(job("a"))


#: No main guard: workers must not run the caller's script again.
SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from qt_hw.study.pools.local import LocalPool
from qt_hw.study.pools.pool import Job
print("began", flush=True)
with LocalPool(Path(sys.argv[1]), 2, work="pool_work:hold") as pool:
    for name in "ab":
        pool.submit(Job(id=name, payload=name))
    while pool.running:
        pool.wait(1.0)
"""


def _parent(study: Path) -> tuple[subprocess.Popen[str], list[int]]:
    """Start a parent with two workers inside a call that never returns; return all pids."""
    parent = subprocess.Popen(
        [sys.executable, "-W", "error", "-", str(study), HELPERS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert parent.stdin is not None
    parent.stdin.write(SCRIPT)
    parent.stdin.close()
    parent.stdin = None
    until(lambda: all((study / f"{name}.pid").exists() for name in "ab"))
    until(lambda: all((study / f"{name}.pid").read_text() for name in "ab"))
    return parent, [int((study / f"{name}.pid").read_text()) for name in "ab"]


def test_workers_end_with_a_killed_parent(tmp_path: Path) -> None:
    parent, pids = _parent(tmp_path)
    assert all(alive(pid) for pid in pids)
    parent.kill()
    parent.communicate()
    until(lambda: not any(alive(pid) for pid in pids))


def test_ctrl_c_is_the_parents_matter(tmp_path: Path) -> None:
    parent, pids = _parent(tmp_path)
    os.killpg(parent.pid, signal.SIGINT)
    out, err = parent.communicate(timeout=60.0)
    assert out == "began\n" and err.rstrip().endswith("KeyboardInterrupt")
    assert not any(alive(pid) for pid in pids)
    assert (tmp_path / LOG).read_text() == ""
