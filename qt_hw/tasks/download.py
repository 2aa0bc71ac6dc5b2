"""Fetching a public data file: resumed where it broke off, checked before it gets its name.

The bytes go to ``NAME.part``; only a file with the right checksum is renamed to ``NAME``. A part
file that stays behind after an interruption is continued by the next call.
"""

from __future__ import annotations

import errno
import hashlib
import http.client
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from qt_hw.errors import DataError, StorageError
from qt_hw.tasks.lock import locked

__all__ = ["RemoteFile", "check", "fetch", "sha256_of", "spelled"]

_ATTEMPTS = 4
_CHUNK = 1 << 18
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_RETRY_STATUS = {408, 429, 500, 502, 503, 504}
_NETWORK = (OSError, http.client.HTTPException)


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """A file with a published checksum and the addresses where it lies.

    Attributes:
        name: File name in the data folder.
        sha256: Expected checksum, 64 hex digits.
        urls: Full addresses, tried in order.
    """

    name: str
    sha256: str
    urls: tuple[str, ...]


class _DroppedError(Exception):
    """The connection broke: worth another attempt at the same address."""


class _RefusedError(Exception):
    """This address does not give the file: the next one may."""


def spelled(option: str) -> str:
    """Return a task's option as Python and the command line take it.

    >>> spelled("verify=false")
    'verify=false (on the command line: --set task.options.verify=false)'
    """
    return f"{option} (on the command line: --set task.options.{option})"


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as 64 hex digits.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error


def fetch(
    file: RemoteFile,
    folder: Path,
    *,
    advice: str,
    progress: bool = True,
    timeout: float = 30.0,
    pause: float = 1.0,
) -> Path:
    """Download a file unless the folder has it, and return its path.

    Two processes that want the same folder wait for each other, so a file is fetched once.

    Args:
        file: What to fetch.
        folder: Where to put it; made if it is missing, removed again if nothing came.
        advice: What the user can do when no address works; ends the message.
        progress: Show a bar if standard error is a terminal.
        timeout: Seconds without a byte after which a connection counts as broken.
        pause: Seconds before the second attempt; doubles with each further one.

    Raises:
        DataError: No address gave the file, or the file there has another checksum.
        StorageError: The folder cannot be written, or the disk is full.
    """
    target = folder / file.name
    try:
        with locked(folder):
            if not target.exists():
                part = folder / f"{file.name}.part"
                _from_any(file, part, advice, _Transfer(part, progress, timeout, pause))
                os.replace(part, target)
    except OSError as error:
        raise _storage_error(file.name, folder, error) from error
    check(target, file.sha256, "delete it and run again to download it anew")
    return target


def check(path: Path, sha256: str, advice: str) -> None:
    """Compare a file with its published checksum.

    Raises:
        DataError: They differ; the message ends with ``advice``.
    """
    found = sha256_of(path)
    if found != sha256:
        raise DataError(f"{path} has the sha256 {found}, expected {sha256}: {advice}")


def _from_any(file: RemoteFile, part: Path, advice: str, transfer: _Transfer) -> None:
    failures = []
    for url in file.urls:
        try:
            _from_one(url, file, part, transfer)
            return
        except _RefusedError as failure:
            failures.append(f"{urlsplit(url).netloc}: {failure}")
    raise DataError(f"cannot download {file.name} ({'; '.join(failures)}): {advice}")


def _from_one(url: str, file: RemoteFile, part: Path, transfer: _Transfer) -> None:
    """Complete the part file from one address, and leave it only if its checksum is right."""
    resumed = part.exists()
    transfer.complete(url)
    found = sha256_of(part)
    if found != file.sha256 and resumed:
        # The old part may come from another version of the file, so it gets one clean start.
        part.unlink()
        transfer.complete(url)
        found = sha256_of(part)
    if found != file.sha256:
        part.unlink()
        raise _RefusedError(f"wrong checksum, expected sha256 {file.sha256}, got {found}")


