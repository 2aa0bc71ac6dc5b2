"""What the figures show, picked from a summary: the same for matplotlib and for the report."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import count
from typing import Any

import numpy as np
from scipy.optimize import isotonic_regression

from qt_hw.study.condition import Condition
from qt_hw.study.statistics.groups import Group
from qt_hw.study.statistics.intervals import Interval
from qt_hw.study.statistics.law import Law
from qt_hw.study.statistics.series import Series
from qt_hw.study.summary import Summary
from qt_hw.tasks import Metric, headline_of

__all__ = [
    "KINDS",
    "Curve",
    "Point",
    "Rows",
    "Setting",
    "condition_name",
    "control_points",
    "interval_name",
    "intervals",
    "law_line",
    "settings",
    "spread_out",
    "ticks",
]

Rows = Sequence[Mapping[str, Any]]

KINDS = {"evaluate": "Evaluated under noise", "train": "Trained under noise"}
_SETTING = ("base", "task", "ansatz", "qubits", "layers", "width")
_BEYOND = 2.0  # in log2: an exact point stands so far right of the last shot count


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One series over shots, and how it is told apart.

    Attributes:
        name: Backend, noise and mitigation.
        kind: ``evaluate`` or ``train``.
        place: Backend, noise and gradient rule, without the mitigation.
        mitigation: As in the condition.
        colour: Number of its place: curves of one place share a colour.
        style: Number of its mitigation: 0 is none.
        metric: The headline metric of the task.
        groups: By rising shots, exact ones last.
        x: log2 of their shots; exact ones stand beyond the last.
        law: Of the headline metric, if it was fitted.
        twin: The noiseless group that it is compared with: another gradient rule has its own.
    """

    name: str
    kind: str
    place: str
    mitigation: str
    colour: int
    style: int
    metric: Metric
    groups: tuple[Group, ...]
    x: tuple[float, ...]
    law: Law | None
    twin: Group | None = None


@dataclass(frozen=True, kw_only=True)
class Setting:
    """One task with one circuit: what belongs into one figure.

    Attributes:
        title: What tells it from the study's other settings; empty if it is the only one.
        slug: The same for names of files.
        metric: The headline metric of its task.
        twin: The noiseless group; that of the controls, where there are several.
        controls: Groups of the controls.
        curves: Series of evaluations and trainings.
    """

    title: str
    slug: str
    metric: Metric
    twin: Group | None
    controls: tuple[Group, ...]
    curves: tuple[Curve, ...]

    def of_kind(self, kind: str) -> tuple[Curve, ...]:
        """Return the curves of one kind."""
        return tuple(curve for curve in self.curves if curve.kind == kind)

    def kinds(self, metric: str | None = None) -> tuple[str, ...]:
        """Return the kinds that have curves with ``metric``, by default the headline metric."""
        name = self.metric.test if metric is None else metric
        return tuple(k for k in KINDS if any(intervals(c, name)[0] for c in self.of_kind(k)))

    @property
    def twin_value(self) -> Interval | None:
        """The headline metric of the twin, if it is there."""
        return None if self.twin is None else self.twin.metrics.get(self.metric.test)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One line of the figure of controls.

    Attributes:
        name: Of the control, or of the quantum generator.
        parameters: That are trained; None if it is not known.
        value: Of the headline metric.
        group: Where it comes from.
    """

    name: str
    parameters: int | None
    value: Interval
    group: Group


def settings(summary: Summary) -> list[Setting]:
    """Return the study's settings, in the order of the table."""
    found: dict[tuple[Any, ...], None] = {}
    for group in summary.groups:
        if group.condition.kind in ("noiseless", "control", *KINDS) and _is_base(group):
            found.setdefault(_key(group.condition))
    keys = list(found)
    shown = [i for i in range(len(_SETTING)) if len({key[i] for key in keys}) > 1]
    made = [_setting(summary, key, shown) for key in keys]
    return _told_apart([setting for setting in made if setting.curves or setting.controls])


def _told_apart(found: Sequence[Setting]) -> list[Setting]:
    """Return the settings, each with a slug of its own: it has not all letters of the title."""
    taken: dict[str, Setting] = {}
    for setting in found:
        names = (f"{setting.slug}-{n}" if n > 1 else setting.slug for n in count(1))
        slug = next(name for name in names if name not in taken)
        taken[slug] = replace(setting, slug=slug)
    return list(taken.values())


def _setting(summary: Summary, key: tuple[Any, ...], shown: Sequence[int]) -> Setting:
    title = ", ".join(_value_name(_SETTING[i], key[i]) for i in shown if key[i] is not None)
    series = [s for s in _series(summary) if _key(s.condition) == key]
    twins = [g for g in summary.twins if _key(g.condition) == key]
    controls = [g for g in summary.controls if _key(g.condition) == key]
    rules = {g.condition.gradient for g in controls}
    known = [g for g in twins if g.condition.gradient in rules]
    known += [s.twin for s in series if s.twin is not None] + twins
    twin = known[0] if known else None
    places = list(dict.fromkeys(_place(s.condition) for s in series))
    methods = list(dict.fromkeys(["none", *(s.condition.mitigation for s in series)]))
    beyond = max((math.log2(n) for s in series for n in s.shots if n), default=0.0) + _BEYOND
    curves = [
        Curve(
            name=s.condition.where or s.condition.kind,
            kind=s.condition.kind,
            place=_place(s.condition),
            mitigation=s.condition.mitigation,
            colour=places.index(_place(s.condition)),
            style=methods.index(s.condition.mitigation),
            groups=s.groups,
            x=tuple(math.log2(n) if n else beyond for n in s.shots),
            metric=s.condition.metric,
            law=s.laws.get(s.condition.metric.test),
            twin=s.twin,
        )
        for s in series
    ]
    return Setting(
        title=title,
        slug=re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-"),
        metric=headline_of(key[_SETTING.index("task")]),
        twin=twin,
        controls=tuple(controls),
        curves=tuple(curves),
    )


