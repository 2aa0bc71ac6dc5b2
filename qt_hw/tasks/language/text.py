"""Texts: what ships with Python, a file, or the files of WikiText.

A text is a list of documents for training and one for testing. Those that ship with Python differ
a little between its versions; their checksums are in the description.
"""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from qt_hw.errors import DataError
from qt_hw.tasks.files import data_folder

__all__ = ["BUILT_IN", "Text", "lines_of", "read_text"]

BUILT_IN = ("python-docs", "python-code")
"""Names of the texts that ship with Python."""

WIKI_FILES = {"train": "wiki.train.raw", "valid": "wiki.valid.raw", "test": "wiki.test.raw"}
"""The files of WikiText-2 and WikiText-103, raw version (Merity et al., arXiv:1609.07843)."""

_TEST_SHARE = 0.1
# Single modules of Python 3.11 to 3.13, written by many authors; the last ones are for testing.
_MODULES = (
    *("argparse", "ast", "calendar", "configparser", "difflib", "doctest", "fractions"),
    *("ftplib", "http.client", "inspect", "mailbox", "optparse", "pickle", "shutil", "smtplib"),
    *("statistics", "subprocess", "textwrap", "threading", "tarfile", "traceback"),
)
_N_TEST_MODULES = 2


@dataclass(frozen=True, kw_only=True)
class Text:
    """Documents of a text in order.

    Attributes:
        train: Those to learn from.
        test: Those to be told.
        description: Source and checksums for the manifest.
    """

    train: tuple[str, ...]
    test: tuple[str, ...]
    description: dict[str, object]


def read_text(name: str, test_part: str = "test") -> Text:
    """Return a text.

    Args:
        name: ``"python-docs"``: the language reference that ``help()`` shows, whose last tenth is
            for testing. ``"python-code"``: the source of 21 modules of the standard library, the
            last two for testing. A path: a UTF-8 file whose last tenth of lines is for testing, or
            a folder with the three raw files of WikiText, each of them one document; where it does
            not exist, the same path in the data folder.
        test_part: Of WikiText ``"test"`` or ``"valid"``.

    Raises:
        DataError: A file is missing, empty, or no UTF-8 text; or Python was installed without
            the text.
    """
    if name == "python-docs":
        return _halves(name, _topics())
    if name == "python-code":
        sources = [_source(module) for module in _MODULES]
        return _text(name, sources[:-_N_TEST_MODULES], sources[-_N_TEST_MODULES:])
    path = Path(os.path.expanduser(name))
    if not path.exists() and (data_folder() / path).exists():
        path = data_folder() / path
    if path.is_dir():
        return _wikitext(path, test_part)
    if not path.exists():
        raise DataError(
            f"there is no text {name!r}, nor is it in {data_folder()}: set task.options.text to "
            f"{', '.join(BUILT_IN)}, a UTF-8 file, or a folder with "
            f"{', '.join(WIKI_FILES.values())}"
        )
    return _halves(str(path), lines_of(_file(path)), joined=True)


def lines_of(text: str) -> list[str]:
    r"""Return the lines of a text with their ends.

    Only a line feed ends one: ``str.splitlines`` would cut at rarer characters too, such as the
    form feeds of source code, and make other samples than those of the published data.

    >>> lines_of("a\n\nb\x0cc")
    ['a\n', '\n', 'b\x0cc']
    """
    return io.StringIO(text).readlines()


def _topics() -> list[str]:
    try:
        from pydoc_data.topics import topics
    except ImportError:
        raise DataError(
            "this Python was installed without its documentation (pydoc_data): set "
            "task.options.text to 'python-code' or a file"
        ) from None
    return [topics[key] for key in sorted(topics)]


def _source(module: str) -> str:
    """Return the source of a module, without importing it."""
    spec = find_spec(module)
    origin = spec.origin if spec is not None else None
    if origin is None or not origin.endswith(".py") or not os.path.isfile(origin):
        raise DataError(
            f"this Python was installed without the source of {module}: set task.options.text to "
            "'python-docs' or a file"
        )
    return _file(Path(origin))


def _wikitext(folder: Path, test_part: str) -> Text:
    wanted = {part: folder / WIKI_FILES[part] for part in ("train", test_part)}
    for path in wanted.values():
        if not path.is_file():
            raise DataError(
                f"{path.name} is missing in {folder}: unpack the raw version of WikiText-2 there "
                f"({', '.join(WIKI_FILES.values())})"
            )
    read = {part: (_file(path),) for part, path in wanted.items()}
    return _text(folder.name, read["train"], read[test_part])


def _file(path: Path) -> str:
    """Return the text of a file that holds some.

    Raises:
        DataError: It cannot be read, is empty, or holds something else.
    """
    try:
        text = path.read_bytes().decode("utf-8")
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}, byte {error.start}: this is no UTF-8 text; convert it to UTF-8 first"
        ) from error
    if not text.strip():
        raise DataError(f"{path} holds no text: get the file anew")
    return text.replace("\r\n", "\n")


def _halves(name: str, documents: Sequence[str], *, joined: bool = False) -> Text:
    """Part documents where the first nine tenths of the characters end.

    With ``joined`` each part becomes one document.
    """
    limit = (1 - _TEST_SHARE) * sum(map(len, documents))
    train, size = 0, 0
    while size + len(documents[train]) <= limit:
        size += len(documents[train])
        train += 1
    parts = documents[:train], documents[train:]
    if not train:
        raise DataError(f"{name} holds too few lines to be parted for training and testing")
    return _text(name, *([("".join(part),) for part in parts] if joined else parts))


def _text(name: str, train: Sequence[str], test: Sequence[str]) -> Text:
    parts = {"train": tuple(train), "test": tuple(test)}
    return Text(
        **parts,
        description={
            "text": name,
            "python": ".".join(map(str, sys.version_info[:3])) if name in BUILT_IN else None,
            "text_sha256": {part: _sha256(documents) for part, documents in parts.items()},
        },
    )


def _sha256(documents: Sequence[str]) -> str:
    return hashlib.sha256("\0".join(documents).encode()).hexdigest()
