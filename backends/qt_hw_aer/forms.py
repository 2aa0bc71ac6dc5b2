"""Which form of an ansatz Aer runs, and proof that it is the same circuit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from qt_hw.circuits.form import Form
from qt_hw.errors import PermanentError
from qt_hw.execution.transpile import transpile
from qt_hw_aer.checks import check_bindable, unbindable
from qt_hw_aer.noise import Noise
from qt_hw_aer.simulate import Simulator

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["choose_form", "verify_form"]

#: Larger circuits are not compared: the check would take longer than it is worth.
_MAX_VERIFIED_QUBITS = 12


def choose_form(ansatz: Ansatz, wanted: str, noise: Noise | None) -> Form:
    """Return the form to run.

    An ideal device takes the native gates, which Aer runs three to five times as fast as the
    lowered ones; noise acts on the lowered gates, which hardware has.

    Raises:
        InputError: ``wanted`` is native, but Aer cannot bind the gates.
    """
    if wanted == "native":
        form = ansatz.form("native")
        check_bindable(form.circuit)
    elif wanted == "auto" and noise is None and _runs(ansatz.form("native").circuit):
        form = ansatz.form("native")
    else:
        form = _lowered_for(ansatz, noise)
    if noise is not None:
        form = _all_alive(form)
    return form


def _runs(circuit: QuantumCircuit) -> bool:
    from qiskit_aer import AerSimulator

    gates = set(AerSimulator(method="statevector").configuration().basis_gates)
    return not unbindable(circuit) and set(circuit.count_ops()) <= gates


def _lowered_for(ansatz: Ansatz, noise: Noise | None) -> Form:
    """Return the lowered form, in RZ, SX and X if that is what the noise model knows."""
    noisy = frozenset() if noise is None else noise.noisy_gates
    two = "cz" if "cz" in noisy and "cx" not in noisy else "cx"
    form = ansatz.form("lowered", "cz" if two == "cz" else "cx")
    if "ry" in noisy or "sx" not in noisy:
        return form
    from qiskit.transpiler import Target

    target = Target.from_configuration(
        basis_gates=["rz", "sx", "x", two, "measure"], num_qubits=ansatz.n_qubits
    )
    layout = list(range(ansatz.n_qubits))
    compiled = transpile(form, target, optimization_level=1, seed_transpiler=0, layout=layout)
    if list(compiled.physical) != layout:
        raise PermanentError("the transpiler moved qubits although every pair is connected")
    return compiled.form


def _all_alive(form: Form) -> Form:
    # Noise of any kind, e.g. a coherent error, can turn a phase that ideally has no effect into
    # one that has; the four-term rule holds for every supported gate.
    terms = np.where(form.terms == 0, 4, form.terms)
    return Form(name=form.name, circuit=form.circuit, A=form.A, b=form.b, terms=terms)


def verify_form(ansatz: Ansatz, form: Form) -> None:
    """Compare Aer's noiseless law of the form with Qiskit's of the ansatz, at one point.

    Raises:
        PermanentError: They differ: a fault of Aer or of the transpiler.
    """
    if form.circuit.num_qubits > _MAX_VERIFIED_QUBITS:
        return
    from qiskit.quantum_info import Statevector

    angles = np.random.default_rng(20240519).uniform(-np.pi, np.pi, (1, ansatz.n_angles))
    bound = ansatz.circuit().assign_parameters(angles[0])
    expected = Statevector(bound).probabilities()
    (found,) = Simulator(None, 0).probabilities(form.circuit, form.gate_angles(angles))
    error = float(np.abs(found - expected).max())
    if error > 1e-8:
        raise PermanentError(
            f"Aer's law of the {form.name} form is off by {error:.1e}: please report the circuit "
            "and the versions that 'qt-hw doctor' prints"
        )