@dataclass(frozen=True)
class _Transfer:
    """How bytes get into the part file."""

    part: Path
    progress: bool
    timeout: float
    pause: float

    def complete(self, url: str) -> None:
        """Append to the part file until the server says that it is whole."""
        failed, best = 0, self._size()
        while True:
            try:
                self._stream(url)
                return
            except _DroppedError as failure:
                # An attempt that brought bytes is no sign of a dead server.
                failed = 1 if self._size() > best else failed + 1
                best = max(best, self._size())
                if failed == _ATTEMPTS:
                    raise _RefusedError(str(failure)) from failure
            time.sleep(self.pause * 2 ** (failed - 1))

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    def _stream(self, url: str) -> None:
        start = self._size()
        with _open(url, start, self.timeout) as reply:
            if reply is None:
                return
            if not _continues(reply, start):
                start = 0
            length = reply.headers.get("Content-Length", "")
            expected = int(length) if length.isdecimal() else None
            self._check_room(expected)
            with (
                self.part.open("ab" if start else "wb") as out,
                _bar(self.part.stem, start, expected, self.progress) as advance,
            ):
                for chunk in _chunks(reply, expected):
                    out.write(chunk)
                    advance(len(chunk))
                out.flush()
                os.fsync(out.fileno())

    def _check_room(self, expected: int | None) -> None:
        if expected is not None and shutil.disk_usage(self.part.parent).free < expected:
            raise OSError(errno.ENOSPC, f"{expected / 1e6:,.0f} MB are needed")


@contextmanager
def _open(url: str, start: int, timeout: float) -> Iterator[http.client.HTTPResponse | None]:
    """Open an address at byte ``start``; yields None if the file has no such byte."""
    headers = {"User-Agent": "qt-hw", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        reply = urllib.request.urlopen(
            urllib.request.Request(url, headers=headers), timeout=timeout
        )
    except urllib.error.HTTPError as error:
        error.close()
        if start and error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            yield None
            return
        kind = _DroppedError if error.code in _RETRY_STATUS else _RefusedError
        raise kind(f"HTTP {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        kind = _DroppedError if isinstance(error.reason, TimeoutError) else _RefusedError
        raise kind(str(error.reason)) from error
    except _NETWORK as error:
        raise _DroppedError(str(error) or type(error).__name__) from error
    with reply:
        yield reply


def _continues(reply: http.client.HTTPResponse, start: int) -> bool:
    """Return whether the reply starts at byte ``start``; many servers send the whole file."""
    if reply.status != http.HTTPStatus.PARTIAL_CONTENT:
        return False
    sent = reply.headers.get("Content-Range", "")
    if not sent.startswith(f"bytes {start}-"):
        raise _RefusedError(f"asked for the bytes from {start} on, got Content-Range {sent!r}")
    return True


def _chunks(reply: http.client.HTTPResponse, expected: int | None) -> Iterator[bytes]:
    received = 0
    while True:
        try:
            # What has arrived, without waiting for a full chunk: all of it survives a break.
            chunk = reply.read1(_CHUNK)
        except _NETWORK as error:
            raise _DroppedError(str(error) or type(error).__name__) from error
        if not chunk:
            break
        received += len(chunk)
        yield chunk
    if expected is not None and received < expected:
        raise _DroppedError(f"the connection closed after {received:,} of {expected:,} bytes")


@contextmanager
def _bar(
    name: str, start: int, expected: int | None, wanted: bool
) -> Iterator[Callable[[int], None]]:
    if not (wanted and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    total = None if expected is None else start + expected
    with Progress(TextColumn(name), *columns, console=Console(stderr=True)) as bar:
        line = bar.add_task(name, total=total, completed=start)
        yield lambda count: bar.advance(line, count)


def _storage_error(name: str, folder: Path, error: OSError) -> StorageError:
    reason = error.strerror or str(error)
    if error.errno in _FULL:
        return StorageError(
            f"no space for {name} in {folder} ({reason}): free some space and run again, "
            "what is already there will be continued"
        )
    return StorageError(
        f"cannot write {name} in {folder} ({reason}): pass {spelled('root=FOLDER')} or set "
        "QT_HW_DATA to a folder that you can write to"
    )
