"""Running bound circuits on Aer: exact laws and, for large noisy circuits, trajectories."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import PermanentError
from qt_hw.simulation.sampling import sample_counts
from qt_hw_aer.channels import with_channels
from qt_hw_aer.checks import check_bindable, n_measured

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qt_hw_aer.noise import Noise

__all__ = ["Simulator"]

#: Bytes of results that one call of Aer may return.
_CHUNK_BYTES = 2**25
_MAX_CHUNK = 1024
_TRAJECTORY_CHUNK = 256

#: From this size on a density matrix gains from Aer's gate fusion.
_FUSION_FROM_QUBITS = 6

Array = NDArray[np.float64]


class Simulator:
    """Aer with one kind of noise, or none."""

    def __init__(self, noise: Noise | None, max_density_qubits: int) -> None:
        """Set up for circuits of any size.

        Args:
            noise: None for an ideal device.
            max_density_qubits: Most qubits of a noisy circuit whose exact law is computed.
        """
        self._noise, self._max_density_qubits = noise, max_density_qubits
        self._compiled: deque[tuple[QuantumCircuit, QuantumCircuit]] = deque(maxlen=8)

    def has_law(self, n_qubits: int) -> bool:
        """Whether exact probabilities of a circuit of this size can be had."""
        if self._noise is None:
            return True
        return self._noise.exact and n_qubits <= self._max_density_qubits

    def probabilities(self, circuit: QuantumCircuit, bindings: Array) -> Array:
        """Return the exact probabilities, ``(B, 2**n)``.

        Raises:
            InputError: A gate whose angle Aer cannot bind.
            PermanentError: Aer failed.
        """
        check_bindable(circuit)
        n = n_measured(circuit)
        noise, method = self._noise, "statevector"
        options: dict[str, Any] = {}
        if noise is not None:
            circuit, method = self._with_channels(circuit, noise), "density_matrix"
            fuse = circuit.num_qubits >= _FUSION_FROM_QUBITS
            options = {"fusion_threshold": 2} if fuse else {"fusion_enable": False}
        saved = circuit.copy()
        saved.save_probabilities(list(range(n)))
        simulator = _simulator(method, **options)
        out = np.empty((len(bindings), 2**n))
        size = max(1, min(_MAX_CHUNK, _CHUNK_BYTES // (8 << n)))
        for at in range(0, len(bindings), size):
            results = _run(simulator, saved, bindings[at : at + size], shots=1)
            rows = np.array([result.data.probabilities for result in results])
            out[at : at + size] = rows if noise is None else noise.observed(rows, n)
        np.maximum(out, 0.0, out=out)
        out /= out.sum(axis=1, keepdims=True)
        return out

    def _with_channels(self, circuit: QuantumCircuit, noise: Noise) -> QuantumCircuit:
        # Looked up by content: a caller may have changed the circuit since the last time.
        for seen, compiled in self._compiled:
            if seen == circuit:
                return compiled
        self._compiled.append((circuit.copy(), with_channels(circuit, noise)))
        return self._compiled[-1][1]

    def counts(
        self, circuit: QuantumCircuit, bindings: Array, shots: int, seed: Sequence[int]
    ) -> NDArray[np.int64]:
        """Return sampled counts, ``(B, 2**n)``: from the exact law, or from trajectories.

        Args:
            circuit: Unmeasured.
            bindings: Radians, ``(B, P)``.
            shots: Shots of each binding.
            seed: Entropy of a ``SeedSequence``.

        Raises:
            InputError: A gate whose angle Aer cannot bind.
            PermanentError: Aer failed.
        """
        if self.has_law(circuit.num_qubits):
            return sample_counts(self.probabilities(circuit, bindings), shots, seed)
        return self._trajectories(circuit, bindings, shots, seed)

    def _trajectories(
        self, circuit: QuantumCircuit, bindings: Array, shots: int, seed: Sequence[int]
    ) -> NDArray[np.int64]:
        check_bindable(circuit)
        assert self._noise is not None
        small = circuit.num_qubits <= self._max_density_qubits
        names = frozenset(str(name) for name in circuit.count_ops())
        simulator = _simulator(
            "density_matrix" if small else "statevector", noise_model=self._noise.model(names)
        )
        measured, n = _measured(circuit), n_measured(circuit)
        starts = range(0, len(bindings), _TRAJECTORY_CHUNK)
        # Aer gives row b of a run the seed s + 2113 b, so each run draws its own s.
        words = np.random.SeedSequence(list(seed)).generate_state(len(starts))
        out = np.zeros((len(bindings), 2**n), dtype=np.int64)
        for at, word in zip(starts, words, strict=True):
            chunk = bindings[at : at + _TRAJECTORY_CHUNK]
            runs: Any = measured if chunk.shape[1] else [measured] * len(chunk)
            results = _run(simulator, runs, chunk, shots=shots, seed_simulator=int(word >> 1))
            _add_counts(out[at : at + len(chunk)], [result.data.counts for result in results])
        return out


def _simulator(method: str, **options: Any) -> Any:
    from qiskit_aer import AerSimulator

    # Parallel shots would make the counts depend on the number of threads.
    return AerSimulator(method=method, max_parallel_experiments=0, max_parallel_shots=1, **options)


def _run(simulator: Any, circuit: Any, bindings: Array, **options: Any) -> list[Any]:
    """Run one circuit with many bindings; one result per row (one in all without parameters)."""
    from qiskit_aer import AerError

    if bindings.shape[1]:
        # Aer may overwrite the angles of a cu that a transpiler pass made: give it a copy.
        circuit = circuit.copy()
        columns = enumerate(circuit.parameters)
        options["parameter_binds"] = [{name: bindings[:, i] for i, name in columns}]
    try:
        result = simulator.run(circuit, **options).result()
    except AerError as error:
        raise PermanentError(f"Aer refused the circuit: {error.message}") from error
    if not result.success:
        failed = [str(run.status) for run in result.results if not run.success]
        status = " ".join((failed or [str(result.status)])[0].split())
        raise PermanentError(f"Aer failed: {status}")
    return list(result.results)


def _measured(circuit: QuantumCircuit) -> QuantumCircuit:
    """Return a copy with one classical register, into which all but the ancillas go."""
    from qiskit import ClassicalRegister, QuantumCircuit

    n = n_measured(circuit)
    out = QuantumCircuit(*circuit.qregs, ClassicalRegister(n, "meas"))
    for item in circuit.data:
        out.append(item.operation, item.qubits)
    out.measure(range(n), range(n))
    return out


def _add_counts(out: NDArray[np.int64], counts: list[dict[str, int]]) -> None:
    """Add Aer's dictionaries with hexadecimal keys to ``out``, ``(B, 2**n)``."""
    sizes = [len(row) for row in counts]
    total = sum(sizes)
    bins = np.fromiter((int(key, 16) for key in chain(*counts)), dtype=np.int64, count=total)
    values = np.fromiter(chain(*(row.values() for row in counts)), dtype=np.int64, count=total)
    out[np.repeat(np.arange(len(counts)), sizes), bins] += values
