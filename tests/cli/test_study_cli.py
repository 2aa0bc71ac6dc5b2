"""``qt-hw study`` and ``qt-hw report``, typed and mistyped."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from qt_hw.study.folder import StudyFolder
from qt_hw.study.loading import study_to_toml
from tests.cli.conftest import Call
from tests.study.small import small_study
from tests.study.test_runner import run

pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.fixture(scope="module")
def finished(unrendered: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished study, not to be changed."""
    home = tmp_path_factory.mktemp("study")
    study = small_study(home)
    (home / "mine.toml").write_text(study_to_toml(study))
    run(study, home / "out")
    return home / "out"


def test_report_is_made_from_the_folders_alone(finished: Path, tmp_path: Path, call: Call) -> None:
    """Moved elsewhere, with the base's file gone."""
    moved = Path(shutil.copytree(finished, tmp_path / "moved"))
    code, out, err = call("report", str(moved))
    assert (code, err) == (0, "")
    assert "noiseless" in out and "control: uniform" in out
    assert "2 seeds: the smallest two-sided p" in out
    assert f"report: {moved / 'report.html'}" in out
    cells = len(StudyFolder(moved).cells)
    with open(moved / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len({row["cell"] for row in rows}) == cells
    first = (moved / "report.html").read_bytes(), (moved / "summary.json").read_bytes()
    assert call("report", str(moved))[0] == 0
    assert ((moved / "report.html").read_bytes(), (moved / "summary.json").read_bytes()) == first


def test_the_parquet_table_is_the_csv_table(finished: Path, tmp_path: Path, call: Call) -> None:
    from pyarrow import parquet

    moved = Path(shutil.copytree(finished, tmp_path / "moved"))
    call("report", str(moved))
    table = parquet.read_table(moved / "table.parquet").to_pylist()
    with open(moved / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["cell"] for row in table] == [row["cell"] for row in rows]
    assert [row["value"] for row in table] == [float(row["value"]) for row in rows]
    assert {row["shots"] for row in table} == {None, 64, 4096}


def test_a_finished_study_typed_again(finished: Path, tmp_path: Path, call: Call) -> None:
    moved = Path(shutil.copytree(finished, tmp_path / "moved"))
    file = str(finished.parent / "mine.toml")
    code, _, err = call("study", file, "--out", str(moved))
    assert code == 2
    assert "already exists; add --resume" in err
    assert call("study", file, "--out", str(moved), "--resume", "-q")[0] == 0
    code, out, _ = call("study", str(moved), "-q")  # the folder itself: go on
    assert code == 0
    assert "report:" in out


def test_failed_cells_end_in_an_error_that_says_what_to_type(
    finished: Path, tmp_path: Path, call: Call
) -> None:
    moved = Path(shutil.copytree(finished, tmp_path / "moved"))
    folder = StudyFolder(moved)
    bad = folder.cells[-1].id
    (folder.cell_folder(bad) / "cell.json").write_text("half a fi")
    code, out, err = call("report", str(moved))
    assert code == 9
    assert f"1 cells failed, first {bad}" in err
    assert f"qt-hw study {moved}" in err
    assert "report:" in out


def test_dry_run_counts_and_runs_nothing(finished: Path, tmp_path: Path, call: Call) -> None:
    file = str(finished.parent / "mine.toml")
    code, out, _ = call("study", file, "--out", str(tmp_path / "new"), "--dry-run")
    assert code == 0
    assert not (tmp_path / "new").exists()
    # Trained: 3 steps of 17 circuits and a last one, 64 shots; measured twice: 64 and 4,096.
    trained, measured = 2 * (3 * 17 + 1), 2 * 2 * 2
    shots = 64 * trained + 2 * 2 * (64 + 4096)
    noiseless = 2 * 4
    assert f"10 cells to do (0 done), {trained + measured + noiseless:,} circuits" in out
    assert f"{shots:,} shots; about" in out
    assert "price: nothing" in out
    code, out, _ = call("study", file, "--out", str(finished), "--dry-run")
    assert "0 cells to do (10 done)" in out


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["digits-shot"], 2, "did you mean 'digits-shots'?"),
        (["nowhere.toml"], 2, "no file nowhere.toml; ready-made studies: all-tasks, digits-"),
        (["digits-quick", "--jobs", "0"], 2, "--jobs 0: at least 1"),
        (["digits-quick", "--jobs", "1", "--ray", "local"], 2, "do not go together"),
        (["digits-quick", "--queue-seconds", "2"], 2, "belong to --rehearse"),
        (["digits-quick", "--set", "sedes=3"], 2, "unknown key 'sedes'; did you mean 'seeds'?"),
        (["digits-quick", "--set", "optimizer.stepz=3"], 2, "optimizer.steps"),
        (["digits-quick", "--set", "controls=unifrom"], 2, "unknown 'unifrom'"),
    ],
)
def test_mistyped(words: list[str], code: int, message: str, tmp_path: Path, call: Call) -> None:
    found, _, err = call("study", *words, "--out", str(tmp_path / "out"))
    assert found == code
    assert message in err
    assert err.startswith("error: ") and err.count("\n") == 1
    assert not (tmp_path / "out" / "cells").exists()


def test_report_of_what_is_no_study(tmp_path: Path, call: Call) -> None:
    code, _, err = call("report", str(tmp_path))
    assert code == 6
    assert "is not a study" in err
    (tmp_path / "study.json").write_text("{")
    code, _, err = call("report", str(tmp_path))
    assert code == 6
    (tmp_path / "study.json").write_text(json.dumps({"format": 99}))
    code, _, err = call("report", str(tmp_path))
    assert "of another version" in err
