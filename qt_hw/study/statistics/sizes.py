"""How well a generator reproduces given weights, against the size of the target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from qt_hw.study.condition import Condition
from qt_hw.study.statistics.cells import gathered
from qt_hw.study.statistics.groups import Group
from qt_hw.study.statistics.intervals import Interval

__all__ = ["Sizes", "sizes_of"]

_NEEDED = (
    "n_weights",
    "trained_parameters",
    "relative_error",
    "test_accuracy",
    "target_test_accuracy",
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Approximation error of the generated weights for targets of several sizes.

    All tuples have one entry for each width, rising.

    Attributes:
        condition: What all points share; its ``width`` is None.
        widths: Of the targets' hidden layer.
        n_weights: Of the targets.
        trained_parameters: Of the generator.
        relative_error: ``||w - w*|| / ||w* - mean(w*)||`` of generated w and given w*: 1 is what a
            constant reaches.
        test_accuracy: Of the targets with the generated weights.
        target_test_accuracy: Of the targets with the given weights.
    """

    condition: Condition
    widths: tuple[int, ...]
    n_weights: tuple[int, ...]
    trained_parameters: tuple[int, ...]
    relative_error: tuple[Interval, ...]
    test_accuracy: tuple[Interval, ...]
    target_test_accuracy: tuple[Interval, ...]


def sizes_of(groups: Sequence[Group]) -> tuple[Sizes, ...]:
    """Return the curves over target sizes from the groups of approximation cells."""
    usable = [
        group
        for group in groups
        if group.condition.kind == "approximation" and set(_NEEDED) <= set(group.metrics)
    ]
    curves = gathered(usable, lambda group: group.condition.without("width"))
    return tuple(_sizes(condition, curve) for condition, curve in curves.items())


def _sizes(condition: Condition, groups: Sequence[Group]) -> Sizes:
    rising = sorted(groups, key=lambda group: group.condition.width or 0)
    column = {name: tuple(group.metrics[name] for group in rising) for name in _NEEDED}
    return Sizes(
        condition=condition,
        widths=tuple(group.condition.width or 0 for group in rising),
        n_weights=tuple(round(one.mean) for one in column["n_weights"]),
        trained_parameters=tuple(round(one.mean) for one in column["trained_parameters"]),
        relative_error=column["relative_error"],
        test_accuracy=column["test_accuracy"],
        target_test_accuracy=column["target_test_accuracy"],
    )
