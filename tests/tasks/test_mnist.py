from __future__ import annotations

import gzip
import hashlib

import numpy as np
import pytest
import torch

from qt_hw.errors import DataError, InputError
from qt_hw.tasks import get_task
from qt_hw.tasks.fashion_mnist import FashionMnist
from qt_hw.tasks.mnist import Mnist

NAMES = ("mnist", "fashion-mnist")


@pytest.fixture
def content(files):
    return files.mnist(60, 20)


def fill(folder, content):
    folder.mkdir(parents=True, exist_ok=True)
    for name, body in content.items():
        (folder / name).write_bytes(body)
    return folder


def small(site, content):
    """Return MNIST as it would be if the published files were the small ones of the server."""

    changed = {
        "_mirrors": (f"{site.url}/",),
        "_sha256": {name: hashlib.sha256(body).hexdigest() for name, body in content.items()},
        "_plain_sha256": {},
        "_published": (60, 20),
    }
    return type("SmallMnist", (Mnist,), changed)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("packed", [True, False])
def test_files_of_a_folder_are_read(tmp_path, content, name, packed):
    if not packed:
        content = {file[:-3]: gzip.decompress(body) for file, body in content.items()}
    fill(tmp_path, content)
    data = get_task(name, root=str(tmp_path), verify=False, download=False).load()
    (x, y), (x_test, y_test) = data.train, data.test
    assert (x.shape, x.dtype, y.dtype) == ((60, 1, 28, 28), torch.float32, torch.int64)
    assert (x_test.shape, data.name, data.n_classes) == ((20, 1, 28, 28), name, 10)
    assert y.tolist() == [k % 10 for k in range(60)]
    assert y_test.tolist() == [k % 10 for k in range(20)]
    assert x[0, 0, 0, :3].tolist() == pytest.approx([-1, (128 / 255 - 0.5) / 0.5, 1], abs=1e-7)
    pixels = np.random.default_rng(0).integers(0, 256, (60, 28, 28))
    assert torch.equal(((x + 1) * 127.5).round()[1:, 0], torch.tensor(pixels[1:]).float())
    assert data.description["sha256"] == {
        file: hashlib.sha256(body).hexdigest() for file, body in content.items()
    }


def test_subsets_are_balanced_and_deterministic(tmp_path, content):
    fill(tmp_path, content)
    task = get_task("mnist", root=str(tmp_path), verify=False, train_size=30, test_size=10)
    a, b = task.load(), task.load()
    assert torch.equal(a.train[0], b.train[0])
    assert a.train[1].bincount().tolist() == [3] * 10
    assert a.test[1].bincount().tolist() == [1] * 10
    with pytest.raises(InputError, match="train_size must be at most 60"):
        get_task("mnist", root=str(tmp_path), verify=False, train_size=61).load()


def test_missing_files_are_downloaded_and_checked(site, tmp_path, monkeypatch, content):
    monkeypatch.setenv("QT_HW_DATA", str(tmp_path / "there"))
    site.files = {f"/{name}": body for name, body in content.items()}
    data = small(site, content)().load()
    assert len(data.train[1]) == 60
    assert sorted(p.name for p in (tmp_path / "there" / "mnist").iterdir()) == sorted(content)
    assert len(site.asked) == 4
    again = small(site, content)(download=False).load()
    assert torch.equal(again.test[0], data.test[0]) and len(site.asked) == 4


def test_the_default_folder_is_data_below_the_current_one(site, tmp_path, monkeypatch, content):
    monkeypatch.delenv("QT_HW_DATA", raising=False)
    monkeypatch.chdir(tmp_path)
    site.files = {f"/{name}": body for name, body in content.items()}
    small(site, content)().load()
    assert sorted(p.name for p in (tmp_path / "data" / "mnist").iterdir()) == sorted(content)


