"""Controls: the same training without the circuit, or without what the circuit is trained for."""

from __future__ import annotations

from qt_hw.model.controls.names import CONTROLS, VECTOR_CONTROLS, WEIGHT_CONTROLS, describe

__all__ = ["CONTROLS", "VECTOR_CONTROLS", "WEIGHT_CONTROLS", "describe"]
