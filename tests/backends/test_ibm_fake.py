"""Stored calibrations run by the vendor client's local mode."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qt_hw_ibm
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError, PreflightError, QtHwError, UnknownName
from qt_hw.execution.backend import Backend, Batch, Item
from qt_hw.testing import BackendContract
from qt_hw.testing.oracles import assert_sampled_from

if TYPE_CHECKING:
    from conftest import WholeDevice

Array = NDArray[np.float64]


class _Fake(BackendContract):
    """Against Aer's noise model of the whole device, on the whole device's qubits."""

    device: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    whole: ClassVar[WholeDevice]
    n_rows: ClassVar[int] = 100

    @classmethod
    def make_backend(cls) -> Backend:
        return qt_hw_ibm.open(cls.device, **cls.options)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _whole(cls, whole_device: Callable[..., WholeDevice]) -> None:
        cls.whole = whole_device(cls.device, **cls.options)

    def law(self, backend: Backend, ansatz: Ansatz, angles: Array) -> Array:
        return self.whole.law(ansatz, angles)


class TestFakeManila(_Fake):
    device = "fake_manila"
    options: ClassVar[dict[str, Any]] = {"layout": [3, 1, 2]}


class TestFakeGuadalupe(_Fake):
    """Routed through a qubit that holds no logical one."""

    device = "fake_guadalupe"
    options: ClassVar[dict[str, Any]] = {"layout": [4, 2, 0], "seed_transpiler": 4}


def _rows(n: int) -> Ansatz:
    from qt_hw.circuits.custom import CircuitAnsatz

    circuit = QuantumCircuit(n)
    for qubit, angle in enumerate(ParameterVector("t", n)):
        circuit.ry(angle, qubit)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    return CircuitAnsatz(circuit)


def _batch(backend: Backend, ansatz: Ansatz, rows: int = 4, shots: int = 4096) -> Batch:
    prepared = backend.prepare(ansatz)
    angles = np.random.default_rng(8).uniform(-np.pi, np.pi, (rows, ansatz.n_angles))
    return Batch(items=(Item(prepared.circuit, prepared.form.gate_angles(angles), shots),))


@pytest.mark.parametrize(
    "options", [{"twirling": True}, {"dynamical_decoupling": "XY4"}], ids=["twirled", "decoupled"]
)
def test_twirling_and_decoupling_leave_the_shots_and_nearly_the_law(
    options: dict[str, Any],
) -> None:
    plain = qt_hw_ibm.open("fake_manila", layout=[3, 1, 2])
    treated = qt_hw_ibm.open("fake_manila", layout=[3, 1, 2], **options)
    ansatz = _rows(3)
    first = plain.submit(_batch(plain, ansatz), "qthw-plain").result()
    second = treated.submit(_batch(treated, ansatz), "qthw-treated").result()
    assert second.arrays[0].sum(axis=1).tolist() == [4096] * 4
    distance = np.abs(first.frequencies(0) - second.frequencies(0)).sum(axis=1) / 2
    # Two samples of one law of 8 outcomes: 0.4 sqrt(2 · 8 / 4096) = 0.025; another law of these
    # angles is 0.3 to 0.7 away.
    assert distance.max() < 0.1
    assert not np.array_equal(first.arrays[0], second.arrays[0])


def test_twirling_refuses_shots_that_it_would_round_up() -> None:
    backend = qt_hw_ibm.open("fake_manila", twirling=True)
    with pytest.raises(PreflightError, match="use 1024 shots"):
        backend.submit(_batch(backend, _rows(2), shots=997), "qthw-odd")


def test_circuits_without_parameters_keep_all_their_rows() -> None:
    backend = qt_hw_ibm.open("fake_manila", layout=[3, 1, 2])
    prepared = backend.prepare(_rows(3))
    ones = prepared.circuit.copy_empty_like()
    for qubit in range(prepared.circuit.num_qubits):
        ones.x(qubit)
    batch = Batch(items=(Item(ones, np.zeros((2, 0)), 1000, role="calibration"),))
    (array,) = backend.submit(batch, "qthw-ones").result().arrays
    assert array.shape == (2, 8)
    assert array.argmax(axis=1).tolist() == [7, 7]


def test_a_large_chip_is_simulated_on_the_qubits_in_use(
    whole_device: Callable[..., WholeDevice],
) -> None:
    backend = qt_hw_ibm.open("fake_guadalupe", layout=[12, 10])
    ansatz = _rows(2)
    prepared = backend.prepare(ansatz)
    angles = np.array([[0.4, 1.9]])
    item = Item(prepared.circuit, prepared.form.gate_angles(angles), 8_000)
    counts = backend.submit(Batch(items=(item,)), "qthw-large").result()
    law = whole_device("fake_guadalupe", layout=[12, 10]).law(ansatz, angles)
    assert_sampled_from(counts.arrays[0], law, 6.0)


def test_a_circuit_of_another_device_is_refused() -> None:
    backend = qt_hw_ibm.open("fake_manila")
    prepared = backend.prepare(_rows(2))
    circuit = prepared.circuit.copy()
    circuit.crx(0.3, 0, 1)
    for wrong, message in ((QuantumCircuit(2), "prepare"), (circuit, "no gate 'crx'")):
        bindings = np.zeros((1, wrong.num_parameters))
        with pytest.raises(InputError, match=message):
            backend.submit(Batch(items=(Item(wrong, bindings, 100),)), "qthw-wrong")


def test_the_run_folder_gets_layout_and_calibration() -> None:
    backend = qt_hw_ibm.open("fake_manila", layout=[3, 1, 2])
    prepared = backend.prepare(_rows(3))
    properties = prepared.properties
    assert properties["layout"] == prepared.circuit.metadata["physical_qubits"][:3]
    assert properties["initial_layout"] == [3, 1, 2]
    # From the vendor's own snapshot of the device.
    from qiskit_ibm_runtime.fake_provider import FakeManilaV2

    snapshot = FakeManilaV2().properties()
    for place, qubit in enumerate(properties["layout"]):
        assert properties["t1_s"][place] == pytest.approx(snapshot.t1(qubit))
        assert properties["readout_error"][place] == pytest.approx(snapshot.readout_error(qubit))
        # The simulator knows one error for both outcomes: that is what is sampled.
        for key in ("readout_p01", "readout_p10"):
            assert properties[key][place] == properties["readout_error"][place]
    for where, error in properties["gate_errors"]["cx"].items():
        qubits = [int(q) for q in where.split(",")]
        assert error == pytest.approx(snapshot.gate_error("cx", qubits))
    assert (
        prepared.calibration_date
        == snapshot.last_update_date.astimezone(__import__("datetime").UTC).isoformat()
    )


@pytest.mark.parametrize(
    ("device", "options", "kind", "message"),
    [
        (None, {}, InputError, "ibm:ibm_torino"),
        ("fake_torin", {}, UnknownName, "fake_torino"),
        ("fake_manila", {"twirlin": True}, UnknownName, "twirling"),
        ("fake_manila", {"mode": "job"}, InputError, "for IBM's devices"),
        ("fake_manila", {"layout": [1, 1]}, InputError, "layout"),
        ("fake_manila", {"twirling": 1}, InputError, "true or false"),
        ("fake_manila", {"dynamical_decoupling": "XYZ"}, UnknownName, "XY4"),
        ("ibm_torino", {"mode": "session"}, InputError, "session_seconds"),
        ("ibm_torino", {"session_seconds": 60}, InputError, "mode='session'"),
        ("ibm_torino", {"max_seconds": 0}, InputError, "10800"),
        ("ibm_torino", {"plan": "prem"}, UnknownName, "premium"),
        ("ibm_torino", {"rep_delay": -1.0}, InputError, "rep_delay"),
        ("ibm_torino", {"prices": "no-such.toml"}, QtHwError, "no-such.toml"),
    ],
)
def test_wrong_names_and_options_say_what_is_allowed(
    device: str | None, options: dict[str, Any], kind: type[QtHwError], message: str
) -> None:
    with pytest.raises(kind, match=message) as caught:
        qt_hw_ibm.open(device, **options)
    assert "\n" not in str(caught.value)


def test_an_account_setting_does_not_disturb_a_fake_device() -> None:
    assert qt_hw_ibm.open("fake_manila", instance="mine").limits.paid is False


def test_a_rehearsal_of_a_fake_device_is_refused(tmp_path: Any) -> None:
    with pytest.raises(InputError, match="needs no rehearsal"):
        qt_hw_ibm.rehearse("fake_manila", tmp_path)


def test_the_readout_in_the_properties_is_what_is_sampled() -> None:
    backend = qt_hw_ibm.open("fake_manila", layout=[3, 1, 2])
    prepared = backend.prepare(_rows(3))
    n, shots = 3, 40_000
    zero = prepared.circuit.copy_empty_like()
    one = zero.copy()
    for qubit in range(n):
        one.x(qubit)
    items = [Item(c, np.zeros((1, 0)), shots, role="calibration") for c in (zero, one)]
    found = backend.submit(Batch(items=tuple(items)), "qthw-readout").result().arrays
    for name, counts, flipped in (("readout_p01", found[0], 1), ("readout_p10", found[1], 0)):
        cube = counts[0].reshape((2,) * n)
        for place in range(n):
            axis = n - 1 - place
            seen = cube.sum(axis=tuple(a for a in range(n) if a != axis))[flipped] / shots
            p = prepared.properties[name][place]
            # An x gate errs too, by less than a thousandth.
            assert abs(seen - p) < 5 * np.sqrt(p / shots) + (0.001 if name == "readout_p10" else 0)
