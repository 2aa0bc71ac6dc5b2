"""Prepared and bound circuits of every kind that mitiq is given."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

import qt_hw as qt
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.circuits.custom import CircuitAnsatz

NOISE = "depolarizing(p1=5e-4, p2=1e-2)+readout(p01=0.02, p10=0.04)"


def triangle() -> Ansatz:
    """Three qubits that are all entangled: on a device, some of them over others."""
    circuit, angles = QuantumCircuit(3), ParameterVector("a", 6)
    for q in range(3):
        circuit.ry(angles[q], q)
    for pair in ((0, 1), (1, 2), (2, 0)):
        circuit.cx(*pair)
    for q in range(3):
        circuit.rx(angles[3 + q], q)
    return CircuitAnsatz(circuit)


@pytest.fixture(scope="session")
def circuits() -> dict[str, tuple[Any, QuantumCircuit]]:
    """Backend and bound circuit, by name; those "routed" have ancillas."""
    pytest.importorskip("qiskit_aer")
    pytest.importorskip("qiskit_ibm_runtime")
    aer, torino = qt.backend("aer", noise=NOISE), qt.backend("aer:fake_torino")
    # Every other qubit of a line: routing goes over those between.
    line = qt.backend("aer:fake_torino", layout=[0, 2, 4], optimization_level=1)
    made = {
        "ry": (aer, RyCnot(4, 2)),
        "u3": (aer, U3Cu3(3, 1)),
        "torino": (torino, RyCnot(4, 1, ring=True)),
        "torino u3": (torino, U3Cu3(3, 1)),
        "routed": (line, triangle()),
        "routed u3": (line, U3Cu3(3, 1)),
        "eagle": (qt.backend("aer:fake_sherbrooke"), triangle()),
    }
    out = {}
    for seed, (name, (backend, ansatz)) in enumerate(made.items()):
        circuit = backend.prepare(ansatz).circuit
        angles = np.random.default_rng(seed).uniform(-np.pi, np.pi, circuit.num_parameters)
        out[name] = (backend, circuit.assign_parameters(angles))
    return out
