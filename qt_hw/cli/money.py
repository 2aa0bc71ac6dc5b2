"""Prices in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from qt_hw.execution.backend import Cost
    from qt_hw.execution.budget import Totals
    from qt_hw.hardware.sources import Caps

__all__ = ["charged", "counted", "price", "span", "spending"]


def span(low: float, high: float) -> str:
    """Return a range, or one number where both ends show alike.

    >>> span(200.3, 200.3), span(1, 1200.5)
    ('200.30', '1.00–1,200.50')
    """
    ends = dict.fromkeys(f"{value:,.2f}" for value in (low, high))
    return "–".join(ends)


def price(cost: Cost) -> str:
    """Return what a request costs, in money and in device time as far as it is billed so.

    >>> from qt_hw.execution.backend import Cost
    >>> price(Cost(circuits=1, shots=1, qpu_seconds_low=2, qpu_seconds_high=3))
    '2.00–3.00 QPU seconds'
    """
    parts = []
    if cost.usd_high > 0.0:
        parts.append(f"{span(cost.usd_low, cost.usd_high)} USD")
    if cost.qpu_seconds_high > 0.0:
        parts.append(f"{span(cost.qpu_seconds_low, cost.qpu_seconds_high)} QPU seconds")
    return ", ".join(parts) or "nothing"


def charged(usd: float | None, qpu_seconds: float | None) -> str:
    """Return what was charged; empty where that is not known."""
    parts = []
    if usd is not None:
        parts.append(f"{usd:,.2f} USD")
    if qpu_seconds is not None and (qpu_seconds > 0.0 or usd is None):
        parts.append(f"{qpu_seconds:,.2f} QPU s")
    return ", ".join(parts)


def spending(totals: Totals, caps: Caps) -> str:
    """Return spent, queued and cap in one line."""
    kinds = (
        ("USD", totals.usd_spent, totals.usd_queued, caps.max_usd),
        (
            "QPU seconds",
            totals.qpu_seconds_spent,
            totals.qpu_seconds_queued,
            caps.max_qpu_seconds,
        ),
    )
    return "; ".join(
        f"{spent:,.2f} {unit} spent + {queued:,.2f} queued"
        + ("" if most is None else f" of at most {most:,.2f}")
        for unit, spent, queued, most in kinds
        if spent or queued or most is not None
    )


def counted(number: int, noun: str) -> str:
    """Return a number with its noun.

    >>> counted(1, "job"), counted(2500, "shot")
    ('1 job', '2,500 shots')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
