from __future__ import annotations

import hashlib
import io
import tarfile

import pytest
import torch

from qt_hw.errors import DataError
from qt_hw.tasks import get_task
from qt_hw.tasks.cifar10 import Cifar10
from qt_hw.tasks.download import RemoteFile

ARCHIVE = "cifar-10-binary.tar.gz"
FOLDER = "cifar-10-batches-bin"


@pytest.fixture
def content(files):
    return files.cifar(20)


def fill(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in content.items():
        (folder / name).write_bytes(body)


def pack(content, extra=()):
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        folder = tarfile.TarInfo(FOLDER)
        folder.type = tarfile.DIRTYPE
        tar.addfile(folder)
        for name, body in (*content.items(), *extra):
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size = len(body)
            tar.addfile(member, io.BytesIO(body))
    return out.getvalue()


def load(root, **options):
    return get_task(
        "cifar-10", root=str(root), **{"verify": False, "download": False, **options}
    ).load()


def check_values(data):
    x, y = data.train
    assert (x.shape, x.dtype, y.dtype) == ((100, 3, 32, 32), torch.float32, torch.int64)
    assert data.test[0].shape == (20, 3, 32, 32)
    assert y.tolist() == [k % 10 for k in range(20)] * 5
    for k in range(5):
        for plane in range(3):
            value = ((64 * plane + k) / 255 - 0.5) / 0.5
            assert float(x[20 * k, plane, 5, 9]) == pytest.approx(value, abs=1e-6)
    # Byte 33 of the red plane is row 1, column 1.
    assert x[:, 0, 1, 1].tolist() == [1.0] * 100
    assert float(x[:, 1:, 1, 1].max()) < 1
    assert float(data.test[0][0, 0, 0, 0]) == pytest.approx((5 / 255 - 0.5) / 0.5, abs=1e-6)


@pytest.mark.parametrize("below", [".", FOLDER, "cifar-10", f"cifar-10/{FOLDER}"])
def test_a_folder_of_files_is_read(tmp_path, content, below):
    fill(tmp_path / below, content)
    data = load(tmp_path)
    check_values(data)
    assert data.description["sha256"] == {
        name: hashlib.sha256(body).hexdigest() for name, body in content.items()
    }


def test_the_archive_is_read_without_unpacking(tmp_path, content):
    archive = pack(content, extra=[("readme.html", b"<p>"), ("batches.meta.txt", b"airplane\n")])
    (tmp_path / ARCHIVE).write_bytes(archive)
    data = load(tmp_path)
    check_values(data)
    assert [path.name for path in tmp_path.iterdir()] == [ARCHIVE]
    assert data.description["sha256"] == {ARCHIVE: hashlib.sha256(archive).hexdigest()}


def test_subsets_are_balanced(tmp_path, content):
    fill(tmp_path, content)
    data = load(tmp_path, train_size=50, test_size=10)
    assert data.train[1].bincount().tolist() == [5] * 10
    assert data.test[1].bincount().tolist() == [1] * 10
    assert (data.description["n_train"], data.description["n_test"]) == (50, 10)


def test_the_archive_is_downloaded_checked_and_resumed(site, tmp_path, content):
    archive = pack(content)
    site.files["/x.tar.gz"] = archive
    site.drop_after = [len(archive) // 2]

    class SmallCifar(Cifar10):
        _archive = RemoteFile(
            name=ARCHIVE,
            sha256=hashlib.sha256(archive).hexdigest(),
            urls=(f"{site.url}/x.tar.gz",),
        )
        _published = (100, 20)

    check_values(SmallCifar(root=str(tmp_path)).load())
    assert site.ranges_asked == [None, f"bytes={len(archive) // 2}-"]
    (tmp_path / "cifar-10" / ARCHIVE).write_bytes(archive[:-1])
    with pytest.raises(DataError, match=r"tar\.gz has the sha256 .* expected .*: delete it"):
        SmallCifar(root=str(tmp_path)).load()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "data_batch_3.bin holds 0 bytes, expected a multiple of 3,073"),
        (bytes(3072), "data_batch_3.bin holds 3,072 bytes"),
        (bytes(3073 * 2 + 1), "data_batch_3.bin holds 6,147 bytes"),
        (b"\x0a" + bytes(3072), "data_batch_3.bin holds the label 10, expected 0 to 9"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, body, message):
    fill(tmp_path, {**content, "data_batch_3.bin": body})
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_truncated_archives_are_named(tmp_path, content):
    archive = pack(content)
    for size in (0, 1, 10, len(archive) // 2, len(archive) - 9):
        (tmp_path / ARCHIVE).write_bytes(archive[:size])
        with pytest.raises(DataError, match=r"tar\.gz (is damaged|lacks)"):
            load(tmp_path)


def test_an_archive_of_something_else_is_named(tmp_path):
    (tmp_path / ARCHIVE).write_bytes(pack({"data_batch_1": b"pickle"}))
    with pytest.raises(DataError, match=r"lacks data_batch_1\.bin, .*: get the binary version"):
        load(tmp_path)
    (tmp_path / ARCHIVE).write_bytes(b"<html>not found</html>")
    with pytest.raises(DataError, match="is damaged"):
        load(tmp_path)


def test_the_published_checksums_are_checked(tmp_path, content):
    fill(tmp_path, content)
    with pytest.raises(DataError, match=r"data_batch_1\.bin has the sha256 .* expected cee91656"):
        load(tmp_path, verify=True)
    for name in content:
        (tmp_path / name).unlink()
    (tmp_path / ARCHIVE).write_bytes(pack(content))
    with pytest.raises(DataError, match=r"tar\.gz has the sha256 .* expected c4a38c50"):
        load(tmp_path, verify=True)


def test_five_of_six_files_are_not_enough(tmp_path, content):
    del content["test_batch.bin"]
    fill(tmp_path, content)
    with pytest.raises(DataError, match=f"{ARCHIVE} is missing and download is off: put {ARCHIVE}"):
        load(tmp_path)
