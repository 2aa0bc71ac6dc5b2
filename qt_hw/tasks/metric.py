"""What a number of an evaluation is called, and how tables and figures show it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

__all__ = ["ACCURACY", "Metric"]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """One number of an evaluation.

    Attributes:
        key: Its name in ``Task.metrics``; ``metrics.csv`` has it as ``test_<key>``.
        label: What tables and figures call it.
        unit: Unit of the shown value; empty for a pure number.
        factor: Stored value times this is the shown value: 100 for shares in percent.
        higher_is_better: Whether more is better.
        digits: Shown digits after the point.
        low: The least possible shown value, for axes; None: there is none.
        high: The largest possible shown value; None: there is none.
        drops: Losses in the stored unit for which a study tells the shots that keep within them.

    >>> ACCURACY.text(0.9541), ACCURACY.axis, ACCURACY.test
    ('95.41%', 'test accuracy (%)', 'test_accuracy')
    """

    key: str
    label: str
    unit: str = ""
    factor: float = 1.0
    higher_is_better: bool = True
    digits: int = 1
    low: float | None = None
    high: float | None = None
    drops: tuple[float, ...] = ()

    @property
    def test(self) -> str:
        """Name of its value on the test data."""
        return f"test_{self.key}"

    @property
    def train(self) -> str:
        """Name of its value on the training data."""
        return f"train_{self.key}"

    @property
    def title(self) -> str:
        """What the value on the test data is called."""
        return f"test {self.label}"

    @property
    def axis(self) -> str:
        """Label of an axis with the value on the test data."""
        return f"{self.title} ({self.unit})" if self.unit else self.title

    @property
    def heading(self) -> str:
        """The title with a capital letter."""
        return self.title[0].upper() + self.title[1:]

    @property
    def slug(self) -> str:
        """Its key in names of files."""
        return self.key.replace("_", "-")

    @property
    def difference_unit(self) -> str:
        """What differences of shown values are in; empty for a pure number."""
        return "percentage points" if self.unit == "%" else self.unit

    @property
    def sign(self) -> float:
        """Return 1 where more is better, else -1."""
        return 1.0 if self.higher_is_better else -1.0

    def text(self, value: float | None) -> str:
        """Return a stored value as tables show it, with its unit; ``-`` for None."""
        if value is None:
            return "-"
        shown = f"{self.factor * value:,.{self.digits}f}"
        space = "" if self.unit in ("", "%") else " "
        return f"{shown}{space}{self.unit}"

    def short(self, shown: float) -> str:
        """Return a shown value without unit and with one digit less, for crowded figures.

        >>> ACCURACY.short(95.41)
        '95.4'
        """
        return f"{shown:,.{max(0, self.digits - 1)}f}"

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {**asdict(self), "drops": list(self.drops)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Metric:
        """Return what ``to_dict`` has written.

        >>> Metric.from_dict(ACCURACY.to_dict()) == ACCURACY
        True
        """
        return cls(**{**values, "drops": tuple(values["drops"])})


ACCURACY = Metric(
    key="accuracy",
    label="accuracy",
    unit="%",
    factor=100.0,
    digits=2,
    low=0.0,
    high=100.0,
    drops=(0.005, 0.01, 0.02, 0.05),
)
