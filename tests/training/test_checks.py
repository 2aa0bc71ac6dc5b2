from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qt_hw.errors import ConfigError, InputError, StorageError
from qt_hw.tasks import Data
from qt_hw.training.run import Run, train
from tests.training.small import small_config, small_tables

pytestmark = pytest.mark.usefixtures("unrendered")


def _data(seed: int = 0, width: int = 64, n_classes: int = 10) -> Data:
    generator = torch.Generator().manual_seed(seed)
    part = (torch.rand(30, width, generator=generator), torch.arange(30) % n_classes)
    return Data(train=part, test=part, n_classes=n_classes, name="mine", description={})


def _target(value: float = 0.1, outputs: int = 10) -> nn.Module:
    target = nn.Linear(64, outputs)
    nn.init.constant_(target.weight, value)
    nn.init.zeros_(target.bias)
    with torch.no_grad():
        target.weight[:, ::2] += 0.05
    return target


def _go(out: Path, **options: Any) -> Run:
    options = {"target": _target(), "data": _data(), **options}
    return train(small_config("optimizer.steps=1"), out=out, progress=False, **options)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return _go(tmp_path_factory.mktemp("checks") / "run")


@pytest.fixture
def copied(run: Run, tmp_path: Path) -> Run:
    return Run.open(shutil.copytree(run.folder, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("options", "what"),
    [
        ({"data": _data(1)}, "other data"),
        ({"target": _target(0.2)}, "other initial values of the target"),
        ({"target": nn.Sequential(nn.Linear(64, 10))}, "other parameters of the target"),
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_other_inputs_are_not_resumed(
    copied: Run, options: dict[str, Any], what: str, finished: bool
) -> None:
    if not finished:
        path = copied.folder / "manifest.json"
        path.write_text(path.read_text().replace('"status": "finished"', '"status": "running"'))
    with pytest.raises(ConfigError, match=f"was trained with {what}"):
        _go(copied.folder, resume=True, **options)
    assert _go(copied.folder, resume=True).finished


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ({"data": (torch.rand(3, 64), torch.arange(3))}, "not tuple"),
        ({"target": "mlp"}, "not str"),
        ({"data": _data(width=63)}, r"does not take inputs of shape \(63,\)"),
        ({"target": _target(outputs=9)}, r"shape \(1, 10\), not \(1, 9\)"),
        ({"target": nn.Sequential(_target(), nn.Flatten(0))}, r"not \(10,\)"),
    ],
)
def test_what_does_not_fit_leaves_no_folder(
    tmp_path: Path, options: dict[str, Any], part: str
) -> None:
    with pytest.raises(InputError, match=part) as caught:
        _go(tmp_path / "run", **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_another_target_is_refused_by_model_and_export(run: Run) -> None:
    class Scaled(nn.Linear):
        def __init__(self) -> None:
            super().__init__(64, 10)
            self.register_buffer("scale", torch.ones(()))

        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x)

    other = nn.Sequential(nn.Linear(64, 10))
    for call in (run.model, run.export):
        with pytest.raises(ConfigError, match="not the target this run was trained with"):
            call(other)
    with pytest.raises(ConfigError, match="not the target this run was trained with"):
        run.export(Scaled())


def test_the_tables_of_what_is_passed_may_be_left_out(run: Run, tmp_path: Path) -> None:
    tables = small_tables()
    del tables["task"], tables["target"]
    tables["optimizer"]["steps"] = 1
    options: dict[str, Any] = {"target": _target(), "data": _data()}
    short = train(tables, out=tmp_path / "run", progress=False, **options)
    assert short.config == run.config
    with pytest.raises(ConfigError, match="target is missing"):
        train(tables, out=tmp_path / "other", data=_data(), progress=False)


@pytest.mark.parametrize("content", [None, b"", b"{}", b"[]", b"\xff"])
def test_a_lost_manifest_is_written_anew(copied: Run, content: bytes | None) -> None:
    path, before = copied.folder / "manifest.json", copied.manifest
    path.unlink()
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=r"--resume|cannot read"):
        copied.results()
    resumed = _go(copied.folder, resume=True)
    same = ("results", "circuit_share", "inputs", "parameters", "generator", "run_key")
    expected = {name: before[name] for name in same}
    expected["results"] = {**before["results"], "seconds": resumed.results()["seconds"]}
    assert {name: resumed.manifest[name] for name in same} == expected


def test_damaged_results_say_what_to_do(copied: Run) -> None:
    for name, read in (
        ("final.npz", copied.arrays),
        ("weights.safetensors", lambda: copied.export(_target())),
    ):
        path = copied.folder / "results" / name
        path.write_bytes(path.read_bytes()[:60])
        with pytest.raises(StorageError, match=rf"{name} is damaged .*delete .*--resume"):
            read()
    (copied.folder / "manifest.json").unlink()
    assert _go(copied.folder, resume=True).arrays()["angles"].shape == (8,)


@pytest.mark.parametrize("row", [b"\xff\xfe\n", b"1,2\n", b"x" + b",1" * 12 + b"\n"])
def test_damaged_metrics_are_said_to_be(copied: Run, row: bytes) -> None:
    with (copied.folder / "metrics.csv").open("ab") as file:
        file.write(row)
    with pytest.raises(StorageError, match=r"metrics\.csv is damaged"):
        _ = copied.metrics


def test_more_to_train_than_the_target_has_is_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        _go(tmp_path / "run", resume=True)
    assert "787 parameters are trained for a target of 650" in caplog.text
    assert f"nothing to resume in {tmp_path / 'run'}: starting anew" in caplog.text


def test_a_pair_is_not_resumed_as_a_single_run(tmp_path: Path) -> None:
    (tmp_path / "noiseless").mkdir()
    (tmp_path / "noiseless" / "config.toml").touch()
    with pytest.raises(InputError, match="holds a pair of runs"):
        _go(tmp_path, resume=True)
