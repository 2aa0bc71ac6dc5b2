from __future__ import annotations

from tests.hardware.clouds import begin, user
from tests.hardware.paper import installed, pair, trained, vendor

__all__ = ["begin", "installed", "pair", "trained", "user", "vendor"]
