"""Tasks without classes, and made-up tables of their studies whose statistics are known.

``tracks``: an error in km, so less is better, with a loss and without losses that are asked for.
``flows``: an efficiency below 0, so more is better, with nothing but a test part.

``games`` is one to be trained: its loss is drawn, it is evaluated without loss or training part.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from qt_hw.study.condition import Condition
from qt_hw.tasks import Data
from qt_hw.tasks import task as registry
from qt_hw.tasks.digits import Digits
from qt_hw.tasks.metric import Metric

TRACK = Metric(key="track_error", label="track error", unit="km", higher_is_better=False, low=0.0)
FLOW = Metric(key="nse", label="NSE", digits=3, high=1.0, drops=(0.01, 0.05))
SEEDS, SHOTS = (0, 1, 2, 3, 4, 5), (64, 256, 1024)
OFFSETS = (-5.0, -3.0, -1.0, 1.0, 3.0, 5.0)  # of the twins of the seeds; their mean is 0
FLOOR = {"aer": 0.0, "aer:fake_torino": 0.2}  # of what is lost, in shares of a twin's value
TWIN = {"tracks": 100.0, "flows": -2.0}  # mean over the seeds
SIGN = {"tracks": 1.0, "flows": -1.0}  # of noisy minus twin, where something is lost

Rows = list[dict[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Tracks(Digits):
    """Digits, of which nothing but the name and the metric is used here."""

    name: ClassVar[str] = "tracks"
    headline: ClassVar[Metric] = TRACK


@dataclass(frozen=True, kw_only=True)
class Flows(Digits):
    """Digits, of which nothing but the name and the metric is used here."""

    name: ClassVar[str] = "flows"
    headline: ClassVar[Metric] = FLOW


@dataclass(frozen=True, kw_only=True)
class Games(Digits):
    """Digits with a loss that is drawn and an evaluation of the test part alone, as of games."""

    name: ClassVar[str] = "games"
    headline: ClassVar[Metric] = Metric(key="score", label="score", unit="points")

    def batch_loss(self, model: nn.Module, data: Data, index: Tensor) -> Tensor:
        x, y = data.train
        losses = functional.cross_entropy(model(x[index]), y[index], reduction="none")
        return (torch.rand(len(index)) * losses).mean()

    def evaluate(self, model: nn.Module, data: Data) -> dict[str, float]:
        x, y = data.test
        right = (model(x).argmax(1) == y).double()
        return {"test_length": float(len(y)), "test_score": float(right.sum())}


def register(patch: pytest.MonkeyPatch) -> None:
    """Have the tasks known by their names."""
    for kind in (Tracks, Flows, Games):
        patch.setitem(registry._TASKS, kind.name, (__name__, kind.__name__))


def twin(task: str, seed: int) -> float:
    """Return the noiseless value of a seed."""
    return TWIN[task] + 0.01 * abs(TWIN[task]) * OFFSETS[seed]


def lost(task: str, seed: int, shots: int, backend: str) -> float:
    """Return what is lost, never negative: floor + a/√S, with an a of each seed's own."""
    share = FLOOR[backend] + (1.0 + 0.02 * OFFSETS[seed]) / np.sqrt(shots)
    return float(abs(TWIN[task]) * share)


def rows(*tasks: str) -> Rows:
    """Return the table of a study of these tasks, as bases of the same names."""
    return [row for task in tasks for seed in SEEDS for row in _seed(task, seed)]


def _seed(task: str, seed: int) -> Rows:
    exact, name = twin(task, seed), f"{task}-{seed}"
    made = _cell(name, task, seed, exact, kind="noiseless", backend="statevector")
    for control, factor in (
        ("uniform", 3.0),
        ("direct", 0.5),
    ):  # of the loss-like size: worse, better
        value = TWIN[task] + SIGN[task] * (factor - 1.0) * abs(TWIN[task]) + 0.001 * seed
        where = {"kind": "control", "control": control, "backend": "statevector"}
        made += _cell(f"{name}-{control}", task, seed, value, twin=name, **where)
    for backend in FLOOR:
        for shots in SHOTS:
            for method, left in (("none", 1.0), ("readout", 0.5)):
                value = exact + SIGN[task] * left * lost(task, seed, shots, backend)
                where = {"kind": "evaluate", "backend": backend, "shots": shots}
                id = f"{name}-{backend}-{shots}-{method}"
                made += _cell(id, task, seed, value, twin=name, mitigation=method, **where)
    return made


def _cell(name: str, task: str, seed: int, value: float, *, twin: str = "", **where: Any) -> Rows:
    metric = TRACK if task == "tracks" else FLOW
    values = {metric.test: value, "trained_parameters": 40.0}
    if task == "tracks":
        values |= {metric.train: 0.9 * value, "test_loss": 0.02 * value, "train_loss": 0.01 * value}
        values |= {"generalisation_gap": 0.01 * value}
    else:
        values |= {"test_length": 7.0}
    circuit = {"ansatz": "RyCnot", "qubits": 4, "layers": 2}
    condition = Condition(**{"base": task, "task": task, **circuit, **where})
    head = {"cell": name, **vars(condition), "seed": seed, "twin": twin, "repeats": 1}
    return [{**head, "metric": m, "value": v, "spread": 0.0} for m, v in values.items()]
