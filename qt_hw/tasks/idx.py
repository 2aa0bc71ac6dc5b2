"""The IDX format of MNIST: a magic number, the dimensions, then the bytes, gzipped or not.

Layout (all integers big-endian): two zero bytes, the type (0x08: unsigned byte), the number of
dimensions, one 32-bit size per dimension, the values with the last dimension fastest.
"""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import DataError

__all__ = ["read_idx", "read_pair"]

_GZIP = b"\x1f\x8b"
_UNSIGNED_BYTE = 8


def read_idx(path: Path, ndim: int) -> NDArray[np.uint8]:
    """Return the array of an IDX file of unsigned bytes.

    Args:
        path: The file, plain or gzipped.
        ndim: Number of dimensions that it must have: 3 for images, 1 for labels.

    Raises:
        DataError: The file cannot be read, is truncated, or is not of this format.
    """
    raw = _content(path)
    head = 4 + 4 * ndim
    expected = bytes([0, 0, _UNSIGNED_BYTE, ndim])
    if raw[:4] != expected:
        raise DataError(
            f"{path} is no IDX file of {ndim}-dimensional bytes: it starts with "
            f"{raw[:4].hex() or 'nothing'}, expected {expected.hex()}"
        )
    if len(raw) < head:
        raise DataError(f"{path} is truncated: its header alone takes {head} bytes")
    shape = tuple(int(size) for size in np.frombuffer(raw, ">u4", count=ndim, offset=4))
    if len(raw) - head != math.prod(shape):
        raise DataError(
            f"{path} holds {len(raw) - head:,} bytes of data, its header announces "
            f"{math.prod(shape):,} {shape}: get the file anew"
        )
    return np.frombuffer(raw, np.uint8, offset=head).reshape(shape)


def read_pair(
    images: Path, labels: Path, *, size: int, n_classes: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images ``(N, size, size)`` and labels ``(N,)`` that belong together.

    Raises:
        DataError: A file is damaged, or the two do not fit each other.
    """
    x, y = read_idx(images, 3), read_idx(labels, 1)
    if x.shape[1:] != (size, size):
        raise DataError(f"{images} holds images of {x.shape[1:]} pixels, expected {size} x {size}")
    if len(x) != len(y) or not len(x):
        raise DataError(f"{images} holds {len(x):,} images, {labels.name} {len(y):,} labels")
    if y.max() >= n_classes:
        raise DataError(f"{labels} holds the label {y.max()}, expected 0 to {n_classes - 1}")
    return x, y.astype(np.int64)


def _content(path: Path) -> bytes:
    try:
        raw = path.read_bytes()
        return gzip.decompress(raw) if raw[:2] == _GZIP else raw
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DataError(f"{path} is a damaged gzip file ({error}): get the file anew") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
