from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.rendering import unrendered
from tests.tasks.reinforcement.environments import register, unregister

__all__ = ["unrendered"]


@pytest.fixture(autouse=True, scope="module")
def _environments() -> Iterator[None]:
    register()
    yield
    unregister()
