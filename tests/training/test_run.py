from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from qt_hw.errors import ConfigError, InputError, QtHwError, StorageError
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.tasks import Data, batches, get_task
from qt_hw.training.build import make_ansatz, make_model
from qt_hw.training.checkpoint import load_checkpoint
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import to_toml
from qt_hw.training.provenance import run_key
from qt_hw.training.run import Run, train
from tests.rendering import rendered
from tests.training.small import small_config

pytestmark = pytest.mark.usefixtures("unrendered")


def _train(config: RunConfig, out: Path, **options: Any) -> Run:
    return train(config, out=out, progress=False, **options)


@pytest.fixture(scope="module")
def sampled(tmp_path_factory: pytest.TempPathFactory) -> Run:
    with rendered():
        return _train(small_config(), tmp_path_factory.mktemp("runs") / "sampled")


def test_the_folder_holds_the_whole_run(sampled: Run) -> None:
    names = {p.relative_to(sampled.folder).as_posix() for p in sampled.folder.rglob("*.*")}
    assert {
        "config.toml",
        "manifest.json",
        "metrics.csv",
        "checkpoints/step-00000012.json",
        "checkpoints/step-00000012.safetensors",
        "checkpoints/step-00000009.json",
        "results/final.npz",
        "results/weights.safetensors",
        "results/circuit-0-written.qpy",
        "results/circuit-0-prepared.qpy",
        "figures/learning-curves.png",
        "figures/probabilities.svg",
        "figures/weights.svg",
    } <= names
    figures = sampled.folder / "figures"
    assert (figures / "learning-curves.png").read_bytes().startswith(b"\x89PNG")
    assert all("</svg>" in path.read_text() for path in figures.glob("*.svg"))
    assert Run.open(sampled.folder).config == sampled.config == small_config()
    assert [row["step"] for row in sampled.metrics] == [0, 4, 8, 12]


def test_the_manifest_says_how_it_was_made(sampled: Run) -> None:
    manifest = sampled.manifest
    assert manifest["versions"]["torch"] == torch.__version__
    assert manifest["seeds"] == {"data": 1, "init": 2, "sampling": 3}
    assert manifest["data"]["train_samples"] == 200
    assert manifest["backend"]["name"] == "statevector"
    assert manifest["parameters"]["n_target"] == 2410
    # 4 qubits, 2 layers: 8 angles; mapping 5·4 + 4 + 4·151 + 151.
    assert manifest["parameters"]["n_trained"] == 8 + 24 + 755
    written = manifest["circuits"]["factors"][0]["written"]
    assert written["gates"] == {"ry": 8, "cx": 6}
    assert (written["qubits"], written["parameters"]) == (4, 8)
    # RY has two terms in both forms; the unshifted circuit comes on top.
    assert manifest["circuits"]["per_gradient"] == {"native": 17, "lowered": 17}
    assert str(Path.home()) not in (sampled.folder / "manifest.json").read_text()


def test_the_circuits_come_back_from_the_folder(sampled: Run) -> None:
    from qiskit import qpy
    from qiskit.quantum_info import Operator

    path = sampled.manifest["circuits"]["factors"][0]["written"]["qpy"]
    with (sampled.folder / path).open("rb") as file:
        stored = qpy.load(file)[0]
    ansatz = make_ansatz(sampled.config.ansatz)
    values = np.linspace(-1, 1, ansatz.n_angles)
    expected = Operator(ansatz.circuit().assign_parameters(values))
    assert Operator(stored.assign_parameters(values)).equiv(expected)


def test_circuits_and_shots_are_counted(sampled: Run) -> None:
    """Each step measures the base and 16 shifted vectors, the last evaluation one base vector."""
    results = sampled.results()
    assert results["circuits"] == 12 * 17 + 1
    assert results["shots"] == 256 * results["circuits"]


