"""``ionq:emulator``: against the SDK's ``LocalEmulator`` and the contract."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit
from braket.devices import LocalSimulator
from braket.emulation.local_emulator import LocalEmulator
from braket.emulation.passes.circuit_passes import RemoveVerbatimTransformation
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qt_hw as qt
import qt_hw_braket
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError, PermanentError, PreflightError
from qt_hw.execution.backend import Backend, Batch, Item
from qt_hw.testing import BackendContract
from qt_hw.testing.oracles import assert_sampled_from
from qt_hw_braket import emit, native
from qt_hw_braket.description import Description, read_description

Array = NDArray[np.float64]

STORED = resources.files("qt_hw_braket").joinpath("forte-1.json").read_text()


@cache
def sdk_emulator(text: str = STORED) -> LocalEmulator:
    return LocalEmulator.from_json(text)


def verbatim(circuit: QuantumCircuit, row: Array) -> Circuit:
    n = circuit.num_qubits
    return native.circuit(n, native.native_gates(n, emit.gate_list(circuit, row)))


def sdk_law(circuit: QuantumCircuit, row: Array, emulator: LocalEmulator) -> Array:
    """Return the exact law of the circuit that the SDK's emulator makes and would sample."""
    n = circuit.num_qubits
    noisy = RemoveVerbatimTransformation().run(emulator.transform(verbatim(circuit, row)))
    exact = Circuit()
    for entry in noisy.instructions:
        if entry.operator.name != "Measure":
            exact.add_instruction(entry)
    exact.probability(range(n))
    law = LocalSimulator("braket_dm").run(exact, shots=0).result().values[0]
    return np.asarray(law).reshape([2] * n).transpose(range(n)[::-1]).reshape(-1)


def run(backend: Backend, circuit: QuantumCircuit, bindings: Array, **changes: Any) -> Array:
    item = Item(circuit=circuit, bindings=bindings, **{"shots": None, **changes})
    return backend.submit(Batch(items=(item,), seed=(3,)), "qthw-test").result().arrays[0]


def random_form(n: int, layers: int, rows: int) -> tuple[QuantumCircuit, Array]:
    ansatz = qt.U3Cu3(n, layers)
    form = ansatz.form("lowered")
    angles = np.random.default_rng(n).uniform(-np.pi, np.pi, (rows, ansatz.n_angles))
    return form.circuit, form.gate_angles(angles)


