"""Cells on a Ray cluster: killed workers and nodes, folders out of sight, what is refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from qt_hw.errors import InputError, MissingExtra, StorageError
from qt_hw.study.pools.local import LocalPool
from qt_hw.study.pools.packing import pack, put_back, unpack
from qt_hw.study.pools.pool import Job
from qt_hw.study.pools.ray_pool import RayPool
from qt_hw.study.pools.ray_task import TOKEN, Answer, Order, compute, sees

HELPERS = Path(__file__).parent
DONE = ["done", ""]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """Where the cluster's cells are, and what the script said."""
    folder = tmp_path_factory.mktemp("ray")
    command = [sys.executable, str(HELPERS / "ray_script.py"), str(folder), str(HELPERS)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    return folder / "study", json.loads(ended.stdout.splitlines()[-1])


def test_killed_worker_and_node_lose_nothing(cluster: tuple[Path, dict[str, Any]]) -> None:
    _, said = cluster
    assert said["slots"] == 3
    assert {name: said["outcomes"][name] for name in "abcde"} == dict.fromkeys("abcde", DONE)
    assert said["again"].count("a") == 2  # its worker was killed
    assert max(map(said["again"].count, "bcde")) == 2 and len(said["again"]) == 7  # its node was


def test_cells_out_of_sight_come_back(cluster: tuple[Path, dict[str, Any]]) -> None:
    study, said = cluster
    assert said["outcomes"]["f"] == said["outcomes"]["g"] == DONE
    assert (study / "cells" / "f" / "checkpoint").read_text() == "kept"
    assert said["outcomes"]["h"] == ["failed", "no luck"]
    assert (study / "errors" / "h.json").read_text() == "no luck"
    assert said["outcomes"]["i"] == ["failed", "ValueError: worse"]
    state, error = said["outcomes"]["l"]  # what it needs cannot be read
    assert state == "failed" and error.endswith("cells/c: Input/output error")
    assert not [path for path in (study / "cells").iterdir() if path.name.startswith(".")]


def test_files_are_those_of_local_processes(
    cluster: tuple[Path, dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study, _ = cluster
    monkeypatch.syspath_prepend(str(HELPERS))
    with LocalPool(tmp_path, 1, work="pool_work:write") as pool:
        for name, needs in {**dict.fromkeys("abcde", ""), "f": "ab", "g": "a"}.items():
            values = {"name": name, "needs": [f"cells/{need}" for need in needs]}
            pool.submit(Job(id=name, payload=json.dumps(values)))
        while pool.running:
            pool.wait(5.0)
    for name in "abcdefg":
        local, ray = pack(tmp_path, f"cells/{name}"), pack(study, f"cells/{name}")
        ray.pop("cells/f/checkpoint", None)
        assert local == ray and len(local) == 2


def test_cell_that_kills_every_worker_is_lost(cluster: tuple[Path, dict[str, Any]]) -> None:
    state, error = cluster[1]["outcomes"]["j"]
    assert state == "lost" and error.startswith("its worker or node died each time")


def test_nodes_with_another_version_are_refused(cluster: tuple[Path, dict[str, Any]]) -> None:
    _, said = cluster
    assert "has qt-hw" in said["version"] and "install qt-hw 0.0.1 there too" in said["version"]
    assert said["open"]  # a pool that did not connect does not disconnect
    assert said["closed"]  # and what still ran was killed


SCRIPT = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from qt_hw.study.pools.pool import Job
from qt_hw.study.pools.ray_pool import RayPool
with RayPool(Path(sys.argv[1]), "local", 1, work="pool_work:hold") as pool:
    pool.submit(Job(id="a", payload="a"))
    while pool.running:
        pool.wait(1.0)
"""


def test_workers_end_with_a_killed_driver(tmp_path: Path) -> None:
    parent = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path), str(HELPERS)])
    pid, end = tmp_path / "a.pid", time.monotonic() + 120.0
    while not (pid.exists() and pid.read_text()):
        assert parent.poll() is None and time.monotonic() < end
        time.sleep(0.02)
    parent.kill()
    parent.wait()
    end = time.monotonic() + 60.0
    while Path(f"/proc/{pid.read_text()}").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.parametrize("address", ["nonsense", "localhost:99999", "localhost:http"])
def test_wrong_addresses_are_refused(tmp_path: Path, address: str) -> None:
    with pytest.raises(InputError, match="Ray"):
        RayPool(tmp_path, address)


def test_address_without_a_cluster_is_refused_at_once(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(InputError, match="ray start --head"):
            RayPool(tmp_path, address)


@pytest.mark.parametrize("said", [b"HTTP/1.1 400 Bad Request", b""])
def test_other_servers_are_refused(tmp_path: Path, said: bytes) -> None:
    """One that answers something else, and one that hangs up."""

    def answer(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            client.recv(100)
            client.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as threads:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        answered = threads.submit(answer, server)
        with pytest.raises(InputError, match="no Ray cluster at"):
            RayPool(tmp_path, address)
        answered.result(timeout=60.0)


def test_a_silent_server_is_refused(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(InputError, match="no Ray cluster at"):
            RayPool(tmp_path, address, timeout=0.2)


def test_no_jobs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least 1"):
        RayPool(tmp_path, "local", 0)


def test_missing_ray_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtra, match=r"--ray needs the extra 'study'"):
        RayPool(tmp_path, "local")


def order(study: Path, **changed: Any) -> Order:
    from qt_hw import __version__

    values = {
        "id": "a",
        "payload": json.dumps({"name": "a", "needs": ["cells/t"]}),
        "study": str(study),
        "token": "secret",
        "work": "pool_work:write",
        "version": __version__,
        "path": (str(HELPERS),),
    }
    return Order(**{**values, **changed})


def test_worker_works_where_it_sees_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(os, "environ", dict(os.environ))
    twin = {"cells/t/data/cell.bin": b"twin"}
    assert not sees(str(tmp_path), "secret")
    assert compute(order(tmp_path), None) == Answer(blind=True)
    found = compute(order(tmp_path), lambda: [twin])
    assert found.error == "" and not list(tmp_path.iterdir())
    assert found.files == {
        "cells/a/cell.json": b'{"name": "a"}',
        "cells/a/data/cell.bin": b"aaatwin",
    }
    (tmp_path / TOKEN).write_text("secret")
    unpack(tmp_path, twin)
    assert compute(order(tmp_path), None) == Answer()
    assert pack(tmp_path, "cells/a") == found.files
    with pytest.raises(InputError, match=r"a worker has qt-hw"):
        compute(order(tmp_path, version="0.0.1"), None)


def test_folders_come_back_whole(tmp_path: Path) -> None:
    new = {"cells/a/x": b"new", "errors/a.json": b"{}"}
    unpack(tmp_path, {"cells/a/x": b"old", "cells/a/gone": b"old", "cells/.incoming-a/y": b"part"})
    put_back(tmp_path, "a", new)
    assert pack(tmp_path, ".") == new
    put_back(tmp_path, "b", {"errors/b.json": b"{}"})
    assert not (tmp_path / "cells" / "b").exists()


@pytest.mark.parametrize("name", ["../a", "cells/../../a", "/a"])
def test_nothing_is_written_outside(tmp_path: Path, name: str) -> None:
    with pytest.raises(StorageError, match="outside of the study"):
        unpack(tmp_path / "study", {name: b""})
    assert not list(tmp_path.iterdir())
