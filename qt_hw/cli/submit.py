"""``qt-hw submit``: measure a trained run's circuit on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from qt_hw.cli.shared import (
    Bucket,
    CalibrationShots,
    Fault,
    From,
    Instance,
    MaxQpuSeconds,
    MaxUsd,
    Mitigation,
    MitigationOptions,
    Options,
    QueueSeconds,
    Region,
    Rehearse,
    RunFolder,
    account_of,
    explained,
    interruptible,
    read_mitigation_options,
    read_options,
    rehearsal_of,
    say,
)

if TYPE_CHECKING:
    from qt_hw.hardware.evaluate import Submission

__all__ = ["submit"]


def submit(
    run: RunFolder,
    backend: Annotated[
        str, typer.Option(metavar="NAME", help="Where, e.g. ionq:forte-1 or ibm:ibm_torino.")
    ],
    shots: Annotated[int, typer.Option(metavar="N", help="Shots of each circuit.")],
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
    again: Annotated[
        bool, typer.Option("--again", help="Measure anew although the same was measured before.")
    ] = False,
    rehearse: Rehearse = False,
    queue_seconds: QueueSeconds = None,
    fault: Fault = None,
) -> None:
    """Run the circuit of a trained run on a device, once, and exit.

    The price is printed before anything is sent, and nothing is sent that would cross the cap.
    The same command again pays nothing: it goes on with what is under way. Fetch the result with
    qt-hw collect RUN.
    """
    rehearsal = rehearsal_of(rehearse, queue_seconds, fault)
    options, of_mitigation = read_options(option), read_mitigation_options(mitigation_option)

    from qt_hw.cli.money import counted, price
    from qt_hw.execution.backend import Cost
    from qt_hw.hardware.evaluate import submit as send
    from qt_hw.hardware.home import chosen_run

    chosen = chosen_run(run, which and which.value)

    def quoted(cost: Cost) -> None:
        kind = "rehearsal of " if rehearse else ""
        print(
            f"{kind}{chosen.folder} on {backend}: {counted(cost.circuits, 'circuit')}, "
            f"{counted(cost.shots, 'shot')}, {counted(cost.jobs, 'job')}"
        )
        print(f"price: {price(cost)} ({cost.source})", flush=True)

    hint = "the cap holds for everything recorded in the run: give a higher one if you mean it"
    left = f"stopped; what was sent goes on at the vendor, and is found with: qt-hw collect {run}"
    with interruptible(left), explained(hint):
        submission = send(
            chosen,
            backend,
            shots=shots,
            max_usd=max_usd,
            max_qpu_seconds=max_qpu_seconds,
            options=options,
            account=account_of(bucket, region, instance),
            mitigation=mitigation,
            mitigation_options=of_mitigation,
            calibration_shots=calibration_shots,
            again=again,
            rehearsal=rehearsal,
            say=say,
            quoted=quoted,
        )
    for line in _lines(submission, str(run)):
        print(line)


def _lines(submission: Submission, run: str) -> list[str]:
    """Return what became of a submission."""
    evaluation, home = submission.evaluation, submission.home
    name = f"{evaluation.label}{' (rehearsal)' if home.rehearsed else ''}"
    jobs = [f"  job {row.id}  ({row.token})" for row in submission.jobs]
    collect = f"go on with: qt-hw collect {run}"
    if submission.news == "sent":
        return [f"{name} is submitted:", *jobs, collect]
    if submission.news == "resumed":
        return [f"{name} asks for the same and is under way; nothing more is paid:", *jobs, collect]
    again = "to measure anew: --again"
    if submission.news == "done":
        return [f"{name} asked for the same and is measured: qt-hw collect {run}; {again}"]
    return [
        f"{name} asked for the same and {_ENDED[submission.news]}: qt-hw retry {run} pays for what "
        f"is missing; {again}"
    ]


_ENDED = {"failed": "failed", "cancelled": "was cancelled"}
