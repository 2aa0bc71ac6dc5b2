"""Readout correction of evaluations, against readout errors that are put in by hand."""

from __future__ import annotations

from functools import reduce

import numpy as np
import pytest
from numpy.typing import NDArray

import qt_hw as qt
from qt_hw.errors import InputError
from qt_hw.execution.backend import Counts
from qt_hw.execution.canonical import payload
from qt_hw.execution.registry import open_backend
from qt_hw.hardware.correction import calibration_items, checked_method, corrected
from qt_hw.hardware.evaluate import base_batch

#: Per qubit: how often a 0 is read as 1, and a 1 as 0.
FLIPS = [(0.02, 0.11), (0.05, 0.03), (0.01, 0.07)]


def confusion() -> NDArray[np.float64]:
    each = [np.array([[1 - a, b], [a, 1 - b]]) for a, b in FLIPS]
    return np.asarray(reduce(np.kron, reversed(each)))


def read(p: NDArray[np.float64], shots: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).multinomial(shots, confusion() @ p)[None]


def counts(p: NDArray[np.float64], shots: int, calibration: int) -> Counts:
    zero, one = np.eye(8)[0], np.eye(8)[7]
    arrays = (read(p, shots, 1), read(zero, calibration, 2), read(one, calibration, 3))
    return Counts(arrays=arrays, shots=(shots, calibration, calibration))


def test_the_corrected_vector_is_nearer_to_the_truth() -> None:
    p, shots = np.random.default_rng(0).dirichlet(np.ones(8)), 200_000
    found = corrected(counts(p, shots, shots), 1, shots, "2026-11-22T00:00:00+00:00")
    raw = counts(p, shots, shots).frequencies(0)[0]
    # The inverse's largest column sum bounds how much it amplifies the noise of one bin.
    gain = np.abs(np.linalg.inv(confusion())).sum(axis=1).max()
    assert np.abs(found.vectors[0] - p).max() < 6 * gain * np.sqrt(0.25 / shots)
    assert np.abs(raw - p).max() > 3 * np.abs(found.vectors[0] - p).max()
    assert found.vectors[0].min() >= 0
    assert found.vectors[0].sum() == pytest.approx(1, abs=1e-12)
    flips = found.confusions[0].flips
    spread = np.sqrt(np.array(FLIPS) * (1 - np.array(FLIPS)) / shots)
    assert (np.abs(flips - FLIPS) < 6 * spread).all()
    assert found.advice is None


def test_too_few_shots_are_told() -> None:
    # A flat vector hardly suffers from readout errors, and correction only adds noise.
    found = corrected(counts(np.full(8, 0.125), 50, 20_000), 1, 50, None)
    assert found.advice is not None
    assert "\n" not in found.advice


def test_calibration_follows_the_factors_and_is_part_of_the_request() -> None:
    ansatz = qt.ProductAnsatz([qt.RyCnot(2, 1), qt.RyCnot(1, 1)])
    backend = open_backend("statevector")
    plain = base_batch(ansatz, backend.prepare, np.zeros(3), 100)
    batch = base_batch(ansatz, backend.prepare, np.zeros(3), 100, 40)
    roles = [(item.role, item.shots, item.circuit.num_qubits) for item in batch.items]
    assert roles == [
        ("base", 100, 2),
        ("base", 100, 1),
        ("calibration", 40, 2),
        ("calibration", 40, 2),
        ("calibration", 40, 1),
        ("calibration", 40, 1),
    ]
    assert len({item.part for item in batch.items}) == 6
    assert payload(plain) != payload(batch)
    ran = backend.submit(batch, "qthw-calibration").result()
    assert [int(ran.arrays[i].argmax()) for i in (2, 3, 4, 5)] == [0, 3, 0, 1]


def test_no_calibration_without_mitigation() -> None:
    assert calibration_items(qt.RyCnot(2, 1), open_backend("statevector").prepare, 0) == []
    assert checked_method("none", None, 100) == 0
    assert checked_method("readout", None, 100) == 100
    assert checked_method("readout", 30, 100) == 30


@pytest.mark.parametrize(
    ("method", "shots", "words"),
    [
        ("zne", None, "not in this version"),
        ("none", 5, "belongs to --mitigation readout"),
        ("readout", 0, "at least 1"),
    ],
)
def test_wrong_methods_are_refused(method: str, shots: int | None, words: str) -> None:
    with pytest.raises(InputError, match=words):
        checked_method(method, shots, 100)
