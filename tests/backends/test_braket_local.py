"""The local simulators of Amazon Braket, against its front end, Qiskit and the contract."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import reduce
from typing import Any

import numpy as np
import pytest
from braket.circuits import Circuit, Gate
from braket.circuits.noise_model import GateCriteria, NoiseModel
from braket.circuits.noises import BitFlip, Depolarizing, TwoQubitDepolarizing
from braket.devices import LocalSimulator
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector
from qiskit.quantum_info import DensityMatrix, Kraus, SuperOp, average_gate_fidelity

import qt_hw as qt
import qt_hw_braket
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.circuits.custom import CircuitAnsatz
from qt_hw.errors import (
    InputError,
    MissingExtra,
    PermanentError,
    PreflightError,
    QtHwError,
    UnknownName,
    UnsupportedGate,
)
from qt_hw.execution.backend import Backend, Batch, Item
from qt_hw.testing import BackendContract
from qt_hw.testing.oracles import ideal_law
from qt_hw_braket import density, emit, fast

Array = NDArray[np.float64]

NOISE = {"p1": 4e-3, "p2": 2e-2, "readout": 0.03}


def run(backend: Backend, circuit: QuantumCircuit, bindings: Array, **changes: Any) -> Array:
    item = Item(circuit=circuit, bindings=bindings, **{"shots": None, **changes})
    return backend.submit(Batch(items=(item,), seed=(3,)), "qthw-test").result().arrays[0]


def reversed_bits(law: Array, n: int) -> Array:
    """Exchange the SDK's order of qubits with ours."""
    return law.reshape([2] * n).transpose(range(n)[::-1]).reshape(-1)


def random_form(n: int, layers: int, rows: int = 2) -> tuple[QuantumCircuit, Array]:
    ansatz = qt.U3Cu3(n, layers)
    form = ansatz.form("lowered")
    angles = np.random.default_rng(n).uniform(-np.pi, np.pi, (rows, ansatz.n_angles))
    return form.circuit, form.gate_angles(angles)


# ---- the contract


class TestBraketLocal(BackendContract):
    @classmethod
    def make_backend(cls) -> Backend:
        return qt_hw_braket.open("local")


def _replaced(p: float, n: int) -> SuperOp:
    """With probability p the n qubits become maximally mixed."""
    dim = 2**n
    mixed = np.outer(np.eye(dim).ravel(), np.eye(dim).ravel()) / dim
    return SuperOp((1 - p) * np.eye(dim**2) + p * mixed)


class TestBraketLocalDm(BackendContract):
    @classmethod
    def make_backend(cls) -> Backend:
        return qt_hw_braket.open("local-dm", **NOISE)

    def law(self, backend: Backend, ansatz: Ansatz, angles: Array) -> Array:
        """Evolve a density matrix with Qiskit; written from the definition of the noise."""
        form = backend.prepare(ansatz).form
        rows = form.gate_angles(angles)
        return np.array([self._noisy(form.circuit.assign_parameters(row)) for row in rows])

    def _noisy(self, circuit: QuantumCircuit) -> Array:
        one, two = _replaced(4 / 3 * NOISE["p1"], 1), _replaced(16 / 15 * NOISE["p2"], 2)
        state = DensityMatrix.from_int(0, 2**circuit.num_qubits)
        for entry in circuit.data:
            qubits = [circuit.find_bit(qubit).index for qubit in entry.qubits]
            state = state.evolve(entry.operation, qubits)
            if entry.operation.name == "ry":
                state = state.evolve(one, qubits)
            elif entry.operation.name == "cx":
                state = state.evolve(two, qubits)
        flip = NOISE["readout"]
        readout = np.array([[1 - flip, flip], [flip, 1 - flip]])
        return np.asarray(reduce(np.kron, [readout] * circuit.num_qubits) @ state.probabilities())


# ---- against the SDK's front end


