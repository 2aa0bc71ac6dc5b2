"""Studies small enough to run in seconds: three training steps on few digits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qt_hw.study.config import StudyConfig
from qt_hw.study.loading import load_study
from qt_hw.training.loading import to_toml
from tests.training.small import small_config


def base_file(folder: Path, *changes: str) -> Path:
    """Write a run of three steps, and return its file."""
    path = folder / "tiny.toml"
    shorter = ("optimizer.steps=3", "optimizer.eval_every=3", "optimizer.checkpoint_every=1")
    path.write_text(to_toml(small_config(*shorter, *changes)))
    return path


def small_study(folder: Path, **tables: Any) -> StudyConfig:
    """Return a study of two seeds: 2 twins, 2 controls, 2 trainings, 4 evaluations."""
    study = {
        "base": str(base_file(folder)),
        "seeds": 2,
        "controls": ["uniform"],
        "train": [{"backend": "statevector", "shots": 64}],
        "evaluate": [{"backend": "statevector", "shots": [64, 4096], "repeats": 2}],
    }
    return load_study({**study, **tables})
