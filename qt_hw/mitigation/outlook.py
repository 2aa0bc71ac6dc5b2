"""A forecast in words: what each technique is expected to bring, and from how many shots on.

Judged by the total variation distance after projection, as results are. A method is compared with
the best of its parts: extrapolation that loses against readout correction alone hurts, even where
it beats the raw vector.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

from qt_hw.mitigation.forecast import Forecast, break_even, forecasts
from qt_hw.mitigation.situation import Method, Situation

__all__ = ["RAW", "lines", "pays_from", "simpler", "warning"]

RAW = Method("raw", readout=False)
"""Frequencies as they are measured."""

#: Relative difference of two expected distances below which nothing is warned of.
_MARGIN = 0.02

#: How far the break-even is looked for: factors of two around that of the L2 error.
_DOUBLINGS, _PRECISION = 10, 1.06


def simpler(method: Method) -> tuple[Method, ...]:
    """Return what a method is compared with: raw, and its parts that need no further circuits.

    >>> [m.name for m in simpler(Method("readout+rescale", True, rescale=True))]
    ['raw', 'readout']
    """
    parts = [RAW]
    if method.readout:
        parts.append(Method("readout", readout=True))
    if method.twirled:
        name = "readout+twirling" if method.readout else "twirling"
        parts.append(Method(name, readout=method.readout, twirled=True))
    return tuple(part for part in parts if part.name != method.name)


def pays_from(method: Method, other: Method, situation: Situation) -> float:
    """Return the shots from which the projected vector of a method is nearer than another's.

    Near the break-even of the L2 errors, within 6 %; infinity if neither error crosses.

    Raises:
        InputError: See ``forecasts``.
    """
    start = break_even(method, other, situation)
    if not math.isfinite(start):
        return math.inf

    def better(shots: float) -> bool:
        at = dataclasses.replace(situation, shots=max(1, round(shots)))
        one, two = forecasts([method, other], at)
        return one.total_variation < two.total_variation

    low = high = max(start, 1.0)
    if better(high):
        for _ in range(_DOUBLINGS):
            low = high / 2
            if low < 1 or not better(low):
                break
            high = low
        else:
            return high
    else:
        for _ in range(_DOUBLINGS):
            high = low * 2
            if better(high):
                break
            low = high
        else:
            return math.inf
    while high > _PRECISION * max(low, 1.0):
        middle = math.sqrt(max(low, 0.5) * high)
        low, high = (low, middle) if better(middle) else (middle, high)
    return high if high > 1.0 else 0.0


def lines(methods: Sequence[Method], situation: Situation) -> list[str]:
    """Return one line for each method: its expected error, that without it, and where it pays.

    Raises:
        InputError: See ``forecasts``.
    """
    out = []
    for method in methods:
        if method.name == "raw":
            continue
        found, best = _compared(method, situation)
        text = (
            f"{method.name}: total variation {found.total_variation:.3g} expected at "
            f"{situation.shots:,} shots, {best.total_variation:.3g} {_without(best)}: "
        )
        change = found.total_variation / max(best.total_variation, 1e-300) - 1.0
        verdict = "hurts" if change > 0 else "helps"
        if abs(change) <= _MARGIN:
            verdict = "changes little"
        out.append(f"{text}{verdict}; {_pays(method, situation)}")
    return out


def warning(chosen: Method, situation: Situation) -> str | None:
    """Return a line where a method is expected to lose against a part of it, None if it wins.

    Raises:
        InputError: See ``forecasts``.
    """
    if chosen.name == "raw":
        return None
    found, best = _compared(chosen, situation)
    if found.total_variation <= best.total_variation * (1.0 + _MARGIN):
        return None
    return (
        f"{chosen.name} is expected to hurt at {situation.shots:,} shots: total variation "
        f"{found.total_variation:.3g} with it, {best.total_variation:.3g} {_without(best)}; "
        f"{_pays(chosen, situation)}"
    )


def _compared(method: Method, situation: Situation) -> tuple[Forecast, Forecast]:
    """Return the forecast of a method, and that of the best of its parts."""
    found, *parts = forecasts([method, *simpler(method)], situation)
    return found, min(parts, key=lambda part: part.total_variation)


def _without(part: Forecast) -> str:
    return "raw" if part.method.name == "raw" else f"with {part.method.name} alone"


def _pays(method: Method, situation: Situation) -> str:
    """Return from how many shots a method is better than all of its parts."""
    parts = simpler(method)
    shots = max(pays_from(method, part, situation) for part in parts)
    if math.isfinite(shots):
        return f"it pays from about {_rounded(shots):,} shots" if shots else "it always pays"
    known = situation.confusion
    if method.readout and known is not None and known.shots is not None:
        exact = dataclasses.replace(situation, confusion=dataclasses.replace(known, shots=None))
        if all(math.isfinite(break_even(method, part, exact)) for part in parts):
            return f"calibrate the readout with more than {known.shots:,} shots"
    return "no number of shots is enough: leave it off"


def _rounded(shots: float) -> int:
    """Return two digits of a number, rounded up: more would not be true."""
    unit = int(10 ** max(0, len(str(math.ceil(shots))) - 2))
    return math.ceil(shots / unit) * unit
