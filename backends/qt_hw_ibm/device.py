"""IBM's devices behind the contract of ``qt_hw.execution.backend``."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from qt_hw.errors import InputError, PreflightError
from qt_hw.execution.backend import Backend, Batch, Cost, Item, Job, Limits, Prepared
from qt_hw.execution.checks import check_job
from qt_hw_ibm import failures
from qt_hw_ibm.isa import full_width, instructions_per_qubit
from qt_hw_ibm.jobs import IbmJob
from qt_hw_ibm.modes import Modes
from qt_hw_ibm.options import Options, read_options
from qt_hw_ibm.preparing import KEPT_CIRCUITS, MAX_OUTCOMES, describe, prepare
from qt_hw_ibm.pricing import estimate, read_prices
from qt_hw_ibm.pubs import make_request
from qt_hw_ibm.sampler import make_sampler, run, twirl_shape
from qt_hw_ibm.service import Connection, quiet

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

    from qt_hw.circuits.ansatz import Ansatz

__all__ = ["IbmDevice", "open_device"]

#: Most low-level instructions per qubit of one job (quantum.cloud.ibm.com/docs/guides/job-limits).
_MOST_INSTRUCTIONS = 26_800_000

#: IBM takes no larger limit of a job's device time, seconds.
_LONGEST_JOB = 10_800


def open_device(device: str, options: Mapping[str, Any]) -> IbmDevice:
    """Return the backend; see ``qt_hw_ibm.open``."""
    return IbmDevice(device, read_options(options))


class IbmDevice(Backend):
    """One of IBM's devices; the account is asked for when first needed.

    Random numbers are the device's: ``Batch.seed`` has no effect.

    Attributes:
        name: ``"ibm:<device>"``.
        limits: What the device accepts; its own figures are known after the first connection.
    """

    def __init__(self, device: str, options: Options) -> None:
        """Take a device's name and checked options; nothing is sent.

        Raises:
            ConfigError: The file of prices is damaged.
            InputError: It lacks the plan.
        """
        self.name, self._device, self._options = f"ibm:{device}", device, options
        self._connection = Connection(device, options.instance, retry_posts=options.retry_posts)
        self._modes = Modes(self._connection, options)
        self._prices = read_prices(options.prices)
        self._rate = self._prices.rate(options)
        self._prepared: OrderedDict[Ansatz, Prepared] = OrderedDict()
        self.limits = Limits(
            max_executions=options.max_executions,
            max_outcomes=MAX_OUTCOMES,
            paid=True,
            one_shot_count=True,
            settle_seconds=options.settle_seconds,
            may_duplicate=options.retry_posts,
        )

    def _connected(self) -> Any:
        """Return the vendor's object of the device; the limits are the device's then."""
        backend = self._connection.backend
        if self.limits.max_qubits is None:
            configuration = backend.configuration()
            self.limits = replace(
                self.limits,
                max_qubits=int(configuration.n_qubits),
                max_shots=getattr(configuration, "max_shots", None),
                may_duplicate=self._options.retry_posts or not self._connection.wire.mounted,
            )
        return backend

    def _target(self) -> Any:
        self._connected()
        return self._connection.ask(
            lambda: self._connection.backend.target, f"asking for the gates of {self._device}"
        )

    # Circuits

    def prepare(self, ansatz: Ansatz) -> Prepared:
        """Return the circuit in the device's gates; made once per ansatz.

        Raises:
            PreflightError: The circuit does not fit on the device.
            InputError: A wrong layout; or the account has no such device.
            PermanentError: IBM refuses the account.
            TransientError: IBM cannot be reached.
        """
        if ansatz not in self._prepared:
            self._prepared[ansatz] = self._prepare(ansatz)
            if len(self._prepared) > KEPT_CIRCUITS:
                self._prepared.popitem(last=False)
        return self._prepared[ansatz]

    def _prepare(self, ansatz: Ansatz) -> Prepared:
        target = self._target()
        properties = self._connection.ask(
            lambda: self._connection.backend.properties(), f"asking for {self._device}"
        )
        return prepare(ansatz, target, properties, self._device, self._options)

    def _full_width(self, circuit: QuantumCircuit) -> QuantumCircuit:
        return full_width(circuit, self._target(), self._device)

    def bindings_per_job(self, item: Item) -> int | None:
        """Return how many bindings keep the busiest qubit below IBM's number of instructions."""
        return max(1, _MOST_INSTRUCTIONS // instructions_per_qubit(item.circuit))

    # Money

    def estimate(self, batch: Batch) -> Cost:
        """Return device time, low and high, and dollars if the price of a second is known.

        Raises:
            InputError: A circuit that is not the device's.
            PreflightError: The batch exceeds the limits.
            PermanentError: IBM refuses the account.
            TransientError: IBM cannot be reached.
        """
        self._check(batch)
        durations: dict[int, float] = {}
        for item in batch.items:
            if id(item.circuit) not in durations:
                durations[id(item.circuit)] = self._duration(item.circuit)
        times = [durations[id(item.circuit)] for item in batch.items]
        return estimate(batch, times, self._rep_delay(), self._options, self._prices)

    def _duration(self, circuit: QuantumCircuit) -> float:
        """Return how long one shot takes, measurement included, seconds."""
        return float(self._full_width(circuit).estimate_duration(self._target(), "s"))

    def _check(self, batch: Batch) -> None:
        self._connected()
        check_job(batch, self.limits)
        if self._options.twirling:
            for item in batch.items:
                twirl_shape(int(item.shots or 0))

    def _rep_delay(self) -> float:
        if self._options.rep_delay is not None:
            return float(self._options.rep_delay)
        configuration = self._connection.backend.configuration()
        return float(getattr(configuration, "default_rep_delay", self._prices.usual_rep_delay))

    # Jobs

    def preflight(self) -> list[str]:
        """Return why nothing should be submitted now.

        Raises:
            InputError: The account has no such device.
            PermanentError: IBM refuses the account.
            TransientError: IBM cannot be reached.
        """
        backend, device = self._connected(), self._device
        doing = f"asking for the state of {device}"
        state = self._connection.ask(lambda: self._connection.backend.status(), doing)
        reasons = []
        if not state.operational or state.status_msg != "active":
            reasons.append(f"{device} takes no jobs now: {state.status_msg}; try again later")
        usage = self._connection.ask(lambda: self._connection.service.usage(), doing)
        if usage.get("usage_limit_reached"):
            reasons.append(
                "the account's instance has used up its device time "
                f"({usage.get('usage_consumed_seconds', '?')} s): IBM runs no job before more of "
                "it is made available"
            )
        delay, limits = self._options.rep_delay, getattr(backend, "rep_delay_range", None)
        if delay is not None and limits and not limits[0] <= delay <= limits[1]:
            reasons.append(f"rep_delay={delay} s; {device} takes {limits[0]} to {limits[1]} s")
        return reasons

    def grouped(self, n_jobs: int) -> AbstractContextManager[None]:
        """Return a context in which the jobs of one step form one batch at IBM.

        Raises:
            PermanentError: IBM refuses to open it; nothing was submitted.
            TransientError: IBM cannot be reached; nothing was submitted.
        """
        return self._modes.batch() if self._modes.makes_batch(n_jobs) else nullcontext()

    def submit(self, batch: Batch, token: str) -> Job:
        if not isinstance(token, str) or not token:
            raise InputError(f"a token is a non-empty text, not {token!r}")
        self._check(batch)
        longest = self._longest_time()
        request = make_request(batch, self._full_width)
        sampler = make_sampler(
            self._modes.current(self.remaining_seconds), self._options, request.shots
        )
        sampler.options.environment.job_tags = [token]
        if longest is not None:
            sampler.options.max_execution_time = longest
        wire = self._connection.wire
        wire.mount(self._connection.service)
        wire.reset()
        with quiet():
            try:
                vendor = run(sampler, request)
                id = str(vendor.job_id())
            except Exception as error:
                if wire.unauthorised:
                    self._connection.drop()
                # Whatever went wrong after the request had left, there may be a job.
                raise failures.submission(error, wire, self._device) from error
        return self._job(id, vendor)

    def _longest_time(self) -> int | None:
        """Return the device time after which IBM shall stop the job, seconds.

        Raises:
            PreflightError: Less than a second is left.
        """
        left = self.remaining_seconds
        if left is not None and left < 1:
            raise PreflightError([f"{max(left, 0.0):.1f} s of device time are left: less than 1 s"])
        chosen = [self._options.max_seconds, None if left is None else int(left)]
        found = [value for value in chosen if value is not None]
        return min([*found, _LONGEST_JOB]) if found else None

    def _job(self, id: str, vendor: Any = None) -> IbmJob:
        return IbmJob(self._connection, id, vendor=vendor, usd_per_second=self._rate)

    def find(self, token: str) -> list[Job]:
        """Return every job that is tagged ``token``, oldest first.

        Raises:
            PermanentError: IBM refuses to answer.
            TransientError: IBM cannot be reached.
        """
        return [self._job(str(job.job_id()), job) for job in self._connection.jobs(token)]

    def job(self, id: str) -> Job:
        """Return the job with this id.

        Raises:
            InputError: The account has no such job.
            PermanentError: IBM refuses to answer.
            TransientError: IBM cannot be reached.
        """
        job = self._job(id)
        job.look_up()
        return job

    def close(self) -> None:
        """Close the session, if there is one: its queued jobs still run."""
        self._modes.close()

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records: options and versions, nothing of the account."""
        options = self._options
        return {
            **describe(self.name, options, ["qiskit", "qiskit-ibm-runtime"]),
            "mode": options.mode,
            "session_seconds": options.session_seconds,
            "rep_delay": options.rep_delay,
            "max_seconds": options.max_seconds,
            "plan": options.plan,
            "usd_per_second": self._rate,
            "prices": self._prices.source,
        }
