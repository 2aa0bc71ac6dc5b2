"""``/sessions``: batches and dedicated sessions."""

from __future__ import annotations

import json
import time
from typing import Any

from qt_hw.execution.loopback import Reply, Request
from qt_hw_ibm.standin.jobs_api import iso
from qt_hw_ibm.standin.replies import EMPTY, json_reply, not_found
from qt_hw_ibm.standin.store import FINAL, Job, Store, new_id

__all__ = ["SessionsApi"]

_LONGEST_SECONDS = 28_800
_IDLE_SECONDS = 60


class SessionsApi:
    """Sessions of one stand-in; a closed one takes no more jobs, a cancelled one drops them."""

    def __init__(self, store: Store) -> None:
        """Serve the sessions of ``store``."""
        self._store = store

    def route(self, request: Request, parts: tuple[str, ...]) -> Reply:
        """Answer a request for ``/sessions/<parts>``."""
        if not parts:
            return self._create(json.loads(request.body))
        session = self._store.session(parts[0])
        if session is None:
            return not_found(f"session {parts[0]}")
        match request.method, parts[1:]:
            case "GET", ():
                return json_reply(self._details(session))
            case "PATCH", ():
                accepting = bool(json.loads(request.body)["accepting_jobs"])
                self._store.write_session({**session, "accepting_jobs": accepting})
                return EMPTY
            case "DELETE", ("close",):
                self._store.write_session({**session, "accepting_jobs": False, "cancelled": True})
                for job in self._jobs(session["id"]):
                    self._store.change(job.id, ("Queued",), status="Cancelled")
                return EMPTY
        return not_found("/".join(parts))

    def accepts(self, id: str) -> bool | None:
        """Whether a session takes another job; None if there is no such session."""
        session = self._store.session(id)
        if session is None:
            return None
        return bool(session["accepting_jobs"]) and not self._expired(session)

    def _create(self, body: dict[str, Any]) -> Reply:
        session = {
            "id": new_id(),
            "backend_name": body.get("backend"),
            "mode": body.get("mode"),
            "max_ttl": body.get("max_ttl", _LONGEST_SECONDS),
            "interactive_ttl": _IDLE_SECONDS,
            "active_ttl": _LONGEST_SECONDS,
            "accepting_jobs": True,
            "cancelled": False,
            "created": time.time(),
        }
        self._store.write_session(session)
        return json_reply(self._details(session))

    def _details(self, session: dict[str, Any]) -> dict[str, Any]:
        """Return a session with what follows from its jobs."""
        jobs = self._jobs(session["id"])
        started = [job.running for job in jobs if job.running is not None]
        ended = [job.finished for job in jobs if job.finished is not None]
        private = ("created", "cancelled")
        return {
            **{key: value for key, value in session.items() if key not in private},
            "accepting_jobs": session["accepting_jobs"] and not self._expired(session),
            "state": self._state(session, jobs),
            "started_at": iso(min(started, default=None)),
            "last_job_started": iso(max(started, default=None)),
            "last_job_completed": iso(max(ended, default=None)),
            "elapsed_time": round(sum(job.billed for job in jobs), 3),
            "timestamps": [],
        }

    def _state(self, session: dict[str, Any], jobs: list[Job]) -> str:
        idle = all(job.status in FINAL for job in jobs)
        shut = not session["accepting_jobs"] or self._expired(session)
        if session["cancelled"] or (shut and idle):
            return "closed"
        return "active" if any(job.running is not None for job in jobs) else "open"

    def _expired(self, session: dict[str, Any]) -> bool:
        return bool(time.time() > session["created"] + session["max_ttl"])

    def _jobs(self, id: str) -> list[Job]:
        return [job for job in self._store.jobs(deleted=True) if job.session_id == id]
