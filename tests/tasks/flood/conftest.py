from __future__ import annotations

from tests.rendering import unrendered

__all__ = ["unrendered"]
