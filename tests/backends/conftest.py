"""Oracles of the tests of backends."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, reduce
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.transpiler import generate_preset_pass_manager
from qiskit_aer import AerSimulator
from qiskit_aer.noise import NoiseModel
from qiskit_ibm_runtime import fake_provider

from qt_hw.circuits.ansatz import Ansatz

Array = NDArray[np.float64]


class WholeDevice:
    """An independent law of a fake backend: Aer's full noise model, all qubits, bound circuits."""

    def __init__(
        self, name: str, *, layout: list[int] | None = None, seed_transpiler: int = 0
    ) -> None:
        self._target, self._model = _model(name)
        self._manager = generate_preset_pass_manager(
            3, target=self._target, seed_transpiler=seed_transpiler, initial_layout=layout
        )
        self._readout: dict[int, Any] = {
            entry["gate_qubits"][0][0]: np.array(entry["probabilities"])
            for entry in self._model.to_dict(serializable=True)["errors"]
            if entry["type"] == "roerror"
        }

    def law(self, ansatz: Ansatz, angles: Array) -> Array:
        """Return the probabilities of what is read, ``(B, 2**n)``."""
        two = "cz" if "cz" in self._target.operation_names else "cx"
        form = ansatz.form("lowered", two)  # type: ignore[arg-type]
        measured = form.circuit.copy()
        measured.measure_all()
        device_circuit = self._manager.run(measured)
        places = {
            device_circuit.find_bit(entry.clbits[0]).index: device_circuit.find_bit(
                entry.qubits[0]
            ).index
            for entry in device_circuit.data
            if entry.operation.name == "measure"
        }
        qubits = [places[i] for i in range(ansatz.n_qubits)]
        device_circuit.remove_final_measurements()
        device_circuit.save_probabilities(qubits)
        simulator = AerSimulator(method="density_matrix", noise_model=self._model)
        bound = []
        for row in form.gate_angles(angles):
            names = dict(zip(form.circuit.parameters, row, strict=True))
            used = {p: v for p, v in names.items() if p in device_circuit.parameters}
            bound.append(device_circuit.assign_parameters(used))
        result = simulator.run(bound).result()
        assert result.success
        true = np.array([entry.data.probabilities for entry in result.results])
        # The first factor of a Kronecker product is the most significant qubit.
        confusion = reduce(np.kron, [self._readout[q] for q in reversed(qubits)])
        return np.asarray(true @ confusion)


@cache
def _model(name: str) -> tuple[Any, NoiseModel]:
    classes = [getattr(fake_provider, entry) for entry in dir(fake_provider)]
    (device,) = [c for c in classes if getattr(c, "backend_name", None) == name]
    return device().target, NoiseModel.from_backend(device())


@pytest.fixture(scope="session")
def whole_device() -> Callable[..., WholeDevice]:
    """Return the class: conftest modules cannot be imported by name."""
    return WholeDevice
