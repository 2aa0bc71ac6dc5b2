"""Peers that live in an environment of their own, driven over a pipe."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

ENVIRONMENT = Path(__file__).parent.parent / ".venv/peers"


class PeerMissing(Exception):
    """The peer, or its environment, is not installed."""


class Peer:
    """A process of the peers' environment that waits to be told to do its job once more.

    Start-up and the choice of the peer's fastest variant happen before the first timing; the
    process reports the seconds of the job alone. ``reply`` is all that it said of the outcome.

    Args:
        kind: A job of the worker.
        problem: JSON-ready arguments of the job.
        environment: Folder of the virtual environment.
        worker: Name of the file that does the job.

    Raises:
        PeerMissing: Nothing to run.
    """

    def __init__(
        self,
        kind: str,
        problem: dict[str, Any],
        environment: Path = ENVIRONMENT,
        worker: str = "_peer_worker.py",
    ) -> None:
        python = environment / "bin/python"
        if not python.exists():
            raise PeerMissing(kind)
        self._process = subprocess.Popen(
            [str(python), str(Path(__file__).with_name(worker)), kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        reply = self._ask(json.dumps(problem))
        if "missing" in reply:
            self._process.wait()
            raise PeerMissing(f"{kind}: {reply['missing']}")
        self.reply = reply
        self.variant: str = reply["variant"]
        self.probabilities: NDArray[np.float64] = np.array(reply["probabilities"])
        self.gradient: NDArray[np.float64] = np.array(reply["gradient"])

    def run(self) -> float:
        """Do the job once; return its seconds."""
        return float(self._ask("run")["seconds"])

    def _ask(self, line: str) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the peer process ended with code {self._process.wait()}")
        reply: dict[str, Any] = json.loads(answer)
        return reply

    def __enter__(self) -> Peer:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.communicate()
