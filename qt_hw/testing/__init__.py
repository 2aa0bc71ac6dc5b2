"""What a backend's tests inherit: ``BackendContract``. Needs pytest."""

from __future__ import annotations

from qt_hw.testing.contract import BackendContract
from qt_hw.testing.oracles import assert_sampled_from, finite_difference, ideal_law

__all__ = ["BackendContract", "assert_sampled_from", "finite_difference", "ideal_law"]
