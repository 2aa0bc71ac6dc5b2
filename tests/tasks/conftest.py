"""A local HTTP server with the faults of real ones, and small files in the true formats."""

from __future__ import annotations

import gzip
import struct
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest


@dataclass
class Site:
    """What the server serves, how it misbehaves, and what it was asked."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    ranges: bool = True
    shifted: bool = False
    announce: int | None = None
    drop_after: list[int] = field(default_factory=list)
    stall_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    hang_ups: int = 0
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    closing: threading.Event = field(default_factory=threading.Event)

    @property
    def ranges_asked(self) -> list[str | None]:
        return [wanted for _, wanted in self.asked]


class _Handler(BaseHTTPRequestHandler):
    site: Site

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        site = self.site
        wanted = self.headers.get("Range")
        site.asked.append((self.path, wanted))
        if site.hang_ups:
            site.hang_ups -= 1
            return
        body = site.files.get(self.path)
        if site.statuses or body is None:
            self.send_error(site.statuses.pop(0) if site.statuses else 404)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if not site.ranges:
            start = 0
        if start and start >= len(body):
            self.send_error(416)
            return
        self._send(body, start)

    def _send(self, body: bytes, start: int) -> None:
        site = self.site
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(site.announce or len(body) - start))
        if start:
            first = start + 1 if site.shifted else start
            self.send_header("Content-Range", f"bytes {first}-{len(body) - 1}/{len(body)}")
        self.end_headers()
        if site.stall_after:
            self.wfile.write(body[start : start + site.stall_after.pop(0)])
            site.closing.wait()
        elif site.drop_after:
            self.wfile.write(body[start : start + site.drop_after.pop(0)])
        else:
            self.wfile.write(body[start:])


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # Clients that run out of space close the connection midway.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A server on this machine; drops and stalls are used up one per request."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    handler = type("Handler", (_Handler,), {})
    with _Server(("127.0.0.1", 0), handler) as server:
        handler.site = Site(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield handler.site
        handler.site.closing.set()
        server.shutdown()
        thread.join()


class Files:
    """Bytes of small files in the true formats, with seeded contents."""

    @staticmethod
    def idx(array: np.ndarray) -> bytes:
        head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
        return head + array.astype(np.uint8).tobytes()

    def mnist(self, n_train: int, n_test: int) -> dict[str, bytes]:
        rng = np.random.default_rng(0)
        content = {}
        for part, n in (("train", n_train), ("t10k", n_test)):
            images = rng.integers(0, 256, (n, 28, 28))
            images[0, 0, :3] = 0, 128, 255
            content[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(self.idx(images), mtime=0)
            labels = self.idx(np.arange(n) % 10)
            content[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(labels, mtime=0)
        return content

    def cifar(self, n: int) -> dict[str, bytes]:
        """Return six files of ``n`` records; pixel values are plane·64 + file number."""
        content = {}
        for k, name in enumerate([*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]):
            records = np.empty((n, 3073), np.uint8)
            records[:, 0] = np.arange(n) % 10
            records[:, 1:] = np.repeat([k, 64 + k, 128 + k], 1024)
            records[:, 1 + 33] = 255
            content[name] = records.tobytes()
        return content


@pytest.fixture
def files() -> Files:
    return Files()
