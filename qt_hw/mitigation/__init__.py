"""Error mitigation of whole probability vectors."""

from __future__ import annotations

from qt_hw.mitigation.breakeven import advice
from qt_hw.mitigation.readout import Confusion, construct, correct, estimate
from qt_hw.mitigation.simplex import project

__all__ = ["Confusion", "advice", "construct", "correct", "estimate", "project"]
