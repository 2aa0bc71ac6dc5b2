"""``noise_scale``: all error rates times one factor, against noise models scaled by hand."""

from __future__ import annotations

import json
import math
from functools import reduce
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter
from qiskit.circuit.library import CXGate, RZGate, SXGate, XGate
from qiskit.quantum_info import average_gate_fidelity
from qiskit.transpiler import InstructionProperties, QubitProperties, Target
from qiskit_aer import AerSimulator
from qiskit_aer.noise import (
    NoiseModel,
    coherent_unitary_error,
    depolarizing_error,
    thermal_relaxation_error,
)
from qiskit_aer.noise.device import basic_device_gate_errors
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

import qt_hw as qt
import qt_hw_aer
from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.errors import InputError
from qt_hw.execution.backend import Backend, Batch, Item
from qt_hw.mitigation.confusion import Confusion
from qt_hw.mitigation.expected import expected_decay
from qt_hw.testing import assert_sampled_from
from qt_hw.training.build import make_backend
from qt_hw.training.loading import load_config
from qt_hw_aer.median import median_terms
from qt_hw_aer.snapshot import Snapshot

Array = NDArray[np.float64]
TEXT = "depolarizing(p1=0.01, p2=0.04) + coherent(zz=0.1, rx=0.05) + readout(p01=0.02, p10=0.05)"
SCALES = (0.0, 0.5, 1.0, 2.0, 4.0)


def rows(backend: Backend, ansatz: Any, shots: int | None = None) -> Array:
    prepared = backend.prepare(ansatz)
    angles = np.random.default_rng(1).uniform(-3, 3, (3, ansatz.n_angles))
    bindings = prepared.form.gate_angles(angles)
    item = Item(circuit=prepared.circuit, bindings=bindings, shots=shots)
    array: Array = backend.submit(Batch(items=(item,), seed=(5, 0)), "t").result().arrays[0]
    return array


def law(circuit: QuantumCircuit, **options: Any) -> Array:
    item = Item(circuit=circuit, bindings=np.zeros((1, 0)), shots=None)
    row: Array = qt_hw_aer.open(**options).submit(Batch(items=(item,)), "t").result().arrays[0][0]
    return row


def example() -> QuantumCircuit:
    circuit = QuantumCircuit(3)
    for qubit in range(3):
        circuit.ry(0.4 + 0.7 * qubit, qubit)
    circuit.cx(0, 1)
    circuit.ry(0.9, 1)
    circuit.cx(2, 1)
    circuit.ry(-0.6, 2)
    return circuit


def by_hand(one: Any, two: Any, p01: float = 0.0, p10: float = 0.0) -> Array:
    """Law of ``example`` by Aer itself with these errors after RY and CX."""
    model = NoiseModel()
    model.add_all_qubit_quantum_error(one, "ry")
    model.add_all_qubit_quantum_error(two, "cx")
    circuit = example()
    circuit.save_probabilities()
    simulator = AerSimulator(method="density_matrix", noise_model=model)
    true = np.asarray(simulator.run(circuit).result().data()["probabilities"])
    confusion = np.array([[1 - p01, p01], [p10, 1 - p10]])
    return np.asarray(true @ reduce(np.kron, [confusion] * 3))


def distance(p: Array, q: Array) -> float:
    return float(np.abs(p - q).sum() / 2)


@pytest.mark.parametrize("scale", [0.25, 1.0, 2.0, 3])
def test_probabilities_of_text_are_times_the_scale(scale: float) -> None:
    found = law(
        example(),
        noise="depolarizing(p1=0.01, p2=0.04) + readout(p01=0.02, p10=0.05)",
        noise_scale=scale,
    )
    one, two = depolarizing_error(0.01 * scale, 1), depolarizing_error(0.04 * scale, 2)
    expected = by_hand(one, two, 0.02 * scale, 0.05 * scale)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_relaxation_times_are_divided() -> None:
    noise = "thermal(t1=100e-6, t2=80e-6, gate_time_1q=1e-6, gate_time_2q=5e-6)"
    one, each = (thermal_relaxation_error(50e-6, 40e-6, t) for t in (1e-6, 5e-6))
    found = law(example(), noise=noise, noise_scale=2.0)
    np.testing.assert_allclose(found, by_hand(one, each.expand(each)), rtol=0, atol=1e-12)


def test_coherent_angles_are_times_the_scale() -> None:
    half = 0.3 / 2
    rx = np.array([[math.cos(half), -1j * math.sin(half)], [-1j * math.sin(half), math.cos(half)]])
    zz = np.diag(np.exp(-0.5j * 0.6 * np.array([1, -1, -1, 1])))
    expected = by_hand(coherent_unitary_error(rx), coherent_unitary_error(zz))
    found = law(example(), noise="coherent(zz=0.2, rx=0.1)", noise_scale=3.0)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_median_errors_are_times_the_scale() -> None:
    gates, readout = (term.values for term in median_terms("fake_manila"))
    one, two = (depolarizing_error(1.5 * gates[key], n) for key, n in (("p1", 1), ("p2", 2)))
    flip = 1.5 * readout["p01"]
    found = law(example(), noise="median(fake_manila)", noise_scale=1.5)
    np.testing.assert_allclose(found, by_hand(one, two, flip, flip), rtol=0, atol=1e-12)


