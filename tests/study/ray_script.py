"""Runs on a real Ray cluster of three nodes on loopback; prints what came of it as JSON.

A process of its own: what Ray leaves open at its end must not disturb the tests.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any
from unittest.mock import patch

from qt_hw.errors import InputError
from qt_hw.study.pools import ray_cluster
from qt_hw.study.pools.pool import Job, Outcome, Pool
from qt_hw.study.pools.ray_pool import RayPool
from qt_hw.study.pools.ray_task import TOKEN

#: A dead node is noticed within a second instead of half a minute; a slow one has its time.
QUICK = {
    "health_check_initial_delay_ms": 0,
    "health_check_period_ms": 200,
    "health_check_timeout_ms": 10_000,
    "health_check_failure_threshold": 3,
}


def job(name: str, **values: Any) -> Job:
    needs = tuple(values.get("needs", ()))
    return Job(id=name, payload=json.dumps({"name": name, **values}), needs=needs)


def drain(pool: Pool, seconds: float = 120.0) -> dict[str, Outcome]:
    end, found = time.monotonic() + seconds, dict[str, Outcome]()
    while pool.running:
        assert time.monotonic() < end, pool.running
        found |= {outcome.id: outcome for outcome in pool.wait(0.5)}
    return found


def places(begun: Path, count: int) -> dict[str, dict[str, Any]]:
    """Return who computes what, as soon as ``count`` cells have begun."""
    end = time.monotonic() + 60.0
    while len(found := sorted(begun.glob("*.json"))) < count:
        assert time.monotonic() < end, found
        time.sleep(0.02)
    return {path.name.partition("-")[0]: json.loads(path.read_text()) for path in found}


def wait_for_end(pid: int) -> None:
    """Wait until a process is gone, as those of a removed node are."""
    end = time.monotonic() + 60.0
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < end
        time.sleep(0.02)


def kill_worker_and_node(pool: RayPool, cluster: Any, study: Path) -> dict[str, Outcome]:
    """Compute a, b and c on three nodes, of which a's worker and another's node are killed."""
    begun, go = study.parent / "begun", study.parent / "go"
    begun.mkdir()
    for name in "abcde":
        pool.submit(job(name, begun=str(begun), until=str(go)))
    where = places(begun, 3)
    assert len({place["node"] for place in where.values()}) == 3
    os.kill(where["a"]["pid"], signal.SIGKILL)
    places(begun, 4)
    victims = [n for n in cluster.worker_nodes if n.node_id != where["a"]["node"]]
    cluster.remove_node(victims[0], allow_graceful=False)
    gone = next(p["pid"] for p in where.values() if p["node"] == victims[0].node_id)
    wait_for_end(gone)
    go.touch()
    return drain(pool)


def out_of_sight(pool: RayPool, study: Path) -> dict[str, Outcome]:
    """Compute cells in workers that take the folder for another study's."""
    seen, begun = (study / TOKEN).read_text(), study.parent / "elsewhere"
    begun.mkdir()
    (study / TOKEN).write_text("another study")
    (study / "cells" / "f").mkdir()
    (study / "cells" / "f" / "checkpoint").write_text("kept")
    pool.submit(job("f", needs=["cells/a", "cells/b"], begun=str(begun)))
    pool.submit(job("g", needs=["cells/a"], begun=str(begun)))
    pool.submit(job("h", error="no luck"))
    pool.submit(job("i", raises="worse"))
    found = drain(pool)
    with patch("pathlib.Path.read_bytes", side_effect=OSError(5, "Input/output error")):
        pool.submit(job("l", needs=["cells/b", "cells/c"]))
    found |= drain(pool)
    assert not any(Path(place["study"]).exists() for place in places(begun, 2).values())
    (study / TOKEN).write_text(seen)
    return found


def other_version(study: Path, address: str) -> str:
    """Return what a pool says whose nodes have another version of the package."""
    ray_cluster.__version__ = "0.0.1"
    try:
        RayPool(study, address).close()
    except InputError as error:
        return str(error)
    return ""


def main() -> None:
    from ray.cluster_utils import Cluster

    folder, helpers = Path(sys.argv[1]), sys.argv[2]
    sys.path.insert(0, helpers)
    study, said = folder / "study", dict[str, Any]()
    cluster = Cluster(True, head_node_args={"num_cpus": 1, "_system_config": QUICK})
    for _ in range(2):
        cluster.add_node(num_cpus=1)
    with RayPool(study, cluster.address, work="pool_work:write", retries=1) as pool:
        said["slots"] = pool.slots
        outcomes = kill_worker_and_node(pool, cluster, study)
        said["again"] = sorted(path.name[0] for path in (folder / "begun").glob("*.json"))
        outcomes |= out_of_sight(pool, study)
        pool.submit(job("j", dies=True))
        outcomes |= drain(pool)
        said["version"] = other_version(folder / "other", cluster.address)
        said["open"] = sys.modules["ray"].is_initialized()
        last = folder / "last"
        last.mkdir()
        pool.submit(job("k", until="/never", begun=str(last)))
        running = places(last, 1)["k"]["pid"]
    wait_for_end(running)
    said["closed"] = not sys.modules["ray"].is_initialized()
    cluster.shutdown()
    said["outcomes"] = {id: [o.state, o.error] for id, o in outcomes.items()}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
