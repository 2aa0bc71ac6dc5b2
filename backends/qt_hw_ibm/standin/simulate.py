"""Shots of native circuits on Qiskit Aer, in place of a device."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw_ibm.standin.circuits import check_native, check_rzz, measured_part
from qt_hw_ibm.standin.devices import fake_backend

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["Simulator"]


class Simulator:
    """Runs what one device would run: exactly its instructions, on its qubits."""

    def __init__(self, snapshot: str, *, noise: bool) -> None:
        """Simulate the device of ``snapshot``, with its noise or without."""
        self._device = fake_backend(snapshot)
        self._noise = noise

    @cached_property
    def _aer(self) -> Any:
        from qiskit_aer import AerSimulator

        # By default Aer puts its threads inside each circuit, where small ones cannot use them,
        # and fuses gates on large registers only.
        options = {"max_parallel_experiments": 0, "fusion_threshold": 4}
        if self._noise:
            return AerSimulator.from_backend(self._device, **options)
        return AerSimulator(method="statevector", **options)

    def sample(
        self, circuit: QuantumCircuit, values: NDArray[np.float64], shots: int, seed: int
    ) -> Any:
        """Return a ``DataBin`` with the bits of each register, ``(..., shots)``.

        Args:
            circuit: Native circuit of the device's width.
            values: Radians, ``(..., n_parameters)`` in the order of ``circuit.parameters``.
            shots: Shots of each binding.
            seed: Of Aer's sampler, below 2**31.

        Raises:
            Rejected: The circuit is not native.
        """
        from qiskit.primitives.containers.bindings_array import BindingsArray
        from qiskit.primitives.containers.sampler_pub import SamplerPub
        from qiskit_aer.primitives import SamplerV2

        check_native(circuit, self._device.target)
        check_rzz(circuit, values)
        part = measured_part(circuit, keep_width=self._noise)
        wanted = set(part.parameters)
        kept = [i for i, p in enumerate(circuit.parameters) if p in wanted]
        bindings = BindingsArray({tuple(part.parameters): values[..., kept]})
        sampler = SamplerV2.from_backend(self._aer, seed=seed)
        return sampler.run([SamplerPub(part, bindings, shots)]).result()[0].data
