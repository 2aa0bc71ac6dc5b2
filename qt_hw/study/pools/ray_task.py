"""What a Ray worker does with one cell: in the study's folder if it sees it, else in its own."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from qt_hw import __version__
from qt_hw.errors import InputError
from qt_hw.storage import taking_turns
from qt_hw.study.pools.calling import call, use_one_thread
from qt_hw.study.pools.packing import Files, pack, unpack

__all__ = ["TOKEN", "Answer", "Order", "compute", "sees"]

TOKEN = ".token"
"""File in the study's folder by which a worker knows that it sees the same folder."""

_TURNS = ".turns"


@dataclass(frozen=True, kw_only=True)
class Order:
    """A cell for a worker.

    Attributes:
        id: Its id.
        payload: The cell.
        study: The study's folder as the driver sees it.
        token: What is in its ``TOKEN``.
        work: ``"module:function"``.
        version: Of this package at the driver.
        path: The driver's ``sys.path``.
    """

    id: str
    payload: str
    study: str
    token: str
    work: str
    version: str
    path: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What a worker made of a cell.

    Attributes:
        error: What went wrong, empty if nothing.
        files: What it wrote, if the study's folder is out of its sight.
        blind: It sees no study's folder and was given no files: nothing was done.
    """

    error: str = ""
    files: Files | None = None
    blind: bool = False


def compute(order: Order, fetch: Callable[[], Sequence[Files]] | None) -> Answer:
    """Compute a cell.

    Args:
        order: The cell.
        fetch: Returns the folders that it reads; None if they were left out.

    Raises:
        InputError: This worker has another version of the package.
    """
    if order.version != __version__:
        raise InputError(f"a worker has qt-hw {__version__}, this is {order.version}")
    use_one_thread()
    sys.path.extend(entry for entry in order.path if entry not in sys.path)
    if sees(order.study, order.token):
        # The worker that had the cell before may be in its last moments when Ray gives it to us.
        with taking_turns(Path(order.study, _TURNS, order.id)):
            return Answer(error=call(order.work, order.study, order.payload))
    return Answer(blind=True) if fetch is None else _elsewhere(order, fetch())


def sees(study: str, token: str) -> bool:
    """Return whether this process sees the study's folder."""
    try:
        return Path(study, TOKEN).read_text("utf-8") == token
    except (OSError, UnicodeDecodeError):
        return False


def _elsewhere(order: Order, folders: Sequence[Files]) -> Answer:
    """Compute a cell in a folder of this machine, and return what is new in it."""
    own = f"cells/{order.id}/"
    with TemporaryDirectory(prefix="qt-hw-", ignore_cleanup_errors=True) as folder:
        study, given = Path(folder), set[str]()
        for files in folders:
            unpack(study, files)
            given |= files.keys()
        error = call(order.work, folder, order.payload)
        files = pack(study, ".")
        kept = {name for name in files if name.startswith(own) or name not in given}
        return Answer(error=error, files={name: files[name] for name in kept})
