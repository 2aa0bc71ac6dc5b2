from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from qt_hw.errors import DataError, InputError
from qt_hw.tasks import get_task
from qt_hw.tasks.digits import Digits


def rows(pair):
    return {bytes(x.numpy().astype(np.uint8)) + bytes([int(y)]) for x, y in zip(*pair, strict=True)}


def test_the_split_holds_each_of_the_1797_digits_once():
    data = get_task("digits").load()
    (x, y), (x_test, y_test) = data.train, data.test
    assert (x.shape, x_test.shape) == ((1347, 64), (450, 64))
    assert (x.dtype, y.dtype, data.n_classes, data.input_shape) == (
        torch.float32,
        torch.int64,
        10,
        (64,),
    )
    source = load_digits()
    everything = (torch.cat([x, x_test]) * 16, torch.cat([y, y_test]))
    assert rows(everything) == rows((torch.tensor(source.data), torch.tensor(source.target)))
    assert torch.equal(torch.cat([y, y_test]).bincount(), torch.tensor(np.bincount(source.target)))


def test_the_split_is_balanced():
    data = get_task("digits").load()
    share = np.bincount(load_digits().target) / 1797
    assert np.abs(data.test[1].bincount().numpy() - 450 * share).max() <= 1


def test_the_split_never_changes():
    data = get_task("digits").load()
    digest = hashlib.sha256()
    for x, y in (data.train, data.test):
        digest.update((x * 16).to(torch.uint8).numpy().tobytes())
        digest.update(y.to(torch.uint8).numpy().tobytes())
    assert digest.hexdigest() == (
        "4f3ca254a07b01faec716c983812e1e5309a328b2091badd3a0732b572bc5cbb"
    )


def test_the_large_images_are_bilinear():
    small, large = get_task("digits").load(), get_task("digits", image_size=28).load()
    assert large.train[0].shape == (1347, 1, 28, 28)
    assert torch.equal(large.test[1], small.test[1])
    image = small.test[0][7].reshape(8, 8).double().numpy()
    # Pixel centres: output pixel i lies at (i + 1/2)·8/28 - 1/2, clamped to the image.
    at = np.clip((np.arange(28) + 0.5) * 8 / 28 - 0.5, 0, 7)
    low = np.minimum(at.astype(int), 6)
    weight = np.zeros((28, 8))
    weight[np.arange(28), low] = 1 - (at - low)
    weight[np.arange(28), low + 1] = at - low
    expected = (weight @ image @ weight.T - 0.5) / 0.5
    assert np.abs(large.test[0][7, 0].numpy() - expected).max() < 1e-6


def test_subsets_come_from_their_own_part():
    full, part = get_task("digits").load(), get_task("digits", train_size=100, test_size=20).load()
    assert (len(part.train[1]), len(part.test[1])) == (100, 20)
    assert rows((part.train[0] * 16, part.train[1])) < rows((full.train[0] * 16, full.train[1]))
    assert rows((part.test[0] * 16, part.test[1])) < rows((full.test[0] * 16, full.test[1]))
    assert set(part.train[1].bincount().tolist()) <= {9, 10, 11}
    assert (part.description["n_train"], part.description["n_test"]) == (100, 20)


def test_loading_twice_gives_the_same_bits():
    a, b = Digits(image_size=28).load(), Digits(image_size=28).load()
    assert torch.equal(a.train[0], b.train[0]) and torch.equal(a.test[0], b.test[0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"image_size": 16}, "image_size must be 8 or 28, got 16"),
        ({"image_size": "28"}, "image_size must be 8 or 28, got '28'"),
        ({"train_size": 0}, "train_size must be a whole number of at least 1, got 0"),
        ({"test_size": 2.5}, "test_size must be a whole number of at least 1, got 2.5"),
        ({"train_size": True}, "train_size must be a whole number"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InputError, match=message):
        get_task("digits", **options)


def test_too_large_a_subset_is_refused():
    with pytest.raises(InputError, match="test_size must be at most 450"):
        get_task("digits", test_size=451).load()


def test_another_data_set_in_its_place_is_noticed(monkeypatch):
    other = load_digits()
    other.images[0, 0, 0] = 16
    monkeypatch.setattr("sklearn.datasets.load_digits", lambda: other)
    with pytest.raises(DataError, match=r"expected 87ff0c9e.*reinstall"):
        get_task("digits").load()
