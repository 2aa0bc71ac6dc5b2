"""What a reader of a report must know about its statistics, in whole sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from qt_hw.study.statistics.cells import Table, gathered
from qt_hw.study.statistics.exponents import LOWEST, UPPERMOST
from qt_hw.study.statistics.groups import Group, lone_cells
from qt_hw.study.statistics.intervals import BOOTSTRAP_FROM
from qt_hw.study.statistics.law import Estimate, Law
from qt_hw.study.statistics.paired import Paired, smallest_p
from qt_hw.study.statistics.plateau import Plateau
from qt_hw.study.statistics.series import Series

__all__ = ["notes_of"]

_NAMED = 5
_SLIGHT = 0.1  # of the loss: by 1/sqrt(S) such a floor makes the shots needed a fifth fewer


def notes_of(
    table: Table,
    groups: Sequence[Group],
    series: Sequence[Series],
    plateaus: Sequence[Plateau],
    *,
    alpha: float,
) -> tuple[str, ...]:
    """Return the notes of a report: on its intervals, tests, laws and on what is missing."""
    return (
        *_on_intervals(groups),
        *_on_tests([one for group in groups for one in group.paired.values()], alpha),
        *(_on_law(one) for one in series if one.condition.metric.test in one.laws),
        *_on_slopes(plateaus),
        *_on_gaps(table),
    )


def _on_intervals(groups: Sequence[Group]) -> Iterator[str]:
    sizes = sorted({group.n for group in groups})
    if not sizes:
        return
    seeds = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
    yield (
        f"Intervals are at 95 %, over {seeds} seeds: Student's t below {BOOTSTRAP_FROM}, "
        f"BCa bootstrap from {BOOTSTRAP_FROM}."
    )
    if sizes[0] == 1:
        yield "With one seed there is no interval; its points stand without one."


def _on_tests(paired: Sequence[Paired], alpha: float) -> Iterator[str]:
    if not paired:
        return
    yield (
        "p-values are those of two-sided Wilcoxon signed rank tests on the differences to the "
        "noiseless twin, seed by seed, corrected by Holm's method within families: one metric on "
        "one backend with one mitigation, or one metric over all controls."
    )
    kinds = gathered(paired, lambda one: (one.difference.n, one.comparisons))
    for (seeds, comparisons), _ in sorted(kinds.items()):
        yield _on_family(seeds, comparisons, alpha)
    whole = gathered(paired, lambda one: one.family.rpartition(", ")[2])
    most = max(len(own) for own in whole.values())
    seeds = max(one.difference.n for one in paired)
    yield (
        f"Corrected for all {most} comparisons of one metric in this report together, the "
        f"smallest p would be {min(1.0, smallest_p(seeds) * most):.2g}."
    )
    zeros = sum(one.zeros > 0 for one in paired)
    if zeros:
        yield (
            f"In {zeros} of {len(paired)} comparisons some seeds do not differ at all; the test "
            "drops them, so its smallest p is larger there."
        )


def _on_family(seeds: int, comparisons: int, alpha: float) -> str:
    smallest = smallest_p(seeds)
    corrected = min(1.0, smallest * comparisons)
    found = f"{seeds} seeds: the smallest two-sided p of a paired test is {smallest:.2g}"
    if comparisons > 1:
        found += f"; corrected for {comparisons} comparisons {corrected:.2g}"
    if corrected > alpha:
        return f"{found}, above {alpha:g}: nothing can be called significant."
    return f"{found}; differences are called significant at {alpha:g} and below."


def _on_law(series: Series) -> str:
    metric = series.condition.metric
    law, loss = series.laws[metric.test], _asked(series)
    name, side = metric.label, "below" if metric.higher_is_better else "above"
    unit = f" {metric.unit}" if metric.unit and metric.factor == 1.0 else ""
    verb = {"evaluate": "Evaluated", "train": "Trained"}[series.condition.kind]
    where = f"{verb} on {series.condition.where} ({_circuit(series)})"
    needed = law.shots_for(loss, free=not law.consistent)
    if needed.value == float("inf"):
        floor = law.floor.value if law.consistent else law.free[0]
        said = (
            f"{name} stays more than {loss:g}{unit} {side} the noiseless twin's however many "
            f"shots: its floor is {floor:.2g}{unit} {side}"
        )
        if law.consistent:
            said += f" ({law.floor.low:.2g} to {law.floor.high:.2g})"
        if needed.low != float("inf"):
            said += f", though {_shots(needed.low)} may be enough within the interval"
    else:
        said = (
            f"{name} is within {loss:g}{unit} of the noiseless twin's from about "
            f"{_shots(needed.value)} ({_span(needed)}){_beyond(law, needed)}"
            f"{_below_zero(law, loss, unit)}"
        )
    return f"{where}: {said}; {_on_exponent(law)}."


def _below_zero(law: Law, loss: float, unit: str) -> str:
    """Return a warning where the fit ends at less than no loss: its shots needed are too few."""
    floor = law.floor.value if law.consistent else law.free[0]
    if floor >= -_SLIGHT * loss:
        return ""
    return (
        f", by a fit whose floor is below 0 ({floor:.2g}{unit}), as if many shots bettered the "
        "twin: more may be needed"
    )


def _asked(series: Series) -> float:
    """Return the loss that a sentence is about: the second of those that are told."""
    losses = series.losses(series.condition.metric.test)
    return losses[min(1, len(losses) - 1)] if losses else 0.0


def _on_exponent(law: Law) -> str:
    b = law.exponent
    span = f"{b.value:.3f} ({b.low:.3f} to {b.high:.3f})"
    if b.low <= LOWEST or b.high >= UPPERMOST:
        tried = f"{LOWEST:g} to {UPPERMOST:g}"
        span += f", whose ends are those of what is tried, {tried}: these data hardly tell it"
    if law.consistent:
        return f"1/sqrt(S) agrees with the fitted exponent {span}"
    return f"the drop falls like 1/S^b with b = {span}, not 1/2, and that fit is used"


def _on_slopes(plateaus: Sequence[Plateau]) -> Iterator[str]:
    """Yield one sentence for each circuit: its exact gradient does not depend on the shots."""
    alike = gathered(plateaus, lambda one: one.condition.without("shots", "backend"))
    several = len({condition.base for condition in alike}) > 1
    for condition, (first, *_) in alike.items():
        if first.slope is None or first.low is None or first.high is None:
            continue
        base = f"{condition.base}, " if several else ""
        layers = "1 layer" if condition.layers == 1 else f"{condition.layers} layers"
        yield (
            f"The variance of the exact gradient ({base}{condition.ansatz}, {layers}) changes by a "
            f"factor {2**first.slope:.2f} ({2**first.low:.2f} to {2**first.high:.2f}) with each "
            "qubit."
        )


def _on_gaps(table: Table) -> Iterator[str]:
    lone = lone_cells(table)
    if lone:
        yield (
            f"{_counted(lone, 'cell')} without noiseless twin, left out of the differences: "
            f"{_listed(lone)}."
        )
    if table.merged:
        yield (
            f"{_counted(table.merged, 'cell')} sharing condition and seed with others (they "
            f"differ in an option), averaged with them: {_listed(table.merged)}."
        )
    if table.not_finite:
        yield (
            f"{_counted(table.not_finite, 'value')} left out, being NaN or infinite: "
            f"{_listed(table.not_finite)}."
        )


def _circuit(series: Series) -> str:
    c = series.condition
    return f"{c.base}, {c.ansatz} with {c.qubits} qubits and {c.layers} layers"


def _shots(count: float) -> str:
    return "1 shot" if count == 1 else f"{_rounded(count)} shots"


def _span(needed: Estimate) -> str:
    high = "no number of shots" if needed.high == float("inf") else _rounded(needed.high)
    return f"{_rounded(needed.low)} to {high}"


def _rounded(count: float) -> str:
    """Return three digits of it: 113,708 as 114,000."""
    return f"{float(f'{count:.3g}'):,.0f}"


def _beyond(law: Law, needed: Estimate) -> str:
    inside = law.shots[0] <= needed.value <= law.shots[-1]
    return "" if inside else ", outside of the counts that were measured"


def _counted(items: Sequence[str], what: str) -> str:
    return f"1 {what}" if len(items) == 1 else f"{len(items)} {what}s"


def _listed(names: Iterable[str]) -> str:
    listed = list(names)
    more = f" and {len(listed) - _NAMED} more" if len(listed) > _NAMED else ""
    return ", ".join(listed[:_NAMED]) + more
