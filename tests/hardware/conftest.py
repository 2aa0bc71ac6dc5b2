from __future__ import annotations

from tests.hardware.clouds import begin
from tests.hardware.paper import installed, pair, trained, vendor
from tests.hardware.user import user

__all__ = ["begin", "installed", "pair", "trained", "user", "vendor"]
