"""What an evaluation measures and costs, as it is asked for: nothing is recorded or sent."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError, PreflightError
from qt_hw.execution.backend import Backend, Batch, Cost, Limits, Prepared
from qt_hw.execution.dispatch import estimate
from qt_hw.hardware.evaluation import Evaluation, angles_digest
from qt_hw.hardware.mitigated import calibration_plans, chosen, data_items
from qt_hw.mitigation.combination import CANDIDATES
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.training.build import make_ansatz
from qt_hw.training.provenance import run_key
from qt_hw.training.run import Run

__all__ = ["batch_of", "order", "priced"]


def order(
    run: Run,
    backend: str,
    *,
    shots: int,
    mitigation: Any = None,
    mitigation_options: Mapping[str, Mapping[str, Any]] | None = None,
    calibration_shots: int | None = None,
    **fields: Any,
) -> Evaluation:
    """Return an evaluation as it is asked for, without a number; ``fields`` are its attributes.

    Raises:
        InputError: There is no such mitigation, or it does not go with an option; or the run is a
            control.
        StorageError: The run is not finished.
        MissingExtra: A technique needs mitiq.
    """
    if (control := run.config.control.name) != "none":
        raise InputError(
            f"{run.folder} is the control {control!r}, whose vector no trained circuit makes: "
            "submit a run without a control"
        )
    made = Mitigation.of(mitigation, options=mitigation_options)
    if made is not None:
        made.combination.check_installed()
    if made is None and calibration_shots is not None:
        raise InputError("--calibration-shots belongs to --mitigation")
    if calibration_shots is not None and calibration_shots < 1:
        raise InputError(f"--calibration-shots must be at least 1, not {calibration_shots}")
    if made is not None and made.calibration is not None:
        raise InputError("an evaluation is calibrated in its own submission: leave calibration out")
    if made is not None and fields.get("options", {}).get("debias"):
        raise InputError(
            "debias=true averages over qubits, which no readout calibration describes: use one of "
            "the two"
        )
    return Evaluation(
        backend=backend,
        shots=shots,
        mitigation="none" if made is None else made.name,
        mitigation_options={} if made is None else made.options,
        calibration_shots=0 if made is None else calibration_shots or shots,
        source=run_key(run.config),
        angles_sha256=angles_digest(run.arrays()["angles"]),
        **fields,
    )


def batch_of(
    wanted: Evaluation,
    ansatz: Ansatz,
    prepare: Callable[[Ansatz], Prepared],
    run: Run,
    limits: Limits,
) -> tuple[Batch, Evaluation]:
    """Return what an evaluation measures, and its record with how that is combined.

    The circuits of each factor come first, then the calibration circuits of each.

    Raises:
        InputError: The mitigation does not go with the circuit.
        PreflightError: It needs more shots.
    """
    angles = run.arrays()["angles"]
    wanted = chosen(wanted, ansatz, prepare, angles)
    made = wanted.made
    items, stored = data_items(made, ansatz, prepare, angles, wanted.shots, limits)
    for plan in calibration_plans(made, ansatz, prepare, first_part=len(items)):
        items += plan.items
    kept = [one.to_dict() for one in stored]
    return Batch(items=tuple(items)), replace(wanted, stored=kept)


def priced(
    wanted: Evaluation,
    prepare: Callable[[Ansatz], Prepared],
    run: Run,
    backend: Backend,
    refused: Callable[[Cost], Sequence[str]] = lambda cost: (),
) -> tuple[Batch, Evaluation, Cost]:
    """Return what an evaluation measures, its record, and its price.

    ``auto`` takes the best combination that the backend runs and that is not ``refused`` for its
    price; where all are refused, the cheapest comes back.

    Raises:
        InputError: See ``batch_of``.
        PreflightError: The backend cannot run it.
    """
    ansatz, left = make_ansatz(run.config.ansatz), list(CANDIDATES)
    while True:
        angles = run.arrays()["angles"]
        asked = chosen(wanted, ansatz, prepare, angles, left)
        last = wanted.mitigation != "auto" or len(left) == 1
        try:
            batch, made = batch_of(asked, ansatz, prepare, run, backend.limits)
            cost = estimate(backend, batch)
        except PreflightError:
            if last:
                raise
        else:
            if last or not refused(cost):
                return batch, made, cost
        taken = "raw" if asked.chosen == "none" else asked.chosen
        left = [one for one in left if one.name != taken]
