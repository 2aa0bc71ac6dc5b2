"""Qiskit Aer behind the contract of ``qt_hw.execution.backend``."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Mapping
from importlib import metadata
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import PreflightError
from qt_hw.execution.backend import Batch, Counts, Item, Limits, Prepared
from qt_hw.execution.local import LocalBackend
from qt_hw_aer.calibrated import with_calibration
from qt_hw_aer.channels import with_channels
from qt_hw_aer.checks import check_memory
from qt_hw_aer.forms import choose_form, verify_form
from qt_hw_aer.options import Options, read_options
from qt_hw_aer.simulate import Simulator
from qt_hw_aer.snapshot import Snapshot

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["AerBackend", "open_backend"]

_SEEDS = (
    "item: numpy SeedSequence([*batch.seed, item.part]); draws from the exact law or, for "
    "trajectories, one Aer seed per 256 bindings"
)


def open_backend(device: str | None, options: Mapping[str, Any]) -> AerBackend:
    """Return the backend; see ``qt_hw_aer.open``."""
    checked = read_options(options, device)
    if device is None:
        return AerBackend(checked)
    snapshot = Snapshot(
        device,
        optimization_level=checked.optimization_level,
        seed_transpiler=checked.seed_transpiler,
        layout=checked.layout,
        noise_scale=checked.noise_scale,
    )
    return AerBackend(checked, snapshot)


class AerBackend(LocalBackend):
    """Ideal or noisy simulation on Aer; jobs have run when ``submit`` returns.

    Results do not depend on the number of threads.

    Attributes:
        name: ``"aer"`` or ``"aer:<device>"``.
        limits: Qubits by memory; exact probabilities wherever the law can be computed.
    """

    def __init__(self, options: Options, snapshot: Snapshot | None = None) -> None:
        """Take checked options, and a device if there is one."""
        super().__init__()
        self.name = "aer" if snapshot is None else f"aer:{snapshot.name}"
        self._options, self._snapshot = options, snapshot
        scale = options.noise_scale
        noise = with_calibration(options.noise, options.calibration, scale)
        self._noise_text = None if noise is None else noise.text
        # Noise times 0 is none: the ideal simulator, not a density matrix without errors.
        self._noise = noise if scale else None
        self._simulator = Simulator(self._noise, options.max_density_qubits)
        self._simulators: dict[tuple[int, ...], Simulator] = {}
        self._prepared: OrderedDict[Ansatz, Prepared] = OrderedDict()
        # A state, its probabilities and a copy of them.
        most = int(math.log2(options.memory_limit / 32))
        noisy = self._noise is not None or (snapshot is not None and scale > 0)
        exact = self._noise is None or self._noise.exact
        exact = exact and not (noisy and options.max_density_qubits == 0)
        self.limits = Limits(
            max_qubits=most, max_shots=2**31 - 1, max_outcomes=1 << 32, exact=exact
        )

    def prepare(self, ansatz: Ansatz) -> Prepared:
        """Return the circuit as it will run; made once per ansatz.

        Raises:
            PreflightError: More qubits than the memory or the device allows.
            InputError: The form cannot be run.
        """
        if ansatz not in self._prepared:
            self._prepared[ansatz] = self._prepare(ansatz)
            if len(self._prepared) > 32:
                self._prepared.popitem(last=False)
        return self._prepared[ansatz]

    def _prepare(self, ansatz: Ansatz) -> Prepared:
        most = self.limits.max_qubits
        if most is not None and ansatz.n_qubits > most:
            raise PreflightError(
                [f"the circuit has {ansatz.n_qubits} qubits, the memory allows {most}"]
            )
        if self._snapshot is None:
            form = choose_form(ansatz, self._options.form, self._noise)
            if self._noise is not None:
                self._noise.check(form.circuit)
            verify_form(ansatz, form)
            return Prepared.of(form, properties={"noise": self._noise_text})
        compiled = self._snapshot.compile(ansatz)
        verify_form(ansatz, compiled.form)
        with_channels(compiled.form.circuit, self._snapshot.noise(compiled.physical))
        return Prepared.of(
            form=compiled.form,
            properties=self._snapshot.properties(compiled),
            calibration_date=self._snapshot.calibration_date,
        )

    def _check(self, batch: Batch) -> None:
        super()._check(batch)
        check_memory(batch, self._options.memory_limit)
        reasons = [
            f"shots=None: the noisy law of {item.circuit.num_qubits} qubits is above "
            f"max_density_qubits={self._options.max_density_qubits}; pass a number of shots"
            for item in batch.items
            if item.shots is None
            and not self._simulator_for(item.circuit).has_law(item.circuit.num_qubits)
        ]
        if reasons:
            raise PreflightError(list(dict.fromkeys(reasons)))

    def _run(self, batch: Batch) -> Counts:
        arrays = tuple(self._item(item, batch.seed) for item in batch.items)
        return Counts(arrays=arrays, shots=tuple(item.shots for item in batch.items))

    def _item(self, item: Item, seed: tuple[int, ...]) -> NDArray[Any]:
        simulator = self._simulator_for(item.circuit)
        bindings = np.asarray(item.bindings, dtype=np.float64)
        if item.shots is None:
            return simulator.probabilities(item.circuit, bindings)
        return simulator.counts(item.circuit, bindings, int(item.shots), (*seed, item.part))

    def _simulator_for(self, circuit: QuantumCircuit) -> Simulator:
        if self._snapshot is None:
            if self._noise is not None:
                self._noise.check(circuit)
            return self._simulator
        physical = self._snapshot.check(circuit)
        if physical not in self._simulators:
            noise = self._snapshot.noise(physical) if self._snapshot.scale else None
            self._simulators[physical] = Simulator(noise, self._options.max_density_qubits)
        return self._simulators[physical]

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records: noise, device, versions, seeds; JSON-ready."""
        options = self._options
        device = None
        if self._snapshot is not None:
            device = {
                "name": self._snapshot.name,
                "calibration_date": self._snapshot.calibration_date,
                "optimization_level": options.optimization_level,
                "seed_transpiler": options.seed_transpiler,
                "layout": None if options.layout is None else list(options.layout),
            }
        packages = ["qiskit", "qiskit-aer", *(["qiskit-ibm-runtime"] if device else [])]
        text = {
            "name": self.name,
            "noise": self._noise_text,
            **({} if options.noise_scale == 1.0 else {"noise_scale": options.noise_scale}),
            "device": device,
            "form": options.form,
            "max_density_qubits": options.max_density_qubits,
            "seeds": _SEEDS,
            "versions": {package: metadata.version(package) for package in packages},
        }
        result: dict[str, Any] = json.loads(json.dumps(text))
        return result
