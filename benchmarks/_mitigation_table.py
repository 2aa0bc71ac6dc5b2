"""Tables of the mitigation benchmark, as Markdown, from its results alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

__all__ = ["Prediction", "Result", "show_accuracy", "show_verdicts"]

#: How much worse than the best single technique ``auto`` may be.
AUTO_MARGIN = 0.10
RIGHT_SIDES = 0.90


@dataclass(frozen=True, kw_only=True)
class Result:
    """Distances of one technique in one cell at one number of shots.

    Attributes:
        cell: Circuit and noise.
        method: Techniques.
        shots: Of each vector.
        total_variation: Of each repetition.
        l2: Of each repetition.
        calibration_shots: Of one calibration.
        choices: What ``auto`` took.
    """

    cell: str
    method: str
    shots: int
    total_variation: tuple[float, ...]
    l2: tuple[float, ...]
    calibration_shots: int
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was expected of two techniques before anything but a calibration was measured."""

    cell: str
    shots: int
    method: str
    other: str
    expected: float
    expected_other: float


def show_accuracy(cell: str, results: Sequence[Result]) -> None:
    """Print total variation and L2 of all techniques in one cell."""
    shots = sorted({one.shots for one in results})
    n = len(results[0].total_variation)
    print(f"\n### {cell}: total variation ± 95 % interval of the mean, L2 ({n} repetitions)\n")
    print(f"| technique | {' | '.join(f'{s:,} shots' for s in shots)} | calibration shots |")
    print(f"|---|{'---:|' * (len(shots) + 1)}")
    for method in dict.fromkeys(one.method for one in results):
        own = {one.shots: one for one in results if one.method == method}
        cells = [_cell(own[s]) for s in shots]
        spent = sorted({own[s].calibration_shots for s in shots})
        besides = f"{spent[0]:,}" if len(spent) == 1 else f"{spent[0]:,} to {spent[-1]:,}"
        print(f"| {method} | {' | '.join(cells)} | {besides} |", flush=True)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and the half width of its 95 % Student-t interval."""
    array = np.asarray(values)
    half = stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    return float(array.mean()), float(half)


def _cell(one: Result) -> str:
    mean, half = interval(one.total_variation)
    return f"{mean:.4f} ± {half:.4f}, {np.mean(one.l2):.4f}"


def show_verdicts(results: Sequence[Result], predictions: Sequence[Prediction]) -> None:
    """Print how often ``auto`` and the verdict before spending were right."""
    mean = {(r.cell, r.shots, r.method): float(np.mean(r.total_variation)) for r in results}
    worst, good, total = 0.0, 0, 0
    print("\n### auto beside the best single technique\n")
    print("| cell | shots | auto | best | by | took |\n|---|---:|---:|---:|---|---|")
    for one in (r for r in results if r.method == "auto"):
        others = {
            m: tv
            for (cell, shots, m), tv in mean.items()
            if (cell, shots) == (one.cell, one.shots) and m != "auto"
        }
        best = min(others, key=lambda m: others[m])
        own = mean[one.cell, one.shots, "auto"]
        ratio = own / others[best]
        worst, total = max(worst, ratio), total + 1
        good += ratio <= 1.0 + AUTO_MARGIN
        took = max(set(one.choices), key=one.choices.count)
        print(
            f"| {one.cell} | {one.shots:,} | {own:.4f} | {others[best]:.4f} | {best} | "
            f"{took} ({one.choices.count(took)}/{len(one.choices)}) |"
        )
    print(
        f"\nauto within {AUTO_MARGIN:.0%} of the best: {good} of {total}, worst ratio {worst:.2f}"
    )
    _show_sides(mean, predictions)


def _show_sides(mean: dict[tuple[str, int, str], float], predictions: Sequence[Prediction]) -> None:
    right = [
        (one.expected < one.expected_other)
        == (mean[one.cell, one.shots, one.method] < mean[one.cell, one.shots, one.other])
        for one in predictions
    ]
    if right:
        share = np.mean(right)
        verdict = "met" if share >= RIGHT_SIDES else "MISSED"
        print(
            f"verdict before spending on the right side: {sum(right)} of {len(right)} "
            f"({share:.1%}; >= {RIGHT_SIDES:.0%}: {verdict})"
        )
        for one, fine in zip(predictions, right, strict=True):
            if not fine:
                print(f"  wrong: {one.cell}, {one.shots:,} shots, {one.method} against {one.other}")
