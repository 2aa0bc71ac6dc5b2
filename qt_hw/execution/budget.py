"""Caps on money and device time: the check that comes before every paid request."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from qt_hw.errors import InputError
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

    def __post_init__(self) -> None:
        """Refuse what is no cap: with a NaN no total would be above it."""
        for name, value in vars(self).items():
            if value is not None and not value >= 0.0:
                raise InputError(f"{name} must be a number of at least 0, not {value!r}")


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
    """Return why requests of this cost must not be sent; empty if they may.

    >>> refusals(Cost(circuits=1, shots=100, usd_high=8.3), Totals(usd_spent=5.0), Cap(max_usd=10))
    ['5.00 USD spent + 0.00 queued + 8.30 for the next job = 13.30, above max_usd = 10.00']
    """
    kinds = [kind for kind in _kinds(cost, totals, cap) if kind.high != 0.0]
    if wrong := [kind for kind in kinds if not 0.0 <= kind.high < math.inf]:
        return [f"the price of the next job is not known ({k.high} {k.unit})" for k in wrong]
    if kinds and all(kind.most is None for kind in kinds):
        names = " or ".join(f"{kind.name} (at least {kind.high:.2f})" for kind in kinds)
        return [f"a paid job needs a cap: set {names}"]
    jobs = "the next job" if cost.jobs == 1 else f"the next {cost.jobs} jobs"
    reasons = []
    for kind in kinds:
        total = kind.spent + kind.queued + kind.high
        if kind.most is not None and total > kind.most + 1e-9:
            reasons.append(
                f"{kind.spent:.2f} {kind.unit} spent + {kind.queued:.2f} queued + {kind.high:.2f} "
                f"for {jobs} = {total:.2f}, above {kind.name} = {kind.most:.2f}"
            )
    return reasons


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """One kind of price beside what is left of its cap."""

    unit: str
    name: str
    high: float
    spent: float
    queued: float
    most: float | None


def _kinds(cost: Cost, totals: Totals, cap: Cap) -> Iterator[_Kind]:
    yield _Kind(
        unit="USD",
        name="max_usd",
        high=cost.usd_high,
        spent=totals.usd_spent,
        queued=totals.usd_queued,
        most=cap.max_usd,
    )
    yield _Kind(
        unit="QPU seconds",
        name="max_qpu_seconds",
        high=cost.qpu_seconds_high,
        spent=totals.qpu_seconds_spent,
        queued=totals.qpu_seconds_queued,
        most=cap.max_qpu_seconds,
    )
