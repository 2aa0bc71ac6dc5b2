"""Running a study: every cell once, whatever happens on the way."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from qt_hw.errors import ConfigError, InputError, StorageError, UnknownName
from qt_hw.execution.executor import LocalExecutor
from qt_hw.execution.registry import open_backend
from qt_hw.hardware.statistics import total_variation
from qt_hw.model.generator import probabilities
from qt_hw.storage import locked
from qt_hw.study.config import StudyConfig
from qt_hw.study.folder import StudyFolder
from qt_hw.study.loading import load_study, study_to_toml
from qt_hw.study.pools.pool import Job, Outcome, Pool
from qt_hw.study.runner import Board, Runner
from qt_hw.study.study import open_study
from qt_hw.study.table import Row, rows_of
from qt_hw.study.work import run_cell
from qt_hw.training.run import Run, task_of
from qt_hw.training.trainer import all_metrics
from tests.rendering import unrendered
from tests.study.small import small_study

__all__ = ["unrendered"]

pytestmark = pytest.mark.usefixtures("unrendered")

HUGE = "optimizer.lr_mapping=1e300"


class Here(Pool):
    """Computes cells in this process, one after the other."""

    slots = 1

    def __init__(self, study: Path) -> None:
        self.study, self.queue = study, list[Job]()
        self.begun: list[str] = []

    def submit(self, job: Job) -> None:
        self.queue.append(job)

    @property
    def running(self) -> tuple[str, ...]:
        return tuple(job.id for job in self.queue)

    def wait(self, timeout: float) -> list[Outcome]:
        if not self.queue:
            return []
        job = self.queue.pop()
        self.begun.append(job.id)
        error = run_cell(str(self.study), job.payload)
        return [Outcome(id=job.id, state="failed" if error else "done", error=error)]

    def close(self) -> None:
        self.queue.clear()


def run(study: StudyConfig, out: Path, *, resume: bool = False) -> tuple[Board, list[str]]:
    """Run a study in this process; return its board and the cells that were computed."""
    folder = open_study(study, out, resume=resume)
    pool = Here(out)
    return Runner(folder, lambda: pool).run(), pool.begun


def without_time(rows: list[Row]) -> list[Row]:
    return [row for row in rows if row["metric"] != "seconds"]


@pytest.fixture(scope="module")
def finished(
    unrendered: None, tmp_path_factory: pytest.TempPathFactory
) -> tuple[StudyConfig, Path]:
    """Return a study and the folder in which it has been run once; not to be changed."""
    home = tmp_path_factory.mktemp("study")
    study = small_study(home)
    run(study, home / "out")
    return study, home / "out"


@pytest.fixture
def copied(finished: tuple[StudyConfig, Path], tmp_path: Path) -> tuple[StudyConfig, Path]:
    study, folder = finished
    shutil.copytree(folder, tmp_path / "out")
    return study, tmp_path / "out"


def test_every_cell_is_an_ordinary_run_folder(finished: tuple[StudyConfig, Path]) -> None:
    folder = StudyFolder(finished[1])
    assert len(folder.cells) == 10
    for cell in folder.cells:
        own = folder.cell_folder(cell.id)
        assert folder.state(cell.id) == "done"
        assert (own / "config.toml").exists()
        opened = Run.open(own)
        assert opened.finished
        values = folder.result(cell.id)["values"]
        assert values["test_accuracy"][0] == opened.results()["test_accuracy"]
    assert folder.failures() == []


def test_an_evaluation_says_what_the_exported_network_reaches(
    finished: tuple[StudyConfig, Path],
) -> None:
    """The same vectors, measured and evaluated by hand."""
    folder = StudyFolder(finished[1])
    for cell in [c for c in folder.cells if c.kind == "evaluate"]:
        twin = Run.open(folder.cell_folder(cell.twin))
        model, task = twin.model(), task_of(twin.config, None)
        with np.load(folder.cell_folder(cell.id) / "results" / "vectors.npz") as file:
            vectors, ideal = file["vectors"], file["ideal"]
        exact = probabilities(model.generator.ansatz, model.generator.angles.detach()).numpy()
        np.testing.assert_allclose(ideal, exact, atol=1e-12)
        shots = cell.config.backend.shots
        assert shots is not None
        np.testing.assert_allclose(vectors * shots, np.round(vectors * shots), atol=1e-8)
        accuracies, distances = [], []
        for vector in vectors:
            network = model.export(torch.from_numpy(vector), shots).eval()
            accuracies.append(all_metrics(task, network, task.load())["test_accuracy"])
            distances.append(total_variation(vector, ideal))
        values = folder.result(cell.id)["values"]
        assert values["test_accuracy"] == [np.mean(accuracies), np.std(accuracies, ddof=1)]
        assert values["total_variation"][0] == np.mean(distances)
        assert values["circuits"][0] == cell.repeats
        assert values["shots_used"][0] == cell.repeats * shots
        rng = np.random.default_rng(0)
        drawn = rng.multinomial(shots, ideal / ideal.sum(), size=2000) / shots
        alone = 0.5 * np.abs(drawn - ideal).sum(axis=1)
        expected = values["expected_total_variation"][0]
        assert expected == pytest.approx(alone.mean(), abs=5 * alone.std() / 2000**0.5)
        assert np.all(np.abs(np.array(distances) - expected) < 5 * alone.std())


def test_repeats_are_reproducible_and_differ(finished: tuple[StudyConfig, Path]) -> None:
    folder = StudyFolder(finished[1])
    cell = next(c for c in folder.cells if c.kind == "evaluate")
    with np.load(folder.cell_folder(cell.id) / "results" / "vectors.npz") as file:
        first, second = file["vectors"]
    assert not np.array_equal(first, second)
    executor = LocalExecutor(open_backend("statevector"))
    from qt_hw.study.measuring import measure_twin

    twin = Run.open(folder.cell_folder(cell.twin))
    again = measure_twin(cell, twin, finished[1].parent / "again", executor)
    stored = folder.result(cell.id)["values"]
    assert {name: list(pair) for name, pair in again.values.items()} == stored


def test_the_table_has_a_row_for_each_cell_and_metric(finished: tuple[StudyConfig, Path]) -> None:
    rows = rows_of(StudyFolder(finished[1]))
    keys = [(row["cell"], row["metric"]) for row in rows]
    assert len(set(keys)) == len(keys)
    assert {row["kind"] for row in rows} == {"noiseless", "control", "train", "evaluate"}
    twins = {row["cell"] for row in rows if row["kind"] == "noiseless"}
    assert {row["twin"] for row in rows if row["kind"] != "noiseless"} == twins


def test_resuming_a_finished_study_computes_nothing(copied: tuple[StudyConfig, Path]) -> None:
    study, out = copied
    before = rows_of(StudyFolder(out))
    _, begun = run(study, out, resume=True)
    assert begun == []
    assert rows_of(StudyFolder(out)) == before


def test_a_study_is_not_begun_twice(copied: tuple[StudyConfig, Path]) -> None:
    study, out = copied
    with pytest.raises(InputError, match="add --resume"):
        open_study(study, out, resume=False)
    other = study.model_copy(update={"set": ("optimizer.steps=5",)})
    with pytest.raises(ConfigError, match="holds a study of"):
        open_study(other, out, resume=True)


def test_further_seeds_are_added(copied: tuple[StudyConfig, Path]) -> None:
    study, out = copied
    before = rows_of(StudyFolder(out))
    wider = study.model_copy(update={"seeds": (0, 1, 2)})
    board, begun = run(wider, out, resume=True)
    assert len(begun) == 5
    assert set(board.states.values()) == {"done"}
    after = rows_of(StudyFolder(out))
    assert [row for row in after if row["seed"] < 2] == before


def test_a_smaller_study_does_not_lose_cells(copied: tuple[StudyConfig, Path]) -> None:
    study, out = copied
    smaller = study.model_copy(update={"seeds": (0,)})
    with pytest.raises(ConfigError, match="holds 5 cells that this study has not"):
        open_study(smaller, out, resume=True)


def test_a_base_that_changes_later_changes_nothing(copied: tuple[StudyConfig, Path]) -> None:
    """The study goes on with what it began with, also when the file is gone."""
    study, out = copied
    file = Path(study.base[0])
    text = file.read_text()
    try:
        file.write_text(text.replace("lr_angles = 0.02", "lr_angles = 0.03"))
        folder = open_study(study, out, resume=True)
        assert folder.changed_bases(study) == [str(file)]
        file.unlink()
        folder = open_study(study, out, resume=True)
        assert folder.changed_bases(study) == []
        _, begun = run(study, out, resume=True)
        assert begun == []
    finally:
        file.write_text(text)


#: What an editor may leave in a cell's file.
BODIES: dict[str, dict[str, Any]] = {
    "values that are none": {"values": 5},
    "a value without its spread": {"values": {"test_loss": [1.0]}},
    "no backend": {"backend": None},
}


@pytest.mark.parametrize(
    "damage",
    [
        "cell.json",
        "manifest.json",
        "a file instead of a folder",
        "cell.json missing",
        *BODIES,
    ],
)
def test_an_unreadable_cell_is_named_and_computed_anew(
    copied: tuple[StudyConfig, Path], damage: str
) -> None:
    study, out = copied
    folder = StudyFolder(out)
    before = rows_of(folder)
    cell = next(c for c in folder.cells if c.kind == "train")
    own = folder.cell_folder(cell.id)
    if damage.startswith("a file"):
        shutil.rmtree(own)
        own.write_text("not a folder")
    elif damage.endswith("missing"):
        (own / "cell.json").unlink()
    elif damage in BODIES:
        body = json.loads((own / "cell.json").read_text())
        (own / "cell.json").write_text(json.dumps(body | BODIES[damage]))
    else:
        (own / damage).write_text('{"half')
        if damage == "manifest.json":
            (own / "cell.json").unlink()
    left = rows_of(folder)
    assert left == ([r for r in before if r["cell"] != cell.id])
    named = {failure.cell: failure.error for failure in folder.failures()}
    if damage.startswith("a file"):
        assert "is not a folder; move it away" in named[cell.id]
    elif damage in {"cell.json", *BODIES}:
        assert "--resume computes it anew" in named[cell.id]
    board, begun = run(study, out, resume=True)
    assert begun == [cell.id]
    if damage.startswith("a file"):
        assert board.states[cell.id] == "failed"
        assert "is not a folder; move it away" in board.errors[cell.id]
        own.unlink()
        run(study, out, resume=True)
    assert without_time(rows_of(StudyFolder(out))) == without_time(before)


def test_gradients_approximations_and_the_exchanged_vector(tmp_path: Path) -> None:
    """What is no ordinary training has its metrics in the same table."""
    study = small_study(
        tmp_path,
        seeds=1,
        controls=["permuted", "direct"],
        train=[],
        evaluate=[],
        gradients=[{"qubits": 3, "shots": 32, "repeats": 3}, {"qubits": 3}],
        approximation=[{"widths": 4, "steps": 20}],
    )
    board, begun = run(study, tmp_path / "out")
    assert set(board.states.values()) == {"done"}
    table = {(row["kind"], row["control"], row["metric"]): row for row in rows_of_out(tmp_path)}
    sampled = {name for kind, _, name in table if kind == "gradient"}
    assert {"gradient_variance", "snr", "noise_variance", "cosine"} <= sampled
    fit = {name: row["value"] for (kind, _, name), row in table.items() if kind == "approximation"}
    assert fit["n_weights"] == 64 * 4 + 4 + 4 * 10 + 10
    assert 0.0 < fit["relative_error"] < 2.0
    assert ("control", "permuted", "test_accuracy") in table
    permuted = table["control", "permuted", "trained_parameters"]["value"]
    assert permuted == table["noiseless", "", "trained_parameters"]["value"]
    places = {board.cells[id].kind: place for place, id in enumerate(begun)}
    assert places["approximation"] > 0


def rows_of_out(folder: Path) -> list[Row]:
    return rows_of(StudyFolder(folder / "out"))


def test_a_failed_cell_is_recorded_and_does_not_stop_the_others(tmp_path: Path) -> None:
    """Noise that makes no sense shows when its backend is opened."""
    wrong = {"backend": "aer", "noise": "depolarizing(p1=2.5)", "shots": 64}
    study = small_study(
        tmp_path,
        seeds=1,
        controls=[],
        train=[wrong, {"backend": "statevector", "shots": 64}],
        evaluate=[wrong],
    )
    board, _ = run(study, tmp_path / "out")
    states = sorted((board.cells[id].kind, state) for id, state in board.states.items())
    assert states == [
        ("evaluate", "failed"),
        ("noiseless", "done"),
        ("train", "done"),
        ("train", "failed"),
    ]
    failures = StudyFolder(tmp_path / "out").failures()
    assert [failure.kind for failure in failures] == ["InputError", "InputError"]
    assert all("p1" in failure.error for failure in failures)


def test_a_backend_that_does_not_exist_is_refused_before_anything_runs(tmp_path: Path) -> None:
    block = {"backend": ["statevector", "aer:fake_nowhere"], "shots": 64}
    study = small_study(tmp_path, train=[block])
    with pytest.raises(UnknownName, match="fake_nowhere"):
        run(study, tmp_path / "out")
    assert not (tmp_path / "out" / "cells").exists()


def test_a_defect_in_a_cell_leaves_its_traceback(tmp_path: Path) -> None:
    """What is no error of this package: a rate that torch cannot take."""
    study = small_study(tmp_path, seeds=1, controls=[], train=[], evaluate=[], set=[HUGE])
    board, _ = run(study, tmp_path / "out")
    assert set(board.states.values()) == {"failed"}
    (error,) = (tmp_path / "out" / "errors").iterdir()
    recorded = json.loads(error.read_text())
    assert recorded["kind"] == "RuntimeError"
    assert "Traceback" in recorded["details"]


def test_what_needs_a_failed_twin_fails_too(tmp_path: Path) -> None:
    study = small_study(
        tmp_path, seeds=1, controls=[], train=[], set=["optimizer.lr_mapping=1e300"]
    )
    board, begun = run(study, tmp_path / "out")
    assert len(begun) == 1
    assert set(board.states.values()) == {"failed"}
    errors = [f.error for f in StudyFolder(tmp_path / "out").failures()]
    assert sum("what it needs has failed" in error for error in errors) == 2


def test_a_full_disk_stops_the_study_and_loses_nothing(
    copied: tuple[StudyConfig, Path],
) -> None:
    """No file may grow beyond some bytes, as on a full disk; with room again it goes on."""
    study, out = copied
    before = rows_of(StudyFolder(out))
    wider = study.model_copy(update={"seeds": (0, 1, 2, 3, 4)})
    folder = open_study(wider, out, resume=True)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, limits[1]))
        with pytest.raises(StorageError, match="make room, then --resume"):
            Runner(folder, lambda: Here(out)).run()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)
    assert [r for r in rows_of(StudyFolder(out)) if r["seed"] < 2] == before
    board, begun = run(wider, out, resume=True)
    assert len(begun) == 15
    assert set(board.states.values()) == {"done"}


def test_two_studies_on_one_folder(copied: tuple[StudyConfig, Path]) -> None:
    from qt_hw.study.study import run_study

    study, out = copied
    with (
        locked(out),
        pytest.raises(StorageError, match="another process is writing to"),
    ):
        run_study(study, out=out, resume=True, progress=False)


def test_killed_and_resumed_it_ends_with_the_same_table(
    finished: tuple[StudyConfig, Path], tmp_path: Path
) -> None:
    """kill -9 of the whole study while a real worker process trains a cell."""
    study, once = finished
    one = study.model_copy(update={"seeds": (0,)})
    file, out = tmp_path / "study.toml", tmp_path / "out"
    file.write_text(study_to_toml(one))
    code = (
        "import sys; from pathlib import Path; from qt_hw.storage import locked\n"
        "from qt_hw.study.pools.local import LocalPool; from qt_hw.study.runner import Runner\n"
        "from qt_hw.study.study import open_study\n"
        "out = Path(sys.argv[2])\n"
        "with locked(out):\n"
        "    folder = open_study(sys.argv[1], out, resume=False)\n"
        "    Runner(folder, lambda: LocalPool(out, 1)).run()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(file), str(out)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )
    deadline = time.monotonic() + 120
    while not list(out.glob("cells/*/checkpoints/*.json")):
        assert time.monotonic() < deadline and process.poll() is None
        time.sleep(0.01)
    process.kill()
    process.wait()
    assert len(list(out.glob("cells/*/cell.json"))) < 5
    _until_the_worker_is_gone(out)
    board, _ = run(one, out, resume=True)
    assert set(board.states.values()) == {"done"}
    whole = [row for row in rows_of(StudyFolder(once)) if row["seed"] == 0]
    assert without_time(rows_of(StudyFolder(out))) == without_time(whole)


def _until_the_worker_is_gone(out: Path) -> None:
    """Wait until nobody holds a cell's lock; workers end with their parent."""
    deadline = time.monotonic() + 60
    for cell in out.glob("cells/*"):
        while True:
            try:
                with locked(cell):
                    break
            except StorageError:
                assert time.monotonic() < deadline
                time.sleep(0.01)


def test_the_folder_alone_says_what_the_study_is(finished: tuple[StudyConfig, Path]) -> None:
    study, out = finished
    assert load_study(out / "study.toml") == study
    moved = StudyFolder(out)
    assert [cell.id for cell in moved.cells]
    assert moved.about["versions"]["python"]
