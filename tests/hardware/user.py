"""Fixtures: somebody with a trained run and a terminal, and what must hold in the end."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qt_hw.cli.main import main
from qt_hw.testing.oracles import assert_sampled_from
from tests.hardware.clouds import Cloud, wait_for_end

SHOTS = 500


@dataclass(frozen=True, kw_only=True)
class Seen:
    """What a command left on the screen."""

    code: int
    out: str
    err: str

    @property
    def problem(self) -> str:
        """The one line about what went wrong; empty if nothing did."""
        lines = [x for x in self.err.splitlines() if x.startswith(("error: ", "pending: "))]
        assert len(lines) <= 1
        return "".join(lines)


class User:
    """Somebody with a trained run and a terminal.

    Attributes:
        pair: The folder of the run.
        screen: All that was ever shown or logged.
    """

    def __init__(
        self,
        pair: Path,
        patch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        self.pair, self.screen = pair, ""
        self._patch, self._capsys, self._caplog = patch, capsys, caplog

    def types(self, *words: object) -> Seen:
        """Run ``qt-hw`` in this process."""
        self._patch.setattr(sys, "argv", ["qt-hw", *map(str, words)])
        with pytest.raises(SystemExit) as caught:
            main()
        printed = self._capsys.readouterr()
        self.screen += printed.out + printed.err + self._caplog.text
        seen = Seen(code=int(caught.value.code or 0), out=printed.out, err=printed.err)
        assert "Traceback" not in seen.err
        assert bool(seen.problem) == (seen.code not in (0, 130)), seen
        return seen

    def submits(self, cloud: Cloud, *more: str) -> Seen:
        """Submit the run's circuit, always with the same words."""
        fixed = ("--backend", cloud.backend, "--shots", SHOTS, *cloud.cap, *cloud.options)
        return self.types("submit", self.pair, *fixed, *more)

    def collects(self, *more: str) -> Seen:
        """Fetch what there is."""
        return self.types("collect", self.pair, *more)

    def result(self) -> dict[str, Any]:
        """Return the one finished result, its counts checked: none is lost."""
        (file,) = (self.pair / "noiseless" / "evaluations").glob("*/result.json")
        with np.load(file.with_name("probabilities.npz")) as arrays:
            counts, ideal = arrays["counts_0"], arrays["ideal"]
        assert counts.sum(axis=1).tolist() == [SHOTS]
        assert_sampled_from(counts, ideal[None], 6.0)
        result: dict[str, Any] = json.loads(file.read_text())
        return result


@pytest.fixture
def user(
    pair: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> User:
    monkeypatch.setenv("COLUMNS", "200")
    # Pauses would take most of the time of these tests.
    monkeypatch.setattr("qt_hw.execution.watch.FIRST_PAUSE", 0.05)
    monkeypatch.setattr("qt_hw.execution.watch.LONGEST_PAUSE", 0.2)
    return User(pair, monkeypatch, capsys, caplog)


def ends_well(user: User, cloud: Cloud, *, attempts: int = 1) -> dict[str, Any]:
    """Check how every fault ends: complete counts, one job for each token, and no secret told."""
    cloud.release()
    wait_for_end(cloud)
    seen = user.collects()
    assert seen.code == 0, seen
    result = user.result()
    tokens = [token for token, _ in cloud.jobs()]
    assert len(tokens) == len(set(tokens)) == attempts
    assert journal_states(user.pair).count("done") == 1
    assert not {"planned", "submitting", "submitted"} & set(journal_states(user.pair))
    assert_no_secret(user, cloud.secrets())
    return result


def journal_states(pair: Path) -> list[str]:
    """Return the state of every job in the journal of the noiseless run, oldest first."""
    with contextlib.closing(sqlite3.connect(pair / "noiseless" / "journal.sqlite")) as db:
        return [state for (state,) in db.execute("select state from jobs order by number")]


def assert_no_secret(user: User, secrets: set[str], folder: Path | None = None) -> None:
    """Search everything that was shown, logged or written for what opens the account.

    Args:
        user: Whose screen.
        secrets: What must not be found.
        folder: Of a run; by default the user's first one.
    """
    folder = folder or user.pair
    wanted = [secret.encode() for secret in secrets]
    places = {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for path in folder.rglob("*.npz"):
        with zipfile.ZipFile(path) as archive:
            places[f"{path}, unpacked"] = b"".join(map(archive.read, archive.namelist()))
    places["the screen"] = user.screen.encode()
    assert any("journal.sqlite" in name for name in places)
    told = [name for name, data in places.items() if any(secret in data for secret in wanted)]
    assert not told, f"secrets in {told}"
