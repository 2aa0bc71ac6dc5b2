"""Fixtures: IBM's and Amazon's stand-ins in this process.

The vendors' clients are the unmodified ones; they talk HTTP. Nothing is a rehearsal: the program
takes its ordinary way to a real device.
"""

from __future__ import annotations

import contextlib
import json
import re
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from qt_hw.execution.loopback import Fault, Loopback

#: Seconds for which a search may miss a job; the stand-ins' searches miss none.
SETTLES = 0.3
AWS_SECRETS = {
    "AWS_ACCESS_KEY_ID": "AKIAEXAMPLEOFAKEYID1",
    "AWS_SECRET_ACCESS_KEY": "example/of+a+secret/access/key",
    "AWS_SESSION_TOKEN": "example-of-a-session-token",
}


class Cloud(ABC):
    """One vendor.

    Attributes:
        name: ``"ibm"`` or ``"braket"``.
        backend: Name of its device.
        cap: Options of a command that set a cap which is high enough.
        options: Further options of ``qt-hw submit``.
        create: Which requests ask for a job.
        standin: The service.
    """

    name: str
    backend: str
    cap: tuple[str, ...]
    options: tuple[str, ...] = ()
    create: ClassVar[dict[str, str]]
    standin: Loopback

    @abstractmethod
    def jobs(self) -> list[tuple[str, str]]:
        """Return token and state of every job, oldest first."""

    @abstractmethod
    def bill(self) -> float:
        """Return what was charged in all, in the unit of the cap."""

    @abstractmethod
    def secrets(self) -> set[str]:
        """Return whatever opens the account."""

    @abstractmethod
    def hold(self) -> None:
        """Leave jobs in the queue until ``release``."""

    @abstractmethod
    def release(self) -> None:
        """Let all jobs run to their end."""

    @abstractmethod
    def hide(self) -> None:
        """Leave new jobs out of searches until ``show``."""

    @abstractmethod
    def show(self) -> None:
        """Find every job again."""

    @abstractmethod
    def out_of_order(self, state: str) -> None:
        """Let the device be ``"offline"``, ``"maintenance"``, ``"retired"`` or, again, ``""``."""

    @abstractmethod
    def refuse_login(self) -> None:
        """Refuse every further question about jobs for want of a valid login."""

    def posts(self) -> int:
        """Return how many requests for a job arrived, repetitions by the client included."""
        wanted = self.create
        return sum(
            r.method == wanted["method"] and re.search(wanted["path"], r.path) is not None
            for r in list(self.standin.log)
        )

    def fail(self, action: Any, *, times: int = 1, **fields: Any) -> None:
        """Let something happen to the next requests for a job."""
        self.standin.faults.append(Fault(**self.create, action=action, times=times, **fields))


class Ibm(Cloud):
    name, backend = "ibm", "ibm:ibm_manila"
    cap = ("--max-qpu-seconds", "20")
    options = ("--option", f"settle_seconds={SETTLES}")
    create: ClassVar = {"method": "POST", "path": r"/jobs$"}

    def __init__(self, state: Path, faults: tuple[str, ...]) -> None:
        from qt_hw_ibm.standin.server import Standin

        self.vendor = Standin(state, devices={"ibm_manila": "fake_manila"}, faults=faults)
        self.standin = self.vendor

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        from qt_hw_ibm.standin.start import environment, redirected

        with self.vendor, redirected(environment(self.vendor.url)):
            yield

    def jobs(self) -> list[tuple[str, str]]:
        return [(job["tags"][0], job["status"].upper()) for job in self.vendor.jobs]

    def bill(self) -> float:
        return self.vendor.billed_seconds()

    def secrets(self) -> set[str]:
        from qt_hw_ibm.standin.account import API_KEY

        sent = [r.headers.get("authorization", "") for r in list(self.vendor.log)]
        return {API_KEY} | {text.split()[-1] for text in sent if text}

    def hold(self) -> None:
        self.vendor.hold()

    def release(self) -> None:
        self.vendor.release()

    def hide(self) -> None:
        nothing = {"jobs": [], "count": 0, "limit": 50, "offset": 0}
        body = json.dumps(nothing).encode()
        self.vendor.faults.append(
            Fault(method="GET", path=r"/jobs$", action="body", body=body, times=1000)
        )

    def show(self) -> None:
        self.vendor.faults.clear()

    def out_of_order(self, state: str) -> None:
        self.vendor.faults.clear()
        status = {"state": not state, "status": state or "active", "length_queue": 0}
        self.vendor.status["ibm_manila"] = status
        if state == "retired":
            path = r"/backends/[^/]+/\w+$"
            self.vendor.faults.append(
                Fault(method="GET", path=path, action="status", status=404, times=1000)
            )

    def refuse_login(self) -> None:
        self.vendor.faults.append(
            Fault(method="GET", path=r"/jobs/", action="status", status=401, times=2)
        )


