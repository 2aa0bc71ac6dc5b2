"""Train classical PyTorch models through a quantum parameter generator on real hardware.

Names are loaded when they are first used, so that ``import qt_hw`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from qt_hw.circuits.ansatz import Ansatz
    from qt_hw.circuits.builtin import HardwareEfficient, RyCnot, U3Cu3
    from qt_hw.circuits.custom import CircuitAnsatz, ProductAnsatz
    from qt_hw.errors import QtHwError
    from qt_hw.execution.registry import open_backend as backend
    from qt_hw.mitigation.calibration import Calibration
    from qt_hw.mitigation.pipeline import Mitigation
    from qt_hw.model.calibrate import calibrate
    from qt_hw.model.generator import probabilities
    from qt_hw.model.mapping import AffineMapping, MlpMapping, MpsMapping
    from qt_hw.model.quantum_train import QuantumTrain
    from qt_hw.model.scaling import Scaling
    from qt_hw.study.results import make_report
    from qt_hw.study.study import run_study
    from qt_hw.training.compare import train_pair
    from qt_hw.training.run import Run, train

__version__ = "0.1.0"

_HOME = {
    "AffineMapping": "qt_hw.model.mapping",
    "Ansatz": "qt_hw.circuits.ansatz",
    "Calibration": "qt_hw.mitigation.calibration",
    "CircuitAnsatz": "qt_hw.circuits.custom",
    "HardwareEfficient": "qt_hw.circuits.builtin",
    "Mitigation": "qt_hw.mitigation.pipeline",
    "MlpMapping": "qt_hw.model.mapping",
    "MpsMapping": "qt_hw.model.mapping",
    "ProductAnsatz": "qt_hw.circuits.custom",
    "QtHwError": "qt_hw.errors",
    "QuantumTrain": "qt_hw.model.quantum_train",
    "Run": "qt_hw.training.run",
    "RyCnot": "qt_hw.circuits.builtin",
    "Scaling": "qt_hw.model.scaling",
    "U3Cu3": "qt_hw.circuits.builtin",
    "backend": "qt_hw.execution.registry:open_backend",
    "calibrate": "qt_hw.model.calibrate",
    "make_report": "qt_hw.study.results",
    "probabilities": "qt_hw.model.generator",
    "run_study": "qt_hw.study.study",
    "train": "qt_hw.training.run",
    "train_pair": "qt_hw.training.compare",
}

__all__ = [
    "AffineMapping",
    "Ansatz",
    "Calibration",
    "CircuitAnsatz",
    "HardwareEfficient",
    "Mitigation",
    "MlpMapping",
    "MpsMapping",
    "ProductAnsatz",
    "QtHwError",
    "QuantumTrain",
    "Run",
    "RyCnot",
    "Scaling",
    "U3Cu3",
    "__version__",
    "backend",
    "calibrate",
    "make_report",
    "probabilities",
    "run_study",
    "train",
    "train_pair",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'qt_hw' has no attribute {name!r}")
    module, _, attribute = _HOME[name].partition(":")
    value = getattr(import_module(module), attribute or name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
