"""Noise as text: ``"depolarizing(p1=1e-3, p2=1e-2) + coherent(zz=0.05) + readout(p=0.02)"``."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from qt_hw.errors import InputError, UnknownName

__all__ = ["FORMS", "Term", "parse_noise"]

FORMS = (
    "depolarizing(p1=…, p2=…)",
    "readout(p=…)",
    "readout(p01=…, p10=…)",
    "thermal(t1=…, t2=…, gate_time_1q=…, gate_time_2q=…) in seconds",
    "coherent(zz=…, rx=…, rz=…) in radians",
    "median(fake_torino), any fake device",
)

_ALLOWED = f"allowed: {'; '.join(FORMS)}; joined by +"
_TERM = re.compile(r"([a-z_]+)\s*\((.*)\)", re.DOTALL)
_DEVICE = re.compile(r"[a-z][a-z0-9_]*")
_PLUS = re.compile(r"\+(?![^()]*\))")


@dataclass(frozen=True, kw_only=True)
class Term:
    """One kind of noise with all its numbers filled in.

    Attributes:
        kind: For example ``"readout"``.
        values: Its numbers; empty for ``"median"``.
        device: The device whose median errors are meant, for ``"median"`` only.
    """

    kind: str
    values: Mapping[str, float]
    device: str | None = None

    def __str__(self) -> str:
        inside = ", ".join(f"{k}={v:g}" for k, v in self.values.items())
        return f"{self.kind}({self.device or inside})"


def parse_noise(text: str) -> tuple[Term, ...]:
    """Return the terms of a noise specification, in the order in which they act.

    Args:
        text: Terms joined by ``+``. In ``readout``, p01 is the probability that a 0 is read
            as 1 and p10 that a 1 is read as 0; p sets both. Depolarizing p is Aer's: with
            probability p the qubits are replaced by the maximally mixed state. ``coherent`` is
            an over-rotation by a fixed angle: exp(-i zz/2 Z⊗Z) after each two-qubit gate;
            exp(-i rx/2 X), then exp(-i rz/2 Z), after each one-qubit gate but RZ. ``median``
            stands for the depolarizing and readout errors of a typical qubit and coupler of a
            device (see ``qt_hw_aer.median``), on the circuit as it is, not routed.

    Raises:
        InputError: The text does not parse, or a number is out of range.

    >>> [str(term) for term in parse_noise("depolarizing(p1=1e-3, p2=0.01)+readout(p=0.02)")]
    ['depolarizing(p1=0.001, p2=0.01)', 'readout(p01=0.02, p10=0.02)']
    """
    terms = tuple(_term(part.strip()) for part in _PLUS.split(text))
    kinds = [term.kind for term in terms]
    for kind in kinds:
        if kinds.count(kind) > 1:
            raise InputError(f"noise {text!r}: {kind!r} is given more than once")
    return terms


def _term(part: str) -> Term:
    match = _TERM.fullmatch(part)
    if match is None:
        raise InputError(f"cannot read the noise {part!r}; {_ALLOWED}")
    kind, inside = match.groups()
    if kind == "median":
        return Term(kind=kind, values={}, device=_device(inside.strip()))
    if kind not in _CHECKS:
        raise UnknownName("noise", kind, [*_CHECKS, "median"])
    values: dict[str, float] = {}
    for pair in filter(None, (piece.strip() for piece in inside.split(","))):
        key, value = _number(pair, kind)
        if key in values:
            raise InputError(f"noise {kind!r}: {key} is given twice")
        values[key] = value
    return Term(kind=kind, values=_CHECKS[kind](values))


def _device(name: str) -> str:
    if not _DEVICE.fullmatch(name):
        raise InputError(
            f"noise 'median' needs the name of one fake device, not {name!r}; "
            "write median(fake_torino)"
        )
    return name


def _number(pair: str, kind: str) -> tuple[str, float]:
    key, equals, text = (piece.strip() for piece in pair.partition("="))
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not equals or not math.isfinite(value):
        raise InputError(f"noise {kind!r}: {pair!r} is not 'name=number'; {_ALLOWED}")
    return key, value


def _only(kind: str, values: Mapping[str, float], allowed: tuple[str, ...]) -> None:
    for key in values:
        if key not in allowed:
            raise UnknownName(f"argument of noise {kind!r}", key, allowed)
    if not values:
        raise InputError(f"noise {kind!r} needs at least one of {', '.join(allowed)}")


def _between(kind: str, key: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise InputError(f"noise {kind!r}: {key}={value:g} is outside [{low:g}, {high:.6g}]")
    return value


def _depolarizing(values: Mapping[str, float]) -> dict[str, float]:
    _only("depolarizing", values, ("p1", "p2"))
    tops = {"p1": 4 / 3, "p2": 16 / 15}
    return {
        key: _between("depolarizing", key, values.get(key, 0.0), 0.0, top)
        for key, top in tops.items()
    }


def _readout(values: Mapping[str, float]) -> dict[str, float]:
    _only("readout", values, ("p", "p01", "p10"))
    if "p" in values and len(values) > 1:
        raise InputError("noise 'readout' takes either p or p01 and p10")
    both = values.get("p", 0.0)
    return {
        key: _between("readout", key, values.get(key, both), 0.0, 1.0) for key in ("p01", "p10")
    }


def _thermal(values: Mapping[str, float]) -> dict[str, float]:
    keys = ("t1", "t2", "gate_time_1q", "gate_time_2q")
    _only("thermal", values, keys)
    missing = [key for key in keys if key not in values]
    if missing:
        raise InputError(f"noise 'thermal' lacks {', '.join(missing)} (seconds)")
    if values["t1"] <= 0 or values["t2"] <= 0 or values["t2"] > 2 * values["t1"]:
        raise InputError("noise 'thermal' needs t1 > 0 and 0 < t2 <= 2 t1")
    for key in keys[2:]:
        _between("thermal", key, values[key], 0.0, math.inf)
    return {key: values[key] for key in keys}


def _coherent(values: Mapping[str, float]) -> dict[str, float]:
    keys = ("zz", "rx", "rz")
    _only("coherent", values, keys)
    return {key: _between("coherent", key, values.get(key, 0.0), -math.pi, math.pi) for key in keys}


_CHECKS: dict[str, Callable[[Mapping[str, float]], dict[str, float]]] = {
    "depolarizing": _depolarizing,
    "readout": _readout,
    "thermal": _thermal,
    "coherent": _coherent,
}