def test_the_exported_network_has_the_reported_accuracy(sampled: Run) -> None:
    module = sampled.export()
    assert type(module) is nn.Sequential
    x, y = get_task("digits", train_size=200, test_size=100).load().test
    with torch.no_grad():
        accuracy = float((module(x).argmax(1) == y).double().mean())
    assert accuracy == pytest.approx(sampled.results()["test_accuracy"], abs=1e-12)
    assert sampled.metrics[-1]["test_accuracy"] == sampled.results()["test_accuracy"]


def test_the_model_rebuilt_generates_the_exported_weights(sampled: Run) -> None:
    with torch.no_grad():
        generated = sampled.model().weights()
    exported = dict(sampled.export().named_parameters())
    assert generated.keys() == exported.keys()
    assert all(torch.equal(generated[name], exported[name]) for name in exported)


def test_the_final_arrays_fit_together(sampled: Run) -> None:
    from qiskit.quantum_info import Statevector

    arrays = sampled.arrays()
    circuit = make_ansatz(sampled.config.ansatz).circuit()
    ideal = Statevector(circuit.assign_parameters(arrays["angles"])).probabilities()
    assert arrays["ideal"] == pytest.approx(ideal, abs=1e-12)
    counts = arrays["probabilities"] * 256
    assert counts == pytest.approx(np.rint(counts), abs=1e-9)
    assert counts.sum() == pytest.approx(256)
    # Total variation of 256 shots on 16 bins: mean below sqrt(16/256)/2, spread 1/(2·16).
    assert 0.5 * np.abs(arrays["probabilities"] - ideal).sum() < 0.125 + 5 / 32
    assert arrays["weights"].shape == arrays["initial"].shape == (2410,)


def test_an_exact_training_equals_a_loop_written_by_hand(tmp_path: Path) -> None:
    config = small_config("optimizer.clip_norm=0.5", "optimizer.schedule=cosine", shots=None)
    run = _train(config, tmp_path / "run")
    model = make_model(config)
    task = get_task("digits", train_size=200, test_size=100)
    x, y = task.load().train
    angles = model.generator.angles
    rest = [p for name, p in model.named_parameters() if name != "generator.angles"]
    optimizer = torch.optim.Adam([angles, *rest])
    for step in range(12):
        for group in optimizer.param_groups:
            group["lr"] = 0.02 * 0.5 * (1 + math.cos(math.pi * step / 12))
        index = batches(200, 64, seed=1, step=step)
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x[index]), y[index]).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)
        optimizer.step()
    with torch.no_grad():
        expected = model.weights()
    for name, value in run.export().named_parameters():
        assert torch.allclose(value, expected[name], atol=1e-6), name


def test_a_training_learns_a_small_batch_by_heart(tmp_path: Path) -> None:
    config = small_config(
        "task.options={train_size=20, test_size=20}",
        "optimizer.steps=150",
        "optimizer.eval_every=150",
        "optimizer.checkpoint_every=150",
        "mapping.hidden=[16]",
        shots=None,
    )
    rows = _train(config, tmp_path / "run").metrics
    assert rows[-1]["train_accuracy"] == 1.0
    assert rows[-1]["train_loss"] < 0.1 < rows[0]["train_loss"]


def test_each_seed_changes_its_own_part_only(tmp_path: Path) -> None:
    def rows(name: str, *changes: str) -> list[dict[str, Any]]:
        return _train(small_config(*changes, "optimizer.steps=4"), tmp_path / name).metrics

    base = rows("base")
    data, init = rows("data", "seeds.data=9"), rows("init", "seeds.init=9")
    sampling = rows("sampling", "seeds.sampling=9")
    timeless = [[{k: v for k, v in r.items() if k != "seconds"} for r in t] for t in (base, data)]
    assert timeless[0][0] == timeless[1][0]  # the first row comes before any batch
    assert timeless[0][1] != timeless[1][1]
    assert init[0]["train_loss"] != base[0]["train_loss"]
    assert sampling[0]["train_loss"] != base[0]["train_loss"]
    exact = [
        _train(
            small_config(change, "optimizer.steps=4", shots=None), tmp_path / f"exact-{i}"
        ).metrics[-1]["train_loss"]
        for i, change in enumerate(("seeds.sampling=3", "seeds.sampling=9"))
    ]
    assert exact[0] == exact[1]


