"""What a job costs: the quick formula of the vendor's documentation."""

from __future__ import annotations

__all__ = ["START_SECONDS", "qpu_seconds"]

#: Seconds of the device that each job takes before its first circuit.
START_SECONDS = 2.0

_EXECUTION_SECONDS = 0.00035


def qpu_seconds(executions: int) -> float:
    """Return the seconds that a job is charged; ``executions`` is bound circuits × shots.

    Source: quantum.cloud.ibm.com/docs/guides/estimate-job-run-time (2 s + 0.00035 s each).
    """
    return round(START_SECONDS + _EXECUTION_SECONDS * executions, 3)
