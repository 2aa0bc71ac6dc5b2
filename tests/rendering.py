"""Figures are built but not rendered: that takes nine tenths of the time of a small run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from matplotlib.figure import Figure

_RENDER = Figure.savefig


@contextmanager
def rendered() -> Iterator[None]:
    """Let matplotlib render again, for the figures of one run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", _RENDER)
        yield


@pytest.fixture(scope="module")
def unrendered() -> Iterator[None]:
    """Let the files of figures be empty."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", lambda *given, **options: None)
        yield
