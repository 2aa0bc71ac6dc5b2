"""What tasks cost: a fee for each and a price for each shot."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

from qt_hw.errors import InputError

__all__ = ["Price", "read_price"]

_OURS = Path(__file__).with_name("prices.toml")


@dataclass(frozen=True, kw_only=True)
class Price:
    """Prices of one device.

    Attributes:
        task: US dollars for each task, whether it holds one circuit or a program set.
        shot: US dollars for each shot.
        source: Where they are from, and of which date.
    """

    task: Decimal
    shot: Decimal
    source: str

    def usd(self, tasks: int, shots: int) -> float:
        """Return the price of ``tasks`` with ``shots`` in all.

        >>> Price(task=Decimal("0.30"), shot=Decimal("0.08"), source="").usd(1, 2500)
        200.3
        """
        return float(self.task * tasks + self.shot * shots)


def read_price(arn: str, path: str | Path | None = None) -> Price:
    """Return the price of a device.

    Args:
        arn: The device.
        path: A TOML file with ``date``, ``source`` and, for each device, a table
            ``devices.<last part of the ARN>`` with ``task_usd`` and ``shot_usd``; None: the
            package's own.

    Raises:
        InputError: The file cannot be read or has no such table.
    """
    file, device = Path(path or _OURS), arn.rpartition("/")[2]
    try:
        table: dict[str, Any] = tomllib.loads(file.read_text("utf-8"), parse_float=Decimal)
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read the prices in {file}: {error}") from None
    devices = table.get("devices", {})
    if device not in devices:
        raise InputError(
            f"the price of {device} is not known (known: {', '.join(devices) or 'none'}); write "
            f"[devices.{device}] with task_usd and shot_usd into a TOML file and pass it as prices="
        )
    try:
        task, shot = (Decimal(devices[device][key]) for key in ("task_usd", "shot_usd"))
    except (KeyError, TypeError, InvalidOperation):
        task = shot = Decimal(-1)
    if not (task.is_finite() and shot.is_finite() and min(task, shot) >= 0):
        raise InputError(
            f"[devices.{device}] in {file} needs task_usd and shot_usd, numbers of at least 0"
        )
    source = f"prices of {table.get('date', 'an unknown date')} ({table.get('source', file)})"
    return Price(task=task, shot=shot, source=source)
