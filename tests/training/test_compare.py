from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from qt_hw.errors import ConfigError, InputError, PreflightError, UnknownName
from qt_hw.training.compare import Comparison, train_pair
from qt_hw.training.run import Run
from tests.training.small import small_config

pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    out = tmp_path_factory.mktemp("pair") / "run"
    return train_pair(small_config("optimizer.steps=4"), out=out, progress=False)


def test_there_are_two_ordinary_run_folders_and_a_comparison(pair: Comparison) -> None:
    assert list(pair.runs) == ["noiseless", "sampled"]
    for name in pair.runs:
        assert Run.open(pair.folder / name).finished
    names = {p.name for p in pair.folder.iterdir()}
    assert names == {"noiseless", "sampled", "comparison.csv", "comparison.json", "figures"}
    assert (pair.folder / "figures" / "learning-curves.svg").exists()


def test_both_start_alike_and_differ_by_the_shots(pair: Comparison) -> None:
    noiseless, sampled = pair.runs["noiseless"], pair.runs["sampled"]
    same = {"backend"}
    assert noiseless.config.model_dump(exclude=same) == sampled.config.model_dump(exclude=same)
    assert (noiseless.config.is_noiseless, sampled.config.backend.shots) == (True, 256)
    first, second = (run.metrics[0] for run in pair.runs.values())
    assert first["train_loss"] != second["train_loss"]
    # 256 shots move the weights by some per cent, not the scale of the loss at ln 10.
    assert first["train_loss"] == pytest.approx(second["train_loss"], rel=0.1)


def test_the_tables_hold_the_results_of_the_runs(pair: Comparison) -> None:
    stored = json.loads((pair.folder / "comparison.json").read_text())
    assert stored == {name: run.results() for name, run in pair.runs.items()}
    with (pair.folder / "comparison.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["run"] for row in rows] == ["noiseless", "sampled"]
    for row in rows:
        results = stored[row["run"]]
        last = pair.runs[row["run"]].metrics[-1]
        assert float(row["test_accuracy"]) == last["test_accuracy"]
        assert float(row["generalisation_gap"]) == last["test_loss"] - last["train_loss"]
        assert int(row["trained_parameters"]) == 8 + 24 + 755
        assert float(row["trained_share"]) == results["trained_parameters"] / 2410
        assert int(row["circuits_per_gradient_lowered"]) == 17
    assert stored["noiseless"]["shots"] == 0
    assert stored["sampled"]["shots"] == 256 * (4 * 17 + 1)


def test_resuming_a_finished_pair_gives_the_same_comparison(pair: Comparison) -> None:
    again = train_pair(pair.runs["sampled"].config, out=pair.folder, resume=True, progress=False)
    assert again.results() == pair.results()


def test_a_pair_is_no_single_run(pair: Comparison) -> None:
    with pytest.raises(Exception, match=r"holds several runs: open .*noiseless"):
        Run.open(pair.folder)
    with pytest.raises(InputError, match="holds a single run"):
        train_pair(pair.runs["noiseless"].config, out=pair.folder / "noiseless", resume=True)
    with pytest.raises(InputError, match="already exists"):
        train_pair(pair.runs["sampled"].config, out=pair.folder)
    with pytest.raises(ConfigError, match="this configuration has none"):
        train_pair(pair.runs["noiseless"].config, out=pair.folder, resume=True)


def test_without_shots_there_is_one_run(tmp_path: Path) -> None:
    config = small_config("optimizer.steps=1", shots=None)
    comparison = train_pair(config, out=tmp_path / "run", progress=False)
    assert list(comparison.runs) == ["noiseless"]


def test_a_wrong_backend_shows_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(UnknownName):
        train_pair(small_config("backend.name=areo"), out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_noise_without_shots_has_a_twin_too(tmp_path: Path) -> None:
    config = small_config(
        "optimizer.steps=2",
        "backend.name=aer",
        "backend.noise=depolarizing(p1=0.01, p2=0.05)",
        shots=None,
    )
    assert not config.is_noiseless
    comparison = train_pair(config, out=tmp_path / "run", progress=False)
    ends = [run.arrays() for run in comparison.runs.values()]
    assert list(comparison.runs) == ["noiseless", "sampled"]
    # The twin measures its ideal law, the noisy run is pulled towards the uniform vector.
    assert abs(ends[0]["probabilities"] - ends[0]["ideal"]).max() < 1e-12
    assert abs(ends[1]["probabilities"] - ends[1]["ideal"]).max() > 1e-3


def test_shots_out_of_bounds_show_before_anything_is_trained(tmp_path: Path) -> None:
    config = small_config("backend.name=aer", f"backend.shots={2**62}")
    with pytest.raises(PreflightError, match=r"backend\.shots: aer takes at most"):
        train_pair(config, out=tmp_path / "run", progress=False)
    assert not (tmp_path / "run").exists()


def test_the_refusal_says_how_the_keys_were_set(pair: Comparison) -> None:
    other = small_config("optimizer.steps=4", "backend.shots=99", "mapping.activation=relu")
    with pytest.raises(ConfigError) as caught:
        train_pair(other, out=pair.folder, resume=True, progress=False)
    assert "--set backend.shots=256" in str(caught.value)
    assert "--set mapping.activation= " in str(caught.value)
