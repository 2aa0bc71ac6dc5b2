"""Amazon Braket's local simulators behind the contract of ``qt_hw.execution.backend``."""

from __future__ import annotations

import json
import math
from abc import abstractmethod
from collections import OrderedDict
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import PermanentError, PreflightError
from qt_hw.execution.backend import Batch, Counts, Item, Limits, Prepared
from qt_hw.execution.local import LocalBackend
from qt_hw.simulation.sampling import sample_counts
from qt_hw_braket.density import infidelity, law, noisy_rotation, noisy_two_qubit_gate, repeated
from qt_hw_braket.devices import uniform_errors
from qt_hw_braket.emit import Program, compile_circuit
from qt_hw_braket.fast import fuse, probabilities
from qt_hw_braket.options import IdealOptions, NoisyOptions, read_options

if TYPE_CHECKING:
    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["IdealBackend", "NoisyBackend", "SimulatorBackend", "open_local"]

Array = NDArray[np.float64]

#: Larger circuits are not compared with Qiskit: it would take longer than it is worth.
_MAX_VERIFIED_QUBITS = 12

_SEEDS = "item: numpy SeedSequence([*batch.seed, item.part]); draws from the exact law"

_CNOT = np.eye(4)[[0, 1, 3, 2]].astype(np.complex128)


def open_local(device: str, options: Mapping[str, Any]) -> SimulatorBackend:
    """Return ``braket:local`` or ``braket:local-dm``; see ``qt_hw_braket.open``."""
    if device == "local":
        return IdealBackend(read_options(IdealOptions, options, "braket:local"))
    return NoisyBackend(read_options(NoisyOptions, options, "braket:local-dm"))


