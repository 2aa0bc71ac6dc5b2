from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from torch import Tensor, nn

from qt_hw.tasks import Data, batches
from qt_hw.tasks.reinforcement.task import Reinforcement
from qt_hw.training.build import make_model, make_task
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import load_config
from qt_hw.training.run import Run, train

pytestmark = pytest.mark.usefixtures("unrendered")


def small(*changes: str, shots: int | None = 64) -> RunConfig:
    """Return a run of 6 updates by 3 short episodes each, with a circuit of 4 qubits."""
    tables: dict[str, Any] = {
        "task": {
            "name": "reinforcement",
            "options": {"max_steps": 30, "train_size": 7, "eval_episodes": 5, "greedy": False},
        },
        "target": {"name": "policy-4-8-2"},
        "ansatz": {"name": "RyCnot", "n_qubits": 4, "n_layers": 2},
        "mapping": {"name": "mlp", "hidden": [4], "chunk_size": 4},
        "backend": {"name": "statevector"} | ({"shots": shots} if shots else {}),
        "optimizer": {"steps": 6, "batch_size": 3, "eval_every": 2, "checkpoint_every": 2},
        "seeds": {"data": 1, "init": 2, "sampling": 3},
    }
    return load_config(tables, changes)


@pytest.mark.parametrize("max_steps", [3, 30])
def test_an_update_measures_the_circuit_once(max_steps: int) -> None:
    config = small(f"task.options.max_steps={max_steps}")
    task, model = make_task(config.task), make_model(config)
    data, calls = task.load(), []
    model.generator.register_forward_hook(lambda *_: calls.append(1))
    loss = task.batch_loss(model, data, batches(7, 3, seed=0, step=0))
    assert (len(calls), model.generator.usage.circuits) == (1, 1)
    loss.backward()
    assert model.generator.usage.circuits == 1 + 2 * 8  # two shifted vectors for each angle
    assert all(p.grad is not None and bool(p.grad.any()) for p in model.parameters())


def _rows(run: Run) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in run.metrics]


def _same(first: Run, second: Run) -> None:
    assert _rows(first) == _rows(second)
    for name in ("results/weights.safetensors", "checkpoints/step-00000006.safetensors"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes(), name


def test_a_run_repeats_bit_for_bit_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    config, left = small(), [5]

    class Stopping(Reinforcement):
        def batch_loss(self, model: nn.Module, data: Data, index: Tensor) -> Tensor:
            if not left[0]:
                raise KeyboardInterrupt
            left[0] -= 1
            return super().batch_loss(model, data, index)

    def run(name: str, **more: Any) -> Run:
        task = Stopping(max_steps=30, train_size=7, eval_episodes=5, greedy=False)
        return train(config, out=tmp_path / name, data=task, progress=False, **more)

    with pytest.raises(KeyboardInterrupt):
        run("cut")
    left[0] = 100
    whole = run("whole")
    _same(whole, run("again"))
    _same(whole, run("cut", resume=True))
    assert {"test_return", "test_return_std", "test_length"} <= set(whole.metrics[0])
    assert whole.manifest["results"]["test_return"] == whole.metrics[-1]["test_return"]


def test_the_figure_holds_every_test_episode() -> None:
    config = small()
    task, model = make_task(config.task), make_model(config)
    data = task.load()
    figures = task.figures(model.export(), data)
    (axes,) = figures["returns"].axes
    assert sum(bar.get_height() for bar in axes.patches) == 5
    mean = task.evaluate(model, data)["test_return"]
    assert f"mean {mean:.4g}" in axes.get_legend_handles_labels()[1]
