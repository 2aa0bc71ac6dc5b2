"""Circuits and noise of the mitigation benchmark, and a backend that computes each law once."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import qt_hw as qt
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.execution.backend import Backend, Batch, Counts, Item, Prepared
from qt_hw.execution.canonical import circuit_bytes
from qt_hw.execution.local import LocalBackend
from qt_hw.simulation.sampling import sample_counts

__all__ = ["Cell", "KnownLaws", "cells"]

#: Most active qubits of a routed snapshot whose law is computed; larger circuits take the
#: device's median errors without routing.
MAX_ROUTED = 6

#: Layers of the circuits, by kind and qubits: those of the measured facts that tables quote.
LAYERS = {("RyCnot", 5): 2, ("RyCnot", 8): 3, ("U3Cu3", 5): 2, ("U3Cu3", 8): 2}

#: Depolarizing noise after one- and two-qubit gates, by kind and qubits, in Aer's convention.
DEPOLARIZING = {
    ("RyCnot", 5): (5e-4, 1e-2),
    ("RyCnot", 8): (5e-4, 5e-3),
    ("U3Cu3", 5): (3e-4, 3e-3),
    ("U3Cu3", 8): (3e-4, 3e-3),
}

#: Over-rotation of each two-qubit gate, exp(-i zz/2 Z⊗Z), radians.
ZZ = {"RyCnot": 0.12, "U3Cu3": 0.08}

READOUT_01, READOUT_10 = (0.005, 0.02), (0.01, 0.05)


@dataclass(frozen=True)
class Cell:
    """One circuit under one kind of noise.

    Attributes:
        name: As printed.
        noise: ``"depolarizing"``, ``"torino"`` or ``"coherent"``.
        ansatz: The circuit.
        open: Opens its backend.
        pec: Pauli probability of a two-qubit gate, for PEC; None where it is not that kind of
            noise.
    """

    name: str
    noise: str
    ansatz: Ansatz
    open: Callable[[], Backend]
    pec: float | None = None


def cells(kinds: tuple[str, ...], sizes: tuple[int, ...], noises: tuple[str, ...]) -> list[Cell]:
    """Return the cells of the table."""
    out = []
    for noise in noises:
        for kind in kinds:
            for n in sizes:
                ansatz = getattr(qt, kind)(n, LAYERS[kind, n])
                name = f"{kind}({n}, {LAYERS[kind, n]}), {noise}"
                pec = 15 / 16 * DEPOLARIZING[kind, n][1] if noise == "depolarizing" else None
                out.append(Cell(name, noise, ansatz, _opener(noise, kind, n, ansatz), pec))
    return out


def _opener(noise: str, kind: str, n: int, ansatz: Ansatz) -> Callable[[], Backend]:
    if noise == "torino":
        return lambda: _torino(ansatz)
    p1, p2 = DEPOLARIZING[kind, n]
    model = _model(n, p1, p2) if noise == "depolarizing" else _model(n, zz=ZZ[kind])
    return lambda: qt.backend("aer", noise=model, max_density_qubits=10)


def _torino(ansatz: Ansatz) -> Backend:
    routed = qt.backend("aer:fake_torino")
    if routed.prepare(ansatz).circuit.num_qubits <= MAX_ROUTED:
        return routed
    return qt.backend("aer", noise="median(fake_torino)", max_density_qubits=10)


def _model(n_qubits: int, p1: float = 0.0, p2: float = 0.0, zz: float = 0.0) -> Any:
    """Return noise on {sx, x, cz} with a readout that differs from qubit to qubit."""
    from qiskit_aer.noise import NoiseModel, ReadoutError, coherent_unitary_error
    from qiskit_aer.noise import depolarizing_error as depolarizing

    model = NoiseModel(basis_gates=["rz", "sx", "x", "cz"])
    if p2:
        model.add_all_qubit_quantum_error(depolarizing(p1, 1), ["sx", "x"])
        model.add_all_qubit_quantum_error(depolarizing(p2, 2), ["cz"])
    if zz:
        phases = np.exp(-0.5j * zz * np.array([1, -1, -1, 1]))
        model.add_all_qubit_quantum_error(coherent_unitary_error(np.diag(phases)), ["cz"])
    flips = zip(np.linspace(*READOUT_01, n_qubits), np.linspace(*READOUT_10, n_qubits), strict=True)
    for qubit, (p01, p10) in enumerate(flips):
        model.add_readout_error(ReadoutError([[1 - p01, p01], [p10, 1 - p10]]), [qubit])
    return model


class KnownLaws(LocalBackend):
    """Another simulator, whose exact law of each binding is computed once and then sampled."""

    def __init__(self, inner: Backend) -> None:
        super().__init__()
        self.name, self.limits, self._inner = inner.name, inner.limits, inner
        self._laws: dict[bytes, NDArray[np.float64]] = {}
        self._keys: dict[int, tuple[Any, bytes]] = {}

    def prepare(self, ansatz: Ansatz) -> Prepared:
        return self._inner.prepare(ansatz)

    def forget(self) -> None:
        """Forget all laws, e.g. those of circuits that will not come again."""
        self._laws.clear()
        self._keys.clear()

    def _run(self, batch: Batch) -> Counts:
        arrays = []
        for item in batch.items:
            law = self._law(item)
            seed = (*batch.seed, item.part)
            arrays.append(law if item.shots is None else sample_counts(law, item.shots, seed))
        return Counts(arrays=tuple(arrays), shots=tuple(item.shots for item in batch.items))

    def _law(self, item: Item) -> NDArray[np.float64]:
        key = hashlib.sha256(self._circuit_key(item.circuit) + item.bindings.tobytes()).digest()
        if key not in self._laws:
            exact = Item(item.circuit, item.bindings, None, role=item.role)
            counts = self._inner.submit(Batch(items=(exact,)), "law").result()
            self._laws[key] = np.asarray(counts.arrays[0])
        return self._laws[key]

    def _circuit_key(self, circuit: Any) -> bytes:
        # The circuit is kept, so that its id stays its own.
        if id(circuit) not in self._keys:
            self._keys[id(circuit)] = (circuit, hashlib.sha256(circuit_bytes(circuit)).digest())
        return self._keys[id(circuit)][1]
