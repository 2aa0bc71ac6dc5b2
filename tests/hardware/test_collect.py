"""Collecting: from counts to the metrics of the target, beside the other runs."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from qt_hw.errors import BadResult, ConfigError, JobFailed, TransientError
from qt_hw.execution.executor import LocalExecutor
from qt_hw.execution.statevector_backend import StatevectorBackend
from qt_hw.hardware.collect import Collected, collect
from qt_hw.hardware.evaluate import Submission, submit
from qt_hw.hardware.statistics import distance_of_shots
from qt_hw.model.generator import probabilities
from qt_hw.tasks import Data, build_target, get_task
from qt_hw.tasks.metric import ACCURACY
from qt_hw.training.build import make_ansatz
from qt_hw.training.folder import PAIR
from qt_hw.training.run import Run, train
from tests.hardware.paper import Vendor
from tests.rendering import rendered
from tests.training.small import small_config, small_tables


def send(run: Path, shots: int = 100, **more) -> Submission:
    return submit(run, "paper:a4", shots=shots, max_usd=100.0, **more)


def states(collected: Collected) -> list[str]:
    return [outcome.state for outcome in collected.outcomes]


@pytest.fixture
def measured(pair: Path, vendor: Vendor) -> Path:
    """Return a pair whose noiseless circuit was measured with 100 shots."""
    send(pair / "noiseless")
    assert states(collect(pair)) == ["finished"]
    return pair


def test_the_weights_are_those_of_the_counts(measured: Path, vendor: Vendor) -> None:
    run = Run.open(measured / "noiseless")
    folder = run.folder / "evaluations" / "001"
    (counts,) = np.array(vendor.jobs()[0]["counts"])
    with np.load(folder / "probabilities.npz") as file:
        assert file["counts_0"].tolist() == counts.tolist()
        assert file["measured"] == pytest.approx(counts[0] / 100)
        assert file["ideal"] == pytest.approx(run.arrays()["ideal"], abs=1e-6)
    # The same by hand: the trained mapping on the measured vector, with as many shots.
    model = run.model(executor=LocalExecutor(StatevectorBackend()))
    network = model.export(torch.tensor(counts[0] / 100.0), 100)
    state = load_file(folder / "weights.safetensors")
    assert {k: v.tolist() for k, v in state.items()} == {
        k: v.tolist() for k, v in network.state_dict().items()
    }
    loaded = build_target("mlp-64-32-10", torch.Generator())
    loaded.load_state_dict(state)
    x, y = get_task("digits", train_size=200, test_size=100).load().test
    result = json.loads((folder / "result.json").read_text())
    right = float((loaded(x).argmax(1) == y).double().mean())
    assert result["test_accuracy"] == pytest.approx(right)


def test_the_result_says_how_it_was_measured(measured: Path, vendor: Vendor) -> None:
    run = Run.open(measured / "noiseless")
    result = json.loads((run.folder / "evaluations" / "001" / "result.json").read_text())
    p, q = np.array(vendor.jobs()[0]["counts"][0][0]) / 100, run.arrays()["ideal"]
    assert result["total_variation"] == pytest.approx(0.5 * np.abs(p - q).sum(), abs=1e-6)
    expected = distance_of_shots([q.astype(np.float64)], 100)
    assert result["total_variation_of_shots"] == pytest.approx(expected, abs=1e-6)
    assert (result["usd"], result["cost_source"]) == (1.3, "vendor")
    assert result["jobs"] == [vendor.jobs()[0]["id"]]
    assert result["device"]["mill"] == "test"
    assert result["device"]["calibration_date"] == "2025-01-01T00:00:00"
    assert {path.name for path in (run.folder / "evaluations" / "001" / "figures").iterdir()} == {
        "probabilities.png",
        "probabilities.svg",
    }


def test_the_figures_of_an_evaluation_are_rendered(pair: Path, vendor: Vendor) -> None:
    send(pair / "noiseless")
    with rendered():
        collect(pair)
    drawn = (pair / "noiseless/evaluations/001/figures/probabilities", pair / "figures/evaluations")
    for stem in drawn:
        assert stem.with_suffix(".png").read_bytes().startswith(b"\x89PNG")
        assert "</svg>" in stem.with_suffix(".svg").read_text()


def test_the_evaluation_stands_beside_the_runs(measured: Path) -> None:
    table = json.loads((measured / "evaluations.json").read_text())
    assert [column["name"] for column in table] == ["noiseless", "sampled", "evaluation 1"]
    for name, column in zip(PAIR, table, strict=False):
        results = Run.open(measured / name).results()
        assert column["test_accuracy"] == results["test_accuracy"]
        assert column["generalisation_gap"] == results["generalisation_gap"]
    assert [column["backend"] for column in table] == ["statevector", "statevector", "paper:a4"]
    assert [column["shots"] for column in table] == [None, 256, 100]
    with (measured / "evaluations.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == [column["name"] for column in table]
    assert float(rows[2]["test_accuracy"]) == table[2]["test_accuracy"]
    assert rows[0]["shots"] == ""
    assert (measured / "figures" / "evaluations.svg").exists()


def test_runs_that_name_no_metric_are_classifications(measured: Path) -> None:
    """As those of versions that knew nothing else."""
    before = (measured / "evaluations.csv").read_bytes()
    for name in PAIR:
        path = measured / name / "manifest.json"
        manifest = json.loads(path.read_text())
        del manifest["metric"]
        path.write_text(json.dumps(manifest))
    assert collect(measured).metric == ACCURACY
    assert (measured / "evaluations.csv").read_bytes() == before


def test_collecting_again_asks_nobody(measured: Path, vendor: Vendor) -> None:
    before = (measured / "noiseless/evaluations/001/result.json").read_bytes()
    vendor.set(unreachable=True)
    assert states(collect(measured)) == ["finished"]
    assert (measured / "noiseless/evaluations/001/result.json").read_bytes() == before


def test_rehearsed_evaluations_are_in_a_table_of_their_own(measured: Path) -> None:
    send(measured / "noiseless", rehearsal={})
    send(measured / "sampled", rehearsal={})
    collected = collect(measured)
    assert [(o.home.rehearsed, o.state) for o in collected.outcomes] == [
        (False, "finished"),
        (True, "finished"),
        (True, "finished"),
    ]
    real, rehearsed = collected.tables[False], collected.tables[True]
    assert [column["name"] for column in real] == ["noiseless", "sampled", "evaluation 1"]
    assert [column["name"] for column in rehearsed] == [
        "noiseless",
        "sampled",
        "evaluation 1 (rehearsal)",
        "evaluation 1 of sampled (rehearsal)",
    ]
    assert "rehearsal)" not in (measured / "evaluations.csv").read_text()
    assert (measured / "rehearsal" / "evaluations.csv").exists()


def test_a_queued_job_is_waited_for_only_when_asked(pair: Path, vendor: Vendor) -> None:
    vendor.set(held=3)  # times that it is asked for
    send(pair / "noiseless")
    (outcome,) = collect(pair).outcomes
    assert (outcome.state, outcome.error) == ("open", None)
    assert "1 job is queued or running" in outcome.text
    seen: list[int] = []
    done = collect(pair, waiting=True, report=lambda dispatcher, rows: seen.append(len(rows)))
    assert states(done) == ["finished"]
    assert seen == [1, 0]


def test_waiting_outlasts_a_network_that_fails(pair: Path, vendor: Vendor) -> None:
    send(pair / "noiseless")
    vendor.set(unreachable=1)
    (outcome,) = collect(pair).outcomes
    assert isinstance(outcome.error, TransientError)
    vendor.set(unreachable=3)
    said: list[str] = []
    assert states(collect(pair, waiting=True, say=said.append)) == ["finished"]
    assert len([text for text in said if "does not answer" in text]) == 1


def test_what_goes_wrong_with_one_does_not_stop_another(pair: Path, vendor: Vendor) -> None:
    vendor.set(fail=1)
    send(pair / "noiseless")
    send(pair / "noiseless", shots=200)
    first, second = collect(pair).outcomes
    assert (first.state, second.state) == ("failed", "finished")
    assert isinstance(first.error, JobFailed)
    assert "the ink ran out" in first.text
    assert "qt-hw retry" in first.text
    assert len(vendor.jobs()) == 2


def test_a_damaged_result_is_not_lost(pair: Path, vendor: Vendor) -> None:
    vendor.set(garbled=1)
    send(pair / "noiseless")
    (outcome,) = collect(pair).outcomes
    assert isinstance(outcome.error, BadResult)
    assert states(collect(pair)) == ["finished"]
    assert len(vendor.jobs()) == 1


def test_a_product_is_measured_factor_by_factor(tmp_path: Path, vendor: Vendor) -> None:
    tables = small_tables(None)
    factor = {"name": "RyCnot", "n_qubits": 2, "n_layers": 2}
    tables["ansatz"] = {"name": "product", "factors": [factor, {**factor, "n_layers": 3}]}
    tables["optimizer"]["steps"] = 1
    run = train(tables, out=tmp_path / "run", progress=False)
    done = send(run.folder, shots=50)
    assert done.jobs[0].circuits == 2
    assert states(collect(run.folder)) == ["finished"]
    high, low = (np.array(array)[0] / 50 for array in vendor.jobs()[0]["counts"])
    with np.load(run.folder / "evaluations" / "001" / "probabilities.npz") as file:
        assert file["measured"] == pytest.approx(np.kron(high, low))
        angles = torch.tensor(run.arrays()["angles"])
        exact = probabilities(make_ansatz(run.config.ansatz), angles)
        assert file["ideal"] == pytest.approx(exact.numpy())
    table = json.loads((run.folder / "evaluations.json").read_text())
    assert [column["name"] for column in table] == ["noiseless", "evaluation 1"]


def test_correction_on_a_perfect_device_changes_nothing(measured: Path, vendor: Vendor) -> None:
    done = send(measured / "noiseless", mitigation="readout", calibration_shots=50)
    # All three circuits are one job: 0.30 + (100 + 2 × 50) × 0.01.
    assert [row.circuits for row in done.jobs] == [3]
    assert vendor.jobs()[-1]["usd"] == pytest.approx(2.3)
    assert done.news == "sent"
    plain, corrected = collect(measured).tables[False][-2:]
    folder = measured / "noiseless" / "evaluations"
    with np.load(folder / "002" / "probabilities.npz") as file:
        assert file["used"] == pytest.approx(file["measured"])
        assert file["counts_1"][0, 0] == file["counts_2"][0, -1] == 50
    assert (plain["mitigation"], corrected["mitigation"]) == ("none", "readout")
    assert corrected["raw_test_accuracy"] == pytest.approx(corrected["test_accuracy"])


def test_targets_and_data_of_the_caller_are_passed_again(tmp_path: Path, vendor: Vendor) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.rand((60, 8), generator=generator)
    y = (x.sum(dim=1) > 4).long()
    part = (x[:40], y[:40]), (x[40:], y[40:])
    data = Data(train=part[0], test=part[1], n_classes=2, name="mine", description={})
    target = nn.Sequential(nn.Linear(8, 4), nn.Tanh(), nn.Linear(4, 2))
    tables = small_tables(None)
    tables["mapping"]["chunk_size"] = 3
    tables["optimizer"]["steps"] = 1
    del tables["task"], tables["target"]
    run = train(tables, target=target, data=data, out=tmp_path / "run", progress=False)
    send(run.folder)
    (outcome,) = collect(run.folder).outcomes
    assert isinstance(outcome.error, ConfigError)
    assert "pass the same" in outcome.text
    other = Data(train=part[1], test=part[0], n_classes=2, name="mine", description={})
    (outcome,) = collect(run.folder, target=target, data=other).outcomes
    assert "trained with other data" in outcome.text
    assert states(collect(run.folder, target=target, data=data)) == ["finished"]


def test_a_run_that_was_trained_anew_is_not_mixed_up(pair: Path, vendor: Vendor) -> None:
    send(pair / "noiseless")
    again = train(
        small_config("optimizer.steps=4", "seeds.init=9", shots=None),
        out=pair.parent / "other",
        progress=False,
    )
    path = pair / "noiseless"
    for name in ("config.toml", "manifest.json"):
        (path / name).write_bytes((again.folder / name).read_bytes())
    for folder in ("checkpoints", "results"):
        for file in (again.folder / folder).iterdir():
            (path / folder / file.name).write_bytes(file.read_bytes())
    (outcome,) = collect(pair).outcomes
    assert isinstance(outcome.error, ConfigError)
    assert "was trained on since evaluation 1" in outcome.text
