from __future__ import annotations

import pytest

from tests.hardware.clouds import begin
from tests.hardware.paper import installed, pair, trained, vendor
from tests.hardware.user import user
from tests.rendering import unrendered

__all__ = ["begin", "installed", "pair", "trained", "unrendered", "user", "vendor"]


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_drawn(unrendered: None) -> None:
    """Figures are not what can go wrong with jobs."""
