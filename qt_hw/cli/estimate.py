"""``qt-hw estimate``: the price, before anything is sent."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qt_hw.cli.shared import (
    Bucket,
    CalibrationShots,
    From,
    Instance,
    MaxQpuSeconds,
    MaxUsd,
    Mitigation,
    MitigationOptions,
    Options,
    Region,
    Rehearse,
    Which,
    account_of,
    read_mitigation_options,
    read_options,
)
from qt_hw.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qt_hw.execution.backend import Cost
    from qt_hw.execution.budget import Cap, Totals
    from qt_hw.training.config import RunConfig

__all__ = ["estimate"]


def estimate(
    what: Annotated[
        str,
        typer.Argument(metavar="PRESET|FILE|RUN", help="A training, or a trained run's folder."),
    ],
    backend: Annotated[
        str | None, typer.Option(metavar="NAME", help="Where, e.g. ionq:forte-1.")
    ] = None,
    shots: Annotated[int | None, typer.Option(metavar="N", help="Shots of each circuit.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Change one key of the training."),
    ] = None,
    max_usd: MaxUsd = None,
    max_qpu_seconds: MaxQpuSeconds = None,
    which: From = None,
    option: Options = None,
    bucket: Bucket = None,
    region: Region = None,
    instance: Instance = None,
    mitigation: Mitigation = "none",
    mitigation_option: MitigationOptions = None,
    calibration_shots: CalibrationShots = None,
    rehearse: Rehearse = False,
) -> None:
    """Print circuits, shots, jobs and price, low and high, and whether the caps allow it.

    For a trained run: of measuring its circuit once, as qt-hw submit does, with the errors that
    each simple technique of mitigation is expected to leave. For a preset or a file: of training
    with it, as qt-hw run does. Nothing is sent.
    """
    given = {"max_usd": max_usd, "max_qpu_seconds": max_qpu_seconds}
    account, options = account_of(bucket, region, instance), read_options(option)
    of_mitigation = read_mitigation_options(mitigation_option)
    rehearsal: Mapping[str, Any] | None = {} if rehearse else None
    if Path(what).is_dir():
        if changes:
            raise InputError("--set changes a training; for a run give --backend and --shots")
        _of_run(
            Path(what),
            which,
            backend,
            shots,
            given,
            options=options,
            account=account,
            mitigation=mitigation,
            mitigation_options=of_mitigation,
            calibration_shots=calibration_shots,
            rehearsal=rehearsal,
        )
        return
    if mitigation != "none" or of_mitigation or calibration_shots is not None:
        method = "zne" if mitigation == "none" else mitigation
        raise InputError(
            "--mitigation and its options belong to the folder of a run: for a training write "
            f"--set mitigation.method={method}"
        )
    if which is not None:
        raise InputError("--from belongs to the folder of a run")
    from qt_hw.training.loading import load_config

    config = load_config(what, changes or [])
    _of_training(_changed(config, backend, shots, options, account, given), rehearsal)


def _of_run(
    folder: Path,
    which: Which | None,
    backend: str | None,
    shots: int | None,
    caps: Mapping[str, Any],
    **how: Any,
) -> None:
    if backend is None or shots is None:
        raise InputError(f"{folder} is a run: give --backend and --shots of the evaluation")
    from qt_hw.execution.budget import Cap
    from qt_hw.hardware.estimate import quote_evaluation, spent_in
    from qt_hw.hardware.home import chosen_run

    run = chosen_run(folder, which and which.value)
    quote = quote_evaluation(run, backend, shots=shots, **how, **caps)
    print(f"one evaluation of {run.folder} on {backend}")
    spent = spent_in(run.folder, rehearsed=how["rehearsal"] is not None)
    _print({"evaluation": quote.cost}, Cap(**caps), "--max-usd or --max-qpu-seconds", spent)
    print(*quote.outlook.text, sep="\n")


def _of_training(config: RunConfig, rehearsal: Mapping[str, Any] | None) -> None:
    from qt_hw.execution.budget import Cap
    from qt_hw.hardware.estimate import estimate_training

    quote = estimate_training(config, rehearsal=rehearsal)
    print(f"training with {quote.steps:,} steps on {config.backend.name}")
    columns = {"one step": quote.step, "last evaluation": quote.last}
    if quote.calibration is not None:
        columns["calibration"] = quote.calibration
    columns["training"] = quote.total
    cap = Cap(**config.budget.model_dump())
    _print(columns, cap, "budget.max_usd or budget.max_qpu_seconds")
    for name, unit, most in (
        ("max_usd", "usd", cap.max_usd),
        ("max_qpu_seconds", "qpu_seconds", cap.max_qpu_seconds),
    ):
        if most is not None and (n := quote.affordable_steps(most, unit)) < quote.steps:
            print(f"{name} = {most:,.2f} is reached after {n:,} of {quote.steps:,} steps")


def _print(columns: Mapping[str, Cost], cap: Cap, caps: str, spent: Totals | None = None) -> None:
    from qt_hw.cli.money import price
    from qt_hw.cli.table import figures_table, print_table
    from qt_hw.hardware.estimate import verdict

    costs = list(columns.values())
    rows = [
        ("circuits", *(f"{cost.circuits:,}" for cost in costs)),
        ("shots", *(f"{cost.shots:,}" for cost in costs)),
        ("jobs", *(f"{cost.jobs:,}" for cost in costs)),
        ("price", *(price(cost) for cost in costs)),
    ]
    print_table(figures_table(list(columns), rows))
    if costs[-1].source:
        print(costs[-1].source)
    judged = verdict(costs[-1], cap, spent)
    print(f"{judged.text}{'' if judged.capped else f'; set {caps}'}")


def _changed(
    config: RunConfig,
    backend: str | None,
    shots: int | None,
    options: Mapping[str, Any],
    account: Mapping[str, Any],
    caps: Mapping[str, float | None],
) -> RunConfig:
    """Return the training with what other options of the command say."""
    from qt_hw.training.loading import config_from_dict

    tables = config.model_dump(mode="json", exclude_none=True)
    if backend is not None:
        tables["backend"] = {
            "name": backend,
            **{k: v for k, v in tables["backend"].items() if k == "shots"},
        }
    if shots is not None:
        tables["backend"]["shots"] = shots
    tables["backend"]["options"] = {**tables["backend"].get("options", {}), **options}
    tables["account"] = {**tables.get("account", {}), **account}
    given = {key: value for key, value in caps.items() if value is not None}
    tables["budget"] = {**tables.get("budget", {}), **given}
    return config_from_dict(tables, "estimate")
