"""The options of the flood task that are written as text."""

from __future__ import annotations

from collections.abc import Sequence

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks.flood.units import KINDS

__all__ = ["column_names", "leads_of", "whole", "words"]


def whole(option: str, value: object, least: int) -> int:
    """Return ``value`` if it is a whole number of at least ``least``.

    Raises:
        InputError: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(f"{option} must be a whole number of at least {least}, got {value!r}")
    return value


def leads_of(lead: object) -> tuple[int, ...]:
    """Return the lead times in steps.

    Raises:
        InputError: They are no rising whole numbers from 1 on.

    >>> leads_of(3), leads_of("1, 6, 12")
    ((1, 2, 3), (1, 6, 12))
    """
    if isinstance(lead, int) and not isinstance(lead, bool) and lead >= 1:
        return tuple(range(1, lead + 1))
    parts = lead.split(",") if isinstance(lead, str) else lead
    if isinstance(parts, Sequence):
        try:
            found = tuple(int(str(part)) for part in parts)
        except ValueError:
            found = ()
        if found and found[0] >= 1 and list(found) == sorted(set(found)):
            return found
    raise InputError(
        "lead must be a number of steps, or several as rising numbers from 1 on such as "
        f"'1, 3, 6, 12', got {lead!r}"
    )


def column_names(columns: str | None) -> dict[str, str]:
    """Return the headers by kind of ``kind=header, kind=header``.

    Raises:
        InputError: It is written otherwise.
        UnknownName: There is no such kind.

    >>> column_names("time=Messzeit, discharge=Q")
    {'time': 'Messzeit', 'discharge': 'Q'}
    """
    found: dict[str, str] = {}
    for part in words(columns):
        kind, equals, header = (piece.strip() for piece in part.partition("="))
        if not (equals and header):
            raise InputError(
                "columns must be written as 'time=HEADER, discharge=HEADER, rain=HEADER', got "
                f"{columns!r}"
            )
        if kind not in KINDS:
            raise UnknownName("column", kind, KINDS)
        found[kind] = header
    return found


def words(text: str | float | None) -> tuple[str, ...]:
    """Return what stands between commas; a number is one word.

    >>> words("Eis, -777"), words(-777)
    (('Eis', '-777'), ('-777',))
    """
    whole_text = "" if text is None else str(text)
    return tuple(part.strip() for part in whole_text.split(",") if part.strip())
