from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from qt_hw.errors import StorageError
from qt_hw.storage import append_line, locked, read_json, write_bytes, write_json
from qt_hw.training.metrics import MetricsFile

_METRICS = ("train_loss", "train_accuracy", "test_loss", "test_accuracy")
_LAST = ("circuit_share", "lr_angles", "lr_mapping", "circuits", "shots", "seconds")


def _row(step: int) -> dict[str, object]:
    row: dict[str, object] = dict.fromkeys(
        ("step", "epoch", "batch_loss", *_METRICS, *_LAST), 0.1 + 0.2
    )
    return {**row, "step": step, "epoch": 0, "circuits": 3, "shots": 10**12, "batch_loss": None}


def test_rows_read_back_exactly(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.csv")
    assert metrics.rows() == []
    row = {**_row(0), "train_loss": math.pi}
    metrics.append(row)
    assert metrics.rows() == [row]


def test_rows_with_other_metrics_than_the_first_are_refused(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.csv")
    metrics.append(_row(0))
    other = {name.replace("accuracy", "nse"): value for name, value in _row(1).items()}
    with pytest.raises(StorageError, match=r"has other columns .*test_accuracy"):
        metrics.append(other)
    assert metrics.rows() == [_row(0)]


def test_a_table_is_cut_before_a_step(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.csv")
    for step in (0, 10, 20, 30):
        metrics.append(_row(step))
    whole = metrics.path.read_text().splitlines(keepends=True)
    metrics.cut(20)
    assert metrics.path.read_text() == "".join(whole[:3])


def test_a_signal_while_writing_leaves_no_half_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(handle: int) -> None:
        raise KeyboardInterrupt

    write_bytes(tmp_path / "file", b"old")
    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_bytes(tmp_path / "file", b"new")
    monkeypatch.undo()
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_bytes() == b"old"


def test_half_a_row_at_the_end_does_not_count(tmp_path: Path) -> None:
    metrics = MetricsFile(tmp_path / "metrics.csv")
    metrics.append(_row(0))
    good = metrics.path.read_text()
    with metrics.path.open("a") as file:
        file.write("10,0,0.3,0.")
    assert len(metrics.rows()) == 1
    metrics.cut(10)
    assert metrics.path.read_text() == good


def test_a_foreign_table_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(StorageError, match="not a table of metrics"):
        MetricsFile(tmp_path / "metrics.csv").rows()


def test_writing_replaces_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert read_json(path) == {"a": 2}
    assert [p.name for p in path.parent.iterdir()] == ["file.json"]


def test_what_cannot_be_read_or_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{")
    with pytest.raises(StorageError, match="cannot read"):
        read_json(tmp_path / "file")
    with pytest.raises(StorageError, match="cannot read"):
        read_json(tmp_path / "missing")
    with pytest.raises(StorageError, match="cannot write"):
        write_bytes(tmp_path / "file" / "inside", b"")
    with pytest.raises(StorageError, match="cannot write"):
        append_line(tmp_path / "missing" / "file", "line")
    with pytest.raises(StorageError, match="cannot write"), locked(tmp_path / "file" / "run"):
        pass


_HOLD = """
import sys
from pathlib import Path
from qt_hw.storage import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_one_writer_at_a_time_and_a_killed_one_leaves_no_lock(tmp_path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(StorageError, match="another process"), locked(tmp_path):
            pass
        holder.kill()
    with locked(tmp_path):
        assert (tmp_path / ".lock").exists()
