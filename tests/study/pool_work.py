"""Work functions for the pools: what they write depends on the payload alone.

A payload is JSON: ``name``, and what is to happen besides.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path


def write(study: str, payload: str) -> str:
    """Write a cell's files from its name and its needs, as a real cell would."""
    values, folder = json.loads(payload), Path(study)
    own = folder / "cells" / values["name"]
    own.mkdir(parents=True, exist_ok=True)
    _begin(own, values)
    _wait(values)
    if "raises" in values:
        raise ValueError(values["raises"])
    if "error" in values:
        (folder / "errors").mkdir(exist_ok=True)
        (folder / "errors" / f"{values['name']}.json").write_text(values["error"])
        return str(values["error"])
    twins = [(folder / need / "data" / "cell.bin").read_bytes() for need in values.get("needs", [])]
    (own / "data").mkdir(exist_ok=True)
    (own / "data" / "cell.bin").write_bytes(values["name"].encode() * 3 + b"".join(twins))
    (own / "cell.json").write_text(json.dumps({"name": values["name"]}))
    return ""


def _begin(own: Path, values: dict[str, object]) -> None:
    """Say who computes it, where the test asks; die, where the test asks."""
    if "begun" in values:
        folder = Path(str(values["begun"]))
        node = ""
        if "ray" in sys.modules and sys.modules["ray"].is_initialized():
            node = sys.modules["ray"].get_runtime_context().get_node_id()
        place = {"pid": os.getpid(), "node": node, "study": str(own.parent.parent)}
        temporary = folder / f"{os.getpid()}.tmp"
        temporary.write_text(json.dumps(place))
        temporary.rename(folder / f"{values['name']}-{os.getpid()}.json")
    if "dies" in values:
        os.kill(os.getpid(), signal.SIGKILL)


def _wait(values: dict[str, object]) -> None:
    """Wait until the test makes a file."""
    while "until" in values and not Path(str(values["until"])).exists():
        time.sleep(0.01)


def threads(study: str, payload: str) -> str:
    """Say how many threads this process would use."""
    import torch
    from threadpoolctl import threadpool_info

    counts = {pool["num_threads"] for pool in threadpool_info()}
    return json.dumps([torch.get_num_threads(), sorted(counts), os.environ["OMP_WAIT_POLICY"]])


def hold(study: str, payload: str) -> str:
    """Say that it began, then hold the interpreter for ever in one call."""
    Path(study, f"{payload}.pid").write_text(str(os.getpid()))
    return str(sum(range(10**13)))


def chatter(study: str, payload: str) -> str:
    """Print, as libraries do; then end the process's work the wrong way."""
    print("noise on stdout")
    print("noise on stderr", file=sys.stderr)
    sys.exit(payload)
