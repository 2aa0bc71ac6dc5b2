"""Techniques by mitiq through the package: shots, seeds, gradients, and life without mitiq."""

from __future__ import annotations

import functools
import random
import subprocess
import sys
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from qiskit import QuantumCircuit

import qt_hw as qt
from qt_hw.circuits.builtin import RyCnot
from qt_hw.circuits.custom import ProductAnsatz
from qt_hw.errors import InputError, MissingExtra, PreflightError
from qt_hw.execution.backend import Batch, Counts, Item
from qt_hw.execution.executor import LocalExecutor
from qt_hw.mitigation import Cdr, Confusion, Ddd, Lre, Pec, Readout, Rescale, Twirling, Zne
from qt_hw.mitigation.bound.construct import variants
from qt_hw.mitigation.bound.exponential import exponential
from qt_hw.mitigation.bound.gates import require_mitiq
from qt_hw.mitigation.simplex import project
from qt_hw.mitigation.variants import make_bound
from qt_hw.model.generator import Generator, probabilities

pytest.importorskip("qiskit_aer")

Array = NDArray[np.float64]

P2, P01, P10, SHOTS = 1e-2, 0.02, 0.04, 3001
ANSATZ = RyCnot(3, 2)
ANGLES = np.random.default_rng(5).uniform(-2, 2, (2, ANSATZ.n_angles))
CONFUSION = Confusion(matrices=np.tile([[1 - P01, P10], [P01, 1 - P10]], (3, 1, 1)))
TECHNIQUES = {
    "pec": Pec(noise=15 / 16 * P2, model="global", samples=20),
    "lre": Lre(),
    "ddd": Ddd(),
    "cdr": Cdr(circuits=4),
    "zne": Zne(fit="exponential"),
}
BOUND = ("pec", "lre", "ddd", "cdr")


class Recorder(LocalExecutor):
    """Keeps what was measured besides calibrations."""

    def __init__(self, backend: Any) -> None:
        super().__init__(backend)
        self.items: list[Item] = []

    def run(self, batch: Batch, step: int, label: str = "") -> Counts:
        if label != "calibration":
            self.items += batch.items
        return super().run(batch, step, label)


@functools.cache
def aer(readout: bool = True) -> Any:
    text = f"depolarizing(p2={P2})"
    return qt.backend("aer", noise=f"{text}+readout(p01={P01}, p10={P10})" if readout else text)


@pytest.fixture(scope="module")
def mitiq() -> None:
    with warnings.catch_warnings():
        # What mitiq's own imports warn of is not of this package.
        warnings.simplefilter("ignore")
        pytest.importorskip("mitiq")


def measure(
    mitigation: Any, angles: Any = ANGLES, shots: int | None = SHOTS, seed: int = 3, on: Any = None
) -> Array:
    with torch.no_grad():
        out = probabilities(
            ANSATZ,
            torch.as_tensor(angles),
            backend=on or aer(),
            shots=shots,
            seed=seed,
            mitigation=mitigation,
        )
    return out.numpy()


def ideal() -> Array:
    return probabilities(ANSATZ, torch.tensor(ANGLES)).numpy()


@pytest.mark.parametrize("name", TECHNIQUES)
@pytest.mark.filterwarnings("ignore::qt_hw.errors.MitigationWarning")
def test_vectors_spend_their_shots_and_follow_from_the_seed(mitiq: None, name: str) -> None:
    wanted, recorder = ["readout", TECHNIQUES[name]], Recorder(aer())
    random.seed(1)
    np.random.seed(1)
    before = random.getstate(), np.random.get_state()[1].tolist()  # type: ignore[index]
    found = measure(wanted, on=recorder)
    assert (random.getstate(), np.random.get_state()[1].tolist()) == before  # type: ignore[index]
    assert found.shape == (2, 8) and found.min() >= 0
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-12)
    # Two vectors, spread over their circuits.
    spent = sum((item.shots or 0) * len(item.bindings) for item in recorder.items)
    assert spent == 2 * SHOTS
    parts = [item.part for item in recorder.items]
    assert len(set(parts)) == len(parts)
    np.testing.assert_array_equal(measure(wanted), found)
    assert np.abs(measure(wanted, seed=4) - found).max() > 1e-4


@pytest.mark.parametrize("name", BOUND)
def test_roles_say_what_an_item_is(mitiq: None, name: str) -> None:
    recorder = Recorder(aer())
    measure([TECHNIQUES[name]], on=recorder)
    roles = Counter(item.role.split("(")[0].split()[0] for item in recorder.items)
    kinds = {"pec": {"pec"}, "lre": {"fold"}, "ddd": {"twirl"}, "cdr": {"base", "training"}}
    assert set(roles) == kinds[name]
    if name == "cdr":
        assert roles == {"base": 2, "training": 2 * 4}
        half = sum(item.shots or 0 for item in recorder.items if item.role == "base")
        assert abs(half - SHOTS) <= 2


@pytest.mark.parametrize("name", BOUND)
def test_one_vector_and_batches(mitiq: None, name: str) -> None:
    """The first vector of a batch is that of the angles alone."""
    one = measure([TECHNIQUES[name]], ANGLES[0])
    assert one.shape == (8,)
    np.testing.assert_array_equal(measure([TECHNIQUES[name]], ANGLES)[0], one)


