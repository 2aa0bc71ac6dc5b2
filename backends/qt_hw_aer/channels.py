"""A noisy circuit as few channels: fixed gates and errors are multiplied out beforehand.

Aer takes a noise model apart and applies it gate by gate for every binding. With the errors
written into the circuit as superoperators, and each merged with the fixed gates around it, only
the gates with an open angle and one channel between them are left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qt_hw_aer.noise import Noise

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["with_channels"]


def with_channels(circuit: QuantumCircuit, noise: Noise) -> QuantumCircuit:
    """Return ``circuit`` with the noise as ``superop`` instructions; the readout is left out."""
    merger = _Merger(circuit)
    for item in circuit.data:
        operation = item.operation
        if operation.name == "barrier":
            continue
        qubits = tuple(circuit.find_bit(qubit).index for qubit in item.qubits)
        error = noise.channel(operation.name, qubits)
        if any(getattr(value, "parameters", None) for value in operation.params):
            merger.open_gate(operation, qubits)
            if error is not None:
                merger.channel(error, qubits)
        else:
            merger.fixed_gate(operation, qubits, error)
    return merger.finish()


class _Merger:
    """Holds back the one-qubit channel of each qubit until a gate comes that it cannot join."""

    def __init__(self, circuit: QuantumCircuit) -> None:
        from qiskit import QuantumCircuit

        self._out = QuantumCircuit(*circuit.qregs)
        self._waiting: dict[int, Any] = {}
        self._fixed: dict[Any, Any] = {}

    def open_gate(self, operation: Any, qubits: tuple[int, ...]) -> None:
        for qubit in qubits:
            self._flush(qubit)
        self._out.append(operation, qubits)

    def fixed_gate(self, operation: Any, qubits: tuple[int, ...], error: Any) -> None:
        from qiskit.quantum_info import SuperOp

        plain = all(isinstance(value, int | float) for value in operation.params)
        key = (operation.name, *operation.params, id(error)) if plain else None
        channel = self._fixed.get(key)
        if channel is None:
            channel = SuperOp(operation)
            channel = channel if error is None else channel.compose(error)
            if key is not None:
                self._fixed[key] = channel
        self.channel(channel, qubits)

    def channel(self, channel: Any, qubits: tuple[int, ...]) -> None:
        for place, qubit in enumerate(qubits):
            earlier = self._waiting.pop(qubit, None)
            if earlier is not None:
                channel = channel.compose(earlier, qargs=[place], front=True)
        if len(qubits) == 1:
            self._waiting[qubits[0]] = channel
        else:
            self._emit(channel, qubits)

    def finish(self) -> QuantumCircuit:
        for qubit in sorted(self._waiting):
            self._flush(qubit)
        return self._out

    def _flush(self, qubit: int) -> None:
        if qubit in self._waiting:
            self._emit(self._waiting.pop(qubit), (qubit,))

    def _emit(self, channel: Any, qubits: tuple[int, ...]) -> None:
        from qiskit.circuit import Instruction

        self._out.append(Instruction("superop", len(qubits), 0, [channel.data]), qubits)
