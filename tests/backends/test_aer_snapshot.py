"""Stored calibrations, against Aer's noise model of the whole device."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

import qt_hw_aer
from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.circuits.shift import shift_rows
from qt_hw.errors import InputError, MissingExtra, PreflightError, UnknownName
from qt_hw.execution.backend import Backend, Batch, Item
from qt_hw.testing import assert_sampled_from, finite_difference

ANGLES = np.random.default_rng(0).uniform(-3, 3, (2, 4))


def exact(backend: Backend, ansatz: Any, angles: Any) -> Any:
    prepared = backend.prepare(ansatz)
    bindings = prepared.form.gate_angles(angles)
    item = Item(circuit=prepared.circuit, bindings=bindings, shots=None)
    return backend.submit(Batch(items=(item,)), "t").result().arrays[0]


@pytest.mark.parametrize(
    ("device", "ansatz", "options"),
    [
        pytest.param("fake_torino", RyCnot(5, 4), {}, marks=pytest.mark.slow),
        ("fake_manila", U3Cu3(4, 2), {}),
        ("fake_guadalupe", U3Cu3(4, 1), {"layout": [5, 3, 8, 2]}),
        ("fake_guadalupe", RyCnot(4, 2, ring=True), {"seed_transpiler": 3}),
    ],
    ids=["torino", "manila ring", "guadalupe layout", "guadalupe ring"],
)
def test_compact_law_equals_that_of_the_whole_device(
    device: str, ansatz: Any, options: dict[str, Any], whole_device: Callable[..., Any]
) -> None:
    angles = np.random.default_rng(4).uniform(-np.pi, np.pi, (2, ansatz.n_angles))
    found = exact(qt_hw_aer.open(device, **options), ansatz, angles)
    expected = whole_device(device, **options).law(ansatz, angles)
    # Torino has hundreds of error terms with a probability below 1e-10, which Aer may leave out.
    tolerance = 1e-8 if device == "fake_torino" else 1e-12
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def manila() -> Backend:
    return qt_hw_aer.open("fake_manila")


def test_parameter_shift_of_the_isa_circuit_is_the_derivative_of_the_noisy_law(
    manila: Backend,
) -> None:
    ansatz = U3Cu3(3, 1)
    rng = np.random.default_rng(8)
    angles, cotangent = rng.uniform(-3, 3, ansatz.n_angles), rng.normal(size=8)
    expected = finite_difference(lambda a: exact(manila, ansatz, a), angles, cotangent)
    form = manila.prepare(ansatz).form
    rows = shift_rows(form)
    item = Item(
        circuit=form.circuit,
        bindings=rows.bindings(form.gate_angles(angles[None])),
        shots=None,
    )
    p = manila.submit(Batch(items=(item,)), "t").result().arrays[0]
    found = form.pull_back(rows.contract((p @ cotangent)[None], len(form.b)))[0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


def test_the_isa_circuit_holds_device_gates_and_plain_parameters(manila: Backend) -> None:
    prepared = manila.prepare(U3Cu3(4, 2))
    assert set(prepared.circuit.count_ops()) <= {"rz", "sx", "x", "cx"}
    lowered = U3Cu3(4, 2).form("lowered")
    assert prepared.form.n_shifts == lowered.n_shifts
    assert prepared.circuit.num_parameters == len(prepared.b)


def test_properties_name_layout_calibration_and_gates(manila: Backend) -> None:
    prepared = manila.prepare(RyCnot(4, 2))
    properties = dict(prepared.properties)
    assert json.loads(json.dumps(properties)) == properties
    assert properties["device"] == "fake_manila"
    assert len(properties["layout"]) == len(properties["readout_p01"]) == 4
    assert properties["isa_gates"]["cx"] >= 6
    assert properties["isa_depth"] > properties["isa_two_qubit_depth"] > 0
    assert all(1e-6 < t < 1e-3 for t in [*properties["t1_s"], *properties["t2_s"]])
    assert str(prepared.calibration_date).startswith("2024-05-27T")
    stored = FakeManilaV2().properties()
    assert set(properties["gate_errors"]) == set(properties["isa_gates"]) - {"barrier"}
    for where, error in properties["gate_errors"]["cx"].items():
        qubits = [int(qubit) for qubit in where.split(",")]
        assert set(qubits) <= {*properties["layout"], *properties["ancillas"]}
        assert error == pytest.approx(stored.gate_error("cx", qubits))
    assert manila.describe()["device"]["calibration_date"] == prepared.calibration_date


def test_readout_errors_are_those_of_the_qubits_in_the_layout() -> None:
    backend = qt_hw_aer.open("fake_manila", layout=[3, 1])
    backend_properties = dict(backend.prepare(RyCnot(2, 1)).properties)
    # The two are not neighbours: a swap moves one of them before the measurement.
    assert backend_properties["initial_layout"] == [3, 1]
    ends = backend_properties["layout"]
    assert ends != [3, 1]
    stored = FakeManilaV2().properties()
    ones = [stored.qubit_property(q)["prob_meas0_prep1"][0] for q in ends]
    zeros = [stored.qubit_property(q)["prob_meas1_prep0"][0] for q in ends]
    error = [stored.readout_error(q) for q in ends]
    found = (backend_properties["readout_p01"], backend_properties["readout_p10"])
    # Aer takes the mean where Qiskit's Target has dropped the two separate numbers.
    assert found in ((zeros, ones), (error, error))


def test_transpilation_is_reproducible() -> None:
    first, second = (qt_hw_aer.open("fake_guadalupe").prepare(U3Cu3(4, 1)) for _ in range(2))
    gates = [
        [(i.operation.name, list(map(str, i.operation.params)), i.qubits) for i in p.circuit.data]
        for p in (first, second)
    ]
    assert gates[0] == gates[1]
    assert first.properties == second.properties


def test_a_large_routed_circuit_is_sampled_by_trajectories() -> None:
    backend = qt_hw_aer.open("fake_guadalupe", max_density_qubits=3)
    prepared = backend.prepare(RyCnot(4, 1))
    bindings = prepared.form.gate_angles(ANGLES)
    item = Item(circuit=prepared.circuit, bindings=bindings, shots=3000)
    counts = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    law = exact(qt_hw_aer.open("fake_guadalupe"), RyCnot(4, 1), ANGLES)
    assert_sampled_from(counts, law)
    with pytest.raises(PreflightError, match="max_density_qubits=3"):
        exact(backend, RyCnot(4, 1), ANGLES)


@pytest.mark.parametrize(
    ("device", "options", "error", "message"),
    [
        ("fake_torinno", {}, UnknownName, "did you mean 'fake_torino'"),
        ("ibm_torino", {}, UnknownName, "unknown device 'ibm_torino' of the backend 'aer'"),
        ("fake_torinno", {}, UnknownName, r"\(nearest: fake_torino(, \w+){4}; \d+ in all\)$"),
        ("zzz", {}, UnknownName, r"'aer' \(nearest: "),
        ("fake_almaden", {}, PreflightError, "fake_almaden has no RZ gate"),
        ("fake_manila", {"noise": "readout(p=0.1)"}, InputError, "noise from the device"),
        ("fake_manila", {"form": "native"}, InputError, "device's own gates"),
        ("fake_manila", {"layout": [0, 0, 1]}, InputError, "different qubits from 0 to 4"),
        ("fake_manila", {"layout": [0, 9]}, InputError, "different qubits from 0 to 4"),
        ("fake_manila", {"layout": "012"}, InputError, "list of physical qubits"),
        ("fake_manila", {"optimization_level": 4}, InputError, "whole number from 0 to 3"),
        ("fake_manila", {"layuot": [0]}, UnknownName, "did you mean 'layout'"),
        (None, {"layout": [0, 1]}, InputError, "layout= needs a device"),
    ],
)
def test_wrong_devices_and_options_are_refused(
    device: str | None, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message) as caught:
        qt_hw_aer.open(device, **options)
    assert "\n" not in str(caught.value)


def test_too_many_qubits_are_refused(manila: Backend) -> None:
    with pytest.raises(PreflightError, match="6 qubits, fake_manila has 5"):
        manila.prepare(RyCnot(6, 1))
    with pytest.raises(InputError, match="layout has 2 qubits, the circuit 3"):
        qt_hw_aer.open("fake_manila", layout=[0, 1]).prepare(RyCnot(3, 1))


def test_a_device_on_which_the_transpiler_fails_is_refused() -> None:
    """One of its links has no direction that the stored target allows."""
    with pytest.raises(PreflightError, match="try another layout") as caught:
        qt_hw_aer.open("fake_cairo").prepare(U3Cu3(3, 1))
    assert "\n" not in str(caught.value)


def test_circuits_of_unknown_place_or_gates_are_refused(manila: Backend) -> None:
    stranger = QuantumCircuit(2)
    stranger.x(0)
    item = Item(circuit=stranger, bindings=np.zeros((1, 0)), shots=10)
    with pytest.raises(InputError, match=r"made from Backend\.prepare"):
        manila.submit(Batch(items=(item,)), "t")
    circuit = manila.prepare(RyCnot(3, 1)).circuit.copy_empty_like()
    circuit.h(0)
    item = Item(circuit=circuit, bindings=np.zeros((1, 0)), shots=10)
    with pytest.raises(InputError, match="no gate 'h'"):
        manila.submit(Batch(items=(item,)), "t")
    circuit = circuit.copy_empty_like()
    circuit.delay(100, 0)
    item = Item(circuit=circuit, bindings=np.zeros((1, 0)), shots=10)
    with pytest.raises(InputError, match="noise of a delay"):
        manila.submit(Batch(items=(item,)), "t")


def test_calibration_circuits_made_from_the_prepared_one_show_its_readout() -> None:
    backend = qt_hw_aer.open("fake_guadalupe", layout=[4, 2, 0])
    prepared = backend.prepare(RyCnot(3, 1))
    assert prepared.circuit.num_ancillas == 1
    circuit = prepared.circuit.copy_empty_like()
    item = Item(circuit=circuit, bindings=np.zeros((1, 0)), shots=None, role="calibration")
    found = backend.submit(Batch(items=(item,)), "t").result().arrays[0]
    read = [np.array([1 - p, p]) for p in prepared.properties["readout_p01"]]
    expected = np.kron(np.kron(read[2], read[1]), read[0])
    np.testing.assert_allclose(found[0], expected, rtol=0, atol=1e-12)


def test_without_the_runtime_package_the_message_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "qiskit_ibm_runtime", None)
    with pytest.raises(MissingExtra, match=r"pip install 'qt-hw\[ibm\]'"):
        qt_hw_aer.open("fake_torino")
