"""A stand-in of Amazon Braket on loopback, for rehearsals and tests.

It answers the unmodified SDK over HTTP: one device, its tasks, the bucket of their results.
"""

from __future__ import annotations

from qt_hw_braket.standin.faults import FAULTS
from qt_hw_braket.standin.server import Standin
from qt_hw_braket.standin.start import redirected, rehearse

__all__ = ["FAULTS", "Standin", "redirected", "rehearse"]
