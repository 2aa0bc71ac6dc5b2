"""Fixtures: a vendor of paper, installed for the time of a test, and runs to submit to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from qt_hw.training.compare import train_pair
from tests.training.small import small_config

PLUGIN = Path(__file__).parent / "plugin"
SECRET = "paper-key-7f3a"


class Vendor:
    """The vendor's side: what it was asked for, and what is to go wrong."""

    def __init__(self, desk: Path) -> None:
        self.desk = desk

    def set(self, **control: Any) -> None:
        self.desk.mkdir(parents=True, exist_ok=True)
        path = self.desk / "control.json"
        before = json.loads(path.read_text()) if path.exists() else {}
        path.write_text(json.dumps(before | control))

    def control(self, name: str) -> Any:
        return json.loads((self.desk / "control.json").read_text())[name]

    def jobs(self) -> list[dict[str, Any]]:
        paths = sorted((self.desk / "jobs").glob("*.json"))
        return [json.loads(path.read_text()) for path in paths]

    def bill(self) -> float:
        return sum(job["usd"] for job in self.jobs())


def killed_in_child(act: Callable[[], object]) -> None:
    """Run ``act``, which kills its process on the way, in a child forked from this one."""
    with warnings.catch_warnings():
        # Python 3.12 warns of threads, of which the test runner has one of its own.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        try:
            act()
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status)
    assert os.WTERMSIG(status) == signal.SIGKILL


def kill_this(*arguments: object, **more: object) -> None:
    """End this process at once, as if the power had gone."""
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder from which the paper backend is found, as if installed with pip."""
    site = tmp_path_factory.mktemp("site")
    info = site / "paper-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: paper\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[qt_hw.backends]\npaper = paper_backend:open_paper\n"
        "[qt_hw.rehearsals]\npaper = paper_backend:rehearse_paper\n"
    )
    shutil.copy(PLUGIN / "paper_backend.py", site)
    return site


@pytest.fixture
def vendor(installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Vendor]:
    monkeypatch.syspath_prepend(str(installed))
    monkeypatch.setenv("PAPER_DESK", str(tmp_path / "desk"))
    monkeypatch.setenv("PAPER_KEY", SECRET)
    yield Vendor(tmp_path / "desk")


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a finished pair, not to be changed."""
    out = tmp_path_factory.mktemp("trained") / "pair"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", lambda *given, **options: None)
        train_pair(small_config("optimizer.steps=4"), out=out, progress=False)
    return out


@pytest.fixture
def pair(trained: Path, tmp_path: Path) -> Path:
    """Return a finished pair of one's own."""
    return Path(shutil.copytree(trained, tmp_path / "pair"))
