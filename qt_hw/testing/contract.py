"""The suite of tests that makes a backend a backend."""

from __future__ import annotations

import contextlib
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit
from qiskit.circuit import ParameterVector

from qt_hw.errors import InputError, QtHwError
from qt_hw.execution.backend import Backend, Batch, Counts, Item, JobStatus, Prepared
from qt_hw.testing.oracles import assert_sampled_from, finite_difference, ideal_law

if TYPE_CHECKING:
    from qt_hw.circuits.ansatz import Ansatz
    from qt_hw.execution.executor import Executor

__all__ = ["BackendContract"]

Array = NDArray[np.float64]


class BackendContract:
    """Inherit, name the class ``Test…``, override ``make_backend`` and what else differs.

    The tests need a forward and a gradient of the same circuit, as asymmetric as can be, so
    that no error of bit order, layout or parameter order stays hidden. Give ``make_backend`` a
    layout that is not trivial where the device has one.

    Attributes:
        n_qubits: Qubits of the test circuits.
        shots: Shots of a binding; tolerances follow from it.
        sigmas: Width of the stochastic tolerances in standard deviations.
        law_tolerance: Largest error of an exact probability.
        seeded: Whether the same seed gives the same counts.
        n_rows: Bindings in the test of their order.
        idempotent: Whether a second request with the same token gives the first job.
    """

    n_qubits: ClassVar[int] = 3
    shots: ClassVar[int] = 4096
    sigmas: ClassVar[float] = 6.0
    law_tolerance: ClassVar[float] = 1e-9
    seeded: ClassVar[bool] = True
    n_rows: ClassVar[int] = 300
    idempotent: ClassVar[bool] = False

    # What a subclass overrides

    @classmethod
    def make_backend(cls) -> Backend:
        """Return a new backend; the tests of a class share it."""
        raise QtHwError(f"{cls.__name__} must override make_backend")

    def law(self, backend: Backend, ansatz: Ansatz, angles: Array) -> Array:
        """Return the exact probabilities expected, ``(B, 2**n)``; by default the ideal ones.

        A noisy backend overrides this with an independent computation of its noise.
        """
        return ideal_law(ansatz, angles)

    # Help for the tests

    @pytest.fixture(scope="class")
    @classmethod
    def backend(cls) -> Backend:
        """Return one backend for all tests of the class."""
        return cls.make_backend()

    def ansatz(self) -> Ansatz:
        """Return an ansatz without any symmetry, with shared and scaled angles."""
        from qt_hw.circuits.custom import CircuitAnsatz

        n, angles = self.n_qubits, ParameterVector("t", 2 * self.n_qubits + 1)
        circuit = QuantumCircuit(n)
        for qubit in range(n):
            circuit.ry(angles[qubit], qubit)
        for qubit in range(n - 1):
            circuit.cx(qubit, qubit + 1)
        for qubit in range(n):
            circuit.rz(angles[n + qubit], qubit)
            circuit.ry(0.5 * angles[qubit] - 0.3 * angles[2 * n], qubit)
        circuit.cx(n - 1, 0)
        circuit.ry(angles[2 * n], 1)
        return CircuitAnsatz(circuit)

    def flips(self) -> Ansatz:
        """Return one RY on each qubit: an angle of π writes a 1."""
        from qt_hw.circuits.custom import CircuitAnsatz

        circuit = QuantumCircuit(self.n_qubits)
        for qubit, angle in enumerate(ParameterVector("t", self.n_qubits)):
            circuit.ry(angle, qubit)
        return CircuitAnsatz(circuit)

    def angles(self, ansatz: Ansatz, n_rows: int = 3) -> Array:
        """Return fixed random angles, ``(n_rows, P)``."""
        return np.random.default_rng(11).uniform(-np.pi, np.pi, (n_rows, ansatz.n_angles))

    def item(self, prepared: Prepared, angles: Array, **changes: Any) -> Item:
        """Return an item of a prepared circuit."""
        fields: dict[str, Any] = {
            "circuit": prepared.circuit,
            "bindings": prepared.form.gate_angles(angles),
            "shots": self.shots,
        }
        return Item(**{**fields, **changes})

    def run(self, backend: Backend, *items: Item, seed: tuple[int, ...] = (5,)) -> Counts:
        """Run items as the generator does: split, and journalled where they cost money."""
        with self._executor(backend) as executor:
            return executor.run(Batch(items=items, seed=seed), 0)

    @contextlib.contextmanager
    def _executor(self, backend: Backend) -> Iterator[Executor]:
        from qt_hw.execution.budget import Cap
        from qt_hw.execution.dispatcher import Dispatcher
        from qt_hw.execution.executor import JournalledExecutor, LocalExecutor

        if not backend.limits.paid:
            yield LocalExecutor(backend)
            return
        cap = Cap(max_usd=1e9, max_qpu_seconds=1e9)
        with tempfile.TemporaryDirectory() as folder:
            dispatcher = Dispatcher(backend, Path(folder), cap=cap, settle_seconds=0.0)
            with contextlib.closing(dispatcher):
                yield JournalledExecutor(dispatcher)

    # Circuits

    def test_prepared_circuit_is_unmeasured_with_one_plain_parameter_per_angle(
        self, backend: Backend
    ) -> None:
        ansatz = self.ansatz()
        prepared = backend.prepare(ansatz)
        values = [value for entry in prepared.circuit.data for value in entry.operation.params]
        named = [value for value in values if getattr(value, "parameters", None)]
        assert sorted(map(str, named)) == sorted(str(p) for p in prepared.circuit.parameters)
        assert not any(entry.clbits for entry in prepared.circuit.data)
        assert prepared.A.shape == (len(named), ansatz.n_angles)
        assert prepared.b.shape == prepared.form.terms.shape == (len(named),)
        assert set(prepared.form.terms.tolist()) <= {0, 2, 4}

    def test_preparing_twice_gives_the_same_circuit(self, backend: Backend) -> None:
        ansatz = self.ansatz()
        first, second = backend.prepare(ansatz), backend.prepare(ansatz)
        assert first.circuit == second.circuit
        assert np.array_equal(first.A.toarray(), second.A.toarray())

    # Laws

    def test_forward_follows_the_law(self, backend: Backend) -> None:
        ansatz = self.ansatz()
        angles = self.angles(ansatz)
        counts = self.run(backend, self.item(backend.prepare(ansatz), angles))
        assert_sampled_from(counts.arrays[0], self.law(backend, ansatz, angles), self.sigmas)

    def test_exact_forward_equals_the_law(self, backend: Backend) -> None:
        if not backend.limits.exact:
            pytest.skip("no exact probabilities")
        ansatz = self.ansatz()
        angles = self.angles(ansatz)
        item = self.item(backend.prepare(ansatz), angles, shots=None)
        counts = self.run(backend, item)
        law = self.law(backend, ansatz, angles)
        np.testing.assert_allclose(counts.frequencies(0), law, rtol=0, atol=self.law_tolerance)

    def test_a_one_on_qubit_q_is_outcome_two_to_the_q(self, backend: Backend) -> None:
        ansatz = self.flips()
        angles = np.pi * np.eye(self.n_qubits)
        counts = self.run(backend, self.item(backend.prepare(ansatz), angles))
        found = counts.arrays[0].argmax(axis=1)
        assert found.tolist() == [1 << qubit for qubit in range(self.n_qubits)]

    def test_sampled_gradient_follows_the_law(self, backend: Backend) -> None:
        ansatz, angles, cotangent = self._gradient_case()
        expected = finite_difference(lambda a: self.law(backend, ansatz, a), angles, cotangent)
        found = self._gradient(backend, ansatz, angles, cotangent, self.shots)
        spread = self._gradient_spread(backend.prepare(ansatz), cotangent)
        worst = np.abs(found - expected) / spread
        assert worst.max() < self.sigmas, f"{worst.max():.1f} sigma: {found} for {expected}"
        assert np.abs(expected).max() > 2 * self.sigmas * spread.min(), "too few shots to tell"

    def test_exact_gradient_equals_the_law(self, backend: Backend) -> None:
        if not backend.limits.exact:
            pytest.skip("no exact probabilities")
        ansatz, angles, cotangent = self._gradient_case()
        expected = finite_difference(lambda a: self.law(backend, ansatz, a), angles, cotangent)
        found = self._gradient(backend, ansatz, angles, cotangent, None)
        np.testing.assert_allclose(found, expected, rtol=0, atol=max(1e-6, self.law_tolerance))

    def _gradient_case(self) -> tuple[Ansatz, Array, Array]:
        ansatz = self.ansatz()
        cotangent = np.random.default_rng(3).normal(size=2**self.n_qubits)
        return ansatz, self.angles(ansatz)[0], cotangent

    def _gradient(
        self, backend: Backend, ansatz: Ansatz, angles: Array, cotangent: Array, shots: int | None
    ) -> Array:
        import torch

        import qt_hw

        leaf = torch.tensor(angles, dtype=torch.float64, requires_grad=True)
        with self._executor(backend) as executor:
            found = qt_hw.probabilities(
                ansatz, leaf, backend=executor, shots=shots, seed=7, gradient="parameter-shift"
            )
            (gradient,) = torch.autograd.grad(found, leaf, torch.tensor(cotangent))
        return np.asarray(gradient.numpy(), dtype=np.float64)

    def _gradient_spread(self, prepared: Prepared, cotangent: Array) -> Array:
        """Bound the standard deviation of each component, ``(P,)``.

        g·p̂ of one binding has at most the variance (max g - min g)² / (4 shots).
        """
        from qt_hw.circuits.shift import shift_rows

        rows = shift_rows(prepared.form)
        weight = np.bincount(rows.index, rows.coefficient**2, minlength=len(prepared.b))
        one = np.ptp(cotangent) ** 2 / (4 * self.shots)
        return np.asarray(np.sqrt((prepared.A.toarray() ** 2).T @ weight * one))

    # Counts

    def test_counts_are_whole_numbers_that_add_up_to_the_shots(self, backend: Backend) -> None:
        ansatz = self.ansatz()
        counts = self.run(backend, self.item(backend.prepare(ansatz), self.angles(ansatz, 5)))
        array = counts.arrays[0]
        assert array.shape == (5, 2**self.n_qubits)
        assert np.issubdtype(array.dtype, np.integer)
        assert array.min() >= 0
        assert array.sum(axis=1).tolist() == [self.shots] * 5
        assert counts.shots == (self.shots,)

    def test_many_bindings_keep_their_order(self, backend: Backend) -> None:
        outcome = np.random.default_rng(2).integers(0, 2**self.n_qubits, self.n_rows)
        bits = (outcome[:, None] >> np.arange(self.n_qubits)) & 1
        item = self.item(backend.prepare(self.flips()), np.pi * bits.astype(np.float64))
        counts = self.run(backend, item)
        assert counts.arrays[0].argmax(axis=1).tolist() == outcome.tolist()

    def test_items_keep_their_order_and_their_shots(self, backend: Backend) -> None:
        prepared = backend.prepare(self.flips())
        angles = np.pi * np.eye(self.n_qubits)
        more = self._other_shots(backend)
        items = [
            self.item(prepared, angles[:1], part=0),
            self.item(prepared, angles[1:], part=1, shots=more, role="shift"),
        ]
        counts = self.run(backend, *items)
        assert counts.shots == (self.shots, more)
        assert [len(array) for array in counts.arrays] == [1, self.n_qubits - 1]
        assert counts.arrays[1].sum(axis=1).tolist() == [more] * (self.n_qubits - 1)
        assert counts.arrays[0].argmax(axis=1).tolist() == [1]

    def _other_shots(self, backend: Backend) -> int:
        half = self.shots // 2
        return half if half >= backend.limits.min_shots else self.shots

    # Seeds

    @pytest.fixture
    def sampled(self, backend: Backend) -> Iterator[Any]:
        """Return a function from seed and part to the counts of a broad law."""
        if not self.seeded:
            pytest.skip("the backend has no seeds")
        prepared = backend.prepare(self.flips())
        angles = np.full((4, self.n_qubits), np.pi / 2)

        def sample(seed: int, part: int = 0, others: int = 0) -> NDArray[np.int64]:
            extra = [self.item(prepared, angles, part=100 + k) for k in range(others)]
            item = self.item(prepared, angles, part=part)
            return self.run(backend, *extra, item, seed=(seed,)).arrays[-1]

        yield sample

    def test_same_seed_gives_the_same_counts(self, sampled: Any) -> None:
        assert np.array_equal(sampled(3), sampled(3))

    def test_other_seed_and_other_part_give_other_counts(self, sampled: Any) -> None:
        drawn = [sampled(3), sampled(4), sampled(3, part=1), sampled(3 + 2113)]
        rows = {row.tobytes() for counts in drawn for row in counts}
        assert len(rows) == 16, "two streams of random numbers are the same"

    def test_an_item_does_not_depend_on_the_others(self, sampled: Any) -> None:
        assert np.array_equal(sampled(3, part=2), sampled(3, part=2, others=2))

    # Bad input

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"shots": 0}, "shots"),
            ({"shots": -5}, "shots"),
            ({"bindings": np.zeros((2, 99))}, "bindings|parameters"),
            ({"bindings": np.zeros(4)}, "bindings|parameters"),
        ],
        ids=["no shots", "negative shots", "wrong width", "one dimension"],
    )
    def test_bad_items_are_refused(
        self, backend: Backend, change: dict[str, Any], message: str
    ) -> None:
        prepared = backend.prepare(self.flips())
        item = self.item(prepared, np.zeros((2, self.n_qubits)), **change)
        self._refused(backend, item, message)

    def test_not_a_number_is_refused(self, backend: Backend) -> None:
        prepared = backend.prepare(self.flips())
        bindings = np.zeros((2, len(prepared.b)))
        bindings[1, 0] = np.nan
        item = Item(circuit=prepared.circuit, bindings=bindings, shots=self.shots)
        self._refused(backend, item, "NaN")

    def test_limits_are_enforced(self, backend: Backend) -> None:
        limits, prepared = backend.limits, backend.prepare(self.flips())
        angles = np.zeros((2, self.n_qubits))
        if not limits.exact:
            self._refused(backend, self.item(prepared, angles, shots=None), "shots|exact")
        if limits.max_shots is not None:
            item = self.item(prepared, angles, shots=limits.max_shots + 1)
            self._refused(backend, item, "shots")
        if limits.min_shots > 1:
            item = self.item(prepared, angles, shots=limits.min_shots - 1)
            self._refused(backend, item, "shots")
        if limits.max_bindings is not None:
            many = np.zeros((limits.max_bindings + 1, self.n_qubits))
            self._refused(backend, self.item(prepared, many), "bindings")
        if limits.max_qubits is not None:
            circuit = QuantumCircuit(limits.max_qubits + 1)
            item = Item(circuit=circuit, bindings=np.zeros((1, 0)), shots=self.shots)
            self._refused(backend, item, "qubits")

    def _refused(self, backend: Backend, item: Item, message: str) -> None:
        with pytest.raises(QtHwError, match=message) as caught:
            backend.submit(Batch(items=(item,)), "qthw-refused")
        assert "\n" not in str(caught.value), "a message is one line"
        assert backend.find("qthw-refused") == []

    # Jobs

    def _batch(self, backend: Backend) -> Batch:
        """Return a batch that fits into one job."""
        ansatz, most = self.ansatz(), backend.limits.max_bindings
        angles = self.angles(ansatz, 3 if most is None else min(3, most))
        return Batch(items=(self.item(backend.prepare(ansatz), angles),))

    def test_estimating_runs_nothing(self, backend: Backend) -> None:
        batch = self._batch(backend)
        first, second = backend.estimate(batch), backend.estimate(batch)
        assert first == second
        assert (first.circuits, first.shots) == (batch.n_circuits, batch.n_shots)
        assert 0 <= first.usd_low <= first.usd_high
        assert 0 <= first.qpu_seconds_low <= first.qpu_seconds_high
        assert (first.usd_high > 0 or first.qpu_seconds_high > 0) == backend.limits.paid

    def test_jobs_are_found_by_token_oldest_first(self, backend: Backend) -> None:
        batch = self._batch(backend)
        jobs = [backend.submit(batch, "qthw-found") for _ in range(2)]
        other = backend.submit(batch, "qthw-other")
        made = list(dict.fromkeys(job.id for job in jobs))
        assert len(made) == (1 if self.idempotent else 2)
        assert [job.id for job in backend.find("qthw-found")] == made
        assert [job.id for job in backend.find("qthw-other")] == [other.id]
        assert other.id not in made
        assert backend.find("qthw-never-used") == []

    def test_a_job_is_rebuilt_from_its_id(self, backend: Backend) -> None:
        job = backend.submit(self._batch(backend), "qthw-rebuilt")
        again = backend.job(job.id)
        assert again.id == job.id
        np.testing.assert_array_equal(again.result().arrays[0], job.result().arrays[0])
        assert again.status() is JobStatus.DONE

    def test_an_unknown_id_is_refused(self, backend: Backend) -> None:
        with pytest.raises(InputError, match="no-such-job"):
            backend.job("no-such-job")

    def test_cancelling_ends_a_job_and_spares_a_finished_one(self, backend: Backend) -> None:
        batch = self._batch(backend)
        job = backend.submit(batch, "qthw-cancelled")
        finished = job.status() is JobStatus.DONE
        job.cancel()
        if finished:
            assert job.status() is JobStatus.DONE
            assert job.result().arrays[0].sum() == batch.n_shots
        else:
            assert job.status() in (JobStatus.CANCELLED, JobStatus.DONE)

    def test_the_description_is_json_and_names_the_backend(self, backend: Backend) -> None:
        described = backend.describe()
        assert json.loads(json.dumps(described)) == described
        assert described["name"] == backend.name
