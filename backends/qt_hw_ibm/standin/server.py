"""The stand-in: routes requests, and gives tests a hand on everything."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Self

from qt_hw.execution.loopback import Fault, Loopback, Reply, Request
from qt_hw_ibm.standin.account import CRN, Account
from qt_hw_ibm.standin.devices import DEVICES, Devices, check_packages
from qt_hw_ibm.standin.faults import Faults, NamedFault
from qt_hw_ibm.standin.jobs_api import JobsApi, instance_of, public
from qt_hw_ibm.standin.replies import json_reply, not_found, refusal
from qt_hw_ibm.standin.sessions_api import SessionsApi
from qt_hw_ibm.standin.simulate import Simulator
from qt_hw_ibm.standin.store import Store
from qt_hw_ibm.standin.worker import Worker

__all__ = ["Standin"]

_PREFIX = "/api/v1/"


class Standin(Loopback):
    """IBM Cloud and its quantum devices on loopback; see ``qt_hw_ibm.standin.start``.

    A job waits, runs on Aer and is charged ``billing.qpu_seconds``. Its counts depend on its
    first tag only, if it has one.
    """

    def __init__(
        self,
        state: Path,
        *,
        devices: Mapping[str, str] | None = None,
        queue_seconds: float = 0.0,
        noise: bool = False,
        faults: Sequence[str] = (),
        instances: Sequence[str] = (),
    ) -> None:
        """Serve the jobs in ``state``, which another stand-in may have left.

        Args:
            state: Folder of all state.
            devices: Name and snapshot of each device, ``DEVICES`` by default.
            queue_seconds: How long a job waits.
            noise: Whether the devices are as noisy as their snapshots.
            faults: Names of faults that happen once each; see ``faults.NAMES``.
            instances: CRNs or names of instances that the account has besides its own.

        Raises:
            MissingExtra: There is no Qiskit Aer or no client.
            UnknownName: There is no such fault or snapshot.
        """
        check_packages()
        super().__init__()
        self._account = Account(instances)
        self._devices = Devices(DEVICES if devices is None else devices)
        self._named = Faults(faults, state / "faults.json")
        self.faults += self._named.of_requests()
        self._store = Store(state)
        self._jobs = JobsApi(self._store, self._named.strikes, queue_seconds=queue_seconds)
        self._sessions = SessionsApi(self._store)
        snapshots = self._devices.snapshots

        @cache
        def simulator(device: str) -> Simulator:
            return Simulator(snapshots[device], noise=noise)

        self._worker = Worker(self._store, simulator, self._named.strikes)

    def __enter__(self) -> Self:
        super().__enter__()
        self._worker.start()
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self._worker.stop()

    def take_fault(self, request: Request) -> Fault | None:
        fault = super().take_fault(request)
        if isinstance(fault, NamedFault):
            self._named.strikes(fault.name)
        return fault

    def route(self, request: Request) -> Reply:
        reply = self._account.route(request)
        if reply is not None:
            return reply
        if not self._account.admits(request):
            return refusal(401, "The access token is invalid or expired.")
        _, _, path = request.path.partition(_PREFIX)
        match tuple(path.split("/")):
            case ("backends",):
                return self._devices.listing(self._jobs.queued())
            case ("backends", name, "status"):
                return self._device_status(name)
            case ("backends", name, what):
                return self._devices.route(name, what, 0)
            case ("instances", "usage"):
                return self._jobs.usage(CRN)
            case ("jobs",) if request.method == "POST":
                return self._submit(request)
            case ("jobs", *rest):
                return self._jobs.route(request, tuple(rest))
            case ("sessions", *rest):
                return self._sessions.route(request, tuple(rest))
        return not_found(request.path)

    def _device_status(self, name: str) -> Reply:
        for fault in ("offline", "maintenance"):
            if self._named.strikes(fault):
                return json_reply({"state": False, "status": fault, "length_queue": 0})
        return self._devices.route(name, "status", self._jobs.queued().get(name, 0))

    def _submit(self, request: Request) -> Reply:
        body: dict[str, Any] = json.loads(request.body)
        if body.get("backend") not in self._devices.snapshots:
            return not_found(f"backend {body.get('backend')}")
        session = body.get("session_id")
        accepts = True if session is None else self._sessions.accepts(session)
        if accepts is None:
            return not_found(f"session {session}")
        if not accepts:
            return refusal(400, f"The session {session} is closed.", 1217)
        reply = self._jobs.submit(body, instance_of(request))
        self._worker.wake()
        return reply

    @property
    def posts(self) -> int:
        """How many requests for a new job came in, refused ones included."""
        return sum(r.method == "POST" and r.path.endswith("/jobs") for r in list(self.log))

    @property
    def jobs(self) -> list[dict[str, Any]]:
        """All jobs as the API shows them, oldest first."""
        return [public(job) for job in self._store.jobs()]

    @property
    def status(self) -> dict[str, dict[str, Any]]:
        """State of each device: change ``state``, ``status`` or ``length_queue`` of an entry."""
        return self._devices.status

    @property
    def account(self) -> Account:
        """The account: its ``token_seconds`` can be changed, its tokens revoked."""
        return self._account

    def limit_usage(self, seconds: float | None) -> None:
        """Take no more jobs when this much has been charged."""
        self._jobs.usage_limit = seconds

    def billed_seconds(self) -> float:
        """Return what all jobs were charged, seconds of the device."""
        return self._jobs.billed_seconds()

    def revoke_tokens(self) -> None:
        """Make every access token invalid that was handed out so far."""
        self._account.revoke()

    def hold(self) -> None:
        """Keep jobs in the queue until ``release``."""
        self._worker.hold(True)

    def release(self) -> None:
        """Let jobs run again."""
        self._worker.hold(False)

    def finish(
        self, job_id: str, status: str, reason: str | None = None, reason_code: int | None = None
    ) -> None:
        """Put a job into a final state: ``"Completed"``, ``"Failed"`` or ``"Cancelled"``."""
        self._store.change(
            job_id, status=status, reason=reason, reason_code=reason_code, finished=time.time()
        )
