"""The exact engine against Qiskit's state vectors and finite differences."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from qiskit import QuantumCircuit
from qiskit.quantum_info import Statevector

from qt_hw import CircuitAnsatz, HardwareEfficient, RyCnot, U3Cu3
from qt_hw.circuits.shift import shift_rows
from qt_hw.simulation.program import compile_circuit
from qt_hw.simulation.statevector import probabilities
from qt_hw.simulation.sweep import can_sweep, shifted_probabilities
from tests.circuits.test_lowering import everything

ANSAETZE = [
    U3Cu3(3, 2),
    U3Cu3(2, 1),
    U3Cu3(7, 2),
    RyCnot(1, 2),
    RyCnot(6, 3, ring=True),
    HardwareEfficient(5, 2),
    CircuitAnsatz(everything()),
]


def random_circuit(seed):
    """Gates on random, mostly distant qubits, so that blocks need every kind of move."""
    rng = np.random.default_rng(seed)
    circuit = QuantumCircuit(7)
    for _ in range(60):
        a, b = rng.choice(7, 2, replace=False).tolist()
        gate = rng.choice(["ry", "rx", "cx", "crz", "cp", "rxx", "swap", "h"])
        qubits = [a, b] if gate in ("cx", "crz", "cp", "rxx", "swap") else [a]
        values = [rng.uniform(-3, 3)] if gate in ("ry", "rx", "crz", "cp", "rxx") else []
        getattr(circuit, gate)(*values, *qubits)
    return circuit


def law(form, gate_angles):
    return Statevector(form.circuit.assign_parameters(gate_angles)).probabilities()


@pytest.mark.parametrize("block", [2, 3, 4, 6])
@pytest.mark.parametrize("name", ["native", "lowered"])
@pytest.mark.parametrize("ansatz", ANSAETZE, ids=str)
def test_batched_probabilities_equal_qiskits(ansatz, name, block):
    form = ansatz.form(name)
    angles = np.random.default_rng(0).uniform(-3, 3, (3, len(form.b)))
    program = compile_circuit(form.circuit, block)
    p = probabilities(program, torch.tensor(angles), torch.complex128)
    assert p.shape == (3, 2**ansatz.n_qubits)
    np.testing.assert_allclose(p, [law(form, row) for row in angles], atol=1e-13)


@pytest.mark.parametrize("block", [2, 3, 5, 7])
@pytest.mark.parametrize("seed", range(5))
def test_any_circuit_on_any_qubits(seed, block):
    circuit = random_circuit(seed)
    p = probabilities(
        compile_circuit(circuit, block), torch.zeros(1, 0, dtype=torch.float64), torch.complex128
    )
    np.testing.assert_allclose(p[0], Statevector(circuit).probabilities(), atol=1e-13)


def test_the_empty_circuit_stays_in_the_ground_state():
    program = compile_circuit(QuantumCircuit(3))
    p = probabilities(program, torch.zeros(2, 0, dtype=torch.float64), torch.complex128)
    assert p.tolist() == [[1.0] + [0.0] * 7] * 2


@pytest.mark.parametrize("kept_bytes", [0, 1 << 20])
@pytest.mark.parametrize("ansatz", ANSAETZE, ids=str)
def test_the_adjoint_gradient_is_that_of_finite_differences(ansatz, kept_bytes, monkeypatch):
    monkeypatch.setattr("qt_hw.simulation.statevector._KEPT_BYTES", kept_bytes)
    form = ansatz.form("native")
    program = compile_circuit(form.circuit, 3)
    angles = torch.tensor(np.random.default_rng(1).uniform(-3, 3, (2, len(form.b))))
    angles.requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a: probabilities(program, a, torch.complex128), angles, eps=1e-6, atol=1e-8
    )


def test_single_precision_is_good_to_a_millionth():
    form = U3Cu3(8, 4).form("lowered")
    program = compile_circuit(form.circuit)
    angles = torch.tensor(np.random.default_rng(1).uniform(-3, 3, (1, len(form.b))))
    cotangent = torch.tensor(np.random.default_rng(2).normal(size=(1, 256)))
    found = []
    for dtype in (torch.complex64, torch.complex128):
        leaf = angles.clone().requires_grad_()
        p = probabilities(program, leaf, dtype).double()
        (slope,) = torch.autograd.grad((p * cotangent).sum(), leaf)
        found.append((p.detach(), slope))
    assert (found[0][0] - found[1][0]).abs().max() < 1e-6
    assert (found[0][1] - found[1][1]).abs().max() < 1e-5


@pytest.mark.parametrize("slice_bytes", [1, 5000, 1 << 20])
@pytest.mark.parametrize("name", ["native", "lowered"])
@pytest.mark.parametrize("ansatz", ANSAETZE, ids=str)
def test_the_sweep_gives_every_shifted_vector(ansatz, name, slice_bytes):
    form = ansatz.form(name)
    program, rows = compile_circuit(form.circuit, 3), shift_rows(form)
    base = np.random.default_rng(4).uniform(-3, 3, (1, len(form.b)))
    expected = probabilities(program, torch.tensor(rows.bindings(base)), torch.complex128)
    found = np.full(expected.shape, np.nan)
    for part in shifted_probabilities(
        program, torch.tensor(base[0]), rows.index, rows.shift, torch.complex128, slice_bytes
    ):
        assert np.isnan(found[part.rows]).all(), "a row came twice"
        found[part.rows] = part.p
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_the_sweep_takes_any_shift_in_any_order():
    form = CircuitAnsatz(everything()).form("native")
    program, rng = compile_circuit(form.circuit, 2), np.random.default_rng(8)
    index, shift = rng.integers(0, len(form.b), 40), rng.uniform(-7, 7, 40)
    base = rng.uniform(-3, 3, len(form.b))
    rows = np.repeat(base[None], 40, axis=0)
    rows[np.arange(40), index] += shift
    expected = probabilities(program, torch.tensor(rows), torch.complex128)
    found = np.zeros(expected.shape)
    for part in shifted_probabilities(
        program, torch.tensor(base), index, shift, torch.complex128, 2000
    ):
        found[part.rows] = part.p
    np.testing.assert_allclose(found, expected, atol=1e-13)


def test_a_circuit_that_repeats_a_parameter_cannot_be_swept():
    from qiskit.circuit import Parameter

    t, circuit = Parameter("t"), QuantumCircuit(2)
    circuit.ry(t, 0)
    assert can_sweep(compile_circuit(circuit))
    circuit.ry(t, 1)
    assert not can_sweep(compile_circuit(circuit))
    phase = QuantumCircuit(1, global_phase=Parameter("g"))
    phase.ry(t, 0)
    assert not can_sweep(compile_circuit(phase))


def test_fusion_makes_blocks_of_the_asked_size():
    program = compile_circuit(U3Cu3(13, 16).form("native").circuit, 5)
    assert program.block_qubits == 5
    # 208 CU3 gates, a chain of four in each block.
    assert len(program.blocks) == 52
    assert program.pairs.slot.shape[1] == 208


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_gives_the_same_numbers():
    form = U3Cu3(6, 2).form("native")
    program, rows = compile_circuit(form.circuit), shift_rows(form)
    base = torch.tensor(np.random.default_rng(4).uniform(-3, 3, len(form.b)))
    found = {}
    for device in ("cpu", "cuda"):
        angles = base.to(device).requires_grad_()
        p = probabilities(program, angles[None], torch.complex128)
        (slope,) = torch.autograd.grad(p[0, 3], angles)
        with torch.no_grad():
            parts = shifted_probabilities(
                program, angles.detach(), rows.index, rows.shift, torch.complex128
            )
            swept = torch.cat([part.p.cpu() for part in parts])
        found[device] = (p.detach().cpu(), slope.cpu(), swept)
    for a, b in zip(found["cpu"], found["cuda"], strict=True):
        torch.testing.assert_close(a, b, atol=1e-12, rtol=0)
