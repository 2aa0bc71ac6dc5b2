"""The contract suite on every local backend."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.quantum_info import DensityMatrix, Kraus, SuperOp

import qt_hw_aer
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.execution.backend import Backend
from qt_hw.testing import BackendContract

if TYPE_CHECKING:
    from conftest import WholeDevice

Array = NDArray[np.float64]


class TestStatevector(BackendContract):
    @classmethod
    def make_backend(cls) -> Backend:
        from qt_hw.execution.registry import open_backend

        return open_backend("statevector")


class TestAer(BackendContract):
    @classmethod
    def make_backend(cls) -> Backend:
        return qt_hw_aer.open()


class TestAerLowered(BackendContract):
    @classmethod
    def make_backend(cls) -> Backend:
        return qt_hw_aer.open(form="lowered")


class _Noisy(BackendContract):
    noise: ClassVar[str] = (
        "depolarizing(p1=4e-3, p2=2e-2) + thermal(t1=9e-5, t2=7e-5, gate_time_1q=1e-6, "
        "gate_time_2q=3e-6) + readout(p01=0.02, p10=0.05)"
    )

    def law(self, backend: Backend, ansatz: Ansatz, angles: Array) -> Array:
        """Evolve a density matrix with Qiskit's channels; written from the textbook."""
        form = backend.prepare(ansatz).form
        laws = [_noisy_law(form.circuit.assign_parameters(row)) for row in form.gate_angles(angles)]
        return np.array(laws)


def _depolarized(p: float, n: int) -> SuperOp:
    dim = 2**n
    mixed = np.outer(np.eye(dim).ravel(), np.eye(dim).ravel()) / dim
    return SuperOp((1 - p) * np.eye(dim**2) + p * mixed)


def _relaxed(time: float) -> SuperOp:
    """Amplitude damping with T1, then dephasing down to T2."""
    t1, t2 = 9e-5, 7e-5
    decay = 1 - np.exp(-time / t1)
    damping = Kraus([np.diag([1, np.sqrt(1 - decay)]), [[0, np.sqrt(decay)], [0, 0]]])
    left = np.exp(-time / t2) / np.exp(-time / (2 * t1))
    dephasing = Kraus(
        [np.sqrt((1 + left) / 2) * np.eye(2), np.sqrt((1 - left) / 2) * np.diag([1, -1])]
    )
    return SuperOp(damping).compose(SuperOp(dephasing))


def _noisy_law(circuit: QuantumCircuit) -> Array:
    one = _depolarized(4e-3, 1).compose(_relaxed(1e-6))
    each = _relaxed(3e-6)
    two = _depolarized(2e-2, 2).compose(each.tensor(each))
    state = DensityMatrix.from_int(0, 2**circuit.num_qubits)
    for entry in circuit.data:
        qubits = [circuit.find_bit(qubit).index for qubit in entry.qubits]
        state = state.evolve(entry.operation, qubits)
        if entry.operation.name != "rz":
            state = state.evolve(one if len(qubits) == 1 else two, qubits)
    readout = np.array([[0.98, 0.05], [0.02, 0.95]])
    full = np.ones((1, 1))
    for _ in range(circuit.num_qubits):
        full = np.kron(full, readout)
    return np.asarray(full @ state.probabilities())


class TestNoisyAer(_Noisy):
    @classmethod
    def make_backend(cls) -> Backend:
        return qt_hw_aer.open(noise=cls.noise)


class TestNoisyAerNative(_Noisy):
    @classmethod
    def make_backend(cls) -> Backend:
        return qt_hw_aer.open(noise=cls.noise, form="native")


class TestNoisyAerTrajectories(_Noisy):
    shots: ClassVar[int] = 1000
    n_rows: ClassVar[int] = 20

    @classmethod
    def make_backend(cls) -> Backend:
        return qt_hw_aer.open(noise=cls.noise, max_density_qubits=0)


class _Snapshot(BackendContract):
    """Against Aer's noise model of the whole device, on the whole device's qubits."""

    device: ClassVar[str]
    options: ClassVar[dict[str, Any]]
    whole: ClassVar[WholeDevice]

    @classmethod
    def make_backend(cls) -> Backend:
        return qt_hw_aer.open(cls.device, **cls.options)

    @pytest.fixture(scope="class", autouse=True)
    @classmethod
    def _whole(cls, whole_device: Callable[..., WholeDevice]) -> None:
        cls.whole = whole_device(cls.device, **cls.options)

    def law(self, backend: Backend, ansatz: Ansatz, angles: Array) -> Array:
        return self.whole.law(ansatz, angles)


class TestFakeManila(_Snapshot):
    device = "fake_manila"
    options: ClassVar[dict[str, Any]] = {"layout": [3, 1, 2]}


class TestFakeGuadalupe(_Snapshot):
    """Routed through a qubit that holds no logical one."""

    device = "fake_guadalupe"
    options: ClassVar[dict[str, Any]] = {"layout": [4, 2, 0], "seed_transpiler": 4}
