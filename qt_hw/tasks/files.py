"""Where data files lie: in a folder given by the user, or downloaded into the data folder.

The data folder is ``root=`` if given, else ``$QT_HW_DATA``, else ``data`` under the current
directory; every task has its own folder in it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qt_hw.errors import DataError, InputError
from qt_hw.tasks.download import RemoteFile, check, fetch, sha256_of, spelled
from qt_hw.tasks.task import Classification, check_count

__all__ = ["FileTask", "data_folder"]

_UNVERIFIED = spelled("verify=false")


def data_folder() -> Path:
    """Return ``$QT_HW_DATA``, or ``data`` under the current directory."""
    return Path(os.environ.get("QT_HW_DATA") or "data")


@dataclass(frozen=True, kw_only=True)
class FileTask(Classification):
    """A task whose data are public files, found in a folder or downloaded into it.

    Attributes:
        root: Folder that holds the files, or a folder named after the task with the files.
        download: Fetch what is missing.
        verify: Compare every file with its published checksum, and the number of samples with
            the published one. Set it to false for your own files in the same format.
        train_size: Keep that many training samples, class-balanced; None keeps all.
        test_size: The same for the test samples.
    """

    root: str | None = None
    download: bool = True
    verify: bool = True
    train_size: int | None = None
    test_size: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if self.root is not None and not _is_path(self.root):
            raise InputError(f"root must be the path of a folder, got {self.root!r}")
        for name in ("download", "verify"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, got {getattr(self, name)!r}")
        check_count("train_size", self.train_size)
        check_count("test_size", self.test_size)

    def _folders(self, *layouts: str) -> list[Path]:
        """Return the folders to search; the first is where downloads go."""
        base = data_folder() if self.root is None else Path(os.path.expanduser(self.root))
        folders = [base / layout for layout in (self.name, *layouts)]
        # The files of MNIST and Fashion-MNIST have the same names, so a shared data folder is
        # searched by task only; a folder given by name is taken at its word.
        return folders if self.root is None else [*folders, base]

    def _find(self, names: Sequence[str], folders: Sequence[Path]) -> Path | None:
        """Return the first file that exists, by folder, then by name."""
        paths = (folder / name for folder in folders for name in names)
        return next((path for path in paths if os.path.isfile(path)), None)

    def _obtain(
        self,
        remote: RemoteFile,
        folders: Sequence[Path],
        *,
        others: Mapping[str, str | None],
        wanted: Sequence[str],
    ) -> Path:
        """Return the path of a verified file.

        Args:
            remote: The file as it is published.
            folders: Where to look; the first is where a download goes.
            others: Other names of the same content, with their checksums where published.
            wanted: All files of the task, for the message.

        Raises:
            DataError: The file is neither there nor to be had, or its checksum is wrong.
            StorageError: The folder cannot be written.
        """
        path = self._find((remote.name, *others), folders)
        if path is None:
            advice = (
                f"put {', '.join(wanted)} into {folders[0]}, or pass {spelled('root=FOLDER')}; "
                f"they are looked for in FOLDER/{self.name} and in FOLDER itself"
            )
            if not self.download:
                raise DataError(f"{remote.name} is missing and download is off: {advice}")
            return fetch(remote, folders[0], advice=advice)
        if self.verify:
            self._check(path, {remote.name: remote.sha256, **others}[path.name])
        return path

    @staticmethod
    def _check(path: Path, sha256: str | None) -> None:
        if sha256 is None:
            raise DataError(
                f"no checksum is published for {path}: put {path.name}.gz beside it, "
                f"or pass {_UNVERIFIED}"
            )
        check(
            path, sha256, f"delete it to download it anew, or for your own data pass {_UNVERIFIED}"
        )

    def _check_number(self, what: str, found: int, published: int) -> None:
        if self.verify and found != published:
            raise DataError(
                f"{what} holds {found:,} samples, {published:,} are published: get the file "
                f"anew, or for your own data pass {_UNVERIFIED}"
            )

    def _describe(self, paths: Sequence[Path], n_train: int, n_test: int) -> dict[str, object]:
        """Return the facts for the manifest."""
        return {
            "sha256": {path.name: sha256_of(path) for path in paths},
            "split": "as published",
            "subset": "class-balanced, seed 0",
            "normalisation": "(pixel/255 - 0.5)/0.5",
            "n_train": n_train,
            "n_test": n_test,
        }


def _is_path(value: object) -> bool:
    return isinstance(value, str | os.PathLike) and "\0" not in str(value)
