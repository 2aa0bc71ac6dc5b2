"""A vendor's service on loopback: what the stand-ins of all backends share.

A stand-in answers the unmodified vendor client over real HTTP. It serves rehearsals, in a process
of its own that ends with its parent, and tests, in a thread, with faults injected.
"""

from __future__ import annotations

import contextlib
import re
import socket
import subprocess
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Literal
from urllib.parse import parse_qs, unquote, urlsplit

from qt_hw.errors import BackendError

__all__ = ["Fault", "Loopback", "Reply", "Request", "child", "serve_as_child"]

Action = Literal["drop", "drop_after", "status", "status_after", "body", "truncate", "sleep"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a client sent; ``path`` is unquoted and without the query."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What it gets back."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(kw_only=True)
class Fault:
    """Something that goes wrong with the next matching requests.

    Attributes:
        method: ``"POST"``, … .
        path: Regular expression, searched for in the path.
        action: ``drop`` the connection before the request is processed, ``drop_after`` it;
            answer with ``status`` instead of processing, or ``status_after`` processing; answer
            200 with another ``body``; ``truncate`` the true reply; ``sleep``, then answer.
        times: How many requests are hit.
        status: Of the actions ``status`` and ``status_after``.
        body: Body of the reply of ``status``, ``status_after`` and ``body``.
        headers: Headers of that reply.
        seconds: Of the action ``sleep``.
    """

    method: str
    path: str
    action: Action
    times: int = 1
    status: int = 500
    body: bytes = b"{}"
    headers: Mapping[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def hits(self, request: Request) -> bool:
        """Whether this fault is for ``request``; ``times`` is counted by the server."""
        found = re.search(self.path, request.path) is not None
        return self.times > 0 and request.method == self.method and found


class Loopback(ABC):
    """A service on 127.0.0.1; ``with`` starts and stops it.

    Attributes:
        faults: What will go wrong; tests append to it.
        log: Every request so far.
        url: Where it answers; empty before it was started.
    """

    def __init__(self) -> None:
        """Start with no faults."""
        self.faults: list[Fault] = []
        self.log: list[Request] = []
        self.url = ""
        self._lock = threading.Lock()
        self._server: ThreadingHTTPServer | None = None

    @abstractmethod
    def route(self, request: Request) -> Reply:
        """Process one request; called from several threads."""

    def __enter__(self) -> Loopback:
        handler = type("Handler", (_Handler,), {"service": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        assert self._server is not None
        self._server.shutdown()
        self._server.server_close()

    def take_fault(self, request: Request) -> Fault | None:
        """Return the fault that hits ``request``, counted, None if all is well."""
        with self._lock:
            self.log.append(request)
            for fault in self.faults:
                if fault.hits(request):
                    fault.times -= 1
                    return fault
        return None


class _Handler(BaseHTTPRequestHandler):
    service: Loopback
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # otherwise each reply takes 40 ms

    def log_message(self, format: str, *args: object) -> None:
        """Stay quiet."""

    def handle(self) -> None:
        """Answer requests until the client has gone, in whatever way: it may have been killed."""
        with contextlib.suppress(ConnectionError):
            super().handle()

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        request = Request(
            method=self.command,
            path=unquote(parts.path),
            query=parse_qs(parts.query),
            headers={key.lower(): value for key, value in self.headers.items()},
            body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
        )
        fault = self.service.take_fault(request)
        if fault is None:
            return self._send(self.service.route(request))
        if fault.action in ("drop_after", "status_after"):
            self.service.route(request)
        if fault.action in ("drop", "drop_after"):
            return self._hang_up()
        if fault.action in ("status", "status_after"):
            return self._send(Reply(status=fault.status, body=fault.body, headers=fault.headers))
        if fault.action == "body":
            return self._send(Reply(body=fault.body, headers=fault.headers))
        if fault.action == "sleep":
            time.sleep(fault.seconds)
            return self._send(self.service.route(request))
        self._send(self.service.route(request), cut=True)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _answer  # noqa: N815

    def _send(self, reply: Reply, cut: bool = False) -> None:
        with contextlib.suppress(ConnectionError):  # the client has gone: its business
            self.send_response(reply.status)
            self.send_header("Content-Type", reply.content_type)
            self.send_header("Content-Length", str(len(reply.body)))
            for key, value in reply.headers.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body[: len(reply.body) // 2] if cut else reply.body)
                self.wfile.flush()
        if cut:
            self._hang_up()

    def _hang_up(self) -> None:
        self.close_connection = True
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)


def serve_as_child(service: Loopback) -> None:
    """Serve until the standard input ends, which it does when the parent process ends."""
    with service:
        print(service.url, flush=True)
        sys.stdin.read()


@contextlib.contextmanager
def child(module: str, arguments: Sequence[str]) -> Iterator[str]:
    """Run ``python -m module arguments``, which calls ``serve_as_child``; yield its URL.

    Raises:
        BackendError: It did not start.
    """
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,  # Ctrl-C is for the parent
    )
    assert process.stdin is not None and process.stdout is not None
    try:
        url = process.stdout.readline().strip()
        if not url.startswith("http://"):
            raise BackendError(f"the rehearsal's service did not start: python -m {module}")
        yield url
    finally:
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(5)
        process.kill()
        process.wait()
        process.stdout.close()
