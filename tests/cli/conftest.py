from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from qt_hw.cli.main import main
from tests.hardware.paper import installed, pair, trained, vendor
from tests.rendering import unrendered

__all__ = ["Call", "call", "installed", "pair", "trained", "unrendered", "vendor"]

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_drawn(unrendered: None) -> None:
    """Draw nothing in this process; programs of their own do."""


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Return a function that runs the program here: (exit code, output, error output)."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["qt-hw", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        return int(caught.value.code or 0), captured.out, captured.err

    return run
