"""What a backend's own calibration lets expect of a circuit, before anything is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError
from qt_hw.execution.backend import Prepared
from qt_hw.mitigation.calibrating import exact_vectors
from qt_hw.mitigation.choice import choose
from qt_hw.mitigation.combination import CANDIDATES, Combination
from qt_hw.mitigation.confusion import Confusion
from qt_hw.mitigation.decay import LEAST
from qt_hw.mitigation.outlook import lines, warning
from qt_hw.mitigation.situation import Situation
from qt_hw.mitigation.variants import make_variants

__all__ = ["choose_by_properties", "expected_decay", "expected_situation", "outlook"]

Array = NDArray[np.float64]


def expected_decay(prepared: Prepared) -> float | None:
    """Return how much of the signal the errors of the gates leave, as far as they are known.

    The product of ``1 − error`` over all gates, with the errors of ``properties["gate_errors"]``
    (name, then physical qubits joined by commas); None where the backend gives none. Not all
    errors change an outcome, so the real decay is often nearer to 1.
    """
    errors: dict[str, dict[str, float | None]] = prepared.properties.get("gate_errors") or {}
    if not errors:
        return None
    circuit = prepared.circuit
    physical: Sequence[int] = (circuit.metadata or {}).get(
        "physical_qubits", range(circuit.num_qubits)
    )
    left = 1.0
    for item in circuit.data:
        where = ",".join(str(physical[circuit.find_bit(q).index]) for q in item.qubits)
        own = errors.get(str(item.operation.name), {})
        error = own.get(where, own.get("*"))
        left *= 1.0 - min(1.0, error or 0.0)
    return max(left, LEAST)


def expected_situation(
    ansatz: Ansatz,
    prepared: Prepared,
    angles: Array,
    shots: int,
    calibration_shots: int | None = None,
) -> Situation | None:
    """Return what a forecast needs, None where the backend says nothing of its errors.

    Args:
        ansatz: Of the circuit.
        prepared: The circuit.
        angles: Radians, ``(P,)``.
        shots: Of a vector.
        calibration_shots: With how many shots the readout will be calibrated; None: it is taken
            from the backend, as exact.
    """
    try:
        confusion = replace(Confusion.of_properties(prepared), shots=calibration_shots)
    except InputError:
        confusion = None
    decay = expected_decay(prepared)
    if confusion is None and decay is None:
        return None
    ideal = exact_vectors(ansatz, angles[None])[0]
    return Situation(ideal=ideal, shots=shots, confusion=confusion, decay=decay)


def choose_by_properties(
    ansatz: Ansatz,
    prepared: Prepared,
    angles: Array,
    shots: int,
    calibration_shots: int | None = None,
    among: Sequence[Combination] = CANDIDATES,
) -> Combination:
    """Return what ``auto`` takes by the backend's own calibration; see ``expected_situation``.

    It is the best of those ``among`` which it chooses.

    Raises:
        InputError: The backend says nothing of its errors.
    """
    situation = expected_situation(ansatz, prepared, angles, shots, calibration_shots)
    if situation is None:
        raise InputError(
            "mitigation 'auto' needs to know the device's errors, and its properties say nothing "
            "of them: name the techniques, e.g. readout+rescale"
        )
    methods = [_method(one, prepared) for one in among]
    best = choose(methods, situation).method.name
    return next(one for one in among if one.name == best)


def outlook(
    combination: Combination,
    ansatz: Ansatz,
    prepared: Prepared,
    angles: Array,
    shots: int,
    calibration_shots: int | None = None,
) -> tuple[list[str], str | None]:
    """Return a line for each simple technique, and a warning if the combination may hurt.

    Both are empty where the backend says nothing of its errors; of a technique on bound circuits
    nothing is known. See ``expected_situation``.
    """
    situation = expected_situation(ansatz, prepared, angles, shots, calibration_shots)
    if situation is None:
        return [], None
    known = [_method(one, prepared) for one in CANDIDATES[1:]]
    if combination.bound is not None:
        return lines(known, situation), None
    own: Any = _method(combination, prepared)
    names = [one.name for one in known]
    methods = known if own.name in names or own.name == "raw" else [*known, own]
    return lines(methods, situation), warning(own, situation)


def _method(combination: Combination, prepared: Prepared) -> Any:
    variants = make_variants(combination.techniques, prepared.circuit, equal=True)
    return combination.method(variants)
