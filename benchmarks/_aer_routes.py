"""The fast ways to get ``(B, 2**n)`` counts out of Aer itself, without ``qt_hw``."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qiskit import QuantumCircuit

Bindings = NDArray[np.float64]


class ProbabilitiesRoute:
    """``save_probabilities`` once per binding, then numpy's multinomial: the fastest raw route."""

    def __init__(self, circuit: QuantumCircuit, shots: int, chunk: int = 256) -> None:
        from qiskit_aer import AerSimulator

        self.circuit = circuit.copy()
        self.circuit.save_probabilities()
        self.shots, self.chunk = shots, chunk
        self._simulator = AerSimulator(method="statevector", max_parallel_experiments=0)
        self._random = np.random.default_rng(0)

    def probabilities(self, bindings: Bindings) -> NDArray[np.float64]:
        """Return exact probabilities, ``(B, 2**n)``."""
        parts = []
        for start in range(0, len(bindings), self.chunk):
            rows = bindings[start : start + self.chunk]
            binds = [{p: rows[:, i] for i, p in enumerate(self.circuit.parameters)}]
            result = self._simulator.run(
                self.circuit.copy(), parameter_binds=binds, shots=1
            ).result()
            if not result.success:
                raise RuntimeError(result.status)
            parts.append(np.stack([r.data.probabilities for r in result.results]))
        p = np.clip(np.concatenate(parts), 0, None)
        normalised: NDArray[np.float64] = p / p.sum(1, keepdims=True)
        return normalised

    def __call__(self, bindings: Bindings) -> NDArray[np.int64]:
        """Return counts, ``(B, 2**n)``."""
        return self._random.multinomial(self.shots, self.probabilities(bindings))


class SamplerRoute:
    """Aer's ``SamplerV2``: one PUB with all bindings, shots decoded without per-row Python."""

    def __init__(self, circuit: QuantumCircuit, shots: int) -> None:
        from qiskit_aer.primitives import SamplerV2

        self.circuit = circuit.copy()
        self.circuit.measure_all()
        self.shots = shots
        options = {"method": "statevector", "max_parallel_experiments": 0}
        self._sampler = SamplerV2(options={"backend_options": options}, seed=0)

    def __call__(self, bindings: Bindings) -> NDArray[np.int64]:
        """Return counts, ``(B, 2**n)``."""
        pubs = [(self.circuit.copy(), bindings)]
        array = self._sampler.run(pubs, shots=self.shots).result()[0].data.meas
        n = array.num_bits
        octets = array.array.astype(np.int64)
        index = (octets << (8 * np.arange(octets.shape[-1])[::-1])).sum(-1)
        rows = np.arange(len(index))[:, None] << n
        return np.bincount((index + rows).ravel(), minlength=len(index) << n).reshape(-1, 1 << n)
