"""No request leaves that could cross a cap."""

from __future__ import annotations

import math

import pytest

from qt_hw.errors import InputError
from qt_hw.execution.backend import Cost
from qt_hw.execution.budget import Cap, Totals, refusals


def cost(usd: float = 0.0, seconds: float = 0.0, jobs: int = 1) -> Cost:
    return Cost(circuits=1, shots=1, jobs=jobs, usd_high=usd, qpu_seconds_high=seconds)


@pytest.mark.parametrize(
    ("next_cost", "totals", "cap", "allowed"),
    [
        (cost(10), Totals(), Cap(max_usd=10), True),
        (cost(10.01), Totals(), Cap(max_usd=10), False),
        (cost(5), Totals(usd_spent=3, usd_queued=2), Cap(max_usd=10), True),
        (cost(5), Totals(usd_spent=3, usd_queued=2.01), Cap(max_usd=10), False),
        (cost(5), Totals(usd_spent=11), Cap(max_usd=10), False),
        (cost(0.1), Totals(usd_spent=0.1, usd_queued=0.1), Cap(max_usd=0.3), True),
        (cost(0.01), Totals(), Cap(max_usd=0), False),
        (cost(seconds=5), Totals(), Cap(max_qpu_seconds=5), True),
        (cost(seconds=5), Totals(qpu_seconds_queued=1), Cap(max_qpu_seconds=5), False),
        # Each kind has its own cap; one of them is enough where a job is billed in both.
        (cost(5, 5), Totals(), Cap(max_usd=5), True),
        (cost(5, 5), Totals(), Cap(max_usd=5, max_qpu_seconds=4), False),
        (cost(5, 5), Totals(), Cap(max_usd=4, max_qpu_seconds=5), False),
        # A cap of the other kind is none.
        (cost(5), Totals(), Cap(max_qpu_seconds=100), False),
        (cost(seconds=5), Totals(), Cap(max_usd=100), False),
        (cost(5), Totals(), Cap(), False),
        # What is not billed in a kind may go on although that kind is used up.
        (cost(5), Totals(qpu_seconds_spent=9), Cap(max_usd=5, max_qpu_seconds=5), True),
        (cost(), Totals(), Cap(), True),
        # An estimate that is no number is no estimate.
        (cost(math.nan), Totals(), Cap(max_usd=5), False),
        (cost(math.inf), Totals(), Cap(max_usd=math.inf), False),
        (cost(-1), Totals(), Cap(max_usd=5), False),
    ],
)
def test_a_request_is_allowed_exactly_up_to_the_cap(next_cost, totals, cap, allowed):
    assert (refusals(next_cost, totals, cap) == []) == allowed


def test_reasons_tell_every_figure():
    totals = Totals(usd_spent=1, usd_queued=2, qpu_seconds_spent=3)
    reasons = refusals(cost(30, 4, jobs=2), totals, Cap(max_usd=5, max_qpu_seconds=6))
    assert reasons == [
        "1.00 USD spent + 2.00 queued + 30.00 for the next 2 jobs = 33.00, above max_usd = 5.00",
        "3.00 QPU seconds spent + 0.00 queued + 4.00 for the next 2 jobs = 7.00, "
        "above max_qpu_seconds = 6.00",
    ]


def test_a_missing_cap_is_asked_for_with_the_least_that_does():
    assert refusals(cost(8.3, 2), Totals(), Cap()) == [
        "a paid job needs a cap: set max_usd (at least 8.30) or max_qpu_seconds (at least 2.00)"
    ]


@pytest.mark.parametrize("wrong", [math.nan, -1.0])
@pytest.mark.parametrize("name", ["max_usd", "max_qpu_seconds"])
def test_caps_that_would_hold_nothing_are_refused(name, wrong):
    with pytest.raises(InputError, match=f"{name} must be a number of at least 0"):
        Cap(**{name: wrong})