def test_torchvisions_folder_is_found(site, tmp_path, monkeypatch, content):
    monkeypatch.setenv("QT_HW_DATA", str(tmp_path))
    fill(tmp_path / "MNIST" / "raw", content)
    assert len(small(site, content)().load().train[1]) == 60
    assert site.asked == []


def test_without_download_the_files_and_the_folder_are_named(site, tmp_path, content):
    with pytest.raises(DataError) as caught:
        small(site, content)(root=str(tmp_path), download=False).load()
    assert str(caught.value) == (
        "train-images-idx3-ubyte.gz is missing and download is off: put "
        f"{', '.join(content)} into {tmp_path / 'mnist'}, or pass root=FOLDER (on "
        "the command line: --set task.options.root=FOLDER); they are looked for in FOLDER/mnist "
        "and in FOLDER itself"
    )


def test_offline_the_files_and_the_folder_are_named(site, tmp_path, content):
    root = tmp_path / "new" / "root"
    with pytest.raises(DataError, match=r"cannot download train-images.*HTTP 404.*put train-imag"):
        small(site, content)(root=str(root)).load()
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_file_of_the_user_is_named_and_kept(site, tmp_path, content):
    fill(tmp_path, content)
    bad = tmp_path / "t10k-labels-idx1-ubyte.gz"
    bad.write_bytes(bad.read_bytes()[:-1])
    expected = hashlib.sha256(content[bad.name]).hexdigest()
    with pytest.raises(DataError, match=rf"{bad} has the sha256 .*, expected {expected}: delete"):
        small(site, content)(root=str(tmp_path)).load()
    assert bad.exists()


def test_a_wrong_number_of_samples_is_noticed(site, tmp_path, content, files):
    shorter = {**content, **{k: v for k, v in files.mnist(50, 20).items() if "train" in k}}
    fill(tmp_path, shorter)
    with pytest.raises(DataError, match="holds 50 samples, 60 are published"):
        small(site, shorter)(root=str(tmp_path)).load()


@pytest.mark.parametrize("kind", [Mnist, FashionMnist])
def test_the_published_checksums_are_checked(tmp_path, content, kind):
    fill(tmp_path, content)
    expected = kind._sha256["train-images-idx3-ubyte.gz"]
    with pytest.raises(DataError, match=f"expected {expected}"):
        kind(root=str(tmp_path), download=False).load()


def test_unpacked_files_are_checked_where_a_checksum_is_published(tmp_path, content):
    fill(tmp_path, {name[:-3]: gzip.decompress(body) for name, body in content.items()})
    with pytest.raises(DataError, match=r"idx3-ubyte has the sha256 .* expected ba8910"):
        Mnist(root=str(tmp_path)).load()
    with pytest.raises(DataError, match=r"no checksum is published .*put train-images.*\.gz besid"):
        FashionMnist(root=str(tmp_path)).load()


def test_one_data_folder_never_mixes_the_two(site, tmp_path, monkeypatch, content):
    monkeypatch.setenv("QT_HW_DATA", str(tmp_path))
    fill(tmp_path, content)
    fill(tmp_path / "fashion-mnist", content)
    with pytest.raises(DataError, match="missing and download is off"):
        get_task("mnist", verify=False, download=False).load()


def test_checksums_and_addresses_are_complete():
    for kind in (Mnist, FashionMnist):
        assert len(kind._sha256) == 4 and len(set(kind._sha256.values())) == 4
        assert all(len(bytes.fromhex(value)) == 32 for value in kind._sha256.values())
        assert all(mirror.endswith("/") for mirror in kind._mirrors)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"root": 3}, "root must be the path of a folder, got 3"),
        ({"root": "a\0b"}, "root must be the path of a folder"),
        ({"download": "no"}, "download must be true or false, got 'no'"),
        ({"verify": 0}, "verify must be true or false, got 0"),
        ({"train_size": -1}, "train_size must be a whole number"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        get_task("mnist", **options)
