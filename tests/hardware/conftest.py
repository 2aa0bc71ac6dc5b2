from __future__ import annotations

from tests.hardware.paper import installed, pair, trained, vendor

__all__ = ["installed", "pair", "trained", "vendor"]
