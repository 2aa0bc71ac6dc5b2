"""The options of the task that are more than a choice or a count."""

from __future__ import annotations

from qt_hw.errors import InputError

__all__ = ["channels_of", "check_between", "check_lead", "check_seed", "fitting"]

_STEP = 6  # hours between the records of a track


def channels_of(variables: object, levels: object) -> tuple[tuple[str, ...], tuple[float, ...]]:
    """Return variables and levels, which are lists with commas.

    Raises:
        InputError: They are not.

    >>> channels_of("u, v", "850,250")
    (('u', 'v'), (850.0, 250.0))
    """
    names = tuple(name.strip() for name in str(variables).split(","))
    try:
        pressures = tuple(float(level) for level in str(levels).split(","))
    except ValueError:
        pressures = ()
    if not all(names) or not pressures or not all(0 < p < 2000 for p in pressures):
        raise InputError(
            "variables and levels must be lists with commas, such as 'u,v' and '850,250' (hPa), "
            f"got {variables!r} and {levels!r}"
        )
    return names, pressures


def check_between(name: str, value: object, low: float, high: float) -> None:
    """Refuse what is no number between ``low`` and ``high``, both left out.

    Raises:
        InputError: ``value`` is none.
    """
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not low < float(str(value)) < high:
        raise InputError(f"{name} must lie between {low:g} and {high:g}, got {value!r}")


def check_lead(hours: object) -> None:
    """Refuse a distance of lead times that the tracks do not have.

    Raises:
        InputError: ``hours`` is no positive multiple of six.
    """
    if isinstance(hours, bool) or not isinstance(hours, int) or hours < _STEP or hours % _STEP:
        raise InputError(
            f"lead_hours must be a multiple of 6, the step of the tracks, got {hours!r}"
        )


def check_seed(seed: object) -> None:
    """Refuse a seed that the generator does not take.

    Raises:
        InputError: ``seed`` is no whole number between 0 and 2^32 - 1.
    """
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise InputError(f"seed must be a whole number of at least 0 (below 2^32), got {seed!r}")


def fitting(inputs: str, width: int) -> str:
    """Return what to change where a network does not take the inputs, whose last axis is given."""
    if inputs == "images":
        return (
            "inputs = 'images' are for typhoon-qpa and typhoon-am-convgru, with window = 31 and "
            "four channels; set inputs = 'sequence' for typhoon-gru-H"
        )
    return (
        f"set target.options.inputs = {width} for typhoon-gru-H; the published networks take "
        "inputs = 'images'"
    )