def test_rates_stop_where_nothing_is_left() -> None:
    """Fully depolarized and read by a coin: uniform, and no stronger noise turns it back."""
    noise = "depolarizing(p1=0.2, p2=0.2) + readout(p=0.1)"
    for scale in (5.0, 1e6):
        found = law(example(), noise=noise, noise_scale=scale)
        np.testing.assert_allclose(found, np.full(8, 1 / 8), rtol=0, atol=1e-12)
    # What is given above that stays as it is given.
    wrong = law(example(), noise="readout(p=0.8)", noise_scale=2.0)
    np.testing.assert_array_equal(wrong, law(example(), noise="readout(p=0.8)"))


def scaled_manila(scale: float) -> NoiseModel:
    """Aer's noise model of the device with every number changed by hand."""
    stated = FakeManilaV2().properties()
    target = Target(
        num_qubits=5,
        qubit_properties=[
            QubitProperties(t1=stated.t1(q) / scale, t2=stated.t2(q) / scale) for q in range(5)
        ],
    )
    for gate in (SXGate(), XGate(), CXGate(), RZGate(Parameter("a"))):
        places = [tuple(g.qubits) for g in stated.gates if g.gate == gate.name]
        target.add_instruction(
            gate,
            {
                where: InstructionProperties(
                    duration=stated.gate_length(gate.name, where),
                    error=stated.gate_error(gate.name, where) * scale,
                )
                for where in places
            },
        )
    model = NoiseModel()
    for name, qubits, error in basic_device_gate_errors(target=target):
        model.add_quantum_error(error, name, qubits)
    return model


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_a_device_is_scaled_in_all_its_numbers(scale: float) -> None:
    backend, ansatz = qt.backend("aer:fake_manila", noise_scale=scale), RyCnot(3, 1)
    prepared = backend.prepare(ansatz)
    physical = prepared.circuit.metadata["physical_qubits"]
    angles = np.random.default_rng(1).uniform(-3, 3, (3, ansatz.n_angles))
    circuits = []
    for binding in prepared.form.gate_angles(angles):
        bound = QuantumCircuit(5)
        bound.compose(prepared.circuit.assign_parameters(binding), physical, inplace=True)
        bound.save_probabilities(physical[:3])
        circuits.append(bound)
    simulator = AerSimulator(method="density_matrix", noise_model=scaled_manila(scale))
    result = simulator.run(circuits).result()
    true = np.array([entry.data.probabilities for entry in result.results])
    stated = FakeManilaV2().properties()
    flips = [scale * stated.readout_error(q) for q in physical[:3]]
    confusion = reduce(np.kron, [np.array([[1 - p, p], [p, 1 - p]]) for p in reversed(flips)])
    np.testing.assert_allclose(rows(backend, ansatz), true @ confusion, rtol=0, atol=1e-12)


def test_the_infidelity_of_a_gate_is_the_stated_one_times_the_scale() -> None:
    """Aer makes a gate's error of relaxation and depolarizing: both grow, their sum as stated.

    The relaxation during this SX is above its stated error, so nothing is added to it.
    """

    def infidelity(scale: float, name: str, where: tuple[int, ...]) -> float:
        noise = Snapshot("fake_manila", noise_scale=scale).noise((0, 1))
        return 1 - float(average_gate_fidelity(noise.channel(name, where)))

    stated = FakeManilaV2().properties().gate_error("cx", (0, 1))
    assert infidelity(3.0, "cx", (0, 1)) == pytest.approx(3 * stated, rel=1e-6)
    assert infidelity(3.0, "sx", (0,)) == pytest.approx(3 * infidelity(1.0, "sx", (0,)), rel=2e-3)


@pytest.mark.parametrize("options", [{"noise": TEXT}, {"device": "fake_manila"}])
def test_the_distance_to_the_ideal_law_grows_with_the_scale(options: dict[str, str]) -> None:
    ansatz = U3Cu3(3, 1)
    ideal = rows(qt_hw_aer.open(), ansatz)
    laws = [rows(qt_hw_aer.open(**options, noise_scale=s), ansatz) for s in SCALES]
    distances = np.array(
        [[distance(p, q) for p, q in zip(one, ideal, strict=True)] for one in laws]
    )
    assert (np.diff(distances, axis=0) > 0).all()
    assert distances[0].max() < 1e-12


def test_at_0_a_text_is_the_ideal_simulator() -> None:
    ideal, none = qt_hw_aer.open(), qt_hw_aer.open(noise=TEXT, noise_scale=0)
    for shots in (None, 500):
        np.testing.assert_array_equal(
            rows(none, RyCnot(3, 2), shots), rows(ideal, RyCnot(3, 2), shots)
        )
    assert none.limits == ideal.limits


