"""What a backend's own errors let expect, against the same by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import qt_hw as qt
from qt_hw.errors import InputError
from qt_hw.execution.backend import Prepared
from qt_hw.execution.registry import open_backend
from qt_hw.mitigation.combination import Combination
from qt_hw.mitigation.expected import (
    choose_by_properties,
    expected_decay,
    expected_situation,
    outlook,
)
from qt_hw.mitigation.techniques import Lre, Readout, Zne

ANSATZ = qt.RyCnot(3, 2)
ANGLES = np.random.default_rng(5).uniform(-np.pi, np.pi, ANSATZ.n_angles)


def prepared(**properties: Any) -> Prepared:
    return Prepared.of(ANSATZ.form("lowered"), properties)


def described(readout: float = 0.03, cx: float = 0.01) -> Prepared:
    flips = {"readout_p01": [readout] * 3, "readout_p10": [2 * readout] * 3}
    return prepared(**flips, gate_errors={"cx": {"*": cx}})


def test_the_decay_is_the_product_over_all_gates() -> None:
    gates = prepared().circuit.count_ops()
    errors = {"ry": {"*": 0.001}, "cx": {"*": 0.02, "0,1": None}}
    on_first = sum(
        item.operation.name == "cx"
        and tuple(prepared().circuit.find_bit(q).index for q in item.qubits) == (0, 1)
        for item in prepared().circuit.data
    )
    expected = 0.999 ** gates["ry"] * 0.98 ** (gates["cx"] - on_first)
    assert expected_decay(prepared(gate_errors=errors)) == pytest.approx(expected)
    assert expected_decay(prepared()) is None


def test_errors_of_a_device_are_those_of_the_physical_qubits() -> None:
    pytest.importorskip("qiskit_ibm_runtime")
    pytest.importorskip("qiskit_aer")
    made = open_backend("aer:fake_manila").prepare(ANSATZ)
    physical, left = made.circuit.metadata["physical_qubits"], 1.0
    for item in made.circuit.data:
        where = ",".join(str(physical[made.circuit.find_bit(q).index]) for q in item.qubits)
        left *= 1 - made.properties["gate_errors"][item.operation.name][where]
    assert expected_decay(made) == pytest.approx(left)
    assert 0.5 < left < 0.99


def test_nothing_is_expected_of_a_backend_that_says_nothing() -> None:
    assert expected_situation(ANSATZ, prepared(), ANGLES, 100) is None
    assert outlook(Combination((Zne(),)), ANSATZ, prepared(), ANGLES, 100) == ([], None)
    with pytest.raises(InputError, match="name the techniques"):
        choose_by_properties(ANSATZ, prepared(), ANGLES, 100)


def test_the_shots_of_the_calibration_are_part_of_the_situation() -> None:
    exact = expected_situation(ANSATZ, described(), ANGLES, 100)
    measured = expected_situation(ANSATZ, described(), ANGLES, 100, 50)
    assert exact is not None
    assert measured is not None
    assert (exact.confusion.shots, measured.confusion.shots) == (None, 50)
    # Two shots in each state of the calibration: no correction is better than this one.
    names = [
        choose_by_properties(ANSATZ, described(0.02, 0.0), ANGLES, 10_000, n).name
        for n in (2, 100_000)
    ]
    assert names == ["raw", "readout"]


def test_an_outlook_has_a_line_for_each_technique() -> None:
    few, warning = outlook(Combination((Readout(), Zne())), ANSATZ, described(), ANGLES, 100)
    assert [line.partition(":")[0] for line in few] == [
        "readout",
        "readout+rescale",
        "readout+zne",
    ]
    assert warning is not None
    assert warning.startswith("readout+zne is expected to hurt at 100 shots")
    many = described(cx=0.03)
    assert outlook(Combination((Readout(), Zne())), ANSATZ, many, ANGLES, 10**6)[1] is None
    alone, _ = outlook(Combination((Zne(),)), ANSATZ, described(), ANGLES, 100)
    assert [line.partition(":")[0] for line in alone][3:] == ["zne"]
    # Of circuits that mitiq makes there is no forecast.
    assert outlook(Combination((Lre(),)), ANSATZ, described(), ANGLES, 100) == (few, None)
