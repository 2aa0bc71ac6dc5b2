"""Caps on money and device time: the check that comes before every paid request."""

from __future__ import annotations

from dataclasses import dataclass

from qt_hw.execution.backend import Cost

__all__ = ["Cap", "Totals", "refusals"]


@dataclass(frozen=True, kw_only=True)
class Cap:
    """What may be spent in all; None: no cap of this kind.

    Attributes:
        max_usd: US dollars.
        max_qpu_seconds: Seconds of the device.
    """

    max_usd: float | None = None
    max_qpu_seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class Totals:
    """What jobs cost so far.

    Spent is what finished jobs cost, where that is not known their high estimate; queued the high
    estimates of jobs that may still run.
    """

    usd_spent: float = 0.0
    usd_queued: float = 0.0
    qpu_seconds_spent: float = 0.0
    qpu_seconds_queued: float = 0.0


def refusals(cost: Cost, totals: Totals, cap: Cap) -> list[str]:
    """Return why a request of this cost must not be sent; empty if it may.

    >>> refusals(Cost(circuits=1, shots=100, usd_high=8.3), Totals(usd_spent=5.0), Cap(max_usd=10))
    ['5.00 USD spent + 0.00 queued + 8.30 for the next job = 13.30, above max_usd = 10.00']
    """
    kinds = (
        ("USD", "max_usd", cost.usd_high, totals.usd_spent, totals.usd_queued, cap.max_usd),
        (
            "QPU seconds",
            "max_qpu_seconds",
            cost.qpu_seconds_high,
            totals.qpu_seconds_spent,
            totals.qpu_seconds_queued,
            cap.max_qpu_seconds,
        ),
    )
    billed = [kind for kind in kinds if kind[2] > 0.0]
    if billed and all(kind[5] is None for kind in billed):
        names = " or ".join(f"{name} (at least {high:.2f})" for _, name, high, *_ in billed)
        return [f"a paid job needs a cap: set {names}"]
    reasons = []
    for unit, name, high, spent, queued, most in billed:
        total = spent + queued + high
        if most is not None and total > most + 1e-9:
            reasons.append(
                f"{spent:.2f} {unit} spent + {queued:.2f} queued + {high:.2f} for the next job "
                f"= {total:.2f}, above {name} = {most:.2f}"
            )
    return reasons
