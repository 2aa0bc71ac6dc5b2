"""What happened in the rounds of the kill benchmark, counted and as tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks._kill_commands import Left

__all__ = ["Tally", "show"]

#: The last state that a dead process had recorded of any job.
STATES = ("none", "planned", "submitting", "submitted", "done")
#: Columns of the two tables.
_KILLS = ("vendor", "command", "rounds", "kills", *STATES, "stand-in killed too")
_FOUND = (
    *("vendor", "command", "jobs planned", "jobs at the vendor", "second jobs", "sent again"),
    *("results lost", "estimated", "billed", "recorded"),
)


@dataclass(kw_only=True)
class Tally:
    """What happened to one command at one vendor."""

    vendor: str
    command: str
    unit: str
    rounds: int = 0
    kills: int = 0
    states: Counter[str] = field(default_factory=Counter)
    services: int = 0
    failed: int = 0
    planned: int = 0
    jobs: int = 0
    duplicates: int = 0
    again: int = 0
    lost: int = 0
    low: float = 0.0
    high: float = 0.0
    billed: float = 0.0
    recorded: float = 0.0

    def add(self, left: Left, same: bool) -> None:
        """Count a finished round."""
        self.rounds += 1
        self.planned += len(left.tokens)
        self.jobs += len(left.at_vendor)
        self.duplicates += left.duplicates
        self.again += left.again
        self.lost += not same
        self.low, self.high = self.low + left.low, self.high + left.high
        self.billed, self.recorded = self.billed + left.billed, self.recorded + left.recorded


def show(tallies: Sequence[Tally]) -> str:
    """Return two tables as Markdown: the kills, and what was there in the end."""
    kills = [
        [t.vendor, t.command, t.rounds, t.kills, *(t.states[s] for s in STATES), t.services]
        for t in tallies
    ]
    found = [
        [
            *(t.vendor, t.command, t.planned, t.jobs, t.duplicates, t.again, t.lost),
            *(f"{_range(t.low, t.high)} {t.unit}", f"{t.billed:.2f}", f"{t.recorded:.2f}"),
        ]
        for t in tallies
    ]
    return "\n".join([*_table(_KILLS, kills), "", *_table(_FOUND, found), ""])


def _range(low: float, high: float) -> str:
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f}–{high:.2f}"


def _table(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    rule = "|---|---|" + "---:|" * (len(head) - 2)
    first, *rest = (f"| {' | '.join(map(str, row))} |" for row in [head, *rows])
    return [first, rule, *rest]
