"""``qt-hw cancel``, ``retry`` and ``cost``: stop jobs, pay for them once more, add them up."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qt_hw.cli.shared import (
    JobName,
    MaxQpuSeconds,
    MaxUsd,
    RunFolder,
    explained,
    interruptible,
    say,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from qt_hw.execution.journal import JobRow, RequestRow
    from qt_hw.hardware.billing import Bill
    from qt_hw.hardware.home import Home

__all__ = ["cancel", "cost", "retry"]


def cancel(run: RunFolder, job: JobName = None) -> None:
    """Ask the vendor to stop the open jobs of RUN, or one of them.

    A job that has begun may be billed all the same: see qt-hw cost RUN.
    """
    from qt_hw.hardware import jobs

    with interruptible(f"stopped; see: qt-hw status {run}"):
        done = jobs.cancel(run, job, say=say)
    for home, request, row in done:
        print(_line(home, request, row, _CANCELLED.get(row.state, row.state)))
    if not done:
        print(f"no open jobs in {run}")


_CANCELLED = {
    "cancelled": "is cancelled",
    "submitted": "is being cancelled",
    "done": "was done already; its result is kept",
    "failed": "had failed",
}


def retry(
    run: RunFolder,
    job: JobName = None,
    max_usd: MaxUsd = None,
    max_qpu_seconds: MaxQpuSeconds = None,
) -> None:
    """Pay once more for failed or cancelled jobs: for that part of them which did not come back.

    The price is printed first, and the cap holds; --max-usd and --max-qpu-seconds raise it. With
    --job also a way out for a job that is done but whose result stays unreadable.
    """
    from qt_hw.cli.money import counted, price
    from qt_hw.execution.backend import Cost
    from qt_hw.hardware import jobs

    def quoted(label: str, cost: Cost) -> None:
        print(
            f"{label} once more: {counted(cost.circuits, 'circuit')}, "
            f"{counted(cost.shots, 'shot')}, price: {price(cost)} ({cost.source})",
            flush=True,
        )

    hint = "what failed counts as spent; raise the cap with --max-usd or --max-qpu-seconds"
    with interruptible(f"stopped; see: qt-hw status {run}"), explained(hint):
        done = jobs.retry(
            run, job, max_usd=max_usd, max_qpu_seconds=max_qpu_seconds, say=say, quoted=quoted
        )
    for home, request, row in done:
        print(_line(home, request, row, "is submitted"))
    if done:
        print(f"go on with: {_then(run, done)}")


def _then(run: Path, done: Sequence[tuple[Home, RequestRow, JobRow]]) -> str:
    """Return the command that fetches what is on its way now."""
    if any(home.of_study for home, _, _ in done):
        return f"qt-hw study {run}{' --rehearse' if done[0][0].rehearsed else ''}"
    training = any(request.step >= 0 for _, request, _ in done)
    return f"qt-hw collect {run}{' --continue' if training else ''}"


def cost(run: RunFolder) -> None:
    """Print what the jobs of RUN cost, with the vendor's own figures where there are any.

    Rehearsed jobs are listed apart and count for nothing.
    """
    from qt_hw.hardware.billing import bills

    found = [bill for bill in bills(run, say=say) if bill.jobs]
    for number, bill in enumerate(found):
        if number:
            print()
        _print(bill)
    if not found:
        print(f"no jobs in {run}")


def _print(bill: Bill) -> None:
    from qt_hw.cli.money import charged, span, spending
    from qt_hw.cli.table import print_table, simple_table
    from qt_hw.hardware.sources import short_id

    print(bill.home.label)
    rows = []
    for request, row in bill.jobs:
        seconds = span(row.qpu_seconds_low, row.qpu_seconds_high)
        estimate = f"{span(row.usd_low, row.usd_high)} USD" if row.usd_high else f"{seconds} QPU s"
        known = charged(row.usd, row.qpu_seconds)
        source = row.charge_source or row.price_source
        rows.append(
            (request.label, row.state, estimate, known or "not known yet", source, short_id(row.id))
        )
    for second in bill.duplicates:
        known = charged(second["usd"], second["qpu_seconds"])
        state = "cancelled" if second["cancelled"] else "second job"
        rows.append(("second job", state, "", known or "not known yet", "", short_id(second["id"])))
    headers = ("for", "state", "estimate", "charged", "source", "job")
    print_table(simple_table(headers, rows, wrap=True))
    print(f"in all: {spending(bill.totals, bill.caps) or 'nothing'}")
    if bill.problem is not None:
        print(f"the vendor cannot be asked ({bill.problem}): as last known")


def _line(home: Home, request: RequestRow, row: JobRow, what: str) -> str:
    mark = "(rehearsal) " if home.rehearsed else ""
    return f"{mark}{request.label}: job {row.id or row.token} {what}"
