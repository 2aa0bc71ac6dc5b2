"""A small catchment in hourly steps: stochastic rain, a soil store, linear reservoirs.

Rain falls or not by a two-state Markov chain, its amounts follow a gamma distribution (Richardson,
Water Resour. Res. 17 (1981) 182, there by days), both with the season. The soil store of moisture
S lets ``(S / capacity) ** exponent`` of the rain through and evaporates ``potential ·
min(1, S / (0.9 · capacity))`` (HBV: Bergström, SMHI RHO 7 (1976)). What goes through is split: one
part runs down a cascade of equal linear reservoirs (Nash, IAHS Publ. 45 (1957) 114), the other
into one slow linear reservoir. A linear reservoir with the storage ``S = k q`` and the constant
inflow i has after an hour the storage ``S e^(−1/k) + i k (1 − e^(−1/k))``; all else has run off. So
water is conserved to rounding.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = ["Catchment", "Record", "wave"]

Array = NDArray[np.float64]

_SPIN_UP = 2160  # hours until the stores have forgotten where they started
_DAYS = 365.25


@dataclass(frozen=True, kw_only=True, eq=False)
class Record:
    """What a catchment did, hour by hour: ``(N,)`` each.

    Attributes:
        rain: Rain, mm.
        evaporation: Actual evapotranspiration, mm.
        runoff: Water that left by the river, mm over the catchment.
        discharge: The same in m³/s, mean of the hour.
        storage: Water in soil and reservoirs at the end of the hour, mm.
        before: The same before the first hour.
    """

    rain: Array
    evaporation: Array
    runoff: Array
    discharge: Array
    storage: Array
    before: float


@dataclass(frozen=True, kw_only=True)
class Catchment:
    """Constants of the model; the defaults are those of a wet upland river.

    Attributes:
        area: km².
        wet_after_dry: Chance of rain in an hour after a dry one, mean of the year.
        wet_after_wet: The same after a wet hour.
        amount: Mean rain of a wet hour, mm.
        shape: Shape of the gamma distribution of the amounts.
        seasonality: Relative change of amounts and potential evaporation over the year.
        potential: Potential evapotranspiration, mm/h, mean of the year.
        capacity: Largest soil moisture, mm.
        exponent: How sharply runoff sets in as the soil fills.
        fast_share: Part of the water that passes the soil which takes the fast way.
        fast_hours: Time constant of each reservoir of the cascade, h.
        fast_stores: Their number.
        slow_hours: Time constant of the slow reservoir, h.
    """

    area: float = 340.0
    wet_after_dry: float = 0.025
    wet_after_wet: float = 0.82
    amount: float = 1.3
    shape: float = 0.7
    seasonality: float = 0.4
    potential: float = 0.07
    capacity: float = 150.0
    exponent: float = 2.5
    fast_share: float = 0.7
    fast_hours: float = 8.0
    fast_stores: int = 2
    slow_hours: float = 240.0

    def simulate(self, hours: int, seed: int) -> Record:
        """Return ``hours`` hours from the first of October on; the same seed gives the same bits.

        Args:
            hours: Length; the 2,160 hours before it are simulated too and left out.
            seed: Of the rain.
        """
        time: Array = np.arange(-_SPIN_UP, hours, dtype=np.float64) + 24 * 273
        rain, potential = self._rain(time, seed), self._potential(time)
        state = _State(soil=0.6 * self.capacity, fast=[0.0] * self.fast_stores)
        flows = np.array(
            [
                self._hour(state, p, e)
                for p, e in zip(rain.tolist(), potential.tolist(), strict=True)
            ]
        )
        evaporation, runoff, storage = flows.T
        kept = slice(_SPIN_UP, None)
        return Record(
            rain=rain[kept],
            evaporation=evaporation[kept],
            runoff=runoff[kept],
            discharge=runoff[kept] * self.area / 3.6,
            storage=storage[kept],
            before=float(storage[_SPIN_UP - 1]),
        )

    def _rain(self, time: Array, seed: int) -> Array:
        # RandomState's stream is frozen by numpy's compatibility policy, that of Generator is not.
        source = np.random.RandomState(seed)
        chance = source.uniform(size=len(time))
        season = np.cos(2 * np.pi * (time / 24 / _DAYS))  # 1 in the first days of January
        scale = self.amount / self.shape * (1 - 0.5 * self.seasonality * season)
        amounts = source.gamma(self.shape, size=len(time)) * scale
        start = self.wet_after_dry * (1 + self.seasonality * season)
        wet, state = np.zeros(len(time)), False
        for hour, (c, p) in enumerate(zip(chance.tolist(), start.tolist(), strict=True)):
            state = c < (self.wet_after_wet if state else p)
            wet[hour] = state
        rain: Array = wet * amounts
        return rain

    def _potential(self, time: Array) -> Array:
        """Return the potential evapotranspiration: by day only, more of it in summer."""
        season = 1 - 2 * self.seasonality * np.cos(2 * np.pi * (time / 24 / _DAYS))
        daylight = np.maximum(0.0, np.sin(2 * np.pi * (time / 24 - 0.25))) * np.pi
        result: Array = self.potential * season * daylight
        return result

    def _hour(self, state: _State, rain: float, potential: float) -> tuple[float, float, float]:
        """Move the state on by an hour; return evaporation, runoff and storage, mm."""
        full = min(1.0, state.soil / self.capacity)
        through = rain * full**self.exponent
        state.soil += rain - through
        through += max(0.0, state.soil - self.capacity)
        state.soil = min(state.soil, self.capacity)
        evaporation = min(state.soil, potential * min(1.0, state.soil / (0.9 * self.capacity)))
        state.soil -= evaporation
        flow = self.fast_share * through
        for k in range(self.fast_stores):
            state.fast[k], flow = _reservoir(state.fast[k], flow, self.fast_hours)
        state.slow, base = _reservoir(state.slow, (1 - self.fast_share) * through, self.slow_hours)
        return evaporation, flow + base, state.soil + sum(state.fast) + state.slow


@dataclass
class _State:
    soil: float
    fast: list[float] = field(default_factory=list)
    slow: float = 0.0


def _reservoir(storage: float, inflow: float, hours: float) -> tuple[float, float]:
    """Return storage after an hour and the outflow of that hour, exact for constant inflow."""
    kept = math.exp(-1 / hours)
    after = storage * kept + inflow * hours * (1 - kept)
    return after, storage + inflow - after


def wave(steps: int) -> Array:
    """Return the periodic wave of the reference, ``(steps,)``, 100 steps to a period.

    ``(0.64 sin² x + cos x + 0.3 sin³ x) e^(−3)`` on 100 points from x = 0 to 10π, both included,
    again and again. Source: the example of QT-LSTM in the code of arXiv:2402.16465.
    """
    x = np.linspace(0, 10 * np.pi, 100)
    period = (0.64 * np.sin(x) ** 2 + np.cos(x) + 0.3 * np.sin(x) ** 3) * np.exp(-3)
    return np.resize(period, steps)