def _series(summary: Summary) -> list[Series]:
    """Return the series, each with the noisy but exact group (no shots) at its end, if any."""
    noisy = [g for g in summary.groups if g.condition.kind in KINDS]
    exact = {g.condition: g for g in noisy if g.condition.shots is None}
    joined = [
        replace(s, groups=(*s.groups, exact.pop(s.condition))) if s.condition in exact else s
        for s in summary.series
    ]
    alone = [Series(condition=c, groups=(g,), twin=None, laws={}) for c, g in exact.items()]
    return joined + alone


def _is_base(group: Group) -> bool:
    """Return whether it is no target of a study of sizes."""
    return group.condition.kind != "control" or group.condition.width is None


def _key(condition: Condition) -> tuple[Any, ...]:
    return tuple(getattr(condition, name) for name in _SETTING)


def _value_name(name: str, value: Any) -> str:
    if name in ("qubits", "layers"):
        return f"{value} {name if value != 1 else name[:-1]}"
    return f"width {value}" if name == "width" else str(value)


def _place(condition: Condition) -> str:
    return condition.without("mitigation").where


def intervals(curve: Curve, metric: str) -> tuple[list[float], list[Interval]]:
    """Return the places (log2 of shots) and intervals of a curve's groups that have ``metric``."""
    pairs = [
        (x, g.metrics[metric])
        for x, g in zip(curve.x, curve.groups, strict=True)
        if metric in g.metrics
    ]
    return [x for x, _ in pairs], [value for _, value in pairs]


def law_line(curve: Curve, twin: Group | None) -> tuple[list[float], list[float]]:
    """Return the fitted law as log2 of shots and headline metric; empty where there is none.

    It is the one with a free exponent where 1/2 does not agree with the data; ``twin`` stands in
    for a curve without one of its own.
    """
    twin = curve.twin or twin
    if curve.law is None or twin is None or curve.metric.test not in twin.metrics:
        return [], []
    law = curve.law
    x = np.linspace(np.log2(law.shots[0]), np.log2(law.shots[-1]), 61)
    drops, _, _ = law.predict((2.0**x).tolist(), free=not law.consistent)
    mean = twin.metrics[curve.metric.test].mean
    return x.tolist(), (mean - curve.metric.sign * drops).tolist()


def ticks(curves: Sequence[Curve], most: int = 99) -> tuple[list[float], list[str]]:
    """Return places and names of the shot counts of some curves, at most ``most`` of them."""
    names = {
        x: f"{g.condition.shots:,}" if g.condition.shots else "exact"
        for curve in curves
        for x, g in zip(curve.x, curve.groups, strict=True)
    }
    places = sorted(names)
    places = places[:: -(-len(places) // most)] if places else []
    return places, [names[x] for x in places]


def control_points(setting: Setting) -> list[Point]:
    """Return the twin and the controls with their headline metric, the best first."""
    named = [(g.condition.control, g) for g in setting.controls]
    if setting.twin is not None:
        named.append(("quantum, noiseless", setting.twin))
    points = [
        Point(name=n, parameters=_parameters(g), value=g.metrics[setting.metric.test], group=g)
        for n, g in named
        if setting.metric.test in g.metrics
    ]
    return sorted(points, key=lambda p: (-setting.metric.sign * p.value.mean, p.name))


def _parameters(group: Group) -> int | None:
    value = group.metrics.get("trained_parameters")
    return None if value is None else round(value.mean)


def condition_name(condition: Condition, others: Sequence[Condition]) -> str:
    """Return what tells a condition from others: circuit, qubits, layers, shots, as needed."""
    parts = []
    for name in ("base", "task", "ansatz", "qubits", "layers"):
        if len({getattr(other, name) for other in others}) > 1:
            parts.append(_value_name(name, getattr(condition, name)))
    return ", ".join(parts)


def interval_name(summary: Summary) -> str:
    """Return how the study's intervals were made, in words."""
    methods = {value.method for g in summary.groups for value in g.metrics.values()}
    names = {"t": "Student-t", "bca": "bootstrap (BCa)"}
    known = [name for method, name in names.items() if method in methods]
    return f"95 % {' and '.join(known)} intervals" if known else "no intervals (one seed)"


def spread_out(values: Sequence[float], gap: float, low: float, high: float) -> list[float]:
    """Return places for labels near rising ``values``, at least ``gap`` apart.

    The least-squares solution: isotonic regression of the values less their rank times the gap.

    >>> spread_out([1.0, 1.0], 1.0, 0.0, 9.0)
    [0.5, 1.5]
    """
    if not values:
        return []
    steps = gap * np.arange(len(values))
    fitted = np.asarray(isotonic_regression(np.asarray(values) - steps).x)
    places: list[float] = (np.clip(fitted, low, max(low, high - steps[-1])) + steps).tolist()
    return places
