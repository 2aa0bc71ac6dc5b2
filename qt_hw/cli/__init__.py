"""The ``qt-hw`` program."""

from __future__ import annotations
