from __future__ import annotations

import os
import random
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from qt_hw.tasks.digits import Digits
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import to_toml
from qt_hw.training.run import Run, train
from tests.execution.killing import fork
from tests.training.small import small_config

pytestmark = pytest.mark.usefixtures("unrendered")


def _train(config: RunConfig, out: Path, **options: Any) -> Run:
    return train(config, out=out, progress=False, **options)


class _Net(nn.Module):
    """Dropout, batch normalisation and a tied weight: all that may spoil an exact resume."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(64, 16)
        self.norm = nn.BatchNorm1d(16)
        self.drop = nn.Dropout(0.5)
        self.second = nn.Linear(16, 16)
        self.third = nn.Linear(16, 16)
        self.third.weight = self.second.weight
        self.last = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        h = self.drop(torch.relu(self.norm(self.first(x))))
        out: Tensor = self.last(torch.tanh(self.third(torch.tanh(self.second(h)))))
        return out


def _net() -> _Net:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        return _Net()


class _Stopper:
    """Data task that behaves like Ctrl-C at one call of its loss."""

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


def _same_run(first: Run, second: Run, last: int = 12) -> None:
    rows = [
        [{k: v for k, v in r.items() if k != "seconds"} for r in x.metrics] for x in (first, second)
    ]
    assert rows[0] == rows[1]
    for name in ("results/weights.safetensors", f"checkpoints/step-{last:08d}.safetensors"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name


@pytest.mark.parametrize(("at", "rate"), [(0, "0.02"), (4, "0.02"), (11, "0.02"), (8, "0")])
def test_an_interrupted_run_goes_on_bit_for_bit(tmp_path: Path, at: int, rate: str) -> None:
    config = small_config(
        'target.select=["first.*", "second.weight"]',
        "mapping.chunk_size=81",
        "optimizer.schedule=plateau",
        "optimizer.plateau_patience=0",
        "optimizer.early_stopping={patience=50}",
        f"optimizer.lr_angles={rate}",
    )
    whole = _train(config, tmp_path / "whole", target=_net(), data=_Stopper(99).task)
    with pytest.raises(KeyboardInterrupt):
        _train(config, tmp_path / "cut", target=_net(), data=_Stopper(at).task)
    torch.rand(3)  # the global generator plays no part
    resumed = _train(config, tmp_path / "cut", target=_net(), data=_Stopper(99).task, resume=True)
    _same_run(whole, resumed)


def test_resuming_a_finished_run_changes_nothing(tmp_path: Path) -> None:
    sampled = _train(small_config("optimizer.steps=2"), tmp_path / "run")
    before = {p: p.read_bytes() for p in sampled.folder.rglob("*") if p.is_file()}
    _train(sampled.config, sampled.folder, resume=True)
    assert before == {p: p.read_bytes() for p in sampled.folder.rglob("*") if p.is_file()}


def test_a_damaged_last_checkpoint_still_gives_the_same_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(KeyboardInterrupt):
        _train(small_config(), tmp_path / "cut", data=_Stopper(8).task)
    whole = _train(small_config(), tmp_path / "whole", data=_Stopper(99).task)
    path = tmp_path / "cut" / "checkpoints" / "step-00000006.safetensors"
    path.write_bytes(path.read_bytes()[:-8])
    resumed = _train(small_config(), tmp_path / "cut", data=_Stopper(99).task, resume=True)
    assert "step-00000006" in caplog.text
    _same_run(whole, resumed)


class _Process:
    """A process forked from this one, which has imported everything, that trains."""

    def __init__(self, config: Path, out: Path) -> None:
        self._pid, self._status = fork(), None
        if self._pid == 0:
            status = 1
            try:
                train(config, out=out, resume=True, progress=False)
                status = 0
            except BaseException:
                traceback.print_exc(file=sys.__stderr__)
            finally:
                os._exit(status)

    def poll(self) -> int | None:
        """Return the exit status, or minus the number of a signal; None while it runs."""
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._status = os.waitstatus_to_exitcode(status) if pid else None
        return self._status

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        deadline = time.monotonic() + 120
        while self.poll() is None:
            if time.monotonic() > deadline:
                self.kill()
            time.sleep(0.002)
        assert self._status is not None
        return self._status


def _wait_for_progress(process: _Process, out: Path, steps: int) -> None:
    """Wait until the process has written a checkpoint of at least ``steps`` or has ended."""
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        done = [int(path.stem[5:]) for path in (out / "checkpoints").glob("step-*.json")]
        if max(done, default=0) >= steps:
            return
        time.sleep(0.002)


@pytest.mark.slow
def test_a_run_killed_at_random_moments_ends_as_the_undisturbed_one(tmp_path: Path) -> None:
    """SIGKILL three times, somewhere in steps, evaluations and the writing of checkpoints."""
    changes = ("optimizer.steps=40", "optimizer.eval_every=2", "optimizer.checkpoint_every=1")
    config = tmp_path / "run.toml"
    config.write_text(to_toml(small_config(*changes)))
    assert _Process(config, tmp_path / "whole").wait() == 0
    rng, cut, killed = random.Random(0), tmp_path / "cut", 0
    for steps in (3, 10, 20):
        process = _Process(config, cut)
        _wait_for_progress(process, cut, steps)
        time.sleep(rng.uniform(0.0, 0.05))
        process.kill()
        killed += process.wait() == -signal.SIGKILL
    assert killed == 3
    assert not Run.open(cut).finished
    assert _Process(config, cut).wait() == 0
    _same_run(Run.open(tmp_path / "whole"), Run.open(cut), last=40)
