"""CIFAR-10, binary version: 60,000 colour images of 32x32 pixels in six files.

A record is one label byte and 3,072 pixel bytes: red, green, blue plane, rows from the top
(https://www.cs.toronto.edu/~kriz/cifar.html).
"""

from __future__ import annotations

import gzip
import os
import tarfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from qt_hw.errors import DataError
from qt_hw.tasks.download import RemoteFile
from qt_hw.tasks.files import FileTask
from qt_hw.tasks.task import Data

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Cifar10"]

_RECORD = 1 + 3 * 32 * 32
_FOLDER = "cifar-10-batches-bin"
_TRAIN = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
_TEST = ("test_batch.bin",)

# The file whose md5 the authors' page gives (c32a1d4a…); this sha256 and those of its members
# are those of the torchvision gem.
_ARCHIVE = RemoteFile(
    name="cifar-10-binary.tar.gz",
    sha256="c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
    urls=("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
)
_SHA256 = {
    "data_batch_1.bin": "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5",
    "data_batch_2.bin": "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed",
    "data_batch_3.bin": "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67",
    "data_batch_4.bin": "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48",
    "data_batch_5.bin": "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add",
    "test_batch.bin": "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b",
}


@dataclass(frozen=True, kw_only=True)
class Cifar10(FileTask):
    """CIFAR-10 (Krizhevsky), 50,000 training and 10,000 test images.

    Inputs are ``(N, 3, 32, 32)``, normalised with mean 0.5 and deviation 0.5 to [-1, 1]. The
    files are read from a folder of ``.bin`` files or straight from the ``.tar.gz``, which is
    never unpacked. For the options see ``FileTask``.
    """

    name: ClassVar[str] = "cifar-10"
    _archive: ClassVar[RemoteFile] = _ARCHIVE
    _sha256: ClassVar[dict[str, str]] = _SHA256
    _published: ClassVar[tuple[int, int]] = (50_000, 10_000)

    def load(self) -> Data:
        """Return the data; see ``Task.load``."""
        paths, content = self._content()
        train = self._part(content, _TRAIN, self._published[0], "train_size")
        test = self._part(content, _TEST, self._published[1], "test_size")
        return Data(
            train=train,
            test=test,
            n_classes=10,
            name=self.name,
            description=self._describe(paths, len(train[1]), len(test[1])),
        )

    def _content(self) -> tuple[list[Path], dict[str, bytes]]:
        """Return the files read, and the bytes of each of the six by name."""
        folders = self._folders(f"{self.name}/{_FOLDER}", _FOLDER)
        for folder in folders:
            paths = [folder / name for name in (*_TRAIN, *_TEST)]
            if all(os.path.isfile(path) for path in paths):
                return paths, {path.name: self._member(path) for path in paths}
        wanted = (self._archive.name,)
        archive = self._obtain(self._archive, folders, others={}, wanted=wanted)
        return [archive], _unpack(archive)

    def _member(self, path: Path) -> bytes:
        if self.verify:
            self._check(path, self._sha256[path.name])
        try:
            return path.read_bytes()
        except OSError as error:
            raise DataError(f"cannot read {path}: {error.strerror or error}") from error

    def _part(
        self, content: Mapping[str, bytes], names: tuple[str, ...], published: int, option: str
    ) -> tuple[Tensor, Tensor]:
        import numpy as np
        import torch

        from qt_hw.tasks.sampling import subset

        records = np.concatenate([_records(name, content[name]) for name in names])
        self._check_number(f"{names[0]} …" if len(names) > 1 else names[0], len(records), published)
        y = records[:, 0].astype(np.int64)
        keep = subset(y, getattr(self, option), option)
        pixels = torch.from_numpy(records[keep, 1:]).to(torch.float32)
        x = pixels.div_(255).sub_(0.5).div_(0.5).reshape(-1, 3, 32, 32)
        return x, torch.from_numpy(y[keep])


def _records(name: str, raw: bytes) -> NDArray[np.uint8]:
    """Return the records ``(N, 3073)`` of one file, checked."""
    import numpy as np

    if not raw or len(raw) % _RECORD:
        raise DataError(
            f"{name} holds {len(raw):,} bytes, expected a multiple of {_RECORD:,}: "
            "get the file anew"
        )
    records = np.frombuffer(raw, np.uint8).reshape(-1, _RECORD)
    if records[:, 0].max() > 9:
        raise DataError(f"{name} holds the label {records[:, 0].max()}, expected 0 to 9")
    return records


def _unpack(archive: Path) -> dict[str, bytes]:
    """Return the six files of the archive by name; nothing is written."""
    content: dict[str, bytes] = {}
    try:
        with gzip.open(archive) as stream:
            with tarfile.open(fileobj=stream, mode="r|") as tar:
                for member in tar:
                    name = Path(member.name).name
                    file = tar.extractfile(member) if name in _SHA256 else None
                    if file is not None:
                        content[name] = file.read()
            # Only the end of the stream holds the checksum of what came before.
            while stream.read(1 << 20):
                pass
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        raise DataError(f"{archive} is damaged ({error}): get the file anew") from error
    missing = [name for name in _SHA256 if name not in content]
    if missing:
        raise DataError(f"{archive} lacks {', '.join(missing)}: get the binary version")
    return content
