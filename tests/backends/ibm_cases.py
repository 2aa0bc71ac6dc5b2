"""Circuits and batches of the tests of IBM's devices."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qt_hw_ibm
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.execution.backend import Backend, Batch, Counts, Item
from qt_hw.testing.oracles import assert_sampled_from, ideal_law
from qt_hw_ibm.standin.server import Standin

LAYOUT = [3, 1, 2]
DEVICES = {"ibm_manila": "fake_manila"}
POST_JOBS: dict[str, Any] = {"method": "POST", "path": r"/jobs$"}


def opened(**options: Any) -> Backend:
    """Return the backend of the stand-in that is running."""
    return qt_hw_ibm.open("ibm_manila", layout=LAYOUT, settle_seconds=0.0, **options)


def ansatz_of(n: int = 3) -> Ansatz:
    from qt_hw.circuits.custom import CircuitAnsatz

    circuit = QuantumCircuit(n)
    angles = ParameterVector("t", 2 * n)
    for qubit in range(n):
        circuit.ry(angles[qubit], qubit)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    circuit.cx(n - 1, 0)
    for qubit in range(n):
        circuit.ry(angles[n + qubit], qubit)
    return CircuitAnsatz(circuit)


ANGLES = np.random.default_rng(9).uniform(-np.pi, np.pi, (4, 6))


def batch_for(backend: Backend, shots: int = 2000) -> Batch:
    prepared = backend.prepare(ansatz_of())
    bindings = prepared.form.gate_angles(ANGLES)
    return Batch(
        items=(
            Item(prepared.circuit, bindings[:1], shots),
            Item(prepared.circuit, bindings[1:], shots, role="shift", part=1),
        )
    )


def check_law(counts: Counts, shots: int = 2000) -> None:
    law = ideal_law(ansatz_of(), ANGLES)
    assert [len(array) for array in counts.arrays] == [1, 3]
    found = np.concatenate(counts.arrays)
    assert found.sum(axis=1).tolist() == [shots] * 4
    assert_sampled_from(found, law, 6.0)


def posted(standin: Standin) -> list[dict[str, Any]]:
    """Return the bodies of all requests for a job."""
    found = [r for r in list(standin.log) if r.method == "POST" and r.path.endswith("/jobs")]
    return [json.loads(request.body) for request in found]
