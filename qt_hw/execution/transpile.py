"""Symbolic transpilation, done once; afterwards only the table of angles changes.

Only lowered circuits are transpiled: on symbolic U and CU3 gates Qiskit's basis translation
takes minutes (Qiskit/qiskit#16520).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.sparse import csr_array

from qt_hw.circuits.form import Form
from qt_hw.circuits.native import Linear, affine_map
from qt_hw.errors import InputError, PreflightError

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.transpiler import Target

__all__ = ["Compiled", "error_of", "transpile"]

#: Gates each of whose angles obeys the two-term shift rule.
_TWO_TERM = frozenset(("rz", "rx", "ry", "p", "u1", "u2", "u3", "u", "rzz", "rxx", "ryy"))


@dataclass(frozen=True, kw_only=True, eq=False)
class Compiled:
    """A form in a device's gates.

    Attributes:
        form: Its circuit has the measured qubits first, logical qubit i as qubit i, then the
            ancillas that routing used; ``metadata["physical_qubits"]`` names them all.
        physical: Physical qubit on which each of the circuit's qubits ends.
        start: Physical qubit on which each logical qubit starts; routing may move it.
    """

    form: Form
    physical: tuple[int, ...]
    start: tuple[int, ...]

    def statistics(self) -> dict[str, Any]:
        """Return depth and numbers of gates, JSON-ready."""
        circuit = self.form.circuit
        return {
            "isa_depth": int(circuit.depth()),
            "isa_two_qubit_depth": int(circuit.depth(lambda item: len(item.qubits) == 2)),
            "isa_gates": {str(name): int(count) for name, count in circuit.count_ops().items()},
        }

    def gate_errors(self, target: Target) -> dict[str, dict[str, float | None]]:
        """Return the errors of the gates by name and physical qubits (``"4"``, ``"4,5"``).

        Only gates that the circuit has, where it has them; None where the device says nothing.
        """
        circuit = self.form.circuit
        index = {qubit: self.physical[i] for i, qubit in enumerate(circuit.qubits)}
        used = {
            (str(item.operation.name), tuple(index[qubit] for qubit in item.qubits))
            for item in circuit.data
            if item.operation.name != "barrier"
        }
        errors: dict[str, dict[str, float | None]] = {}
        for name, where in sorted(used):
            key = ",".join(str(qubit) for qubit in where)
            errors.setdefault(name, {})[key] = error_of(target, name, where)
        return errors


def error_of(target: Target, name: str, where: tuple[int, ...]) -> float | None:
    """Return the error that a device gives for a gate on some qubits, None if it gives none."""
    error = getattr((target[name] or {}).get(where), "error", None)
    return None if error is None else float(error)


def transpile(
    form: Form,
    target: Target,
    *,
    optimization_level: int,
    seed_transpiler: int,
    layout: Sequence[int] | None,
) -> Compiled:
    """Return a lowered form in the gates and on the qubits of ``target``.

    The qubits are measured before they are placed, so no outcome has to be put right later:
    where the measurement of logical qubit i ended up is qubit i of the result.

    Raises:
        PreflightError: The transpiler finds no way to run the circuit on the device.
        InputError: The device's gates have no shift rule.
    """
    from qiskit.transpiler import TranspilerError, generate_preset_pass_manager

    measured = form.circuit.copy()
    measured.measure_all()
    manager = generate_preset_pass_manager(
        optimization_level,
        target=target,
        seed_transpiler=seed_transpiler,
        initial_layout=None if layout is None else list(layout),
    )
    try:
        isa = manager.run(measured)
    except TranspilerError as error:
        reason = " ".join(str(error.message).split())
        raise PreflightError(
            [f"the transpiler cannot place the circuit; try another layout ({reason})"]
        ) from error
    start = tuple(isa.layout.initial_index_layout(filter_ancillas=True))
    circuit, physical = _compact(isa)
    circuit, rows = _flatten(circuit, form.circuit)
    matrix, offsets = affine_map(rows, len(form.b))
    final = Form(
        name="isa",
        circuit=circuit,
        A=csr_array(matrix @ form.A),
        b=offsets + matrix @ form.b,
        terms=np.full(len(offsets), 2, dtype=np.int64),
    )
    return Compiled(form=final, physical=physical, start=start)


def _compact(isa: QuantumCircuit) -> tuple[QuantumCircuit, tuple[int, ...]]:
    """Return the circuit on its used qubits, unmeasured, and their physical numbers."""
    from qiskit import AncillaRegister, QuantumCircuit, QuantumRegister

    index = {qubit: i for i, qubit in enumerate(isa.qubits)}
    bit = {clbit: i for i, clbit in enumerate(isa.clbits)}
    gates = [item for item in isa.data if item.operation.name != "barrier"]
    ends = sorted(
        (bit[item.clbits[0]], index[item.qubits[0]])
        for item in gates
        if item.operation.name == "measure"
    )
    outputs = [qubit for _, qubit in ends]
    others = sorted({index[q] for item in gates for q in item.qubits} - set(outputs))
    physical = (*outputs, *others)
    place = {qubit: i for i, qubit in enumerate(physical)}
    registers: list[Any] = [QuantumRegister(len(outputs), "q")]
    if others:
        registers.append(AncillaRegister(len(others), "ancilla"))
    out = QuantumCircuit(*registers, metadata={"physical_qubits": list(physical)})
    for item in gates:
        if item.operation.name != "measure":
            out.append(item.operation, [place[index[q]] for q in item.qubits])
    return out, physical


def _flatten(
    circuit: QuantumCircuit, source: QuantumCircuit
) -> tuple[QuantumCircuit, list[Linear]]:
    """Replace every angle that is an expression by a plain parameter of its own."""
    from qiskit.circuit import ParameterExpression, ParameterVector

    columns = {parameter: i for i, parameter in enumerate(source.parameters)}
    open_angles = [
        (i, j)
        for i, item in enumerate(circuit.data)
        for j, value in enumerate(item.operation.params)
        if isinstance(value, ParameterExpression) and value.parameters
    ]
    vector = dict(zip(open_angles, ParameterVector("a", len(open_angles)), strict=True))
    out, rows = circuit.copy_empty_like(), []
    out.global_phase = 0.0
    for i, item in enumerate(circuit.data):
        operation, values = item.operation, list(item.operation.params)
        new = [vector.get((i, j), value) for j, value in enumerate(values)]
        if any((i, j) in vector for j in range(len(values))):
            if operation.name not in _TWO_TERM:
                raise InputError(f"no shift rule for the device gate {operation.name!r}")
            rows += [_affine(v, columns) for j, v in enumerate(values) if (i, j) in vector]
            operation = operation.to_mutable()
            operation.params = new
        out.append(operation, item.qubits)
    return out, rows


def _affine(value: Any, columns: dict[Any, int]) -> Linear:
    zero = dict.fromkeys(value.parameters, 0.0)
    constant = float(value.bind(zero))
    linear = {}
    for parameter in value.parameters:
        slope = value.gradient(parameter)
        if getattr(slope, "parameters", None):
            raise InputError(f"the transpiler made an angle that is not affine: {value}")
        linear[columns[parameter]] = float(slope)
    return linear, constant
