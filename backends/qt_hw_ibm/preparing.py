"""What devices at IBM and their stored calibrations on this machine have in common."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib import metadata
from typing import TYPE_CHECKING, Any

from qt_hw.execution.backend import Prepared
from qt_hw_ibm.calibration import calibration_date, circuit_properties
from qt_hw_ibm.isa import compile_ansatz
from qt_hw_ibm.options import Options

if TYPE_CHECKING:
    from qiskit.transpiler import Target

    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["KEPT_CIRCUITS", "MAX_OUTCOMES", "describe", "prepare"]

#: Most bindings × outcomes of one step: their counts take 2 GiB.
MAX_OUTCOMES = 1 << 28

#: Most circuits that a backend remembers.
KEPT_CIRCUITS = 32


def prepare(
    ansatz: Ansatz, target: Target, properties: Any, device: str, options: Options
) -> Prepared:
    """Return the ansatz in the gates and on the qubits of ``target``.

    Args:
        ansatz: What is to run.
        target: Of the device.
        properties: The vendor's ``BackendProperties``, None where there are none.
        device: Its name.
        options: Level, seed and layout of the transpiler.

    Raises:
        PreflightError: The circuit does not fit on the device.
        InputError: A wrong layout.
    """
    compiled = compile_ansatz(
        ansatz,
        target,
        device,
        optimization_level=options.optimization_level,
        seed_transpiler=options.seed_transpiler,
        layout=options.layout,
    )
    return Prepared.of(
        compiled.form,
        properties={
            **circuit_properties(compiled, target, properties, device),
            "optimization_level": options.optimization_level,
            "seed_transpiler": options.seed_transpiler,
        },
        calibration_date=calibration_date(properties),
    )


def describe(name: str, options: Options, packages: Sequence[str]) -> dict[str, Any]:
    """Return what the manifest records of either kind of device: JSON-ready, no account."""
    layout = options.layout
    text = {
        "name": name,
        "optimization_level": options.optimization_level,
        "seed_transpiler": options.seed_transpiler,
        "layout": None if layout is None else list(layout),
        "dynamical_decoupling": options.dynamical_decoupling,
        "twirling": options.twirling,
        "max_executions": options.max_executions,
        "versions": {package: metadata.version(package) for package in packages},
    }
    result: dict[str, Any] = json.loads(json.dumps(text))
    return result
