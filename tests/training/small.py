"""Configurations small enough to train in a second."""

from __future__ import annotations

from typing import Any

from qt_hw.training.config import RunConfig
from qt_hw.training.loading import load_config


def small_tables(shots: int | None = 256) -> dict[str, Any]:
    """Return the tables of a run of 12 steps on 200 digits with a 4-qubit circuit."""
    return {
        "task": {"name": "digits", "options": {"train_size": 200, "test_size": 100}},
        "target": {"name": "mlp-64-32-10"},
        "ansatz": {"name": "RyCnot", "n_qubits": 4, "n_layers": 2},
        "mapping": {"name": "mlp", "hidden": [4], "chunk_size": 151},
        "backend": {"name": "statevector"} | ({"shots": shots} if shots else {}),
        "optimizer": {
            "steps": 12,
            "batch_size": 64,
            "lr_angles": 0.02,
            "lr_mapping": 0.02,
            "eval_every": 4,
            "checkpoint_every": 3,
        },
        "seeds": {"data": 1, "init": 2, "sampling": 3},
    }


def small_config(*changes: str, shots: int | None = 256) -> RunConfig:
    """Return the configuration of ``small_tables`` with ``changes`` as in ``--set``."""
    return load_config(small_tables(shots), changes)