@pytest.mark.parametrize("n", [1, 2, 4, 8, 11])
def test_the_law_is_that_of_the_local_simulator(n: int) -> None:
    ansatz = qt.U3Cu3(n, 2) if n > 1 else qt.RyCnot(1, 2)
    form = ansatz.form("lowered")
    angles = np.random.default_rng(n).uniform(-np.pi, np.pi, (2, ansatz.n_angles))
    rows = form.gate_angles(angles)
    found = run(qt_hw_braket.open("local"), form.circuit, rows)
    for row, law in zip(rows, found, strict=True):
        circuit = emit.circuit(form.circuit, row, measured=False).probability(range(n))
        expected = LocalSimulator().run(circuit, shots=0).result().values[0]
        np.testing.assert_allclose(law, reversed_bits(expected, n), rtol=0, atol=1e-12)


def test_every_pair_of_qubits_is_right() -> None:
    """The simulator drops some gates with modifiers; cnots it does not."""
    n, backend = 5, qt_hw_braket.open("local")
    for control in range(n):
        for target in range(n):
            if control == target:
                continue
            circuit = QuantumCircuit(n)
            for qubit, angle in enumerate(ParameterVector("t", n)):
                circuit.ry(angle, qubit)
            circuit.cx(control, target)
            circuit.ry(0.4, control)
            row = np.linspace(0.3, 1.9, n)[None]
            expected = ideal_law(CircuitAnsatz(circuit), row)
            np.testing.assert_allclose(run(backend, circuit, row), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_noise_is_that_of_a_noise_model_of_the_sdk(n: int) -> None:
    circuit, rows = random_form(n, 2)
    found = run(qt_hw_braket.open("local-dm", **NOISE), circuit, rows)
    model = NoiseModel()
    model.add_noise(Depolarizing(NOISE["p1"]), GateCriteria(Gate.Ry))
    model.add_noise(TwoQubitDepolarizing(NOISE["p2"]), GateCriteria(Gate.CNot))
    for row, law in zip(rows, found, strict=True):
        noisy = model.apply(emit.circuit(circuit, row, measured=False))
        for qubit in range(n):
            noisy.bit_flip(qubit, NOISE["readout"])
        noisy.probability(range(n))
        expected = LocalSimulator("braket_dm").run(noisy, shots=0).result().values[0]
        np.testing.assert_allclose(law, reversed_bits(expected, n), rtol=0, atol=1e-12)


def test_bit_flips_are_those_of_the_sdk() -> None:
    """The flips of the vector are the channel before the measurement."""
    circuit = QuantumCircuit(2)
    circuit.ry(0.7, 0)
    circuit.ry(2.1, 1)
    found = run(qt_hw_braket.open("local-dm", readout=0.2), circuit, np.zeros((1, 0)))
    sdk = Circuit().ry(0, 0.7).ry(1, 2.1)
    sdk.apply_readout_noise(BitFlip(0.2))
    expected = LocalSimulator("braket_dm").run(sdk.probability([0, 1]), shots=0).result()
    np.testing.assert_allclose(found[0], reversed_bits(expected.values[0], 2), atol=1e-12)


def test_a_density_matrix_without_noise_is_the_ideal_law() -> None:
    circuit, rows = random_form(4, 2)
    noisy, ideal = qt_hw_braket.open("local-dm", p1=0, p2=0.0), qt_hw_braket.open("local")
    found, expected = run(noisy, circuit, rows), run(ideal, circuit, rows)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_depolarizing_adds_up() -> None:
    one = _replaced(4 / 3 * 0.1, 1)
    three = _replaced(4 / 3 * density.repeated(0.1, 3), 1)
    np.testing.assert_allclose(three.data, one.compose(one).compose(one).data, atol=1e-14)


# ---- many bindings, seeds, threads


def test_rows_do_not_depend_on_how_they_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    circuit, rows = random_form(3, 1, rows=7)
    backend = qt_hw_braket.open("local")
    whole = run(backend, circuit, rows)
    monkeypatch.setattr(fast, "_CHUNK_BYTES", 3 * 64 * len(rows[0]))
    assert np.array_equal(run(backend, circuit, rows), whole)
    singly = np.concatenate([run(backend, circuit, row[None]) for row in rows])
    assert np.array_equal(singly, whole)


def test_another_backend_draws_the_same_counts() -> None:
    circuit, rows = random_form(3, 1)
    drawn = [
        run(qt_hw_braket.open("local-dm", **NOISE), circuit, rows, shots=500) for _ in range(2)
    ]
    assert np.array_equal(*drawn)


_THREADS = """
import threading
import numpy as np
import qt_hw as qt, qt_hw_braket
from qt_hw.execution.backend import Batch, Item

def batch(n, layers, rows):
    form = qt.U3Cu3(n, layers).form("lowered")
    angles = np.random.default_rng(n).uniform(-3, 3, (rows, form.circuit.num_parameters))
    return Batch(items=(Item(form.circuit, angles, 100),))

work = [
    (qt_hw_braket.open("local"), batch(11, 1, 20)),
    (qt_hw_braket.open("local"), batch(12, 1, 20)),
    (qt_hw_braket.open("local-dm", p1=1e-3, p2=1e-2), batch(4, 1, 40)),
    (qt_hw_braket.open_ionq("emulator"), batch(4, 1, 20)),
]
expected = [backend.submit(each, "qthw-alone").result().arrays[0] for backend, each in work]
found = [None] * len(work)

def run(number):
    backend, each = work[number]
    found[number] = backend.submit(each, "qthw-thread").result().arrays[0]

threads = [threading.Thread(target=run, args=(number,)) for number in range(len(work))]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(all(np.array_equal(a, b) for a, b in zip(expected, found, strict=True)))
"""


def test_threads_take_turns() -> None:
    """Without the lock, numba ends the process: "Concurrent access has been detected"."""
    done = subprocess.run([sys.executable, "-c", _THREADS], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "True\n"), done.stderr[-2000:]


_FORK = """
import os, sys, threading
from qt_hw_braket import fast
entered, leave = threading.Event(), threading.Event()

def hold():
    with fast.alone():
        entered.set()
        leave.wait()

threading.Thread(target=hold, daemon=True).start()
entered.wait()
child = os.fork()
if child == 0:
    with fast.alone():
        os._exit(7)
_, status = os.waitpid(child, 0)
leave.set()
print(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_does_not_wait_for_a_thread_of_its_parent() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", _FORK],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout == "7\n", done.stderr[-2000:]


# ---- what is refused


@pytest.mark.parametrize(
    ("device", "options", "message"),
    [
        ("local", {"p1": 0.1}, r"unknown option 'p1' of the backend 'braket:local'"),
        ("local", {"memory_limit": 10}, "memory_limit must be a whole number"),
        ("local-dm", {}, r"needs p1=, p2= or readout="),
        ("local-dm", {"p1": 0.8}, r"p1 must be a probability from 0 to 0.75, not 0.8"),
        ("local-dm", {"p2": -0.1}, "p2 must be"),
        ("local-dm", {"readout": True}, "readout must be"),
        ("local-dm", {"readout": float("nan")}, "readout must be"),
        ("local-dm", {"p1": 0.1, "max_density_qubits": 20}, "max_density_qubits must be"),
        ("local-dm", {"readouts": 0.1}, "did you mean 'readout'"),
    ],
)
def test_wrong_options_are_refused(device: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        qt.backend(f"braket:{device}", **options)
    assert "\n" not in str(caught.value)


def test_account_options_do_no_harm() -> None:
    backend = qt.backend("braket:local", bucket="results", region="us-east-1")
    assert "results" not in str(backend.describe())


@pytest.mark.parametrize(
    ("name", "error", "message"),
    [
        ("braket", InputError, r"write 'braket:local', 'braket:local-dm' or 'braket:<ARN>'"),
        ("ionq", InputError, r"write 'ionq:forte-1'.*'ionq:emulator'"),
        ("braket:locl", UnknownName, "did you mean 'local'"),
        ("braket:garnet", UnknownName, "unknown device 'garnet' of the backend 'braket'"),
        ("braket:forte-1", InputError, "'braket:forte-1' is called 'ionq:forte-1'"),
        ("ionq:forte1", UnknownName, "did you mean 'forte-1'"),
        ("ionq:local", UnknownName, "unknown device 'local'"),
        ("ionq:aria-1", PreflightError, r"retired; use 'ionq:forte-1'"),
        ("ionq:Aria-2", PreflightError, r"retired; use 'ionq:forte-1'"),
    ],
)
def test_names_are_explained(name: str, error: type[QtHwError], message: str) -> None:
    with pytest.raises(error, match=message):
        qt.backend(name)
    prefix, _, device = name.partition(":")
    start = {"braket": qt_hw_braket.rehearse, "ionq": qt_hw_braket.rehearse_ionq}[prefix]
    with pytest.raises(error, match=message):
        start(device or None, None)  # type: ignore[arg-type]


@pytest.mark.parametrize("device", ["local", "local-dm"])
def test_local_devices_need_no_rehearsal(device: str, tmp_path: Any) -> None:
    with pytest.raises(InputError, match="needs no rehearsal"):
        qt_hw_braket.rehearse(device, tmp_path)


@pytest.mark.parametrize("name", ["braket:local", "ionq:emulator", "braket", "ionq"])
def test_a_missing_extra_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(MissingExtra, match=r"pip install 'qt-hw\[braket\]'"):
        qt.backend(name)


def test_too_many_qubits_are_refused() -> None:
    backend = qt_hw_braket.open("local-dm", p1=0.01)
    with pytest.raises(PreflightError, match=r"9 qubits.*takes 8.*max_density_qubits"):
        backend.prepare(qt.RyCnot(9, 1))
    assert qt_hw_braket.open("local-dm", p1=0.01, max_density_qubits=9).limits.max_qubits == 9
    assert qt_hw_braket.open("local", memory_limit=2**20).limits.max_qubits == 14


def test_results_that_do_not_fit_are_refused() -> None:
    backend = qt_hw_braket.open("local", memory_limit=2**20)
    circuit = QuantumCircuit(10)
    with pytest.raises(PreflightError, match="memory_limit"):
        run(backend, circuit, np.zeros((129, 0)))
    assert run(backend, circuit, np.zeros((128, 0))).shape == (128, 1024)


def test_gates_without_a_translation_are_refused() -> None:
    circuit = QuantumCircuit(2)
    circuit.crx(0.3, 0, 1)
    with pytest.raises(UnsupportedGate, match="'crx'"):
        run(qt_hw_braket.open("local"), circuit, np.zeros((1, 0)))


def test_a_wrong_law_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fault of the simulator, here qubits in the wrong order, does not go unseen."""
    right = fast.evolve
    monkeypatch.setattr(fast, "evolve", lambda n, ops: reversed_bits(right(n, ops), n))
    with pytest.raises(PermanentError, match="law of 'braket:local' is off"):
        qt_hw_braket.open("local").prepare(qt.RyCnot(3, 2))


def test_the_properties_of_a_circuit_name_its_errors() -> None:
    prepared = qt_hw_braket.open("local-dm", p1=0.001, p2=0.01, readout=0.02).prepare(
        qt.RyCnot(2, 1)
    )
    noises = ("cx", TwoQubitDepolarizing(0.01)), ("ry", Depolarizing(0.001))
    for name, noise in noises:
        fidelity = average_gate_fidelity(Kraus(list(noise.to_matrix())))
        assert prepared.properties["gate_errors"][name] == {"*": pytest.approx(1 - fidelity)}
    assert prepared.properties["readout_p01"] == prepared.properties["readout_p10"] == [0.02] * 2
    assert "gate_errors" not in qt_hw_braket.open("local").prepare(qt.RyCnot(2, 1)).properties


def test_the_description_names_noise_and_versions() -> None:
    text = qt_hw_braket.open("local-dm", p2=0.01).describe()
    assert (text["noise"]["p1"], text["noise"]["p2"]) == (0.0, 0.01)
    assert set(text["versions"]) == {"amazon-braket-sdk", "amazon-braket-default-simulator"}
