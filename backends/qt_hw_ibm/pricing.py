"""What a job costs before it runs: device time by IBM's formulas, dollars by the account's plan.

Two formulas of IBM's documentation bracket the time: 2 s per job and 0.35 ms per execution, and
2 s per job and, per execution, the repetition delay plus the duration of the circuit. Neither was
checked against a bill, so the high end has a margin.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from qt_hw.errors import ConfigError, InputError
from qt_hw.execution.backend import Batch, Cost
from qt_hw_ibm.options import Options

__all__ = ["Prices", "estimate", "read_prices"]

_TABLE = Path(__file__).with_name("prices.toml")

#: By how much the larger formula is exceeded at most.
_MARGIN = 1.2


@dataclass(frozen=True, kw_only=True)
class Prices:
    """One table of prices.

    Attributes:
        usd_per_second: By the name of the plan.
        per_job: Seconds of a job.
        per_execution: Seconds of one shot of one binding, by the quick formula.
        usual_rep_delay: Repetition delay for which that holds, seconds.
        source: Date and page of the table.
    """

    usd_per_second: dict[str, float]
    per_job: float
    per_execution: float
    usual_rep_delay: float
    source: str

    def rate(self, options: Options) -> float | None:
        """Return dollars per second, None where the user names neither plan nor price.

        Raises:
            InputError: The table lacks the plan.
        """
        if options.usd_per_second is not None:
            return float(options.usd_per_second)
        if not options.plan:
            return None
        if options.plan not in self.usd_per_second:
            raise InputError(f"the table of {self.source} has no plan {options.plan!r}")
        return self.usd_per_second[options.plan]


def read_prices(file: str | None = None) -> Prices:
    """Return the prices in ``file``, by default those of this package.

    Raises:
        ConfigError: The file is missing, or no such table.
    """
    path = _TABLE if file is None else Path(file)
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text("utf-8"))
        return Prices(
            usd_per_second={str(k): _number(v) for k, v in table["usd_per_second"].items()},
            per_job=_number(table["seconds"]["per_job"]),
            per_execution=_number(table["seconds"]["per_execution"]),
            usual_rep_delay=_number(table["seconds"]["usual_rep_delay"]),
            source=f"prices of {table['date']} ({table['source']})",
        )
    except OSError as error:
        raise ConfigError(f"cannot read the prices in {path}: {error.strerror or error}") from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ConfigError(
            f"{path} is no table of prices ({error!r}); it needs date, source, [usd_per_second] "
            "and [seconds] as in prices.toml of qt_hw_ibm"
        ) from error


def _number(value: Any) -> float:
    # A negative price, or one that is not a number, would never reach a cap.
    if type(value) not in (int, float) or not math.isfinite(value) or value < 0:
        raise ValueError(f"{value!r} is not a number of at least 0")
    return float(value)


def estimate(
    batch: Batch, durations: list[float], rep_delay: float, options: Options, prices: Prices
) -> Cost:
    """Return what ``batch`` costs as one job.

    Args:
        batch: What runs.
        durations: Of each item's circuit, seconds.
        rep_delay: Seconds between shots.
        options: Plan or price.
        prices: The table.
    """
    executions = [len(item.bindings) * (item.shots or 0) for item in batch.items]
    measured = sum(n * (rep_delay + t) for n, t in zip(executions, durations, strict=True))
    more_delay = max(0.0, rep_delay - prices.usual_rep_delay)
    quick = sum(executions) * (prices.per_execution + more_delay)
    low = prices.per_job + min(measured, quick)
    high = prices.per_job + _MARGIN * max(measured, quick)
    rate = prices.rate(options)
    priced = rate if rate is not None else 0.0
    plan = "" if options.usd_per_second is not None or not options.plan else f", {options.plan}"
    idle = "" if options.session_seconds is None else "; a session bills idle time besides"
    return Cost(
        circuits=batch.n_circuits,
        shots=batch.n_shots,
        usd_low=priced * low,
        usd_high=priced * high,
        qpu_seconds_low=low,
        qpu_seconds_high=high,
        source=f"{prices.source}{plan}{idle}",
    )
