"""What calibration circuits are run, and what their counts say."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit.quantum_info import Statevector

import qt_hw as qt
from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.errors import InputError
from qt_hw.execution.backend import Batch
from qt_hw.mitigation import Confusion, Readout, Rescale, Twirling, Zne
from qt_hw.mitigation.calibrating import CalibrationPlan, exact_vectors
from qt_hw.mitigation.calibration import CircuitCalibration
from qt_hw.mitigation.combination import CANDIDATES, TWIRLED, Combination

Array = NDArray[np.float64]
P01, P10, P2 = 0.02, 0.05, 0.02
ANSATZ = RyCnot(4, 2)


@functools.cache
def backend(noise: str = f"depolarizing(p2={P2})+readout(p01={P01}, p10={P10})") -> Any:
    return qt.backend("aer", noise=noise)


def plan(
    *combinations: Any, shots: int | None = None, where: Any = None, **fields: Any
) -> CalibrationPlan:
    prepared = (where or backend()).prepare(ANSATZ)
    given = {"ansatz": ANSATZ, "prepared": prepared, "shots": shots, "seed": (3, 0, 9)}
    return CalibrationPlan(
        combinations=[c if isinstance(c, Combination) else Combination(c) for c in combinations],
        **{**given, **fields},
    )


def counts(made: CalibrationPlan, where: Any = None, seed: int = 1) -> list[Array]:
    batch = Batch(items=made.items, seed=(seed,))
    return list((where or backend()).submit(batch, "t").result().arrays)


def measured(made: CalibrationPlan, where: Any = None, seed: int = 1) -> CircuitCalibration:
    return made.finish(counts(made, where, seed))


def test_exact_vectors_are_those_of_qiskit() -> None:
    ansatz = U3Cu3(3, 1)
    angles = np.random.default_rng(0).uniform(-3, 3, (2, ansatz.n_angles))
    circuit = ansatz.circuit()
    for row, own in zip(exact_vectors(ansatz, angles), angles, strict=True):
        expected = Statevector(circuit.assign_parameters(own)).probabilities()
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-12)


def test_the_readout_is_found_exactly_without_shots() -> None:
    found = measured(plan((Readout(),)))
    assert found.n_qubits == 4 and found.decays == {}
    assert isinstance(found.confusion, Confusion)
    expected = np.array([[1 - P01, P10], [P01, 1 - P10]])
    np.testing.assert_allclose(found.confusion.matrices, np.tile(expected, (4, 1, 1)), atol=1e-12)


def test_more_pairs_and_shots_make_it_sharper() -> None:
    errors = []
    for pairs in (1, 4):
        made = [
            measured(plan((Readout(pairs=pairs),), shots=500), seed=seed).confusion
            for seed in range(40)
        ]
        errors.append(np.std([one.matrices[:, 1, 0] for one in made if one is not None]))
    assert errors[0] == pytest.approx(np.sqrt(P01 * (1 - P01) / 500), rel=0.2)
    assert errors[1] == pytest.approx(errors[0] / 2, rel=0.25)


def test_items_have_their_own_streams_and_roles() -> None:
    made = plan((Readout(pairs=2), Zne()), (Readout(pairs=2), Rescale(circuits=3)), shots=100)
    items = made.items
    assert [item.role for item in items] == ["calibration"] * 4 + ["training", "fold(3)"]
    assert [item.part for item in items] == list(range(6))
    assert [len(item.bindings) for item in items] == [1, 1, 1, 1, 3, 3]
    assert all(item.shots == 100 for item in items)
    later = plan((Readout(),), shots=100, first_part=50).items
    assert [item.part for item in later] == [50, 51]


@pytest.mark.parametrize("fit", ["known", "clifford"])
def test_the_decay_is_that_of_the_circuits_of_the_calibration(fit: Any) -> None:
    made = plan((Readout(), Rescale(fit=fit, circuits=4)))
    found = measured(made).decays["readout"]
    clean = backend(f"depolarizing(p2={P2})")
    item = made.items[-1]
    noisy = clean.submit(Batch(items=(item,)), "t").result().arrays[0]
    circuit = item.circuit
    ideal = [Statevector(circuit.assign_parameters(row)).probabilities() for row in item.bindings]
    q, p = noisy - 1 / 16, np.array(ideal) - 1 / 16
    assert found.value == pytest.approx((q * p).sum() / (p * p).sum(), abs=1e-10)
    assert found.n_circuits == 4
    if fit == "clifford":
        turns = item.bindings / (np.pi / 2)
        np.testing.assert_allclose(turns, np.round(turns), atol=1e-12)


def test_shots_leave_the_decay_unbiased() -> None:
    wanted = (Readout(), Rescale(circuits=4))
    exact = measured(plan(wanted)).decays["readout"]
    many = [measured(plan(wanted, shots=2000), seed=s).decays["readout"].value for s in range(40)]
    sigma = np.std(many, ddof=1) / np.sqrt(40)
    assert abs(np.mean(many) - exact.value) < 4 * sigma + 1e-3
    folded = (Readout(), Rescale(fit="folding", circuits=4))
    exact_fold = measured(plan(folded)).decays["readout"].value
    many = [measured(plan(folded, shots=2000), seed=s).decays["readout"].value for s in range(40)]
    assert abs(np.mean(many) - exact_fold) < 4 * np.std(many, ddof=1) / np.sqrt(40) + 2e-3
    assert exact_fold == pytest.approx(exact.value, rel=0.03)


def test_a_known_confusion_is_not_measured() -> None:
    known = Confusion(matrices=np.tile([[0.9, 0.2], [0.1, 0.8]], (4, 1, 1)))
    made = plan((Readout(confusion=known),))
    assert made.items == () and made.finish(()).confusion is known
    snapshot = qt.backend("aer:fake_torino")
    of_device = plan((Readout(source="properties"),), prepared=snapshot.prepare(ANSATZ))
    found = of_device.finish(()).confusion
    assert of_device.items == () and isinstance(found, Confusion) and found.n_qubits == 4
    with pytest.raises(InputError):
        plan((Readout(source="properties"),), where=qt.backend("statevector")).finish(())


def test_twirls_share_the_shots_of_a_calibration_circuit() -> None:
    made = plan((Readout(), Twirling(variants=3), Rescale(circuits=2)), shots=1000)
    training = [item for item in made.items if item.role != "calibration"]
    assert sorted(item.shots or 0 for item in training) == [333, 333, 334]
    assert list(measured(made).decays) == ["readout+twirling"]


def test_biases_are_those_of_the_training_circuits() -> None:
    made = plan(*CANDIDATES)
    results = counts(made)
    found = made.finish(results)
    biases = made.biases(results, found)
    assert set(biases) == {one.name for one in CANDIDATES}
    # From the same circuits without readout errors: the mean of ‖q − p‖² over that of ‖p − u‖².
    base, folded = [item for item in made.items if item.role != "calibration"]
    clean = backend(f"depolarizing(p2={P2})")
    q1, q3 = clean.submit(Batch(items=(base, folded)), "t").result().arrays
    p = np.array(
        [Statevector(base.circuit.assign_parameters(r)).probabilities() for r in base.bindings]
    )
    u, signal = 1 / 16, ((p - 1 / 16) ** 2).sum()
    f = ((q1 - u) * (p - u)).sum() / signal
    expected = {
        "readout": q1 - p,
        "readout+rescale": (q1 - u) / f - (p - u),
        "readout+zne": 1.5 * q1 - 0.5 * q3 - p,
    }
    for name, error in expected.items():
        assert biases[name] == pytest.approx((error**2).sum() / signal, rel=1e-6), name
    assert biases["readout+zne"] < biases["readout+rescale"] < biases["readout"] < biases["raw"]


def test_biases_that_do_not_show_above_the_shots_are_left_out() -> None:
    few, where = plan(*CANDIDATES, shots=300), backend()
    kept = []
    for seed in range(20):
        results = counts(few, where, seed)
        kept.append(few.biases(results, few.finish(results)))
    # Extrapolation's own bias, 1e-3 of the signal, is far below the noise of 300 shots.
    assert sum("readout+zne" in one for one in kept) <= 2
    # Without readout correction a tenth of the signal is missing: that shows.
    assert all("raw" in one for one in kept)


def test_twirling_takes_the_coherent_part_out() -> None:
    from qiskit_aer.noise import NoiseModel, coherent_unitary_error

    model = NoiseModel()
    turn = np.diag(np.exp([-0.1j, 0.1j, 0.1j, -0.1j]))
    model.add_all_qubit_quantum_error(coherent_unitary_error(turn), ["cx"])
    where = qt.backend("aer", noise=model)
    plain, twirled = plan(*CANDIDATES, where=where), plan(*TWIRLED, where=where)
    bias: dict[str, float] = {}
    for made in (plain, twirled):
        results = counts(made, where)
        bias |= made.biases(results, made.finish(results))
    assert bias["readout+rescale"] > 0.5 * bias["readout"]  # what auto looks for
    assert bias["readout+twirling+rescale"] < 0.8 * bias["readout+rescale"]
    assert bias["readout+twirling"] < bias["readout"]


def test_nothing_left_of_the_signal_is_refused() -> None:
    where = backend("depolarizing(p1=0.6, p2=0.9)")
    with pytest.raises(InputError, match="nothing of the signal is left"):
        measured(plan((Rescale(),), where=where), where)
