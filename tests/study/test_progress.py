"""What a study shows while it runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from qt_hw.study.grid import cells_of, read_bases
from qt_hw.study.progress import make_display
from qt_hw.study.runner import Board
from tests.study.small import small_study


@pytest.fixture
def board(tmp_path: Path) -> Board:
    study = small_study(tmp_path)
    cells = {cell.id: cell for cell in cells_of(study, read_bases(study))}
    return Board(cells=cells, states=dict.fromkeys(cells, "open"))


def test_without_a_terminal_a_line_now_and_then(
    board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second, *rest = board.states
    with make_display(tmp_path, progress=True) as display:
        board.states[first] = "running"
        display.show(board)
        display.show(board)  # too early for another line
        board.states |= {first: "failed", second: "done"}
        board.errors[first] = "the disk is full"
        display.show(board)
        display.show(board)  # told once
        board.states |= dict.fromkeys(rest, "done")
        display.show(board)
        display.show(board)
    assert capsys.readouterr().err.splitlines() == [
        f"0/10 cells; running: {first}",
        f"failed: {first}: the disk is full",
        "9/10 cells; running: none",
    ]


def test_on_a_terminal_a_table_with_the_steps_of_what_runs(
    board: Board,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    first, second, third, fourth, *_ = board.states
    folder = tmp_path / "cells" / first
    folder.mkdir(parents=True)
    (folder / "metrics.csv").write_text("step,epoch\n100,1\n200,3\n")
    board.states |= {first: "running", second: "failed"}
    board.errors[second] = "the noise makes no sense"
    with make_display(tmp_path, progress=True) as display:
        display.show(board)
        board.states |= dict.fromkeys((first, third, fourth), "done")
        display.show(board)
    shown = capsys.readouterr().err
    assert "noiseless twins" in shown and "evaluated under noise" in shown
    assert f"{first}  step 200" in shown
    assert "the noise makes no sense" in shown
    assert "4 of 10 cells" in shown and "at this rate" in shown


def test_quiet_is_quiet(board: Board, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with make_display(tmp_path, progress=False) as display:
        display.show(board)
    assert capsys.readouterr().err == ""
