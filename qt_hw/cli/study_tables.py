"""What ``qt-hw study`` prints: what it would take, and what came out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qt_hw.cli.money import price
from qt_hw.cli.table import print_table, simple_table
from qt_hw.storage import read_json
from qt_hw.tasks import headline_of
from qt_hw.tasks.metric import Metric
from qt_hw.training.quote import total

if TYPE_CHECKING:
    from qt_hw.study.condition import Condition
    from qt_hw.study.quote import Line, StudyQuote

__all__ = ["print_conclusions", "print_quote"]


def print_quote(quote: StudyQuote, jobs: int, done: int) -> None:
    """Print cells, circuits, shots, time and money."""
    headers = ("what", "cells", "circuits", "shots", "time, one core", "price")
    groups: dict[str, list[Line]] = {}
    for line in quote.lines:
        groups.setdefault(_what(line.condition), []).append(line)
    rows = [_quoted(what, lines) for what, lines in groups.items()]
    print_table(simple_table(headers, rows, wrap=True))
    everything = quote.total
    print(
        f"{quote.cells:,} cells to do ({done:,} done), {everything.circuits:,} circuits, "
        f"{everything.shots:,} shots; about {duration(quote.seconds / jobs)} on {jobs} cores; "
        f"price: {price(everything)}"
    )
    for reason in quote.reasons:
        print(f"the cap does not allow it: {reason}")


def _what(condition: Condition) -> str:
    """Return what several conditions have in common."""
    verb = {
        "noiseless": "noiseless twins",
        "control": f"control: {condition.control}",
        "train": f"trained on {condition.where}",
        "evaluate": f"evaluated on {condition.where}",
        "gradient": f"gradients on {condition.where}",
        "approximation": "approximations of given weights",
    }
    return verb[condition.kind]


def _quoted(what: str, lines: Sequence[Line]) -> tuple[str, ...]:
    cost = total([(line.cost, 1) for line in lines])
    shots = sorted({line.condition.shots for line in lines if line.condition.shots})
    span = f", {shots[0]:,} to {shots[-1]:,} shots" if len(shots) > 1 else ""
    seconds = sum(line.seconds or 0.0 for line in lines)
    paid = any(line.seconds is None for line in lines)
    return (
        what + span,
        f"{sum(line.cells for line in lines):,}",
        f"{cost.circuits:,}",
        f"{cost.shots:,}",
        "the vendor's" if paid else duration(seconds),
        price(cost),
    )


def duration(seconds: float) -> str:
    """Return a time in words.

    >>> duration(42), duration(600), duration(9000)
    ('42 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


def print_conclusions(folder: Path) -> None:
    """Print headline metric and difference to the noiseless twin of each condition, then notes."""
    summary = read_json(folder / "summary.json")
    tables: dict[tuple[str, Metric], list[Mapping[str, Any]]] = {}
    for group in summary["groups"]:
        base, metric = group["condition"]["base"], headline_of(group["condition"]["task"])
        if metric.test in group["metrics"]:
            tables.setdefault((base, metric), []).append(group)
    for (base, metric), groups in tables.items():
        several = len({_circuit(group) for group in groups}) > 1
        rows = [_row(group, metric, circuit=several) for group in groups]
        first = "condition" if len(tables) == 1 else base
        difference = "minus noiseless twin" + (", points" if metric.unit == "%" else "")
        headers = (first, "seeds", metric.title, difference, "p (Holm)")
        print_table(simple_table(headers, rows, wrap=True))
    if tables:
        print("*: significant at 5 %; n.d.: not decidable with so few seeds")
    for note in summary["notes"]:
        print(f"- {note}")


def _circuit(group: Mapping[str, Any]) -> str:
    condition = group["condition"]
    return f"{condition['ansatz']}({condition['qubits']}, {condition['layers']})"


def _row(group: Mapping[str, Any], metric: Metric, *, circuit: bool) -> tuple[str, ...]:
    paired = group["paired"].get(metric.test)
    unit = "" if metric.unit == "%" else metric.unit  # a difference of percentages is in points
    named = circuit and group["condition"]["kind"] != "approximation"  # whose label has it
    return (
        f"{group['label']}, {_circuit(group)}" if named else group["label"],
        str(group["n"]),
        _interval(group["metrics"][metric.test], metric, metric.unit, sign=""),
        "" if paired is None else _interval(paired["difference"], metric, unit, sign="+"),
        "" if paired is None else _p(paired),
    )


def _interval(found: Mapping[str, Any], metric: Metric, unit: str, sign: str) -> str:
    """Return a mean with its interval as shown."""
    ends = (metric.factor * found[name] for name in ("mean", "low", "high"))
    mean, low, high = (f"{end:{sign},.{metric.digits}f}" for end in ends)
    shown = f" {unit}" if unit else ""
    return f"{mean}{shown} [{low}, {high}]"


def _p(paired: Mapping[str, Any]) -> str:
    text = f"{paired['p_adjusted']:.2g}"
    if paired["significant"] is None:
        return f"{text} n.d."
    return f"{text} *" if paired["significant"] else text
