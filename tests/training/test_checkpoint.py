from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from qt_hw.errors import CheckpointError, StorageError
from qt_hw.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint


def _state(seed: int) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(5, 3, generator=generator)
    return {
        "model": {
            "angles": torch.randn(4, dtype=torch.float64, generator=generator),
            "view": weights.T,
            "shared": weights,
            "count": torch.tensor(7),
            "_extra_state": {"step": 12, "usage": [3, 10**15], "none": None},
        },
        "optimizer": {
            "state": {0: {"step": torch.tensor(3.0)}, 1: {}},
            "param_groups": [{"lr": 0.1, "betas": (0.9, 0.999), "params": [0, 1]}],
        },
        "loss_sum": 0.1 + 0.2,
        "__tensor__": "a text",
    }


def _save(folder: Path, step: int, run_key: str = "key") -> Path:
    return save_checkpoint(folder, Checkpoint(step=step, state=_state(step), run_key=run_key))


def _assert_equal(left: Any, right: Any) -> None:
    if isinstance(left, torch.Tensor):
        assert left.dtype == right.dtype
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            _assert_equal(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for a, b in zip(left, right, strict=True):
            _assert_equal(a, b)
    else:
        assert left == right
        assert type(left) is type(right)


def _loaded(folder: Path) -> Checkpoint:
    checkpoint = load_checkpoint(folder, "key")
    assert checkpoint is not None
    return checkpoint


def test_what_is_saved_comes_back_bit_for_bit(tmp_path: Path) -> None:
    _save(tmp_path, 3)
    checkpoint = _loaded(tmp_path)
    assert checkpoint.step == 3
    _assert_equal(_state(3), checkpoint.state)


def test_an_optimizer_goes_on_from_it(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.Adam([parameter], lr=0.1)
    parameter.grad = torch.tensor([1.0, 2.0, 3.0])
    optimizer.step()
    save_checkpoint(
        tmp_path, Checkpoint(step=1, state={"o": optimizer.state_dict()}, run_key="key")
    )
    other = torch.nn.Parameter(parameter.detach().clone())
    resumed = torch.optim.Adam([other], lr=0.0)
    resumed.load_state_dict(_loaded(tmp_path).state["o"])
    for p, o in ((parameter, optimizer), (other, resumed)):
        p.grad = torch.tensor([-1.0, 0.5, 3.0])
        o.step()
    assert torch.equal(parameter, other)


def test_the_last_two_are_kept(tmp_path: Path) -> None:
    for step in (10, 20, 30, 100):
        _save(tmp_path, step)
    assert sorted(p.name for p in tmp_path.glob("*.json")) == [
        "step-00000030.json",
        "step-00000100.json",
    ]
    assert len(list(tmp_path.iterdir())) == 4
    assert _loaded(tmp_path).step == 100


def test_there_need_not_be_one(tmp_path: Path) -> None:
    assert load_checkpoint(tmp_path, "key") is None
    assert load_checkpoint(tmp_path / "missing", "key") is None


def test_the_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    _save(tmp_path, 1, run_key="other")
    with pytest.raises(CheckpointError, match="belongs to another configuration"):
        load_checkpoint(tmp_path, "key")


def _flip(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 0x01
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", [".json", ".safetensors"])
@pytest.mark.parametrize(
    "damage", ["flip first", "flip middle", "flip last", "cut", "empty", "gone"]
)
def test_damage_is_found_and_the_one_before_serves(
    tmp_path: Path, suffix: str, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    _save(tmp_path, 10)
    path = _save(tmp_path, 20).with_suffix(suffix)
    size = path.stat().st_size
    if damage.startswith("flip"):
        # The last byte of the JSON is a line end, which does not count.
        _flip(path, {"first": 0, "middle": size // 2, "last": size - 2}[damage.split()[1]])
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: size // 2])
    elif damage == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()
    with caplog.at_level(logging.WARNING):
        assert _loaded(tmp_path).step == 10
    if not (damage == "gone" and suffix == ".json"):
        assert "step-00000020" in caplog.text
        assert "trying the checkpoint before it" in caplog.text


def test_without_a_good_one_the_error_says_what_to_do(tmp_path: Path) -> None:
    _flip(_save(tmp_path, 10), 30)
    with pytest.raises(CheckpointError) as caught:
        load_checkpoint(tmp_path, "key")
    assert "step-00000010" in str(caught.value)
    assert f"delete {tmp_path}" in str(caught.value)


def test_a_newer_damaged_one_goes_when_training_has_gone_on(tmp_path: Path) -> None:
    _save(tmp_path, 10)
    _flip(_save(tmp_path, 30), 30)
    _save(tmp_path, 20)
    assert _loaded(tmp_path).step == 20
    assert not list(tmp_path.glob("step-00000030*"))


def test_other_formats_are_refused(tmp_path: Path) -> None:
    path = _save(tmp_path, 10)
    path.write_text(json.dumps({"sha256": "", "version": 1}))
    with pytest.raises(CheckpointError, match="wrong checksum"):
        load_checkpoint(tmp_path, "key")
    path.write_text("[]")
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_checkpoint(tmp_path, "key")


def test_one_of_another_version_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr("qt_hw.training.checkpoint._VERSION", 1)
        _save(tmp_path, 10)
    with pytest.raises(CheckpointError, match="was made by another version of qt-hw; go on with"):
        load_checkpoint(tmp_path, "key")


_FULL_DISK = """
import resource, sys, torch
from pathlib import Path
from qt_hw.errors import StorageError
from qt_hw.training.checkpoint import Checkpoint, save_checkpoint
folder = Path(sys.argv[1])
state = {"weights": torch.arange(100_000.0)}
save_checkpoint(folder, Checkpoint(step=10, state=state, run_key="key"))
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    save_checkpoint(folder, Checkpoint(step=20, state=state, run_key="key"))
except StorageError as error:
    print(error)
    sys.exit(error.exit_code)
"""


def test_a_full_disk_leaves_the_previous_one(tmp_path: Path) -> None:
    """The limit on file sizes makes the system refuse to write on, as a full disk does."""
    done = subprocess.run(
        [sys.executable, "-c", _FULL_DISK, str(tmp_path)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == StorageError.exit_code, done.stderr
    assert "cannot write" in done.stdout
    assert "the checkpoint of step 10 is good" in done.stdout
    assert _loaded(tmp_path).step == 10
    assert not list(tmp_path.glob("*.tmp"))


def test_a_folder_that_cannot_be_written_is_reported(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").write_text("a file where the folder should be")
    with pytest.raises(StorageError, match="there is no earlier checkpoint"):
        _save(tmp_path / "checkpoints", 1)
