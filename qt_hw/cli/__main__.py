"""``python -m qt_hw.cli`` is the same as ``qt-hw``."""

from __future__ import annotations

from qt_hw.cli.main import main

main()
