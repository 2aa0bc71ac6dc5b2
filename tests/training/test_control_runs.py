from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import qt_hw as qt
from qt_hw.cli.main import main
from qt_hw.errors import ConfigError, InputError
from qt_hw.hardware.evaluate import submit
from qt_hw.model.controls import CONTROLS, VECTOR_CONTROLS, describe
from qt_hw.tasks.digits import Digits
from qt_hw.training.build import make_model, make_quantum, make_target
from qt_hw.training.compare import train_pair
from qt_hw.training.config import ControlConfig, RunConfig
from qt_hw.training.export import export_run
from qt_hw.training.folder import check_same
from qt_hw.training.loading import load_config, to_toml
from qt_hw.training.provenance import run_key
from qt_hw.training.quote import quote_training
from qt_hw.training.run import Run, train
from tests.training.small import small_config, small_tables


def control(name: str, *changes: str) -> RunConfig:
    return small_config(f"control.name={name}", *changes, shots=None)


class Stopper:
    """A task that behaves like Ctrl-C at one call of its loss."""

    def __init__(self, at: int) -> None:
        calls = {"left": at}

        class Stopping(Digits):
            def loss(self, output: Tensor, y: Tensor) -> Tensor:
                if output.requires_grad:
                    calls["left"] -= 1
                if calls["left"] < 0:
                    raise KeyboardInterrupt
                return super().loss(output, y)

        self.task = Stopping(train_size=200, test_size=100)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    """All of them; rendering takes most of the time, so only two, with and without a vector."""
    folder, rendered = tmp_path_factory.mktemp("controls"), ("product", "direct")
    runs = {n: train(control(n), out=folder / n, progress=False) for n in rendered}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.savefig", lambda *args, **options: None)
        for name in ("none", *CONTROLS):
            if name not in rendered:
                runs[name] = train(control(name), out=folder / name, progress=False)
        yield runs


def test_configuration_knows_every_control() -> None:
    known = get_args(ControlConfig.model_fields["name"].annotation)
    assert known == ("none", *CONTROLS)


@pytest.mark.parametrize("name", CONTROLS)
def test_a_control_is_an_ordinary_run(runs: dict[str, Run], name: str) -> None:
    run, quantum = Run.open(runs[name].folder), runs["none"].results()
    results, manifest = run.results(), run.manifest
    assert run.config == control(name)
    assert manifest["control"] == {"name": name, "description": describe(name)}
    frozen = name == "frozen-angles"
    assert (results["circuits"], results["shots"]) == (int(frozen), 0)
    assert len(manifest["circuits"]["factors"]) == int(frozen)
    larger = {"direct": 2410, "learned-vector": quantum["trained_parameters"] + 16 - 8}
    assert results["trained_parameters"] == larger.get(name, results["trained_parameters"])
    assert results["trained_parameters"] <= quantum["trained_parameters"] or name in larger
    rows = run.metrics
    assert [row["step"] for row in rows] == [0, 4, 8, 12]
    assert all(math.isfinite(row["test_loss"]) for row in rows)
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    first = runs["none"].metrics[0]
    assert (rows[0]["lr_angles"], rows[0]["epoch"]) == (first["lr_angles"], first["epoch"])


