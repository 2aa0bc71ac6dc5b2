"""The table of all tasks, as Markdown, from the folders of their studies alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from qt_hw.study.condition import Condition
from qt_hw.study.folder import StudyFolder
from qt_hw.study.statistics.intervals import Interval
from qt_hw.study.summary import Group, summarise
from qt_hw.study.table import rows_of
from qt_hw.tasks import Metric, headline_of
from qt_hw.training.config import AnsatzConfig

__all__ = ["Line", "line_of", "markdown"]

MISSING = "-"
MITIGATIONS = ("none", "readout")


@dataclass(frozen=True, kw_only=True)
class Line:
    """One task.

    Attributes:
        base: Preset or file of its runs.
        circuit: Of its base, in words.
        metric: Its headline.
        groups: All seeds of each condition.
        failed: Number of cells without a result.
    """

    base: str
    circuit: str
    metric: Metric
    groups: tuple[Group, ...]
    failed: int

    def cells(self) -> tuple[str, ...]:
        """Return its cells of the table."""
        direct = self._group(kind="control", control="direct")
        exact, shots = self._group(kind="noiseless"), self._group(kind="train")
        noisy = (self._group(kind="evaluate", mitigation=name) for name in MITIGATIONS)
        return (
            f"`{self.base}`, {self.circuit}",
            f"{self.metric.axis}, {'more' if self.metric.higher_is_better else 'less'} is better",
            _counts(exact, direct),
            *(self._value(group) for group in (direct, exact, shots, *noisy)),
            f"{_time(exact)}, {_time(shots)}",
        )

    def _group(self, **wanted: str) -> Group | None:
        found = (g for g in self.groups if _matches(g.condition, wanted))
        return next(found, None)

    def _value(self, group: Group | None) -> str:
        interval = None if group is None else group.metrics.get(self.metric.test)
        return MISSING if interval is None else _shown(interval, self.metric)


def line_of(folder: StudyFolder, base: str) -> Line:
    """Return what the study in ``folder`` says of ``base``."""
    config = folder.bases[base]
    groups = summarise([row for row in rows_of(folder) if row["base"] == base]).groups
    return Line(
        base=base,
        circuit=_circuit(config.ansatz),
        metric=headline_of(config.task.name),
        groups=groups,
        failed=len(folder.failures()),
    )


def markdown(lines: Sequence[Line]) -> str:
    """Return the table."""
    return "\n".join(_table(line.cells() for line in lines)) + "\n"


def _table(rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield _joined(
        "task",
        "metric",
        "trained, circuit / classical",
        "classical",
        "exact",
        "4,096 shots",
        "FakeTorino",
        "the same, mitigated",
        "time",
    )
    yield "|---|---|---|---:|---:|---:|---:|---:|---|"
    for row in rows:
        yield _joined(*row)


def _joined(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def _matches(condition: Condition, wanted: dict[str, str]) -> bool:
    return all(getattr(condition, name) == value for name, value in wanted.items())


def _shown(interval: Interval, metric: Metric) -> str:
    """Return mean ± half the interval, without the unit that its column has."""
    half = max(interval.high - interval.mean, interval.mean - interval.low)
    mean, width = (f"{metric.factor * x:,.{metric.digits}f}" for x in (interval.mean, half))
    return f"{mean} ± {width}" if interval.n > 1 else mean


def _counts(exact: Group | None, direct: Group | None) -> str:
    """Return how many numbers are trained through the circuit and how many without it."""
    if exact is None or direct is None:
        return MISSING
    few, many = (group.metrics["trained_parameters"].mean for group in (exact, direct))
    return f"{few:,.0f} / {many:,.0f} ({few / many:.1%})"


def _time(group: Group | None) -> str:
    """Return how long one training takes."""
    if group is None:
        return MISSING
    seconds = group.metrics["seconds"].mean
    return f"{seconds:.0f} s" if seconds < 100 else f"{seconds / 60:.1f} min"


def _circuit(config: AnsatzConfig) -> str:
    if config.factors:
        return " x ".join(f"{f.name}({f.n_qubits}, {f.n_layers})" for f in config.factors)
    return f"{config.name}({config.n_qubits}, {config.n_layers})"
