"""Waiting for jobs: one loop for all of them, patient with networks and sleeping laptops."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from qt_hw.errors import BadResult, QtHwError, TransientError
from qt_hw.execution.dispatcher import Dispatcher
from qt_hw.execution.journal import JobRow, RequestRow

__all__ = ["wait"]

#: Seconds between two rounds: the first, the factor from one to the next, the longest.
FIRST_PAUSE, GROWTH, LONGEST_PAUSE = 0.5, 1.5, 60.0
#: How often a damaged result is fetched again before that is an error.
_FETCHES = 3


def wait(
    dispatcher: Dispatcher,
    requests: Sequence[RequestRow],
    *,
    report: Callable[[list[JobRow]], None] = lambda rows: None,
    sleep: Callable[[float], None] | None = None,
) -> None:
    """Return when no job of ``requests`` is on its way any more.

    A network that fails is asked again for as long as it takes. Rounds are counted in pauses, not
    by the clock, so that neither a jump of the clock nor a sleeping machine matters.

    Args:
        dispatcher: Of the run.
        requests: What to wait for.
        report: Told the open jobs after each round.
        sleep: Waits; the dispatcher's by default.

    Raises:
        PermanentError: The vendor refuses to answer.
        BadResult: A result stays damaged; its job stays open.
        InputError: The vendor does not know a job; it stays open.
        StorageError: A result cannot be stored; its job stays open.
    """
    pause, troubles = FIRST_PAUSE, _Troubles(dispatcher.say)
    while True:
        before = _open(dispatcher, requests)
        problems = [problem for request in requests for problem in dispatcher.poll(request)]
        troubles.take(problems)
        after = _open(dispatcher, requests)
        report(after)
        if not after:
            return
        pause = FIRST_PAUSE if len(after) < len(before) else min(LONGEST_PAUSE, pause * GROWTH)
        (sleep or dispatcher.sleep)(pause)


class _Troubles:
    """What went wrong from round to round: told once, borne as long as it may pass."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._silent = say, False
        self._bad: dict[str, int] = {}

    def take(self, problems: Sequence[tuple[JobRow, QtHwError]]) -> None:
        """Take the problems of a round; raise those that waiting will not mend."""
        unreachable = [e for _, e in problems if isinstance(e, TransientError)]
        bad = {row.token: e for row, e in problems if not isinstance(e, TransientError)}
        self._bad = {token: self._bad.get(token, 0) + 1 for token in bad}
        for token, error in bad.items():
            if not isinstance(error, BadResult) or self._bad[token] >= _FETCHES:
                raise error
            self._say(f"{error}; fetching it again")
        if unreachable and not self._silent:
            self._say(f"{unreachable[0]}; the jobs go on, asking again until there is an answer")
        self._silent = bool(unreachable)


def _open(dispatcher: Dispatcher, requests: Sequence[RequestRow]) -> list[JobRow]:
    rows = [row for request in requests for row in dispatcher.journal.jobs(request.id)]
    return [row for row in rows if row.state == "submitted"]
