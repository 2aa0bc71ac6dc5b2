"""An analytic steering flow of the western North Pacific, with a weather of its own per storm.

Easterlies on the equator's side and westerlies on the other side of a subtropical ridge that moves
north in summer; an anticyclone on the ridge, at whose western end storms turn; and waves that pass
by (random phases, as the synthetic winds of Emanuel, Ravela, Vivant & Risi, Bull. Amer. Meteor.
Soc. 87 (2006) 299). All but the zonal part come from a stream function and the zonal part depends
on latitude alone, so that the flow is free of divergence on the sphere. Sizes are round numbers of
the observed order, not a fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["CLIMATE", "METRES_PER_DEGREE", "Weather", "deep_layer", "flow", "flow_on_grid", "ridge"]

Array = NDArray[np.float64]

METRES_PER_DEGREE = 111_195.0
_YEAR = 365.25
_LOW, _HIGH = 850.0, 250.0  # hPa
_LOW_WEIGHT = 0.8  # of 850 hPa in the deep-layer mean, Emanuel et al. (2006)
_WAVES = 6
_WAVE_SPEED = 1.5  # m/s, root mean square of each wave's largest wind
_HIGH_SPEED = 3.0  # m/s, largest southerly wind west of the anticyclone
_HIGH_WIDTH, _HIGH_LENGTH = 10.0, 18.0  # degrees of latitude and longitude


@dataclass(frozen=True, kw_only=True, eq=False)
class Weather:
    """What differs from storm to storm, ``(S,)`` or ``(S, K)`` for K waves.

    Attributes:
        high: Longitude of the anticyclone, degrees.
        strength: Its strength, 1 on average.
        shift: Displacement of the ridge, degrees of latitude.
        amplitude: Stream function of each wave, m²/s.
        east: Wave number towards the east, radians per degree.
        north: Wave number towards the north, radians per degree.
        frequency: Radians per day; the sign is that of the eastward phase speed.
        phase: Radians.
    """

    high: Array
    strength: Array
    shift: Array
    amplitude: Array
    east: Array
    north: Array
    frequency: Array
    phase: Array

    @classmethod
    def draw(cls, storms: int, source: np.random.RandomState) -> Weather:
        """Return the weather of ``storms`` storms."""
        many = (storms, _WAVES)
        length = source.uniform(25.0, 50.0, many)  # degrees of longitude
        east = 2 * np.pi / length
        north = 2 * np.pi / source.uniform(25.0, 60.0, many) * source.choice((-1.0, 1.0), many)
        size = np.sqrt(east**2 + north**2) / METRES_PER_DEGREE
        days = source.uniform(5.0, 12.0, many)  # period; two waves of three move westwards
        direction = np.where(source.uniform(size=many) < 2 / 3, -1.0, 1.0)
        return cls(
            high=source.normal(148.0, 7.0, storms),
            strength=np.clip(source.normal(1.0, 0.3, storms), 0.2, 2.0),
            shift=source.normal(0.0, 2.0, storms),
            amplitude=_WAVE_SPEED * source.rayleigh(np.sqrt(0.5), many) / size,
            east=east,
            north=north,
            frequency=direction * 2 * np.pi / days,
            phase=source.uniform(0.0, 2 * np.pi, many),
        )

    def of(self, storm: int) -> Weather:
        """Return the weather of one storm, for positions of any number."""
        return Weather(**{key: value[storm : storm + 1] for key, value in vars(self).items()})


CLIMATE = Weather(
    high=np.array([148.0]),
    strength=np.ones(1),
    shift=np.zeros(1),
    **{key: np.zeros((1, 0)) for key in ("amplitude", "east", "north", "frequency", "phase")},
)
"""The mean flow: no waves."""


def ridge(day: Array) -> Array:
    """Return the latitude of the subtropical ridge: 29° in the middle of August, else less.

    >>> ridge(np.array([227.0, 227.0 - 365.25 / 2])).tolist()
    [29.0, 17.0]
    """
    latitude: Array = 23.0 + 6.0 * np.cos(2 * np.pi * (day - 227.0) / _YEAR)
    return latitude


def flow(
    latitude: Array, longitude: Array, day: Array, weather: Weather, pressure: float
) -> tuple[Array, Array]:
    """Return the wind towards the east and the north, m/s, in the shape of the positions.

    Args:
        latitude: Degrees, ``(S,)``, or ``(…)`` for the weather of one storm.
        longitude: Degrees.
        day: Days since the year began; waves move with it.
        weather: Of the S storms.
        pressure: hPa; the wind is linear in it between 850 and 250 and constant beyond.
    """
    height = _height(pressure)
    axis = ridge(day) + weather.shift
    east = _zonal(latitude - axis, height)
    u, v = _anticyclone(latitude - axis, longitude - weather.high, weather.strength)
    waves_u, waves_v = _waves(latitude, longitude, day, weather)
    higher = 1.0 + 0.5 * height  # eddies grow towards the jet
    north = (v + higher * waves_v) / np.cos(np.deg2rad(latitude))
    return east + u + higher * waves_u, north


def flow_on_grid(
    latitude: Array, longitude: Array, day: Array, weather: Weather, pressure: float
) -> tuple[Array, Array]:
    """Return ``flow`` on P grids in the weather of one storm, ``(P, H, W)`` each, m/s.

    Sums and products of functions of latitude and of longitude: much quicker than point by point.

    Args:
        latitude: Of the rows, ``(P, H)``.
        longitude: Of the columns, ``(P, W)``.
        day: ``(P,)``.
        weather: Of one storm.
        pressure: hPa.
    """
    height = _height(pressure)
    north = latitude - (ridge(day) + weather.shift)[:, None]
    east = longitude - weather.high
    psi = _top(weather.strength) * _bell(north, _HIGH_WIDTH)[:, :, None]
    psi = psi * _bell(east, _HIGH_LENGTH)[:, None, :]
    a = weather.north * latitude[..., None]
    b = weather.east * longitude[..., None] - weather.frequency * day[:, None, None]
    b = b + weather.phase
    higher = (1.0 + 0.5 * height) / METRES_PER_DEGREE
    u, v = (
        np.sin(a) * size @ np.cos(b).swapaxes(1, 2) + np.cos(a) * size @ np.sin(b).swapaxes(1, 2)
        for size in (higher * weather.amplitude * k for k in (weather.north, weather.east))
    )
    u = u + psi * north[:, :, None] / _HIGH_WIDTH**2 + _zonal(north, height)[:, :, None]
    v = -(v + psi * east[:, None, :] / _HIGH_LENGTH**2)
    return u, v / np.cos(np.deg2rad(latitude))[:, :, None]


def deep_layer(
    latitude: Array, longitude: Array, day: Array, weather: Weather
) -> tuple[Array, Array]:
    """Return ``0.8 V(850) + 0.2 V(250)``, the flow that steers a storm, m/s."""
    low, high = (flow(latitude, longitude, day, weather, level) for level in (_LOW, _HIGH))
    u, v = (_LOW_WEIGHT * a + (1 - _LOW_WEIGHT) * b for a, b in zip(low, high, strict=True))
    return u, v


def _height(pressure: float) -> float:
    """Return 0 at 850 hPa and below, 1 at 250 hPa and above."""
    return float(np.clip((_LOW - pressure) / (_LOW - _HIGH), 0.0, 1.0))


def _zonal(distance: Array, height: float) -> Array:
    """Return the zonal mean wind at a distance from the ridge, degrees of latitude."""
    low = 3.0 * np.tanh(distance / 8.0)
    high = 5.0 + 12.0 * np.tanh(distance / 10.0)
    wind: Array = (1 - height) * low + height * high
    return wind


def _anticyclone(north: Array, east: Array, strength: Array) -> tuple[Array, Array]:
    """Return −∂ψ/∂φ and ∂ψ/∂λ of a Gaussian stream function, m/s."""
    psi = _top(strength) * _bell(north, _HIGH_WIDTH) * _bell(east, _HIGH_LENGTH)
    return psi * north / _HIGH_WIDTH**2, -psi * east / _HIGH_LENGTH**2


def _top(strength: Array) -> Array:
    """Return the stream function in the middle of the anticyclone, in units of degrees · m/s."""
    # The largest slope of a Gaussian of length σ is 1/(σ √e).
    return float(_HIGH_SPEED * np.sqrt(np.e) * _HIGH_LENGTH) * strength


def _bell(distance: Array, length: float) -> Array:
    bell: Array = np.exp(-0.5 * (distance / length) ** 2)
    return bell


def _waves(latitude: Array, longitude: Array, day: Array, weather: Weather) -> tuple[Array, Array]:
    """Return −∂ψ/∂φ and ∂ψ/∂λ of the sum of all waves, m/s."""
    angle = (
        weather.east * longitude[..., None]
        + weather.north * latitude[..., None]
        - weather.frequency * np.asarray(day)[..., None]
        + weather.phase
    )
    slope = weather.amplitude * np.sin(angle) / METRES_PER_DEGREE
    return (slope * weather.north).sum(-1), -(slope * weather.east).sum(-1)
