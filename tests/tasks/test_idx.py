from __future__ import annotations

import gzip

import numpy as np
import pytest

from qt_hw.errors import DataError
from qt_hw.tasks.idx import read_idx, read_pair

IMAGES = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
# The first bytes of the published file: magic 2051, 60,000 images of 28 by 28.
PUBLISHED_HEAD = bytes.fromhex("00000803 0000ea60 0000001c 0000001c")


@pytest.fixture
def write(tmp_path, files):
    def write(content, name="a"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else files.idx(content))
        return path

    return write


def test_plain_and_gzipped_files_are_read(write, files):
    assert np.array_equal(read_idx(write(IMAGES), 3), IMAGES)
    zipped = write(gzip.compress(files.idx(IMAGES)))
    assert np.array_equal(read_idx(zipped, 3), IMAGES)


def test_the_header_is_big_endian(write):
    x = read_idx(write(PUBLISHED_HEAD + bytes(60_000 * 784)), 3)
    assert x.shape == (60_000, 28, 28)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "starts with nothing, expected 00000803"),
        (b"\0\0", "starts with 0000,"),
        (b"\0\0\x08\x01" + bytes(8), "starts with 00000801, expected 00000803"),
        (b"\0\0\x0d\x03" + bytes(12), "starts with 00000d03"),
        (b"\x89PNG" + bytes(12), "starts with 89504e47"),
        (PUBLISHED_HEAD[:9], "is truncated: its header alone takes 16 bytes"),
        (PUBLISHED_HEAD + bytes(784), r"holds 784 bytes of data, its header announces 47,040,000"),
        (b"\0\0\x08\x03" + b"\xff" * 12, "holds 0 bytes of data"),
    ],
)
def test_damaged_files_are_named(write, content, message):
    path = write(content)
    with pytest.raises(DataError, match=message) as caught:
        read_idx(path, 3)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_byte_too_many_is_noticed(write, files):
    with pytest.raises(DataError, match="holds 19 bytes of data, its header announces 18"):
        read_idx(write(files.idx(IMAGES) + b"\0"), 3)


def test_every_truncated_gzip_file_is_named(write, files):
    zipped = gzip.compress(files.idx(IMAGES))
    for size in range(2, len(zipped)):
        with pytest.raises(DataError, match="damaged gzip file"):
            read_idx(write(zipped[:size]), 3)


def test_every_changed_byte_of_a_gzip_body_is_noticed(write, files):
    zipped = bytearray(gzip.compress(files.idx(IMAGES), mtime=0))
    for place in range(10, len(zipped)):
        bad = bytes(zipped[:place] + bytes([zipped[place] ^ 0xFF]) + zipped[place + 1 :])
        with pytest.raises(DataError, match="damaged gzip file"):
            read_idx(write(bad), 3)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*nothing: No such file"):
        read_idx(tmp_path / "nothing", 3)
    with pytest.raises(DataError, match=r"cannot read .*: Is a directory"):
        read_idx(tmp_path, 3)


@pytest.mark.parametrize(
    ("labels", "size", "message"),
    [
        ([0, 1, 2], 3, "holds 2 images, labels 3 labels"),
        ([0, 1], 28, r"images of \(3, 3\) pixels, expected 28 x 28"),
        ([0, 10], 3, "holds the label 10, expected 0 to 9"),
    ],
)
def test_images_and_labels_must_fit(write, labels, size, message):
    images, labels = write(IMAGES, "images"), write(np.array(labels), "labels")
    with pytest.raises(DataError, match=message):
        read_pair(images, labels, size=size, n_classes=10)


def test_an_empty_pair_is_refused(write):
    images, labels = write(np.zeros((0, 3, 3)), "images"), write(np.zeros(0), "labels")
    with pytest.raises(DataError, match="holds 0 images"):
        read_pair(images, labels, size=3, n_classes=10)