def test_at_0_a_device_is_its_circuit_without_errors() -> None:
    backend = qt_hw_aer.open("fake_manila", noise_scale=0.0, max_density_qubits=0)
    exact = rows(backend, RyCnot(4, 1))
    np.testing.assert_allclose(exact, rows(qt_hw_aer.open(), RyCnot(4, 1)), rtol=0, atol=1e-12)
    assert backend.limits.exact
    assert_sampled_from(rows(backend, RyCnot(4, 1), 2000).astype(np.int64), exact)
    properties = dict(backend.prepare(RyCnot(4, 1)).properties)
    assert properties["readout_p01"] == properties["readout_p10"] == [0.0] * 4
    assert set(properties["t1_s"]) == {None}
    assert {e for own in properties["gate_errors"].values() for e in own.values()} == {0.0}
    assert json.loads(json.dumps(properties, allow_nan=False)) == properties


@pytest.mark.parametrize("options", [{"noise": TEXT}, {"device": "fake_manila"}, {}])
def test_at_1_nothing_changes(options: dict[str, str]) -> None:
    plain, scaled = qt_hw_aer.open(**options), qt_hw_aer.open(**options, noise_scale=1)
    np.testing.assert_array_equal(rows(scaled, RyCnot(3, 1)), rows(plain, RyCnot(3, 1)))
    assert scaled.describe() == plain.describe()
    assert scaled.prepare(RyCnot(3, 1)).properties == plain.prepare(RyCnot(3, 1)).properties
    assert "noise_scale" not in json.dumps(plain.describe())


def test_the_circuit_is_the_same_and_the_properties_are_scaled() -> None:
    plain, double = (
        qt_hw_aer.open("fake_manila", noise_scale=s).prepare(RyCnot(4, 1)) for s in (1, 2)
    )
    gates = [
        [(i.operation.name, list(map(str, i.operation.params)), i.qubits) for i in p.circuit.data]
        for p in (plain, double)
    ]
    assert gates[0] == gates[1]
    before, after = dict(plain.properties), dict(double.properties)
    assert after.pop("noise_scale") == 2.0
    for key, factor in (("readout_p01", 2), ("readout_p10", 2), ("t1_s", 0.5), ("t2_s", 0.5)):
        np.testing.assert_allclose(after.pop(key), factor * np.array(before.pop(key)), rtol=1e-12)
    errors, doubled = before.pop("gate_errors"), after.pop("gate_errors")
    for name, own in errors.items():
        assert doubled[name] == pytest.approx({k: 2 * v for k, v in own.items()})
    assert before == after
    # What forecasts of mitigation are made of.
    assert Confusion.of_properties(double).matrices[0][1, 0] == double.properties["readout_p01"][0]
    assert expected_decay(double) < expected_decay(plain)  # type: ignore[operator]
    strong = qt_hw_aer.open("fake_manila", noise_scale=1000.0).prepare(RyCnot(2, 1))
    assert strong.properties["readout_p01"] == [0.5, 0.5]
    assert max(strong.properties["gate_errors"]["cx"].values()) == 0.75


def test_descriptions_name_the_scale() -> None:
    described = qt_hw_aer.open(noise="readout(p=0.02)", noise_scale=0.5).describe()
    assert described["noise"] == "(readout(p01=0.02, p10=0.02)) x 0.5"
    assert described["noise_scale"] == 0.5
    device = qt_hw_aer.open("fake_manila", noise_scale=2)
    assert device.describe()["noise_scale"] == 2.0
    prepared = qt_hw_aer.open(noise="readout(p=0.02)", noise_scale=0).prepare(RyCnot(2, 1))
    assert prepared.properties["noise"] == "(readout(p01=0.02, p10=0.02)) x 0.0"


def test_a_configuration_takes_it_as_an_option() -> None:
    changes = ("backend.name=aer:fake_manila", "backend.options.noise_scale=2.0")
    config = load_config("digits", changes)
    assert not config.is_noiseless
    assert config.noiseless().is_noiseless
    assert make_backend(config).describe()["noise_scale"] == 2.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"noise_scale": -1.0}, "noise_scale must be a number of at least 0, not -1.0"),
        ({"noise_scale": math.nan}, "number of at least 0, not nan"),
        ({"noise_scale": math.inf}, "number of at least 0, not inf"),
        ({"noise_scale": True}, "number of at least 0, not True"),
        ({"noise_scale": "2"}, "number of at least 0, not '2'"),
        ({"noise_scale": 2.0}, r"noise given as text, .* 'aer:fake_torino', not nothing"),
        ({"noise": NoiseModel(), "noise_scale": 2.0}, "not NoiseModel; leave it out"),
        ({"calibration": {}, "noise_scale": 2.0}, "not calibration=; leave it out"),
        ({"noise": "readout(p=2)", "noise_scale": 0}, "outside"),
    ],
)
def test_wrong_scales_are_refused_in_one_line(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        qt_hw_aer.open(**options)
    assert "\n" not in str(caught.value)
