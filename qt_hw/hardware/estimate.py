"""What hardware would cost, before anything is sent: one evaluation, or a whole training."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from qt_hw.errors import InputError
from qt_hw.execution.backend import Backend, Cost
from qt_hw.execution.budget import Cap, Totals, refusals
from qt_hw.execution.journal import Journal
from qt_hw.hardware.home import Home
from qt_hw.hardware.outlook import Outlook, outlook_of
from qt_hw.hardware.planning import order, priced
from qt_hw.training.build import make_ansatz, make_backend
from qt_hw.training.config import RunConfig
from qt_hw.training.paid import open_stand_in
from qt_hw.training.quote import Quote, quote_training
from qt_hw.training.run import Run

__all__ = [
    "EvaluationQuote",
    "Verdict",
    "estimate_evaluation",
    "estimate_training",
    "quote_evaluation",
    "spent_in",
    "verdict",
]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """Whether something fits under its caps.

    Attributes:
        fits: Whether it does.
        capped: Whether there is a cap, or none is needed.
        text: The same for a user, in one line.
    """

    fits: bool
    capped: bool = True
    text: str


@dataclass(frozen=True, kw_only=True)
class EvaluationQuote:
    """What an evaluation would cost, and what is expected of its mitigation.

    Attributes:
        cost: Of its circuits and those of its calibration.
        outlook: By what the backend says of its errors.
    """

    cost: Cost
    outlook: Outlook


def estimate_evaluation(run: Run | str | Path, backend: str | Backend, **asked: Any) -> Cost:
    """Return what ``submit`` with the same arguments would cost; see ``quote_evaluation``."""
    return quote_evaluation(run, backend, **asked).cost


def quote_evaluation(
    run: Run | str | Path,
    backend: str | Backend,
    *,
    shots: int,
    options: Mapping[str, Any] | None = None,
    account: Mapping[str, Any] | None = None,
    mitigation: Any = None,
    mitigation_options: Mapping[str, Mapping[str, Any]] | None = None,
    calibration_shots: int | None = None,
    rehearsal: Mapping[str, Any] | None = None,
    max_usd: float | None = None,
    max_qpu_seconds: float | None = None,
) -> EvaluationQuote:
    """Return what ``submit`` with the same arguments would cost and bring.

    The caps matter for ``auto`` only, which takes what they allow.

    Raises:
        InputError: Something is wrong with the arguments.
        StorageError: The run is not finished.
        PreflightError: The device cannot run it; with every reason.
    """
    run = run if isinstance(run, Run) else Run.open(run)
    name = backend.name if isinstance(backend, Backend) else backend
    wanted = order(
        run,
        name,
        shots=shots,
        options=options or {},
        account=account or {},
        mitigation=mitigation,
        mitigation_options=mitigation_options,
        calibration_shots=calibration_shots,
    )
    config, cap = wanted.config(run.config), Cap(max_usd=max_usd, max_qpu_seconds=max_qpu_seconds)
    with _opened(config, backend, rehearsal) as device:
        totals = spent_in(run.folder, rehearsed=rehearsal is not None)

        def refused(cost: Cost) -> list[str]:
            return [] if cap == Cap() else refusals(cost, totals, cap)

        _, asked, cost = priced(wanted, device.prepare, run, device, refused)
        ansatz = make_ansatz(config.ansatz)
        seen = outlook_of(asked, ansatz, device.prepare, run.arrays()["angles"])
        return EvaluationQuote(cost=cost, outlook=seen)


def estimate_training(
    config: RunConfig,
    *,
    backend: Backend | None = None,
    target: nn.Module | None = None,
    rehearsal: Mapping[str, Any] | None = None,
) -> Quote:
    """Return what the training of ``config`` with shots would cost.

    Raises:
        InputError: The configuration does not fit together.
        PreflightError: The device cannot run it; with every reason.
    """
    with _opened(config, backend, rehearsal) as device:
        return quote_training(config, device, target)


def spent_in(run: Path, *, rehearsed: bool = False) -> Totals:
    """Return what the jobs of one run have cost so far, and what open ones may cost."""
    home = Home(run=run, rehearsed=rehearsed)
    if not home.journal.exists():
        return Totals()
    with Journal(home.journal) as journal:
        return journal.totals()


def verdict(cost: Cost, cap: Cap, totals: Totals | None = None) -> Verdict:
    """Return whether ``cost`` fits under ``cap`` beside what ``totals`` say is spent."""
    if cost.usd_high == 0.0 and cost.qpu_seconds_high == 0.0:
        return Verdict(fits=True, text="it costs nothing")
    if cap == Cap():
        return Verdict(fits=False, capped=False, text="there is no cap: nothing would be sent")
    if reasons := refusals(cost, totals or Totals(), cap):
        return Verdict(fits=False, text="; ".join(reasons))
    caps = {"max_usd": cap.max_usd, "max_qpu_seconds": cap.max_qpu_seconds}
    listed = ", ".join(f"{k} = {v:,.2f}" for k, v in caps.items() if v is not None)
    return Verdict(fits=True, text=f"it fits under {listed}")


@contextlib.contextmanager
def _opened(
    config: RunConfig, backend: str | Backend | None, rehearsal: Mapping[str, Any] | None
) -> Iterator[Backend]:
    """Yield the backend; in a rehearsal with a stand-in that nothing remains of."""
    with contextlib.ExitStack() as stack:
        if rehearsal is not None:
            if isinstance(backend, Backend):
                raise InputError("a rehearsal needs the backend's name, not an object")
            state = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="qt-hw-")))
            stack.enter_context(open_stand_in(config, state, rehearsal))
        yield backend if isinstance(backend, Backend) else make_backend(config)
