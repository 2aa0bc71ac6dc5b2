"""Waiting for jobs: one loop for all of them, patient with networks and sleeping laptops."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from qt_hw.errors import BadResult, TransientError
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
    sleep: Callable[[float], None] = time.sleep,
) -> None:
    """Return when no job of ``requests`` is on its way any more.

    A network that fails is asked again for as long as it takes. Rounds are counted in pauses, not
    by the clock, so that neither a jump of the clock nor a sleeping machine matters.

    Args:
        dispatcher: Of the run.
        requests: What to wait for.
        report: Told the open jobs after each round.
        sleep: Waits.

    Raises:
        PermanentError: The vendor refuses to answer.
        BadResult: A result stays damaged; its job stays open.
        StorageError: A result cannot be stored; its job stays open.
    """
    pause, bad, silent = FIRST_PAUSE, 0, False
    while True:
        before = _open(dispatcher, requests)
        try:
            for request in requests:
                dispatcher.update(request)
            silent = False
        except TransientError as error:
            if not silent:
                dispatcher.say(f"{error}; the jobs go on, asking again until there is an answer")
            silent = True
        except BadResult as error:
            bad += 1
            if bad == _FETCHES:
                raise
            dispatcher.say(f"{error}; fetching it again")
        after = _open(dispatcher, requests)
        report(after)
        if not after:
            return
        pause = FIRST_PAUSE if len(after) < len(before) else min(LONGEST_PAUSE, pause * GROWTH)
        sleep(pause)


def _open(dispatcher: Dispatcher, requests: Sequence[RequestRow]) -> list[JobRow]:
    rows = [row for request in requests for row in dispatcher.journal.jobs(request.id)]
    return [row for row in rows if row.state == "submitted"]
