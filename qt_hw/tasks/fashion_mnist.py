"""Fashion-MNIST: 70,000 pieces of clothing in MNIST's format (arXiv:1708.07747)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from qt_hw.tasks.mnist import IdxTask

__all__ = ["FashionMnist"]


@dataclass(frozen=True, kw_only=True)
class FashionMnist(IdxTask):
    """Fashion-MNIST (Xiao, Rasul, Vollgraf), 60,000 training and 10,000 test images."""

    name: ClassVar[str] = "fashion-mnist"
    _layout: ClassVar[str] = "FashionMNIST/raw"
    # The first is the authors' and torchvision's address, the second the authors' repository.
    _mirrors: ClassVar[tuple[str, ...]] = (
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
    )
    # Of the files whose md5 the authors and torchvision give (8d4fb7e6…, 25c81989…, bef4ecab…,
    # bb300cfd…). No checksums of the unpacked files are published.
    _sha256: ClassVar[dict[str, str]] = {
        "train-images-idx3-ubyte.gz": (
            "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84"
        ),
        "train-labels-idx1-ubyte.gz": (
            "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845"
        ),
        "t10k-images-idx3-ubyte.gz": (
            "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073"
        ),
        "t10k-labels-idx1-ubyte.gz": (
            "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5"
        ),
    }
