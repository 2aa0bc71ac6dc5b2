"""Mitigation of evaluations: what is measured, and what is made of the counts."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.quantum_info import Statevector

import qt_hw as qt
from qt_hw.errors import PreflightError
from qt_hw.execution.backend import Counts, Item, Limits
from qt_hw.execution.registry import open_backend
from qt_hw.hardware.evaluation import Evaluation
from qt_hw.hardware.mitigated import (
    Mitigated,
    Stored,
    calibration_plans,
    data_items,
    mitigated,
    raw_vectors,
    stored_of,
)
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.mitigation.simplex import project

Array = NDArray[np.float64]

#: Per qubit: how often a 0 is read as 1, and a 1 as 0.
FLIPS = [(0.02, 0.11), (0.05, 0.03), (0.01, 0.07)]
#: What the gates of one circuit leave of the signal: global depolarizing noise.
DECAY = 0.8
ANSATZ = qt.RyCnot(3, 2)
ANGLES = np.random.default_rng(3).uniform(-np.pi, np.pi, ANSATZ.n_angles)
SHOTS = 400_000


def confusion() -> Array:
    each = [np.array([[1 - a, b], [a, 1 - b]]) for a, b in FLIPS]
    return np.asarray(reduce(np.kron, reversed(each)))


def exact(item: Item, row: Array) -> Array:
    bound = item.circuit.assign_parameters(row)
    return np.asarray(Statevector(bound).probabilities())


def ideal(ansatz: Any = ANSATZ, angles: Array = ANGLES) -> Array:
    return np.asarray(Statevector(ansatz.circuit().assign_parameters(angles)).probabilities())


def measure(items: Sequence[Item], *, decay: float, read: Array, seed: int) -> Counts:
    """Return counts of a device with global depolarizing noise and this readout."""
    rng, arrays = np.random.default_rng(seed), []
    for item in items:
        fold = re.search(r"fold\(([\d.]+)", item.role)
        left = 1.0 if item.role == "calibration" else decay ** float(fold[1] if fold else 1)
        rows = [exact(item, row) for row in np.asarray(item.bindings)]
        laws = [read @ (1 / len(p) + left * (p - 1 / len(p))) for p in rows]
        arrays.append(np.array([rng.multinomial(item.shots, law / law.sum()) for law in laws]))
    return Counts(arrays=tuple(arrays), shots=tuple(item.shots for item in items))


def run(
    method: str, options: dict[str, Any] | None = None, *, shots: int = SHOTS, seed: int = 0
) -> tuple[Mitigated, list[Stored]]:
    made = Mitigation.of(method, options=options, calibration_shots=shots)
    assert made is not None
    prepare = open_backend("statevector").prepare
    items, stored = data_items(made, ANSATZ, prepare, ANGLES, shots, Limits())
    plans = calibration_plans(made, ANSATZ, prepare, first_part=len(items))
    everything = [*items, *(item for plan in plans for item in plan.items)]
    assert len({item.part for item in everything}) == len(everything)
    counts = measure(everything, decay=DECAY, read=confusion(), seed=seed)
    # As a later process reads it.
    stored = [Stored(**json.loads(json.dumps(one.to_dict()))) for one in stored]
    done = mitigated(made, plans, stored, counts, [ideal()], backend="paper", date="2026-01-01")
    return done, stored


def decayed(factor: float) -> Array:
    p = ideal()
    return 1 / len(p) + factor * (p - 1 / len(p))


@pytest.mark.parametrize(
    ("method", "options", "expected"),
    [
        ("readout", {}, decayed(DECAY)),
        ("readout", {"readout": {"pairs": 2, "correlated": True}}, decayed(DECAY)),
        ("readout+zne", {}, decayed(1.5 * DECAY - 0.5 * DECAY**3)),
        (
            "readout+zne",
            {"zne": {"scales": [1, 3, 5], "fit": "richardson"}},
            decayed((15 * DECAY - 10 * DECAY**3 + 3 * DECAY**5) / 8),
        ),
        ("readout+rescale", {}, ideal()),
        ("readout+rescale", {"rescale": {"fit": "data"}}, ideal()),
        ("readout+rescale", {"rescale": {"decay": DECAY}}, ideal()),
        ("readout+twirling", {}, decayed(DECAY)),
        ("zne", {}, confusion() @ decayed(1.5 * DECAY - 0.5 * DECAY**3)),
    ],
)
def test_a_technique_undoes_what_it_is_a_model_of(
    method: str, options: dict[str, Any], expected: Array
) -> None:
    done, stored = run(method, options)
    # The inverse's largest row sum bounds what the readout correction makes of the noise of one
    # bin; five circuits' weights are below 3 together, the decay divides by 0.8.
    gain = np.abs(np.linalg.inv(confusion())).sum(axis=1).max()
    (vector,) = done.vectors
    assert np.abs(vector - project(expected[None])[0]).max() < 6 * 5 * gain * 0.5 / np.sqrt(SHOTS)
    assert (vector.min() >= 0, vector.sum()) == (True, pytest.approx(1, abs=1e-12))
    assert sum(stored[0].shots) == SHOTS
    (raw,) = done.raw
    spread = np.sqrt(0.25 / stored[0].shots[0])
    assert np.abs(raw - confusion() @ decayed(DECAY)).max() < 6 * spread
    (verdict,) = done.verdicts
    distance = 0.5 * np.abs(vector - ideal()).sum()
    assert verdict.mitigated.total_variation == pytest.approx(distance)
    assert verdict.helped is True


@pytest.mark.parametrize("method", ["cdr", "readout+cdr", "pec", "lre", "ddd"])
def test_circuits_of_mitiq_are_measured_in_the_same_way(method: str) -> None:
    pytest.importorskip("mitiq")
    options = {"pec": {"pec": {"noise": 0.01, "samples": 20}}, "cdr": {"cdr": {"circuits": 3}}}
    done, stored = run(method, options.get(method))
    (vector,) = done.vectors
    assert (vector.min() >= 0, vector.sum()) == (True, pytest.approx(1, abs=1e-12))
    assert sum(stored[0].shots) == SHOTS
    if method == "readout+cdr":
        # Global depolarizing noise is what its one slope describes.
        assert np.abs(vector - ideal()).max() < 0.01


def test_the_calibration_is_kept_with_its_shots() -> None:
    done, _ = run("readout+rescale", {"rescale": {"circuits": 5}})
    calibration = done.calibration
    assert (calibration.backend, calibration.date) == ("paper", "2026-01-01")
    assert (calibration.n_circuits, calibration.n_shots) == (7, 7 * SHOTS)
    (found,) = calibration.circuits
    flips = found.confusion.flips
    spread = np.sqrt(np.array(FLIPS) * (1 - np.array(FLIPS)) / SHOTS)
    assert (np.abs(flips - FLIPS) < 6 * spread).all()
    assert abs(found.decays["readout"].value - DECAY) < 0.01


def test_each_factor_of_a_product_has_circuits_and_a_calibration_of_its_own() -> None:
    ansatz = qt.ProductAnsatz([qt.RyCnot(2, 1), qt.RyCnot(1, 1)])
    made = Mitigation.of("readout+zne", calibration_shots=40)
    prepare = open_backend("statevector").prepare
    items, stored = data_items(made, ansatz, prepare, np.zeros(3), 100, Limits())
    plans = calibration_plans(made, ansatz, prepare, first_part=len(items))
    items += [item for plan in plans for item in plan.items]
    assert [(item.role, item.shots, item.circuit.num_qubits) for item in items] == [
        ("base", 75, 2),
        ("fold(3)", 25, 2),
        ("base", 75, 1),
        ("fold(3)", 25, 1),
        ("calibration", 40, 2),
        ("calibration", 40, 2),
        ("calibration", 40, 1),
        ("calibration", 40, 1),
    ]
    assert [item.part for item in items] == list(range(8))
    assert [one.shots for one in stored] == [(75, 25), (75, 25)]


def test_where_jobs_take_one_number_of_shots_they_are_split_evenly() -> None:
    made = Mitigation.of("zne")
    prepare = open_backend("statevector").prepare
    items, _ = data_items(made, ANSATZ, prepare, ANGLES, 101, Limits(one_shot_count=True))
    assert sorted(item.shots for item in items) == [50, 51]


def test_fewer_shots_than_circuits_are_refused() -> None:
    made = Mitigation.of("twirling")
    prepare = open_backend("statevector").prepare
    with pytest.raises(PreflightError, match="16 circuits: ask for 160 shots or more, not 100"):
        data_items(made, ANSATZ, prepare, ANGLES, 100, Limits(min_shots=10))


def test_an_evaluation_of_an_earlier_version_had_one_circuit_for_each_factor() -> None:
    old = Evaluation(backend="paper:a4", shots=100, mitigation="readout", calibration_shots=50)
    stored = stored_of(old, 2)
    assert [(one.shots, one.recipe["readout"]) for one in stored] == [((100,), True)] * 2
    plain = stored_of(Evaluation(backend="paper:a4", shots=100), 1)
    counts = Counts(arrays=(np.array([[25, 75]]),), shots=(100,))
    assert raw_vectors(counts, plain)[0].tolist() == [0.25, 0.75]
