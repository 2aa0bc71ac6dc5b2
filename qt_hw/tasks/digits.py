"""The 1,797 handwritten digits that come with scikit-learn: real data without a download."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from qt_hw.errors import DataError, InputError
from qt_hw.tasks.task import Classification, Data, check_count

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Digits"]

_N_TEST = 450
_SEED = 0
_SHA256 = "87ff0c9e40dc7e2c0e34e7257799c2e3f3aec1a016363bb11cad869ec428a826"


@dataclass(frozen=True, kw_only=True)
class Digits(Classification):
    """Scikit-learn's 8x8 digits (UCI optdigits, test part), 1,347 for training, 450 for testing.

    The split is random and class-balanced with a fixed seed, so the same writers occur on both
    sides: accuracies are higher than for unseen writers.

    Attributes:
        image_size: 8 gives flat inputs ``(N, 64)`` in [0, 1], for dense networks. 28 gives
            ``(N, 1, 28, 28)``, resized bilinearly and normalised with mean 0.5 and deviation
            0.5 to [-1, 1] as the papers do with MNIST, for their network of 6,690 weights.
        train_size: Keep that many training samples, class-balanced; None keeps all 1,347.
        test_size: The same for the 450 test samples.
    """

    name: ClassVar[str] = "digits"
    image_size: int = 8
    train_size: int | None = None
    test_size: int | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        super().__post_init__()
        if isinstance(self.image_size, bool) or self.image_size not in (8, 28):
            raise InputError(f"image_size must be 8 or 28, got {self.image_size!r}")
        check_count("train_size", self.train_size)
        check_count("test_size", self.test_size)

    def load(self) -> Data:
        """Return the digits; see ``Task.load``."""
        from qt_hw.tasks.sampling import stratified_order, subset

        images, labels = _raw()
        order = stratified_order(labels, _SEED)
        train, test = order[_N_TEST:], order[:_N_TEST]
        train = train[subset(labels[train], self.train_size, "train_size")]
        test = test[subset(labels[test], self.test_size, "test_size")]
        return Data(
            train=self._tensors(images[train], labels[train]),
            test=self._tensors(images[test], labels[test]),
            n_classes=10,
            name=self.name,
            description=self._describe(len(train), len(test)),
        )

    def _tensors(
        self, images: NDArray[np.uint8], labels: NDArray[np.int64]
    ) -> tuple[Tensor, Tensor]:
        import torch
        import torch.nn.functional as F  # noqa: N812

        x = torch.from_numpy(images).to(torch.float32) / 16
        if self.image_size == 8:
            x = x.flatten(1)
        else:
            x = F.interpolate(x[:, None], size=(28, 28), mode="bilinear", align_corners=False)
            x = (x - 0.5) / 0.5
        return x, torch.from_numpy(labels)

    def _describe(self, n_train: int, n_test: int) -> dict[str, object]:
        flat = "pixel/16, flat" if self.image_size == 8 else "(pixel/16 - 0.5)/0.5"
        return {
            "source": "sklearn.datasets.load_digits",
            "sha256": _SHA256,
            "split": f"class-balanced, seed {_SEED}, {1797 - _N_TEST} train, {_N_TEST} test",
            "image_size": self.image_size,
            "resize": "none" if self.image_size == 8 else "bilinear, align_corners=False",
            "normalisation": flat,
            "n_train": n_train,
            "n_test": n_test,
        }


def _raw() -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images ``(1797, 8, 8)`` of 0 … 16 and labels ``(1797,)``, checked."""
    import numpy as np
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.ascontiguousarray(digits.images, dtype=np.uint8)
    labels = np.ascontiguousarray(digits.target, dtype=np.int64)
    found = hashlib.sha256(images.tobytes() + labels.astype(np.uint8).tobytes()).hexdigest()
    if found != _SHA256:
        raise DataError(
            f"scikit-learn's digits have the sha256 {found}, expected {_SHA256}: "
            "reinstall it with 'pip install --force-reinstall scikit-learn'"
        )
    return images, labels
