"""Error mitigation of whole probability vectors."""

from __future__ import annotations

from qt_hw.mitigation.calibration import Calibration
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.mitigation.readout import Confusion, PairConfusion, construct, correct, estimate
from qt_hw.mitigation.simplex import project
from qt_hw.mitigation.techniques import (
    Cdr,
    Ddd,
    Lre,
    Pec,
    Readout,
    Rescale,
    Twirling,
    Zne,
)

__all__ = [
    "Calibration",
    "Cdr",
    "Confusion",
    "Ddd",
    "Lre",
    "Mitigation",
    "PairConfusion",
    "Pec",
    "Readout",
    "Rescale",
    "Twirling",
    "Zne",
    "construct",
    "correct",
    "estimate",
    "project",
]