@pytest.fixture
def dump(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that stores the description with changes."""

    def store(change: Callable[[dict[str, Any]], Any]) -> Path:
        content = json.loads(STORED)
        change(content)
        path = tmp_path / "device.json"
        path.write_text(json.dumps(content))
        return path

    return store


# ---- the contract


class TestIonqEmulator(BackendContract):
    @classmethod
    def make_backend(cls) -> Backend:
        return qt_hw_braket.open_ionq("emulator")

    def law(self, backend: Backend, ansatz: Ansatz, angles: Array) -> Array:
        form = backend.prepare(ansatz).form
        rows = form.gate_angles(angles)
        return np.array([sdk_law(form.circuit, row, sdk_emulator()) for row in rows])


# ---- against the SDK's emulator


@pytest.mark.parametrize("n", [2, 4])
def test_the_law_is_that_of_the_sdks_emulator(n: int) -> None:
    circuit, rows = random_form(n, 2, rows=2)
    found = run(qt_hw_braket.open_ionq("emulator"), circuit, rows)
    expected = [sdk_law(circuit, row, sdk_emulator()) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_the_sdks_emulator_samples_the_same_law() -> None:
    """Through ``LocalEmulator.run`` itself, its own sampling included."""
    circuit, rows = random_form(3, 2, rows=1)
    law = run(qt_hw_braket.open_ionq("emulator"), circuit, rows)
    result = sdk_emulator().run(verbatim(circuit, rows[0]), shots=20_000).result()
    counts = np.zeros((1, 8), dtype=np.int64)
    for bits, count in result.measurement_counts.items():
        counts[0, int(bits[::-1], 2)] = count
    assert_sampled_from(counts, law)


def test_special_angles_make_the_sdks_pulses() -> None:
    """Angles at which a run needs one pulse, or none."""
    circuit = QuantumCircuit(2)
    a = ParameterVector("a", 4)
    circuit.ry(a[0], 0)
    circuit.rz(a[1], 0)
    circuit.cx(0, 1)
    circuit.ry(a[2], 0)
    circuit.ry(a[3], 1)
    rows = np.array([[0, 0, 0, 0], [1, 0, 1, 0], [2, 1, -1, 1], [-1, 0.3, 0, 2]]) * np.pi / 2
    found = run(qt_hw_braket.open_ionq("emulator"), circuit, rows)
    expected = [sdk_law(circuit, row, sdk_emulator()) for row in rows]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_without_gates_only_the_readout_errs() -> None:
    found = run(qt_hw_braket.open_ionq("emulator"), QuantumCircuit(2), np.zeros((1, 0)))
    np.testing.assert_allclose(found[0], np.kron([0.995, 0.005], [0.995, 0.005]), atol=1e-12)


def test_the_properties_of_a_circuit_name_its_errors() -> None:
    backend = qt_hw_braket.open_ionq("emulator")
    prepared = backend.prepare(qt.RyCnot(3, 1))
    errors = prepared.properties["gate_errors"]
    pairs = {f"{a},{b}" for a in range(3) for b in range(3) if a != b}
    assert set(errors["cx"]) == pairs
    assert errors["rz"] == {"*": 0.0}
    # One less the fidelities of the stored description.
    assert list(errors["cx"].values()) == pytest.approx([0.005] * 6)
    assert list(errors["ry"].values()) == pytest.approx([2 * 0.0002] * 3)
    for key in ("readout_p01", "readout_p10"):
        assert prepared.properties[key] == pytest.approx([0.005] * 3)
    assert json.loads(json.dumps(dict(prepared.properties))) == prepared.properties


def test_counts_come_from_our_seed() -> None:
    circuit, rows = random_form(3, 1, rows=2)
    drawn = [
        run(qt_hw_braket.open_ionq("emulator"), circuit, rows, shots=400, part=part)
        for part in (0, 0, 1)
    ]
    assert np.array_equal(drawn[0], drawn[1])
    assert not np.array_equal(drawn[0], drawn[2])


# ---- descriptions


def test_the_stored_description_says_what_it_is() -> None:
    content = json.loads(STORED)
    summary = content["service"]["deviceDocumentation"]["summary"]
    assert "by hand" in summary
    assert "not a dump of the device" in summary
    described = qt_hw_braket.open_ionq("emulator").describe()
    assert described["device"]["source"] == "the stored forte-1.json"
    assert described["device"]["updated"] == content["service"]["updatedAt"]


def test_ones_own_dump_is_used(dump: Callable[..., Path]) -> None:
    def worse(content: dict[str, Any]) -> None:
        content["provider"]["fidelity"] = {
            "1Q": {"mean": 0.99},
            "2Q": {"mean": 0.93},
            "spam": {"mean": 0.96},
        }
        content["paradigm"]["qubitCount"] = 3

    path = dump(worse)
    backend = qt_hw_braket.open_ionq("emulator", properties=str(path))
    circuit, rows = random_form(3, 1, rows=1)
    expected = sdk_law(circuit, rows[0], sdk_emulator(path.read_text()))
    np.testing.assert_allclose(run(backend, circuit, rows)[0], expected, rtol=0, atol=1e-12)
    assert backend.limits.max_qubits == 3
    assert backend.describe()["device"]["source"] == str(path)
    with pytest.raises(PreflightError, match="takes 3"):
        backend.prepare(qt.RyCnot(4, 1))


def test_properties_of_the_sdk_are_read_back(tmp_path: Path) -> None:
    """``AwsDevice(arn).properties.json()`` is the text that ``properties=`` takes."""
    from braket.schema_common.schema_base import BraketSchemaBase

    path = tmp_path / "saved.json"
    path.write_text(BraketSchemaBase.parse_raw_schema(STORED).json())
    circuit, rows = random_form(3, 1, rows=1)
    found = run(qt_hw_braket.open_ionq("emulator", properties=path), circuit, rows)
    expected = run(qt_hw_braket.open_ionq("emulator"), circuit, rows)
    assert np.array_equal(found, expected)


def test_noise_per_qubit_is_the_sdks() -> None:
    """Rates are asked of the noise model place by place, not assumed to be uniform."""
    from braket.circuits.noise_model import GateCriteria, MeasureCriteria, NoiseModel
    from braket.circuits.noises import BitFlip, Depolarizing

    description = Description(STORED, "a test")
    model = NoiseModel()
    model.add_noise(Depolarizing(0.1), GateCriteria(qubits=1))
    model.add_noise(BitFlip(0.2), MeasureCriteria(qubits=0))
    description.emulator._noise_model = model
    rates = description.rates(3, [(0, 1), (1, 0)])
    assert (rates.pulse, rates.pair, rates.readout) == ({1: 0.1}, {}, {0: 0.2})


def test_noise_of_another_kind_is_refused() -> None:
    from braket.circuits.noise_model import GateCriteria, NoiseModel
    from braket.circuits.noises import AmplitudeDamping

    description = Description(STORED, "a test")
    description.emulator._noise_model = NoiseModel().add_noise(
        AmplitudeDamping(0.1), GateCriteria(qubits=0)
    )
    with pytest.raises(PermanentError, match="AmplitudeDamping"):
        description.rates(1, [])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c["paradigm"].update(nativeGateSet=["GPI", "GPI2", "MS"]), "gpi, gpi2, ms"),
        (lambda c: c.pop("paradigm"), "no paradigm"),
        (lambda c: c.pop("provider"), "cannot read"),
        (lambda c: c["braketSchemaHeader"].update(name="braket.nothing"), "cannot read"),
    ],
    ids=["gates of Aria", "no paradigm", "no provider", "another schema"],
)
def test_wrong_descriptions_are_refused(
    change: Callable[[dict[str, Any]], Any], message: str, dump: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_description(dump(change))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "[1]", "not json"])
def test_other_files_are_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"JSON.*properties\.json\(\)"):
        qt.backend("ionq:emulator", properties=str(path))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"properties='.*missing\.json'"):
        qt.backend("ionq:emulator", properties=str(tmp_path / "missing.json"))


def test_the_emulator_needs_no_rehearsal(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'ionq:emulator' needs no rehearsal"):
        qt_hw_braket.rehearse_ionq("emulator", tmp_path)