@pytest.mark.parametrize("name", ["lre", "ddd"])
def test_exact_vectors_are_the_weighted_sums(mitiq: None, name: str) -> None:
    """With the readout undone exactly, as on a backend without readout errors."""
    found = measure([Readout(confusion=CONFUSION), TECHNIQUES[name]], shots=None)
    backend, prepared = aer(False), aer(False).prepare(ANSATZ)
    for row, angles in zip(found, ANGLES, strict=True):
        bindings = prepared.form.gate_angles(angles[None])[0]
        made = make_bound(TECHNIQUES[name], prepared.circuit, bindings, seed=0)
        items = tuple(Item(one.circuit, np.zeros((1, 0)), None, "base") for one in made)
        vectors = np.concatenate(backend.submit(Batch(items), "t").result().arrays)
        expected = project(np.array([[one.weight for one in made]]) @ vectors)[0]
        np.testing.assert_allclose(row, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["pec", "lre", "cdr", "zne"])
def test_the_vectors_are_nearer_to_the_ideal_ones(mitiq: None, name: str) -> None:
    technique = Pec(noise=15 / 16 * P2, model="global", samples=200) if name == "pec" else None
    readout = Readout(confusion=CONFUSION)
    found = measure([readout, technique or TECHNIQUES[name]], shots=None)
    raw = measure([readout], shots=None)
    assert np.linalg.norm(found - ideal()) < 0.5 * np.linalg.norm(raw - ideal())


def test_factors_have_circuits_of_their_own(mitiq: None) -> None:
    ansatz = ProductAnsatz([RyCnot(2, 1), RyCnot(2, 2)])
    recorder = Recorder(aer())
    with torch.no_grad():
        angles = torch.zeros(ansatz.n_angles, dtype=torch.float64)
        out = probabilities(
            ansatz, angles, backend=recorder, shots=2000, seed=0, mitigation=[Lre(chunks=2)]
        )
    assert sum(item.shots or 0 for item in recorder.items) == 2 * 2000
    assert out.shape == (16,) and float(out[0]) > 0.85


@pytest.mark.parametrize("name", TECHNIQUES)
def test_gradients_are_refused_before_anything_runs(name: str) -> None:
    recorder = Recorder(aer())
    angles = torch.tensor(ANGLES[0], requires_grad=True)
    options: Any = {"backend": recorder, "shots": 100, "mitigation": [TECHNIQUES[name]]}
    with pytest.raises(InputError, match=f"gradients do not pass through {name}.*no_grad"):
        probabilities(ANSATZ, angles, **options)
    with pytest.raises(InputError, match=f"gradients do not pass through {name}"):
        Generator(ANSATZ, **options)
    assert not recorder.items


def test_names_and_options(mitiq: None) -> None:
    with pytest.raises(InputError, match="pec needs to know the noise"):
        Generator(ANSATZ, backend=aer(), mitigation="pec")
    found = measure("readout+ddd")
    np.testing.assert_array_equal(found, measure(["readout", Ddd()]))


def test_fewer_shots_than_circuits_are_refused(mitiq: None) -> None:
    with pytest.raises(PreflightError, match="spreads the shots of a vector over 5 circuits"):
        measure([Cdr(circuits=4)], shots=4)


# Without mitiq


@pytest.fixture
def no_mitiq(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [one for one in sys.modules if one.split(".")[0] == "mitiq"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mitiq", None)


@pytest.mark.parametrize("name", TECHNIQUES)
@pytest.mark.filterwarnings("ignore::qt_hw.errors.MitigationWarning")
def test_the_message_says_what_to_install(no_mitiq: None, name: str) -> None:
    with pytest.raises(MissingExtra, match=r"pip install 'qt-hw\[mitigation\]'") as caught:
        measure([TECHNIQUES[name]])
    assert "\n" not in str(caught.value) and isinstance(caught.value, ImportError)


def test_each_part_that_needs_it_says_so(no_mitiq: None) -> None:
    for part in (
        require_mitiq,
        lambda: variants(Ddd(), QuantumCircuit(1), seed=0),
        lambda: exponential((1.0, 3.0), np.full((2, 2), 0.5)),
    ):
        with pytest.raises(MissingExtra, match=r"pip install 'qt-hw\[mitigation\]'"):
            part()


@pytest.mark.parametrize(
    "mitigation",
    ["readout", "readout+rescale", Twirling(variants=2), Zne(), Rescale(fit="data")],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::qt_hw.errors.MitigationWarning")
def test_everything_else_works_without(no_mitiq: None, mitigation: Any) -> None:
    found = measure(mitigation)
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-12)
    assert np.abs(found - ideal()).max() < 0.1


def test_imports_do_not_load_it() -> None:
    code = (
        "import sys, qt_hw.mitigation, qt_hw.model.generator, qt_hw.mitigation.bound.construct\n"
        "import qt_hw.mitigation.bound.exponential, qt_hw.mitigation.bound.training\n"
        "print([m for m in sys.modules if m.split('.')[0] in ('mitiq', 'cirq', 'ply')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stdout.strip()) == (0, "[]"), done.stderr
