"""Where the figures of a page come from: configuration, versions, backends, cost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape
from typing import Any

from qt_hw.study.figures.views import Rows

__all__ = ["provenance"]


def provenance(rows: Rows, info: Mapping[str, Any]) -> str:
    """Return the last section of the page; see ``write_report`` for the keys of ``info``."""
    return "\n".join(
        [
            _pairs("How it was made", _made(rows, info)),
            _pairs("Backends", _backends(info.get("backends", ()))),
            _pairs("Controls", info.get("controls", {}).items()),
            _pairs("Versions", info.get("versions", {}).items()),
            _configuration(str(info.get("toml", ""))),
        ]
    )


def _made(rows: Rows, info: Mapping[str, Any]) -> list[tuple[str, Any]]:
    said: list[tuple[str, Any]] = [
        (name.capitalize(), info[name]) for name in ("command", "created") if info.get(name)
    ]
    if info.get("seeds"):
        said.append(("Seeds", ", ".join(map(str, info["seeds"]))))
    for name, metric in (("Circuits", "circuits"), ("Shots", "shots_used")):
        total = sum(row["value"] for row in rows if row["metric"] == metric)
        said.append((name, f"{total:,.0f}"))
    return said + _cost(info.get("cost", {}))


def _cost(cost: Mapping[str, Any]) -> list[tuple[str, Any]]:
    if not cost:
        return []
    rehearsed = "; a rehearsal: nothing was paid" if cost.get("rehearsed") else ""
    spent = f"{cost['usd']:,.2f} USD, {cost['qpu_seconds']:,.0f} QPU seconds{rehearsed}"
    return [("Cost", spent)]


def _backends(backends: Iterable[Mapping[str, Any]]) -> list[tuple[str, str]]:
    return [(one["name"], _calibrated(one.get("calibration_date"))) for one in backends]


def _calibrated(date: object) -> str:
    return f"calibration of {date}" if date else "no calibration"


def _pairs(title: str, pairs: Iterable[tuple[str, Any]]) -> str:
    lines = "".join(
        f"<dt>{escape(str(name))}</dt><dd>{escape(str(value))}</dd>" for name, value in pairs
    )
    return f"<h3>{escape(title)}</h3>\n<dl>{lines}</dl>" if lines else ""


def _configuration(toml: str) -> str:
    if not toml:
        return ""
    return f'<h3>Configuration</h3>\n<pre class="scrolling" tabindex="0">{escape(toml)}</pre>'
