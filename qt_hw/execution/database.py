"""An SQLite file in which every change is on the disk before the next line of the program runs."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from qt_hw.errors import StorageError

__all__ = ["Database"]

#: Seconds for which a change waits for that of another process.
_PATIENCE = 60.0


class Database:
    """One file: write-ahead log, full sync. May be used by several threads and processes."""

    def __init__(self, path: Path, schema: Sequence[str], version: int) -> None:
        """Open or make the file.

        Args:
            path: Of the file; its folder is made if missing.
            schema: Statements that make what is missing.
            version: Of the schema.

        Raises:
            StorageError: It cannot be opened, is no database, or is of a newer version.
        """
        self.path, self._lock = path, threading.RLock()
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._db = sqlite3.connect(
                path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False
            )
        except (OSError, sqlite3.Error) as error:
            raise StorageError(f"cannot open the journal {path}: {error}") from None
        try:
            self._db.row_factory = sqlite3.Row
            self._patiently("pragma journal_mode=wal")
            self._db.execute("pragma synchronous=full")
            self._make(schema, version)
        except BaseException as error:
            self._db.close()
            if not isinstance(error, sqlite3.Error):
                raise
            raise StorageError(f"cannot open the journal {path}: {error}") from None

    def _patiently(self, statement: str) -> None:
        """Execute ``statement``, for which SQLite itself does not wait while the file is busy."""
        for _ in range(int(_PATIENCE / 0.05)):
            try:
                self._db.execute(statement)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                    raise
            time.sleep(0.05)
        self._db.execute(statement)

    def _make(self, schema: Sequence[str], version: int) -> None:
        found = self._version()
        if found > version:
            raise StorageError(
                f"the journal {self.path} is of a newer version of qt-hw: install that one"
            )
        if found == version:
            return
        with self.change() as db:
            for statement in schema:
                db.execute(statement)
            db.execute(f"pragma user_version = {version}")

    def _version(self) -> int:
        return int(self._db.execute("pragma user_version").fetchone()[0])

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextlib.contextmanager
    def change(self) -> Iterator[sqlite3.Connection]:
        """Make one durable transaction that no other process interleaves with.

        Raises:
            StorageError: Nothing was changed: the disk is full, another process holds the file.
        """
        with self._lock:
            try:
                try:
                    self._db.execute("begin immediate")
                    yield self._db
                    self._db.execute("commit")
                except BaseException:
                    if self._db.in_transaction:
                        self._db.execute("rollback")
                    raise
            except sqlite3.Error as error:
                raise StorageError(f"cannot write the journal {self.path}: {error}") from None

    def read(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """Return the rows of a query.

        Raises:
            StorageError: The file cannot be read.
        """
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except sqlite3.Error as error:
                raise StorageError(f"cannot read the journal {self.path}: {error}") from None
