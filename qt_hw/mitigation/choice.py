"""What ``auto`` decides: the combination with the smallest error that is expected."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qt_hw.errors import InputError
from qt_hw.mitigation.forecast import Forecast, forecasts
from qt_hw.mitigation.situation import Method, Situation

__all__ = ["TIE", "Choice", "choose"]

TIE = 0.02
"""Relative difference of two expected distances that is none: the simpler method is taken."""


@dataclass(frozen=True)
class Choice:
    """A method, and why.

    Attributes:
        method: The one with the smallest total variation distance, or a simpler one as good.
        forecasts: Of all candidates, in their order.
        reason: One line.
    """

    method: Method
    forecasts: tuple[Forecast, ...]
    reason: str


def choose(candidates: Sequence[Method], situation: Situation) -> Choice:
    """Return the best of some methods for the shots of a situation.

    Raises:
        InputError: No candidates, or a readout that cannot be corrected.
    """
    if not candidates:
        raise InputError("no combination of techniques to choose from; name at least one")
    found = forecasts(candidates, situation)
    least = min(one.total_variation for one in found)
    good = [one for one in found if one.total_variation <= least * (1.0 + TIE)]
    best = min(good, key=lambda one: (one.method.complexity, one.total_variation))
    return Choice(method=best.method, forecasts=tuple(found), reason=_reason(best, found))


def _reason(best: Forecast, found: Sequence[Forecast]) -> str:
    others = sorted((f for f in found if f is not best), key=lambda f: f.total_variation)
    start = (
        f"{best.method.name}: total variation {best.total_variation:.3g} expected at "
        f"{best.shots:,} shots"
    )
    if not others:
        return start
    return start + "; " + ", ".join(f"{f.method.name} {f.total_variation:.3g}" for f in others)