def test_zero_rates_leave_the_angles_alone(tmp_path: Path) -> None:
    config = small_config("optimizer.lr_angles=0", "optimizer.steps=3")
    run = _train(config, tmp_path / "run")
    assert torch.equal(run.model().generator.angles, make_model(config).generator.angles)
    before = dict(make_model(config).mapping.named_parameters())
    after = dict(run.model().mapping.named_parameters())
    assert all(not torch.equal(before[name], after[name]) for name in before)


def test_early_stopping_ends_the_run_at_a_checkpoint(tmp_path: Path) -> None:
    config = small_config(
        "optimizer.early_stopping={patience=1, min_delta=100.0}", "optimizer.checkpoint_every=100"
    )
    run = _train(config, tmp_path / "run")
    assert [row["step"] for row in run.metrics] == [0, 4]
    assert run.results()["steps"] == 4
    checkpoint = load_checkpoint(run.folder / "checkpoints", run_key(config))
    assert checkpoint is not None
    assert checkpoint.step == 4
    assert _train(config, tmp_path / "run", resume=True).results() == run.results()


def test_a_diverging_training_says_so_and_keeps_its_checkpoint(tmp_path: Path) -> None:
    config = small_config("optimizer.lr_mapping=1e37", "optimizer.checkpoint_every=1")
    with pytest.raises(QtHwError, match=r"the (loss|gradient) became (nan|inf) at step \d+; lower"):
        _train(config, tmp_path / "run")
    assert not Run.open(tmp_path / "run").finished
    with pytest.raises(StorageError, match="is not finished"):
        Run.open(tmp_path / "run").export()


def test_a_folder_in_use_is_refused(sampled: Run) -> None:
    with pytest.raises(InputError, match="already exists; add --resume"):
        _train(sampled.config, sampled.folder)


def test_another_configuration_is_not_resumed(sampled: Run) -> None:
    with pytest.raises(ConfigError, match=r"optimizer\.steps \(was 12, now 20\)"):
        _train(small_config("optimizer.steps=20"), sampled.folder, resume=True)


def test_what_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"it has no config\.toml"):
        Run.open(tmp_path)


def test_a_target_of_ones_own_must_be_given_again(tmp_path: Path) -> None:
    config = small_config("optimizer.steps=1")
    run = _train(config, tmp_path / "run", target=nn.Linear(64, 10))
    assert run.config.target.name == "custom"
    with pytest.raises(ConfigError, match="target="):
        run.export()
    assert isinstance(run.export(nn.Linear(64, 10)), nn.Linear)
    assert isinstance(run.model(nn.Linear(64, 10)), QuantumTrain)


def test_data_of_ones_own(tmp_path: Path) -> None:
    generator = torch.Generator().manual_seed(0)
    x, y = torch.rand(30, 64, generator=generator), torch.arange(30) % 10
    data = Data(train=(x, y), test=(x, y), n_classes=10, name="mine", description={})
    run = _train(small_config("optimizer.steps=2"), tmp_path / "run", data=data)
    assert run.manifest["data"] == {"name": "mine", "train_samples": 30, "test_samples": 30}
    assert run.config.task.name == "mine"


def test_resuming_needs_a_folder() -> None:
    with pytest.raises(InputError, match="needs out="):
        train(small_config(), resume=True)


def test_without_a_folder_each_run_gets_a_new_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "mine.toml"
    path.write_text(to_toml(small_config("optimizer.steps=1")))
    folders = [train(path, progress=False).folder.as_posix() for _ in range(2)]
    assert folders == ["runs/mine", "runs/mine-2"]
