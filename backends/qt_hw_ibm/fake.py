"""Stored calibrations of IBM's devices, run on this machine by the client's local mode."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from qiskit.providers import BackendV2
from qiskit.providers import Options as RunOptions

from qt_hw.errors import MissingExtra, PermanentError, UnknownName
from qt_hw.execution.backend import Batch, Counts, Item, Limits, Prepared
from qt_hw.execution.local import LocalBackend
from qt_hw_ibm.calibration import calibration_date
from qt_hw_ibm.failures import is_vendor_error, one_line
from qt_hw_ibm.isa import full_width, physical_qubits
from qt_hw_ibm.options import Options, read_options
from qt_hw_ibm.preparing import KEPT_CIRCUITS, MAX_OUTCOMES, describe, prepare
from qt_hw_ibm.pubs import counts_of, make_request
from qt_hw_ibm.sampler import make_sampler, run
from qt_hw_ibm.service import quiet

if TYPE_CHECKING:
    from qiskit.transpiler import Target

    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["FakeDevice", "known_devices", "open_fake", "restricted"]

_SEEDS = "item: one seed of the simulator from numpy SeedSequence([*batch.seed, item.part])"


def known_devices() -> dict[str, type[Any]]:
    """Return the classes of the client's fake backends by name (``"fake_torino"``)."""
    from qiskit_ibm_runtime import fake_provider

    classes = [value for _, value in inspect.getmembers(fake_provider, inspect.isclass)]
    named = {getattr(kind, "backend_name", None): kind for kind in classes}
    return {name: named[name] for name in sorted(filter(None, named))}


def restricted(target: Target, physical: Sequence[int]) -> Target:
    """Return a device of the same size with the gates on some of its qubits only.

    Its noise model takes milliseconds where that of a whole chip takes seconds.
    """
    from qiskit.circuit import Delay, Gate, Measure, Reset
    from qiskit.transpiler import Target

    out = Target(
        num_qubits=target.num_qubits,
        dt=target.dt,
        granularity=target.granularity,
        min_length=target.min_length,
        pulse_alignment=target.pulse_alignment,
        acquire_alignment=target.acquire_alignment,
        qubit_properties=target.qubit_properties,
    )
    kept_qubits = set(physical)
    for name, entries in target.items():
        operation = target.operation_from_name(name)
        if entries is None or not isinstance(operation, Gate | Measure | Reset | Delay):
            continue
        kept = {
            where: properties
            for where, properties in entries.items()
            if where is not None and kept_qubits.issuperset(where)
        }
        if kept:
            out.add_instruction(operation, kept, name=name)
    return out


def open_fake(name: str, options: Mapping[str, Any]) -> FakeDevice:
    """Return the backend; see ``qt_hw_ibm.open``."""
    if find_spec("qiskit_aer") is None:
        raise MissingExtra(f"the backend 'ibm:{name}'", "aer")
    devices = known_devices()
    if name not in devices:
        raise UnknownName("device of the backend 'ibm'", name, list(devices))
    return FakeDevice(name, devices[name](), read_options(options, fake=True))


class _Part(BackendV2):  # type: ignore[misc]
    """What ``AerSimulator.from_backend`` asks of a device: its target."""

    def __init__(self, target: Target) -> None:
        super().__init__(name="part")
        self._target = target

    @property
    def target(self) -> Target:
        return self._target

    @property
    def max_circuits(self) -> None:
        return None

    @classmethod
    def _default_options(cls) -> RunOptions:
        return RunOptions()

    def run(self, run_input: Any, **options: Any) -> Any:
        raise NotImplementedError("only a description of a device")


class FakeDevice(LocalBackend):
    """The same circuits, requests and results as a device at IBM; Aer in its place.

    Attributes:
        name: ``"ibm:<fake device>"``.
        limits: Those of the device.
    """

    def __init__(self, name: str, fake: Any, options: Options) -> None:
        """Take one of the client's fake backends and checked options."""
        super().__init__()
        self.name, self._device, self._fake, self._options = f"ibm:{name}", name, fake, options
        self._target: Target = fake.target
        self._simulators: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._prepared: OrderedDict[Ansatz, Prepared] = OrderedDict()
        self.limits = Limits(
            max_qubits=int(self._target.num_qubits),
            max_shots=int(fake.configuration().max_shots),
            max_executions=options.max_executions,
            max_outcomes=MAX_OUTCOMES,
        )

    def prepare(self, ansatz: Ansatz) -> Prepared:
        """Return the circuit in the device's gates; made once per ansatz.

        Raises:
            PreflightError: The circuit does not fit on the device.
            InputError: A wrong layout.
        """
        if ansatz not in self._prepared:
            self._prepared[ansatz] = self._prepare(ansatz)
            if len(self._prepared) > KEPT_CIRCUITS:
                self._prepared.popitem(last=False)
        return self._prepared[ansatz]

    def _prepare(self, ansatz: Ansatz) -> Prepared:
        prepared = prepare(
            ansatz, self._target, self._fake.properties(), self._device, self._options
        )
        # Aer knows the target only, whose readout has one error for both outcomes: this is what
        # it samples, whatever the calibration says of each.
        error = prepared.properties["readout_error"]
        sampled = {"readout_p01": list(error), "readout_p10": list(error)}
        return replace(prepared, properties={**prepared.properties, **sampled})

    def _run(self, batch: Batch) -> Counts:
        # Each item by itself, so that it does not depend on the others.
        arrays = tuple(self._item(item, batch.seed) for item in batch.items)
        return Counts(arrays=arrays, shots=tuple(item.shots for item in batch.items))

    def _item(self, item: Item, seed: tuple[int, ...]) -> Any:
        request = make_request(
            Batch(items=(item,)), lambda circuit: full_width(circuit, self._target, self._device)
        )
        simulator = self._simulator(physical_qubits(item.circuit, self._device))
        sampler = make_sampler(simulator, self._options, request.shots)
        word = np.random.SeedSequence([*seed, item.part]).generate_state(1)[0]
        sampler.options.simulator.seed_simulator = int(word >> 1)
        with quiet():
            try:
                result = run(sampler, request).result()
            except Exception as error:
                if not is_vendor_error(error):
                    raise
                raise PermanentError(f"{self.name} failed: {one_line(error)}") from error
        (array,) = counts_of(result).arrays
        return array

    def _simulator(self, physical: tuple[int, ...]) -> Any:
        key = tuple(sorted(physical))
        if key not in self._simulators:
            from qiskit_aer import AerSimulator

            simulator = AerSimulator.from_backend(_Part(restricted(self._target, key)))
            # Parallel shots would make the counts depend on the number of threads.
            simulator.set_options(max_parallel_experiments=0, max_parallel_shots=1)
            self._simulators[key] = simulator
            if len(self._simulators) > KEPT_CIRCUITS:
                self._simulators.popitem(last=False)
        return self._simulators[key]

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records: options, calibration, versions, seeds."""
        packages = ["qiskit", "qiskit-aer", "qiskit-ibm-runtime"]
        return {
            **describe(self.name, self._options, packages),
            "calibration_date": calibration_date(self._fake.properties()),
            "seeds": _SEEDS,
        }
