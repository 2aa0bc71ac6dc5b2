"""Amazon Braket, S3 and STS on loopback, as far as the SDK asks them."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from qt_hw.execution.loopback import Fault, Loopback, Reply, Request
from qt_hw.storage import read_json, write_json
from qt_hw_braket.devices import FORTE_1
from qt_hw_braket.standin.capabilities import capabilities
from qt_hw_braket.standin.checks import check_clock, check_request
from qt_hw_braket.standin.faults import OF_RESULTS, OF_TASKS, FaultBook, NamedFault
from qt_hw_braket.standin.refusal import Refusal
from qt_hw_braket.standin.results import Files, result_files
from qt_hw_braket.standin.tasks import ENDED, Task, Tasks, present
from qt_hw_braket.standin.views import passes, summary, view

__all__ = ["Standin"]

_ACCOUNT = (
    '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
    "<GetCallerIdentityResult><Account>000000000000</Account></GetCallerIdentityResult>"
    "</GetCallerIdentityResponse>"
)


class Standin(Loopback):
    """One device, its tasks and the bucket with their results.

    All state lies in a folder: ``tasks/*.json``, ``results/``, ``faults.json``. The process may
    be killed at any instant; a new one with the same folder has the same tasks.

    Attributes:
        device_status: ``"ONLINE"``, ``"OFFLINE"`` or ``"RETIRED"``.
        caps: What the device says of itself.
        search_lag: Seconds for which a new task is missing from searches.
    """

    def __init__(
        self,
        state: Path,
        *,
        device: str = FORTE_1,
        queue_seconds: float = 0.0,
        run_seconds: float = 0.0,
        faults: Sequence[str] = (),
        split_results: bool = False,
        search_lag: float = 0.0,
        **caps: Any,
    ) -> None:
        """Continue with the tasks in ``state``.

        Args:
            state: Folder of the tasks; made if it is missing.
            device: ARN.
            queue_seconds: How long a new task waits before it runs.
            run_seconds: How long it then runs.
            faults: Names of faults, see ``qt_hw_braket.standin.faults``.
            split_results: Whether results of program sets are spread over many files.
            search_lag: See above.
            **caps: See ``qt_hw_braket.standin.capabilities``.

        Raises:
            UnknownName: No such fault.
        """
        super().__init__()
        self.search_lag, self.caps = search_lag, capabilities(**caps)
        self._device, self._split = device, split_results
        self._seconds = {"queue_seconds": queue_seconds, "run_seconds": run_seconds}
        self._mutex = threading.RLock()
        self.load(state, faults)

    def load(self, state: Path, faults: Sequence[str] = ()) -> None:
        """Continue with the tasks in another folder, as a new process would.

        Raises:
            UnknownName: No such fault.
        """
        with self._mutex:
            state.mkdir(parents=True, exist_ok=True)
            self.device_status = "ONLINE"
            self._tasks, self._results = Tasks(state / "tasks"), state / "results"
            self._book = FaultBook(state / "faults.json")
            self.faults[:] = [fault for name in faults for fault in self._book.expect(name)]

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    # What tests and users look at

    def tasks(self) -> list[dict[str, Any]]:
        """Return every task with its state and what it is billed, oldest first."""
        with self._mutex:
            now = present()
            return [
                {**summary(task, now), "usd": float(task.usd(now)), "token": task.token}
                for task in self._tasks
            ]

    def billed_usd(self) -> float:
        """Return what the vendor charges for all tasks so far, US dollars."""
        return float(sum(task["usd"] for task in self.tasks()))

    def add_fault(self, name: str) -> None:
        """Let the named fault happen once more."""
        with self._mutex:
            self.faults.extend(self._book.expect(name, again=True))

    # HTTP

    def take_fault(self, request: Request) -> Fault | None:
        fault = super().take_fault(request)
        if isinstance(fault, NamedFault):
            with self._mutex:
                self._book.take(fault.name)
        return fault

    def route(self, request: Request) -> Reply:
        scope = re.search(
            r"/(braket|s3|sts)/aws4_request", request.headers.get("authorization", "")
        )
        service = scope[1] if scope else ""
        with self._mutex:
            if service == "s3":
                return self._s3(request)
            if service == "sts":
                return Reply(body=_ACCOUNT.encode(), content_type="text/xml")
            try:
                return self._braket(request)
            except Refusal as refusal:
                body = {"message": refusal.message, **refusal.fields}
                headers = {"x-amzn-ErrorType": refusal.code}
                return _json(body, status=refusal.status, headers=headers)

    def _braket(self, request: Request) -> Reply:
        check_clock(request.headers.get("x-amz-date", ""), present())
        _, kind, *rest = request.path.split("/", 2)
        key = rest[0] if rest else ""
        body = json.loads(request.body) if request.body else {}
        match request.method, kind:
            case "POST", "quantum-task":
                return _json({"quantumTaskArn": self._create(body).arn}, status=201)
            case "GET", "quantum-task":
                return _json(view(self._tasks.get(key), self._tasks, present()))
            case "PUT", "quantum-task":
                return _json(self._cancel(self._tasks.get(key.removesuffix("/cancel"))))
            case "POST", "quantum-tasks":
                return _json(self._search(body))
            case "GET", "device":
                return _json(self._describe(key))
        raise Refusal.unknown(f"{request.method} {request.path}")

    # Operations

    def _describe(self, arn: str) -> dict[str, Any]:
        if arn != self._device:
            raise Refusal.unknown(f"device {arn}")
        queue = {"queue": "QUANTUM_TASKS_QUEUE", "queueSize": "0", "queuePriority": "Normal"}
        return {
            "deviceArn": arn,
            "deviceName": arn.rpartition("/")[2],
            "providerName": "IonQ",
            "deviceType": "QPU",
            "deviceStatus": self.device_status,
            "deviceCapabilities": json.dumps(self.caps),
            "deviceQueueInfo": [queue],
        }

    def _create(self, body: dict[str, Any]) -> Task:
        token, request = body["clientToken"], {k: v for k, v in body.items() if k != "clientToken"}
        known = self._tasks.with_token(token, request)
        if known is not None:
            return known
        if request["deviceArn"] != self._device:
            raise Refusal.unknown(f"device {request['deviceArn']}")
        if self.device_status == "OFFLINE":
            raise Refusal(424, "DeviceOfflineException", "the device is offline")
        if self.device_status == "RETIRED":
            raise Refusal(410, "DeviceRetiredException", "the device is retired")
        check_request(request, self.caps)
        return self._tasks.create(
            token, request, outcome=self._book.take(*OF_TASKS), **self._seconds
        )

    def _cancel(self, task: Task) -> dict[str, Any]:
        now = present()
        if task.status(now) in ENDED:
            raise Refusal(409, "ConflictException", "the quantum task has ended")
        task.cancelled = now.isoformat(timespec="microseconds")
        self._tasks.save(task)
        return {"quantumTaskArn": task.arn, "cancellationStatus": "CANCELLED"}

    def _search(self, body: dict[str, Any]) -> dict[str, Any]:
        now, found = present(), []
        for task in reversed([*self._tasks]):  # the newest first
            age = (now - datetime.fromisoformat(task.created)).total_seconds()
            entry = summary(task, now)
            if age >= self.search_lag and all(passes(entry, rule) for rule in body["filters"]):
                found.append(entry)
        start, size = int(body.get("nextToken") or 0), int(body.get("maxResults", 10))
        page: dict[str, Any] = {"quantumTasks": found[start : start + size]}
        if start + size < len(found):
            page["nextToken"] = str(start + size)
        return page

    # S3

    def _s3(self, request: Request) -> Reply:
        _, bucket, key = request.path.split("/", 2)
        task = next((task for task in self._tasks if key.startswith(f"{task.folder}/")), None)
        missing = Reply(
            status=404,
            body=b"<Error><Code>NoSuchKey</Code><Message>no such key</Message></Error>",
            content_type="application/xml",
        )
        if request.method != "GET" or task is None or bucket != task.request["outputS3Bucket"]:
            return missing
        files = self._files(task)
        path = key.removeprefix(f"{task.folder}/")
        if path not in files:
            return missing
        content = files[path]
        if path == "results.json":
            match self._book.take(*OF_RESULTS):
                case "result-missing":
                    return missing
                case "wrong-shape":
                    content = _damaged(content)
        return Reply(body=json.dumps(content).encode(), content_type="binary/octet-stream")

    def _files(self, task: Task) -> Files:
        """Return the files of a task, written when they are first asked for."""
        status = task.status(present())
        if status != "COMPLETED" and not (status == "FAILED" and task.outcome == "partial"):
            return {}
        path = self._results / f"{task.id}.json"
        if not path.exists():
            write_json(path, result_files(task, split=self._split))
        files: Files = read_json(path)
        return files


def _json(value: dict[str, Any], *, status: int = 200, headers: Any = None) -> Reply:
    return Reply(status=status, body=json.dumps(value).encode(), headers=headers or {})


def _damaged(content: dict[str, Any]) -> dict[str, Any]:
    """Return a result that lacks its last circuit, or the last bit of each outcome."""
    if "programResults" in content:
        return {**content, "programResults": content["programResults"][:-1]}
    shorter = {bits[:-1]: p for bits, p in content["measurementProbabilities"].items()}
    return {**content, "measurementProbabilities": shorter}