class Braket(Cloud):
    name, backend = "braket", "ionq:forte-1"
    cap = ("--max-usd", "250")
    create: ClassVar = {"method": "POST", "path": r"^/quantum-task$"}

    def __init__(self, state: Path, faults: tuple[str, ...]) -> None:
        from qt_hw_braket.standin import Standin

        self._state = state
        self.vendor = Standin(state, faults=faults)
        self.standin = self.vendor

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        from qt_hw_braket.standin import redirected

        with (
            self.vendor,
            redirected(self.vendor.url),
            pytest.MonkeyPatch.context() as patch,
        ):
            for name, value in AWS_SECRETS.items():
                patch.setenv(name, value)
            patch.setattr("qt_hw_braket.cloud._SETTLE_SECONDS", SETTLES)
            yield

    def jobs(self) -> list[tuple[str, str]]:
        return [(task["token"], task["status"]) for task in self.vendor.tasks()]

    def bill(self) -> float:
        return self.vendor.billed_usd()

    def secrets(self) -> set[str]:
        return set(AWS_SECRETS.values())

    def hold(self) -> None:
        self._wait(1e9)

    def release(self) -> None:
        self._wait(0.0)

    def _wait(self, seconds: float) -> None:
        """Change how long tasks wait, those too that are there."""
        self.vendor._seconds["queue_seconds"] = seconds
        for path in (self._state / "tasks").glob("*.json"):
            task = json.loads(path.read_text())
            path.write_text(json.dumps({**task, "queue_seconds": seconds}))
        self.vendor.load(self._state)

    def hide(self) -> None:
        self.vendor.search_lag = 1e9

    def show(self) -> None:
        self.vendor.search_lag = 0.0

    def out_of_order(self, state: str) -> None:
        # Amazon's devices are offline while under maintenance.
        states = {"": "ONLINE", "maintenance": "OFFLINE"}
        self.vendor.device_status = states.get(state, state.upper())

    def refuse_login(self) -> None:
        body = json.dumps({"message": "The security token included in the request is expired"})
        self.vendor.faults.append(
            Fault(
                method="GET",
                path=r"^/quantum-task/",
                action="status",
                status=403,
                body=body.encode(),
                headers={"x-amzn-ErrorType": "ExpiredTokenException"},
            )
        )


CLOUDS: dict[str, type[Ibm] | type[Braket]] = {"ibm": Ibm, "braket": Braket}
Begin = Callable[..., Cloud]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Return what starts a vendor with named faults, which happen once each."""
    with contextlib.ExitStack() as stack:

        def start(name: str, *faults: str) -> Cloud:
            cloud = CLOUDS[name](tmp_path / f"at-{name}", faults)
            stack.enter_context(cloud.running())
            return cloud

        yield start


def wait_for_end(cloud: Cloud) -> None:
    """Return when every job has ended at the vendor."""
    end = time.monotonic() + 120
    while any(state in ("QUEUED", "RUNNING") for _, state in cloud.jobs()):
        assert time.monotonic() < end
        time.sleep(0.01)
