"""``/jobs``: submit, list, read, cancel."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from qt_hw.execution.loopback import Reply, Request
from qt_hw_ibm.standin.billing import START_SECONDS, qpu_seconds
from qt_hw_ibm.standin.replies import EMPTY, json_reply, not_found, refusal, text_reply
from qt_hw_ibm.standin.store import FINAL, Job, Store
from qt_hw_ibm.standin.worker import PROGRAMS

__all__ = ["JobsApi", "instance_of", "iso", "public"]

_PAGE, _LARGEST_PAGE = 20, 200
_INVALID_BODY = 1208
_MOST_EXECUTIONS = 10_000_000  # of one job, the vendor's limit


class JobsApi:
    """Jobs of one stand-in.

    Attributes:
        queue_seconds: How long a job waits from its creation.
        usage_limit: Seconds after which the instance takes no more jobs, None for no limit.
    """

    def __init__(
        self, store: Store, strikes: Callable[[str], bool], *, queue_seconds: float
    ) -> None:
        """Serve the jobs of ``store``; ``strikes`` tells whether a named fault happens now."""
        self.queue_seconds = queue_seconds
        self.usage_limit: float | None = None
        self._store, self._strikes = store, strikes

    def route(self, request: Request, parts: tuple[str, ...]) -> Reply:
        """Answer a request for ``/jobs/<parts>``, except for a new job."""
        if not parts:
            return self._listing(request.query, instance_of(request))
        job = self._store.job(parts[0])
        if job is None or not _belongs(job, instance_of(request)):
            return not_found(f"job {parts[0]}")
        match request.method, parts[1:]:
            case "GET", ():
                return json_reply(self._one(job, request.query))
            case "DELETE", ():
                self._store.change(job.id, deleted=True)
                return EMPTY
            case "GET", ("results",):
                return self._result(job)
            case "POST", ("cancel",):
                return self._cancel(job)
            case "GET", ("metrics",):
                return json_reply(self._metrics(job))
            case "GET", ("logs",):
                return text_reply(job.reason or "")
            case "PUT", ("tags",):
                self._store.change(job.id, tags=json.loads(request.body)["tags"])
                return EMPTY
        return not_found("/".join(parts))

    def submit(self, body: Mapping[str, Any], instance: str) -> Reply:
        """Make a job of the body of a request that came through ``instance``."""
        params, program = body.get("params"), PROGRAMS.get(str(body.get("program_id")))
        if program is None:
            return not_found(f"program {body.get('program_id')}")
        if self.usage_limit is not None and self.billed_seconds() >= self.usage_limit:
            return refusal(409, "The usage exceeds the limit of the instance.")
        try:
            executions = program.executions(params)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            return refusal(400, f"Invalid job request body: {error!r}", _INVALID_BODY)
        if executions > _MOST_EXECUTIONS:
            return refusal(400, f"{executions} executions, at most {_MOST_EXECUTIONS} in one job.")
        stuck = self._strikes("stuck")
        job = self._store.add(
            params,
            backend=body["backend"],
            program=body["program_id"],
            ready=None if stuck else time.time() + self.queue_seconds,
            executions=executions,
            tags=body.get("tags", []),
            session_id=body.get("session_id"),
            cost=body.get("cost"),
            private=body.get("private", False),
            instance=instance,
        )
        return json_reply({"id": job.id, "backend": job.backend})

    def billed_seconds(self) -> float:
        """Return what all jobs were charged."""
        return round(sum(job.billed for job in self._store.jobs(deleted=True)), 3)

    def usage(self, instance: str) -> Reply:
        """Answer ``GET /instances/usage``."""
        consumed, limit = self.billed_seconds(), self.usage_limit
        limits = {} if limit is None else {"usage_limit_seconds": limit}
        return json_reply(
            {
                "instance_id": instance,
                "plan_id": "paygo",
                "usage_consumed_seconds": consumed,
                "usage_limit_reached": limit is not None and consumed >= limit,
                **limits,
            }
        )

    def queued(self) -> dict[str, int]:
        """Return how many jobs wait for each device."""
        counts: dict[str, int] = {}
        for job in self._store.jobs():
            if job.status == "Queued":
                counts[job.backend] = counts.get(job.backend, 0) + 1
        return counts

    def _listing(self, query: Mapping[str, list[str]], instance: str) -> Reply:
        known = [job for job in self._store.jobs() if _belongs(job, instance)]
        found = [job for job in known if _matches(job, query)]
        if query.get("sort") != ["ASC"]:
            found.reverse()
        offset = int(query.get("offset", ["0"])[0])
        limit = min(int(query.get("limit", [str(_PAGE)])[0]), _LARGEST_PAGE)
        page = [public(job) for job in found[offset : offset + limit]]
        return json_reply({"jobs": page, "count": len(found), "limit": limit, "offset": offset})

    def _one(self, job: Job, query: Mapping[str, list[str]]) -> dict[str, Any]:
        if query.get("exclude_params") == ["true"]:
            return public(job)
        return {**public(job), "params": self._store.params(job.id)}

    def _result(self, job: Job) -> Reply:
        if job.status not in FINAL:
            return EMPTY
        text = self._store.result(job.id)
        if job.status == "Completed" and self._strikes("wrong-shape"):
            text = PROGRAMS[job.program].without_last_row(text)
        return text_reply(text)

    def _cancel(self, job: Job) -> Reply:
        # A job that has started is charged for what it took.
        for status, billed in (("Queued", 0.0), ("Running", START_SECONDS)):
            fields = {"status": "Cancelled", "billed": billed, "finished": time.time()}
            if self._store.change(job.id, (status,), **fields) is not None:
                return EMPTY
        return refusal(409, f"Job {job.id} is already in a final state.")

    def _metrics(self, job: Job) -> dict[str, Any]:
        metrics: dict[str, Any] = {
            "timestamps": {
                "created": iso(job.created),
                "running": iso(job.running),
                "finished": iso(job.finished),
            },
            "bss": {"seconds": job.billed},
            "usage": {
                "qpu_charge_time_seconds": job.billed,
                "status": "complete" if job.status in FINAL else "pending",
            },
        }
        if job.status == "Queued":
            before = [other for other in self._store.jobs() if other.number < job.number]
            ahead = [other for other in before if other.backend == job.backend]
            waiting = sum(other.status == "Queued" for other in ahead)
            metrics["position_in_queue"] = waiting + 1
        return metrics


def instance_of(request: Request) -> str:
    """Return the CRN of the instance that a request is for."""
    return request.headers.get("service-crn", "")


def _belongs(job: Job, instance: str) -> bool:
    return not job.instance or job.instance == instance


def _matches(job: Job, query: Mapping[str, list[str]]) -> bool:
    """Whether a job passes every filter of a listing."""
    created = datetime.fromtimestamp(job.created, UTC)
    tests: dict[str, Callable[[str], bool]] = {
        "session_id": lambda value: job.session_id == value,
        "backend": lambda value: job.backend == value,
        "program": lambda value: job.program == value,
        "pending": lambda value: (job.status not in FINAL) == (value == "true"),
        "created_after": lambda value: created >= datetime.fromisoformat(value),
        "created_before": lambda value: created <= datetime.fromisoformat(value),
    }
    return all(tag in job.tags for tag in query.get("tags", [])) and all(
        test(query[name][0]) for name, test in tests.items() if name in query
    )


def iso(seconds: float | None) -> str | None:
    """Return a time since 1970 in ISO 8601, UTC."""
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat().replace("+00:00", "Z")


def public(job: Job) -> dict[str, Any]:
    """Return a job as the API shows it."""
    state: dict[str, Any] = {"status": job.status}
    if job.reason is not None:
        state["reason"] = job.reason
    if job.reason_code is not None:
        state["reason_code"] = job.reason_code
    return {
        "id": job.id,
        "backend": job.backend,
        "program": {"id": job.program},
        "created": iso(job.created),
        "status": job.status,
        "state": state,
        "tags": job.tags,
        "session_id": job.session_id,
        "cost": job.cost,
        "private": job.private,
        "estimated_running_time_seconds": qpu_seconds(job.executions),
    }