@pytest.mark.parametrize("name", CONTROLS)
def test_arrays_figures_and_export_are_those_of_the_model(runs: dict[str, Run], name: str) -> None:
    run = runs[name]
    arrays, model, module = run.arrays(), run.model(), run.export()
    bins = 16 if name in VECTOR_CONTROLS else 0
    assert arrays["probabilities"].shape == arrays["ideal"].shape == (bins,)
    assert np.array_equal(arrays["probabilities"], model.generator.ideal().numpy())
    drawn = {path.stem for path in (run.folder / "figures").iterdir()}
    assert drawn == {"learning-curves", "weights"} | ({"probabilities"} if bins else set())
    weights = torch.cat([w.detach().flatten() for w in model.weights().values()])
    assert np.array_equal(arrays["weights"], weights.double().numpy())
    x = torch.rand(5, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert torch.equal(module(x), model(x))


def test_frozen_vectors_stay_and_trained_ones_move(runs: dict[str, Run]) -> None:
    for name in VECTOR_CONTROLS:
        start = make_model(control(name)).generator.ideal().numpy()
        same = np.array_equal(start, runs[name].arrays()["ideal"])
        assert same == (name not in ("learned-vector", "product"))


def test_pruned_run_ends_with_as_many_weights_as_the_quantum_model(runs: dict[str, Run]) -> None:
    most = runs["none"].results()["trained_parameters"]
    weights = runs["pruned"].arrays()["weights"]
    assert np.count_nonzero(weights) == most == runs["pruned"].results()["trained_parameters"]


def test_smaller_target_is_the_exported_network(runs: dict[str, Run], tmp_path: Path) -> None:
    run = runs["smaller-target"]
    results = run.results()
    assert results["trained_parameters"] == results["target_parameters"] == 75 * 10 + 10
    assert results["trained_parameters"] + 75 > runs["none"].results()["trained_parameters"]
    assert run.export().get_parameter("fc1.weight").shape == (10, 64)
    described = export_run(run, tmp_path / "small.safetensors")
    assert (described["control"], described["weights"]) == ("smaller-target", 760)


@pytest.mark.parametrize(
    ("name", "at"), [("learned-vector", 7), ("frozen-angles", 4), ("pruned", 5), ("pruned", 8)]
)
def test_an_interrupted_control_goes_on_bit_for_bit(
    runs: dict[str, Run], tmp_path: Path, name: str, at: int
) -> None:
    """Checkpoints are at 3, 6, 9, 12, the pruning at 6: cuts before it and after it."""
    config, out = control(name), tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(config, out=out, progress=False, data=Stopper(at).task)
    assert not Run.open(out).finished
    resumed = train(config, out=out, progress=False, data=Stopper(99).task, resume=True)
    whole = runs[name]
    rows = [[{**r, "seconds": 0} for r in run.metrics] for run in (whole, resumed)]
    assert rows[0] == rows[1]
    weights = [run.folder / "results" / "weights.safetensors" for run in (whole, resumed)]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def test_configurations_without_a_control_are_written_as_before() -> None:
    plain = small_config(shots=None)
    assert "control" not in to_toml(plain)
    assert to_toml(control("none")) == to_toml(plain)
    assert run_key(control("none")) == run_key(plain)
    assert run_key(control("direct")) != run_key(plain)
    assert tomllib.loads(to_toml(control("direct")))["control"] == {"name": "direct"}
    assert small_config().noiseless().control == ControlConfig()
    assert control("shared").noiseless() == control("shared")


def test_a_run_is_not_resumed_as_a_control(runs: dict[str, Run]) -> None:
    with pytest.raises(ConfigError, match=r'control.name=.?"none"'):
        check_same(runs["none"].folder, control("direct"))


@pytest.mark.parametrize(
    "changes",
    [
        ("backend.shots=100",),
        ("backend.name=aer",),
        ("backend.name=ionq:forte-1", "backend.shots=100"),
        ("backend.name=aer", "backend.noise=fake_torino"),
        ("backend.shots=100", "mitigation.method=readout"),
    ],
)
def test_controls_are_not_measured(tmp_path: Path, changes: tuple[str, ...]) -> None:
    config = control("uniform", *changes)
    for go in (
        lambda: train(config, out=tmp_path / "run", progress=False),
        lambda: train_pair(config, out=tmp_path / "run", progress=False),
        lambda: make_model(config),
    ):
        with pytest.raises(ConfigError, match=r"'uniform' is trained without shots and noise"):
            go()
    assert not (tmp_path / "run").exists()


def test_what_cannot_be_made_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot narrow a network of your own"):
        train(control("smaller-target"), target=nn.Linear(64, 10), out=tmp_path / "a")
    with pytest.raises(ConfigError, match=r"take optimizer\.early_stopping out"):
        train(control("pruned", "optimizer.early_stopping.patience=2"), out=tmp_path / "b")
    with pytest.raises(ConfigError, match=r"unknown control.name 'prune'; did you mean 'pruned'"):
        control("prune")


def test_a_target_of_ones_own_can_be_pruned(tmp_path: Path) -> None:
    config = control("pruned", "mapping.chunk_size=41", "optimizer.steps=2")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        target = nn.Linear(64, 10)
    run = train(config, target=target, out=tmp_path / "run", progress=False)
    assert run.results()["trained_parameters"] == np.count_nonzero(run.arrays()["weights"]) < 650


def test_controls_have_no_circuit_to_pay_for(runs: dict[str, Run]) -> None:
    run = runs["product"]
    with pytest.raises(ConfigError, match="'product' has no circuit of its own"):
        run.quantum()
    with pytest.raises(ConfigError, match="'product' has no circuit of its own"):
        quote_training(run.config, qt.backend("statevector"))
    with pytest.raises(InputError, match="is the control 'product'"):
        submit(run, "ionq:forte-1", shots=100, max_usd=1.0)
    assert torch.equal(
        runs["none"].quantum().generator.angles, runs["none"].model().generator.trained_angles()
    )


def test_from_python_and_from_the_command_line(
    runs: dict[str, Run],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    tables: dict[str, Any] = {**small_tables(None), "control": {"name": "uniform"}}
    tables["optimizer"]["steps"] = 1
    assert qt.train(tables, out=tmp_path / "python", progress=False).finished
    file = tmp_path / "run.toml"
    file.write_text(to_toml(load_config({**small_tables(), "optimizer": tables["optimizer"]})))
    words = ["qt-hw", "run", str(file), "--set", "control.name=direct", "--out"]
    monkeypatch.setattr("sys.argv", [*words, str(tmp_path / "pair")])
    with pytest.raises(SystemExit) as refused:
        main()
    assert refused.value.code == 2
    hint = capsys.readouterr().err.replace("\n", " ")
    assert "--set backend.name=statevector --set backend.shots=" in hint
    more = ["--set", "backend.name=statevector", "--set", "backend.shots=", "--quiet"]
    monkeypatch.setattr("sys.argv", [*words, str(tmp_path / "pair"), *more])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    assert "2,410" in capsys.readouterr().out
    assert Run.open(tmp_path / "pair" / "noiseless").config.control.name == "direct"


def test_networks_and_models_follow_from_the_configuration() -> None:
    assert make_target(control("smaller-target")).get_parameter("fc1.weight").shape == (10, 64)
    assert make_target(control("direct")).get_parameter("fc1.weight").shape == (32, 64)
    assert make_model(control("product", "seeds.sampling=9")).generator.seed == 9
    assert torch.equal(
        make_model(control("frozen-angles")).generator.trained_angles(),
        make_quantum(small_config(shots=None)).generator.angles.detach(),
    )
