"""The package's own exact engine behind the backend contract."""

from __future__ import annotations

import dataclasses
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import Parameter, ParameterExpression
from torch import Tensor

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.circuits.form import Form
from qt_hw.circuits.native import plain
from qt_hw.errors import InputError, UnknownName
from qt_hw.execution.backend import Batch, Counts, Item, Limits, Prepared
from qt_hw.execution.local import LocalBackend
from qt_hw.simulation.program import BLOCK_QUBITS, Program, compile_any, compile_circuit
from qt_hw.simulation.sampling import sample_counts
from qt_hw.simulation.statevector import probabilities
from qt_hw.simulation.sweep import can_sweep, shifted_probabilities

__all__ = ["StatevectorBackend"]

_DTYPES = {"complex64": torch.complex64, "complex128": torch.complex128}
_FORMS = ("auto", "native", "lowered")


class StatevectorBackend(LocalBackend):
    """Exact simulation in torch: probabilities, or samples of them.

    Attributes:
        name: ``"statevector"``.
        limits: Qubits by memory; at most 2**32 bins of base and shifted vectors in a step.
    """

    def __init__(
        self,
        dtype: str = "complex128",
        device: str = "cpu",
        form: str = "auto",
        memory_limit: int = 4 << 30,
    ) -> None:
        """Choose precision and place.

        Args:
            dtype: ``"complex128"``, or ``"complex64"``: errors of about 1e-7, half the time.
            device: ``"cpu"`` or a CUDA device of torch.
            form: Form in which circuits are differentiated; ``"auto"`` takes the one with the
                fewer shifted circuits.
            memory_limit: Bytes for the states that are held at a time.

        Raises:
            InputError: An option has a wrong value.
        """
        super().__init__()
        if str(dtype) not in _DTYPES:
            raise UnknownName("dtype", str(dtype), tuple(_DTYPES))
        if form not in _FORMS:
            raise UnknownName("form", str(form), _FORMS)
        whole = isinstance(memory_limit, int) and not isinstance(memory_limit, bool)
        if not whole or memory_limit < 1 << 20:
            raise InputError(
                f"memory_limit is a whole number of bytes, at least {1 << 20}, not {memory_limit!r}"
            )
        self.name = "statevector"
        self.dtype, self.device, self._form = _DTYPES[dtype], _device(device), form
        # Two states, their moved copies and the probabilities live at the same time.
        most = int(np.log2(memory_limit / (6 * self.dtype.itemsize)))
        self.limits = Limits(
            max_qubits=most,
            max_shots=1 << 53,
            max_outcomes=1 << 32,
            memory_limit=memory_limit,
            exact=True,
        )

    def prepare(self, ansatz: Ansatz) -> Prepared:
        """Return the ansatz in the chosen form."""
        return Prepared.of(choose_form(ansatz, self._form))

    def describe(self) -> dict[str, Any]:
        """Return name, precision, device and versions."""
        return {
            "name": self.name,
            "dtype": str(self.dtype).removeprefix("torch."),
            "device": str(self.device),
            "form": self._form,
            "block_qubits": BLOCK_QUBITS,
            "versions": {"torch": torch.__version__, "numpy": version("numpy")},
        }

    def probabilities(self, circuit: QuantumCircuit, gate_angles: Tensor) -> Tensor:
        """Return exact probabilities ``(B, 2**n)``, with autograd to ``gate_angles`` ``(B, P)``.

        ``circuit`` belongs to a ``Form``: it is compiled once and must not change afterwards.
        """
        program = compile_circuit(circuit)
        parts = torch.split(gate_angles.to(self.device), self._rows_at_a_time(program))
        p = torch.cat([probabilities(program, part, self.dtype) for part in parts])
        return p.to(gate_angles.device, torch.float64)

    def _run(self, batch: Batch) -> Counts:
        with torch.no_grad():
            arrays = tuple(self._item(item, batch.seed) for item in batch.items)
        return Counts(arrays=arrays, shots=tuple(item.shots for item in batch.items))

    def _item(self, item: Item, seed: tuple[int, ...]) -> NDArray[Any]:
        item = _plain(item)
        program = compile_any(item.circuit)
        if item.origin is not None and item.origin.makes(item.bindings) and can_sweep(program):
            p = self._swept(program, item)
        else:
            p = self._batched(program, item.bindings)
        if item.shots is None:
            return p.astype(np.float64, copy=False)
        return sample_counts(p, item.shots, (*seed, item.part))

    def _empty(self, rows: int, n_qubits: int) -> NDArray[Any]:
        return np.empty((rows, 2**n_qubits), dtype=_real(self.dtype))

    def _swept(self, program: Program, item: Item) -> NDArray[Any]:
        origin = item.origin
        assert origin is not None
        out = self._empty(len(item.bindings), program.n_qubits)
        for b, base in enumerate(origin.base):
            angles = torch.as_tensor(base, dtype=torch.float64, device=self.device)
            mine = out[b * len(origin.index) : (b + 1) * len(origin.index)]
            for part in shifted_probabilities(
                program, angles, origin.index, origin.shift, self.dtype
            ):
                mine[part.rows] = part.p.cpu().numpy()
        return out

    def _rows_at_a_time(self, program: Program) -> int:
        # Block matrices of all rows exist at once, next to the states.
        d = 2**program.block_qubits
        each = (3 * len(program.blocks) * d * d + 6 * 2**program.width) * self.dtype.itemsize
        return int(max(1, min(256, self.limits.memory_limit // each)))

    def _batched(self, program: Program, bindings: NDArray[np.float64]) -> NDArray[Any]:
        out = self._empty(len(bindings), program.n_qubits)
        size = self._rows_at_a_time(program)
        for at in range(0, len(bindings), size):
            angles = torch.as_tensor(bindings[at : at + size], device=self.device)
            p = probabilities(program, angles.to(torch.float64), self.dtype)
            out[at : at + size] = p.cpu().numpy()
        return out


def _plain(item: Item) -> Item:
    """Return an item whose circuit has a plain parameter at each open angle.

    Folded circuits have negative ones, and the same ones more than once.
    """
    angles = [v for i in item.circuit.data for v in i.operation.params]
    if all(isinstance(v, Parameter) or not isinstance(v, ParameterExpression) for v in angles):
        return item
    circuit, matrix, offsets = plain(item.circuit)
    bindings = (matrix @ item.bindings.T).T + offsets
    return dataclasses.replace(item, circuit=circuit, bindings=bindings, origin=None)


def choose_form(ansatz: Ansatz, wanted: str) -> Form:
    """Return the wanted form; ``"auto"`` is the one with fewer shifted circuits."""
    if wanted != "auto":
        return ansatz.form("native" if wanted == "native" else "lowered")
    native, lowered = ansatz.form("native"), ansatz.form("lowered")
    return lowered if lowered.n_shifts < native.n_shifts else native


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).sum().item()
    except (AssertionError, NotImplementedError, RuntimeError, TypeError) as error:
        raise InputError(f"torch has no device {name!r} here; use 'cpu'") from error
    return device


def _real(dtype: torch.dtype) -> type[np.floating[Any]]:
    return np.float64 if dtype == torch.complex128 else np.float32
