"""What went over the wire: the one place that says whether a request can have made a job.

The vendor's client retries POST requests on server errors, which can make two jobs of one, and
wraps errors so that a request that never left looks like one whose reply was lost. An HTTP adapter
of ours on the client's own sessions retries no POST and notes every exchange.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit

__all__ = ["Exchange", "Wire"]

#: (connect, read) in seconds; the client itself would wait for ever, or 15 minutes for a job.
_TIMEOUT = (10.0, 60.0)
_JOB_TIMEOUT = (10.0, 300.0)


@dataclass(kw_only=True)
class Exchange:
    """One request of the client, with its retries.

    Attributes:
        status: Of the reply; None where none came.
        sent: False if no connection came about, so that nothing can have arrived.
        repeated: Whether the client sent it again: the status is that of the last attempt.
    """

    method: str
    path: str
    status: int | None = None
    sent: bool = True
    repeated: bool = False

    @property
    def makes_job(self) -> bool:
        """Whether it asks for a new job."""
        return self.method == "POST" and self.path.rstrip("/").endswith("/jobs")

    @property
    def failed(self) -> bool:
        """Whether there was no reply, or a refusal."""
        return self.status is None or self.status >= 400


class Wire:
    """The exchanges of this thread since the last ``reset``.

    Attributes:
        mounted: Whether every session of the client has our adapter.
    """

    def __init__(self, retry_posts: bool) -> None:
        """Note exchanges; with ``retry_posts`` the client's own retries stay as they are."""
        self.retry_posts, self.mounted = retry_posts, True
        self._local = threading.local()

    @property
    def exchanges(self) -> list[Exchange]:
        """Return what was exchanged."""
        if not hasattr(self._local, "exchanges"):
            self._local.exchanges = []
        found: list[Exchange] = self._local.exchanges
        return found

    def reset(self) -> None:
        """Forget what was exchanged."""
        self.exchanges.clear()

    @property
    def failure(self) -> Exchange | None:
        """Return the last exchange that failed."""
        return next((entry for entry in reversed(self.exchanges) if entry.failed), None)

    @property
    def unauthorised(self) -> bool:
        """Whether a login was refused."""
        return any(entry.status == 401 for entry in self.exchanges)

    @property
    def job_request(self) -> Exchange | None:
        """Return the request for a job, None if none was tried."""
        return next((entry for entry in reversed(self.exchanges) if entry.makes_job), None)

    def mount(self, service: Any) -> None:
        """Put the adapter on every session of ``service`` that has none yet.

        The sessions are private to the client: where a version keeps them elsewhere, nothing is
        mounted, and ``mounted`` says so.
        """
        clients = [getattr(service, "_active_api_client", None)]
        clients += getattr(service, "_api_clients", {}).values()
        sessions = {id(s): s for s in (getattr(c, "_session", None) for c in clients)}
        self.mounted = all(hasattr(session, "mount") for session in sessions.values())
        for session in filter(None, sessions.values()):
            retry = session.get_adapter("https://").max_retries
            if isinstance(session.get_adapter("https://"), _adapter_class()):
                continue
            policy = retry if self.retry_posts else _no_post_retry(retry)
            for scheme in ("http://", "https://"):
                session.mount(scheme, _adapter_class()(self, max_retries=policy))


def _no_post_retry(retry: Any) -> Any:
    """Return the retry policy ``retry`` for everything but POST."""

    class NoPostRetry(type(retry)):  # type: ignore[misc]
        def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
            return method.upper() != "POST" and bool(
                super().is_retry(method, status_code, has_retry_after)
            )

    return NoPostRetry(
        total=retry.total,
        connect=retry.connect,
        backoff_factor=retry.backoff_factor,
        status_forcelist=retry.status_forcelist,
    )


@cache
def _adapter_class() -> Any:
    import requests
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def __init__(self, wire: Wire, **options: Any) -> None:
            self.wire = wire
            super().__init__(**options)

        def send(self, request: Any, *args: Any, **options: Any) -> Any:
            exchange = Exchange(method=request.method, path=urlsplit(request.url).path)
            self.wire.exchanges.append(exchange)
            options["timeout"] = _JOB_TIMEOUT if exchange.makes_job else _TIMEOUT
            try:
                response = super().send(request, *args, **options)
            except requests.RequestException as error:
                # With retries an earlier attempt may have arrived.
                exchange.sent = self.wire.retry_posts or not _never_connected(error)
                raise
            exchange.status = response.status_code
            exchange.repeated = bool(getattr(response.raw.retries, "history", ()))
            return response

    return Adapter


def _never_connected(error: Exception) -> bool:
    from urllib3.exceptions import ConnectTimeoutError, NewConnectionError

    reason = getattr(error.args[0], "reason", None) if error.args else None
    return isinstance(reason, ConnectTimeoutError | NewConnectionError)
