"""MNIST: 70,000 handwritten digits of 28x28 pixels, in four IDX files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from qt_hw.tasks.download import RemoteFile
from qt_hw.tasks.files import FileTask
from qt_hw.tasks.task import Data

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["IdxTask", "Mnist"]

_TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
_TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


@dataclass(frozen=True, kw_only=True)
class IdxTask(FileTask):
    """Ten classes of 28x28 grey images in four IDX files, gzipped or plain.

    Inputs are ``(N, 1, 28, 28)``, normalised with mean 0.5 and deviation 0.5 to [-1, 1] as in
    the papers. For the options see ``FileTask``.
    """

    _mirrors: ClassVar[tuple[str, ...]]
    _layout: ClassVar[str]
    _sha256: ClassVar[dict[str, str]]
    _plain_sha256: ClassVar[dict[str, str]] = {}
    _published: ClassVar[tuple[int, int]] = (60_000, 10_000)

    def load(self) -> Data:
        """Return the data; see ``Task.load``."""
        paths = {name: self._path(name) for name in (*_TRAIN, *_TEST)}
        train = self._part(paths, _TRAIN, self._published[0], "train_size")
        test = self._part(paths, _TEST, self._published[1], "test_size")
        return Data(
            train=train,
            test=test,
            n_classes=10,
            name=self.name,
            description=self._describe(list(paths.values()), len(train[1]), len(test[1])),
        )

    def _path(self, name: str) -> Path:
        gz = f"{name}.gz"
        urls = tuple(mirror + gz for mirror in self._mirrors)
        return self._obtain(
            RemoteFile(name=gz, sha256=self._sha256[gz], urls=urls),
            self._folders(self._layout),
            others={name: self._plain_sha256.get(name)},
            wanted=tuple(self._sha256),
        )

    def _part(
        self, paths: dict[str, Path], names: tuple[str, str], published: int, option: str
    ) -> tuple[Tensor, Tensor]:
        import torch

        from qt_hw.tasks.idx import read_pair
        from qt_hw.tasks.sampling import subset

        images, labels = (paths[name] for name in names)
        x, y = read_pair(images, labels, size=28, n_classes=10)
        self._check_number(images.name, len(x), published)
        keep = subset(y, getattr(self, option), option)
        pixels = torch.from_numpy(x[keep]).to(torch.float32)
        return pixels.div_(255).sub_(0.5).div_(0.5)[:, None], torch.from_numpy(y[keep])


@dataclass(frozen=True, kw_only=True)
class Mnist(IdxTask):
    """MNIST (LeCun, Cortes, Burges), 60,000 training and 10,000 test images."""

    name: ClassVar[str] = "mnist"
    _layout: ClassVar[str] = "MNIST/raw"
    # The first is torchvision's mirror, the second TensorFlow's.
    _mirrors: ClassVar[tuple[str, ...]] = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    # Of the files whose md5 torchvision/datasets/mnist.py gives (f68b3c2d…, d53e105e…,
    # 9fb629c4…, ec29112d…); the sha256 are those of the torchvision gem.
    _sha256: ClassVar[dict[str, str]] = {
        f"{_TRAIN[0]}.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        f"{_TRAIN[1]}.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        f"{_TEST[0]}.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        f"{_TEST[1]}.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
    _plain_sha256: ClassVar[dict[str, str]] = {
        _TRAIN[0]: "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
        _TRAIN[1]: "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
        _TEST[0]: "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
        _TEST[1]: "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    }