class SimulatorBackend(LocalBackend):
    """Shared by the simulators: exact laws, and shots drawn from them.

    Attributes:
        name: As users type it.
        limits: Qubits by memory, or by ``max_density_qubits``.
    """

    def __init__(self, name: str, options: IdealOptions, max_qubits: int, why: str) -> None:
        """Take checked options, and the name of the option that bounds the qubits."""
        super().__init__()
        self.name, self._memory_limit, self._why = name, options.memory_limit, why
        self._prepared: OrderedDict[Ansatz, Prepared] = OrderedDict()
        self.limits = Limits(
            max_qubits=max_qubits, max_shots=2**31 - 1, max_outcomes=1 << 32, exact=True
        )

    @abstractmethod
    def law(self, program: Program, bindings: Array) -> Array:
        """Return the probabilities of the outcomes that are read, ``(B, 2**n)``."""

    @abstractmethod
    def ideal_law(self, program: Program, bindings: Array) -> Array:
        """Return the probabilities without noise of the gates that ``law`` runs."""

    @abstractmethod
    def properties(self) -> dict[str, Any]:
        """Return what matters for the result: options, device; JSON-ready."""

    def errors(self, n_qubits: int) -> dict[str, Any]:
        """Return the errors of gates and readout, as ``uniform_errors`` names them."""
        return {}

    def prepare(self, ansatz: Ansatz) -> Prepared:
        """Return the circuit as rz, ry and cx; made once per ansatz.

        Raises:
            PreflightError: More qubits than the backend takes.
            PermanentError: The simulator's law is not Qiskit's.
        """
        if ansatz not in self._prepared:
            self._prepared[ansatz] = self._prepare(ansatz)
            if len(self._prepared) > 32:
                self._prepared.popitem(last=False)
        return self._prepared[ansatz]

    def _prepare(self, ansatz: Ansatz) -> Prepared:
        most = self.limits.max_qubits
        if most is not None and ansatz.n_qubits > most:
            raise PreflightError(
                [
                    f"the circuit has {ansatz.n_qubits} qubits, {self.name!r} takes {most} "
                    f"(see its option {self._why})"
                ]
            )
        form = ansatz.form("lowered")
        if ansatz.n_qubits <= _MAX_VERIFIED_QUBITS:
            angles = np.random.default_rng(20240519).uniform(-np.pi, np.pi, (1, ansatz.n_angles))
            program = compile_circuit(form.circuit)
            self._verify(ansatz, angles, self.ideal_law(program, form.gate_angles(angles)))
        errors = self.errors(ansatz.n_qubits)
        return Prepared.of(form, properties={**self.properties(), **errors})

    def _verify(self, ansatz: Ansatz, angles: Array, found: Array) -> None:
        from qiskit.quantum_info import Statevector

        bound = ansatz.circuit().assign_parameters(angles[0])
        error = float(np.abs(found[0] - Statevector(bound).probabilities()).max())
        if error > 1e-8:
            raise PermanentError(
                f"the law of {self.name!r} is off by {error:.1e}: please report the circuit and "
                "the versions that 'qt-hw doctor' prints"
            )

    def _check(self, batch: Batch) -> None:
        super()._check(batch)
        needed = sum(len(item.bindings) * 8 << item.circuit.num_qubits for item in batch.items)
        if needed > self._memory_limit:
            raise PreflightError(
                [
                    f"the results need {needed / 2**30:.1f} GiB, above memory_limit "
                    f"({self._memory_limit / 2**30:.1f} GiB): submit fewer bindings at a time"
                ]
            )

    def _run(self, batch: Batch) -> Counts:
        arrays = tuple(self._item(item, batch.seed) for item in batch.items)
        return Counts(arrays=arrays, shots=tuple(item.shots for item in batch.items))

    def _item(self, item: Item, seed: tuple[int, ...]) -> NDArray[Any]:
        bindings = np.asarray(item.bindings, dtype=np.float64)
        p = self.law(compile_circuit(item.circuit), bindings)
        if item.shots is None:
            return np.asarray(p / p.sum(axis=1, keepdims=True))
        return sample_counts(p, int(item.shots), (*seed, item.part))

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records: noise, versions, seeds; JSON-ready."""
        packages = ("amazon-braket-sdk", "amazon-braket-default-simulator")
        text = {
            "name": self.name,
            **self.properties(),
            "seeds": _SEEDS,
            "versions": {package: metadata.version(package) for package in packages},
        }
        result: dict[str, Any] = json.loads(json.dumps(text))
        return result


class IdealBackend(SimulatorBackend):
    """``braket:local``: the state-vector simulator, without its front end (see ``fast``)."""

    def __init__(self, options: IdealOptions) -> None:
        """Take checked options."""
        # Two states and a copy, and the probabilities.
        super().__init__(
            "braket:local", options, int(math.log2(options.memory_limit / 64)), "memory_limit"
        )

    def law(self, program: Program, bindings: Array) -> Array:
        return probabilities(program, bindings)

    ideal_law = law

    def properties(self) -> dict[str, Any]:
        return {"noise": None}


class NoisyBackend(SimulatorBackend):
    """``braket:local-dm``: the density-matrix simulator with depolarizing and readout noise."""

    def __init__(self, options: NoisyOptions) -> None:
        """Take checked options."""
        super().__init__(
            "braket:local-dm", options, options.max_density_qubits, "max_density_qubits"
        )
        self._rates = {
            "p1": float(options.p1 or 0.0),
            "p2": float(options.p2 or 0.0),
            "readout": float(options.readout or 0.0),
        }

    def law(self, program: Program, bindings: Array) -> Array:
        return self._law(program, bindings, **self._rates)

    def ideal_law(self, program: Program, bindings: Array) -> Array:
        return probabilities(program, bindings)

    def _law(
        self, program: Program, bindings: Array, p1: float, p2: float, readout: float
    ) -> Array:
        fused, angles = fuse(program), program.angles(bindings)
        n = fused.n_qubits
        errors = [repeated(p1, count) for count in fused.n_ry]
        cnots = {
            (a, b): noisy_two_qubit_gate(n, a, b, _CNOT, p2)
            for kind, a, b in program.steps
            if kind == "cnot"
        }
        out = np.empty((len(angles), 2**n))
        for at, matrices in fused.chunks(angles):
            for number, row in enumerate(matrices):
                runs = [
                    noisy_rotation(n, qubit, matrix, error)
                    for qubit, matrix, error in zip(fused.qubits, row, errors, strict=True)
                ]
                operations = [
                    runs[entry[0]] if len(entry) == 1 else cnots[entry[0], entry[1]]
                    for entry in fused.sequence
                ]
                out[at + number] = law(n, operations, [readout] * n)
        return out

    def errors(self, n_qubits: int) -> dict[str, Any]:
        rates = self._rates
        single, pair = infidelity(rates["p1"], 1), infidelity(rates["p2"], 2)
        return uniform_errors(single, pair, [rates["readout"]] * n_qubits)

    def properties(self) -> dict[str, Any]:
        return {
            "noise": {
                "convention": "Amazon Braket: Depolarizing after ry, TwoQubitDepolarizing after "
                "cnot, BitFlip before the measurement",
                **self._rates,
            }
        }
