"""A calibration by itself: measured once, saved, and used for many vectors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError
from qt_hw.execution.backend import Backend
from qt_hw.execution.executor import Executor
from qt_hw.mitigation.calibration import Calibration
from qt_hw.model.setup import Setup, Usage

__all__ = ["calibrate"]


def calibrate(
    ansatz: Ansatz,
    mitigation: Any,
    *,
    backend: str | Backend | Executor,
    shots: int | None = None,
    seed: int = 0,
    angles: ArrayLike | None = None,
) -> Calibration:
    """Measure what a mitigation needs to know of a backend.

    Pass the result on as ``Mitigation.of(mitigation, calibration=...)``, or save it and name its
    file. Within ``qt_hw.probabilities`` and a training it is measured without being asked for.

    Args:
        ansatz: The circuit.
        mitigation: See ``qt_hw.probabilities``.
        backend: Where it runs; none that costs money.
        shots: Of the vectors to be mitigated, for which ``auto`` chooses; None: exact vectors,
            and an exact calibration.
        seed: Of angles and shots.
        angles: ``(P,)`` radians, for which ``auto`` chooses; random ones by default.

    Raises:
        InputError: The mitigation is none, or does not go with the circuit.

    >>> from qt_hw.circuits.builtin import RyCnot
    >>> from qt_hw.execution.registry import open_backend
    >>> noisy = open_backend("aer", noise="readout(p01=0.01, p10=0.04)")
    >>> found = calibrate(RyCnot(2, 1), "readout", backend=noisy)
    >>> found.circuits[0].confusion.flips.round(6).tolist()
    [[0.01, 0.04], [0.01, 0.04]]
    """
    setup = Setup(ansatz, backend, shots, "auto", mitigation)
    given = np.random.default_rng(seed).uniform(-np.pi, np.pi, ansatz.n_angles)
    chosen = given if angles is None else np.asarray(angles, dtype=np.float64)
    if chosen.shape != (ansatz.n_angles,):
        raise InputError(f"angles have the shape {chosen.shape}; pass ({ansatz.n_angles},)")
    found = setup.calibrate(seed, chosen, Usage())
    if found is None:
        raise InputError("mitigation 'none' needs no calibration: name a technique")
    return found
