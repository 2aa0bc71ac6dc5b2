"""Checks, splitting and the registry."""

from __future__ import annotations

import numpy as np
import pytest

import qt_hw as qt
from qt_hw.errors import InputError, PreflightError, UnknownName
from qt_hw.execution.backend import Batch, Item, JobStatus, Limits
from qt_hw.execution.checks import check_batch, check_step
from qt_hw.execution.dispatch import estimate, run
from qt_hw.execution.registry import known_backends, open_backend
from qt_hw.execution.splitting import split
from qt_hw.execution.statevector_backend import StatevectorBackend

FORM = qt.RyCnot(3, 2).form("lowered")


def item(rows=4, shots: int | None = 100, **changes):
    bindings = np.random.default_rng(0).uniform(-3, 3, (rows, 6))
    return Item(**{"circuit": FORM.circuit, "bindings": bindings, "shots": shots, **changes})


class Narrow(StatevectorBackend):
    """The exact engine behind a device's limits; it counts its jobs."""

    def __init__(self, **limits):
        super().__init__()
        self.limits = Limits(exact=True, **limits)
        self.sizes: list[list[int]] = []

    def _run(self, batch):
        self.sizes.append([len(i.bindings) for i in batch.items])
        return super()._run(batch)


def test_jobs_are_split_to_the_limits_and_joined_in_order():
    backend = Narrow(max_bindings=5)
    batch = Batch(items=(item(3, None), item(4, None), item(6, None)), seed=(1,))
    counts = run(backend, batch)
    assert backend.sizes == [[3, 2], [2, 3], [3]]
    whole = run(StatevectorBackend(), batch)
    for found, expected in zip(counts.arrays, whole.arrays, strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-14)


def test_executions_limit_the_bindings_of_a_job():
    backend = Narrow(max_executions=1000)
    batch = Batch(items=(item(7, 300), item(2, 100)), seed=(1,))
    counts = run(backend, batch)
    assert backend.sizes == [[3], [3], [1, 2]]
    assert [a.sum(axis=1).tolist() for a in counts.arrays] == [[300] * 7, [100] * 2]
    assert estimate(backend, batch).jobs == 3
    assert estimate(backend, batch).shots == batch.n_shots == 2300
    assert estimate(backend, batch).usd_high == 0.0


def test_parts_of_a_split_item_draw_from_different_streams():
    backend = Narrow(max_bindings=2)
    same = np.repeat(np.ones((1, 6)), 4, axis=0)
    counts = run(backend, Batch(items=(item(bindings=same, shots=500),), seed=(3,))).arrays[0]
    assert (counts[:2] != counts[2:]).any()


def test_a_small_batch_is_one_job_as_it_is():
    batch = Batch(items=(item(), item()), seed=(1,))
    [job] = split(batch, Limits())
    assert job.batch.items == batch.items and job.batch.seed == batch.seed
    assert [(p.item, p.start, p.stop, p.shots) for p in job.pieces] == [
        (0, 0, 4, 100),
        (1, 0, 4, 100),
    ]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bindings": np.zeros((2, 5))}, r"shape \(2, 5\), the circuit has 6"),
        ({"bindings": np.zeros(6)}, r"pass \(B, 6\)"),
        ({"bindings": np.zeros((1, 6), dtype=int)}, "float64, not int64"),
        ({"bindings": np.full((1, 6), np.nan)}, "binding 0 holds a NaN"),
        ({"shots": 0}, "at least 1"),
        ({"shots": -5}, "at least 1"),
        ({"shots": 1.5}, "whole number"),
        ({"shots": True}, "whole number"),
    ],
)
def test_wrong_items_are_refused(changes, words):
    with pytest.raises(InputError, match=words):
        check_batch(Batch(items=(item(**changes),)), Limits(exact=True))


def test_measured_circuits_are_refused():
    circuit = FORM.circuit.copy()
    circuit.measure_all()
    with pytest.raises(InputError, match="is measured"):
        check_batch(Batch(items=(item(circuit=circuit),)), Limits())


def test_every_exceeded_limit_is_named_at_once():
    limits = Limits(max_qubits=2, min_shots=200, exact=False)
    with pytest.raises(PreflightError) as caught:
        check_batch(Batch(items=(item(shots=100), item(shots=None))), limits)
    assert len(caught.value.reasons) == 3
    for limits in (Limits(max_shots=50), Limits(max_executions=50)):
        with pytest.raises(PreflightError, match="100 shots of a binding"):
            split(Batch(items=(item(),)), limits)


def test_the_step_of_the_papers_cifar_generator_is_refused_with_shots():
    limits = StatevectorBackend().limits
    check_step(limits, 2471, 13, 8192)
    with pytest.raises(PreflightError, match=r"21,623 vectors of 2\*\*19 outcomes.*spsa"):
        check_step(limits, 21_623, 19, 8192)


def test_more_qubits_than_the_memory_are_refused():
    backend = StatevectorBackend(memory_limit=1 << 20)
    assert backend.limits.max_qubits == 13
    with pytest.raises(PreflightError, match="14 qubits, the backend takes 13"):
        qt.probabilities(qt.RyCnot(14, 1), np.zeros(14), backend=backend)


def test_local_jobs_are_found_by_token_and_id():
    backend = StatevectorBackend()
    batch = Batch(items=(item(),), seed=(1,))
    job = backend.submit(batch, "qthw-1")
    other = backend.submit(batch, "qthw-2")
    assert backend.find("qthw-1") == [job] and backend.job(other.id) is other
    assert job.status() is JobStatus.DONE
    job.cancel()
    assert job.result().shots == (100,)
    assert backend.find("qthw-3") == []
    with pytest.raises(InputError, match="no job 'nothing'"):
        backend.job("nothing")
    with pytest.raises(InputError, match="token"):
        backend.submit(batch, "")


def test_names_are_looked_up_with_suggestions():
    assert {"statevector", "aer", "braket", "ibm", "ionq"} <= set(known_backends())
    with pytest.raises(UnknownName, match="did you mean 'statevector'"):
        open_backend("statevektor")
    with pytest.raises(UnknownName, match="did you mean 'dtype'"):
        open_backend("statevector", dtypes="complex64")
    with pytest.raises(UnknownName, match="did you mean 'complex64'"):
        open_backend("statevector", dtype="complex46")
    with pytest.raises(UnknownName, match="did you mean 'native'"):
        open_backend("statevector", form="nativ")
    with pytest.raises(InputError, match="no noise; use the backend 'aer'"):
        open_backend("statevector", noise="depolarizing(p1=1e-3, p2=1e-2)")
    with pytest.raises(InputError, match="takes no device"):
        open_backend("statevector:0")
    with pytest.raises(InputError, match="name or a Backend object, not int"):
        open_backend(3)  # type: ignore[arg-type]
    backend = open_backend("statevector")
    assert open_backend(backend) is backend
    with pytest.raises(InputError, match="options go with"):
        open_backend(backend, dtype="complex64")


def test_wrong_devices_and_memory_are_refused():
    with pytest.raises(InputError, match="no device 'cuda:7'"):
        open_backend("statevector", device="cuda:7")
    with pytest.raises(InputError, match="no device 'gpu'"):
        open_backend("statevector", device="gpu")
    with pytest.raises(InputError, match="memory_limit"):
        open_backend("statevector", memory_limit=10)


def test_the_form_can_be_chosen():
    ansatz = qt.U3Cu3(3, 1)
    assert StatevectorBackend().prepare(ansatz).form.name == "lowered"
    assert StatevectorBackend(form="native").prepare(ansatz).form.name == "native"
    prepared = StatevectorBackend().prepare(qt.RyCnot(3, 1))
    assert prepared.circuit.num_parameters == prepared.A.shape[0] == len(prepared.b)


def test_a_job_above_the_limits_is_refused_by_the_backend_itself():
    batch = Batch(items=(item(4, 300), item(4, 300)))
    for limits in ({"max_bindings": 7}, {"max_executions": 2000}):
        with pytest.raises(PreflightError, match="a job takes"):
            Narrow(**limits).submit(batch, "qthw-1")


class Paid(StatevectorBackend):
    """A backend that would cost money."""

    def __init__(self):
        super().__init__()
        self.name, self.limits = "paid", Limits(paid=True)


def test_nothing_runs_on_a_paid_backend_by_itself():
    with pytest.raises(InputError, match="costs money"):
        run(Paid(), Batch(items=(item(),)))
    with pytest.raises(InputError, match="costs money"):
        qt.probabilities(qt.RyCnot(2, 1), np.zeros(2), shots=10, backend=Paid())


def test_a_circuit_changed_in_place_is_compiled_anew():
    from qiskit import QuantumCircuit

    backend, circuit = StatevectorBackend(), QuantumCircuit(2)
    circuit.h(0)
    circuit.cx(0, 1)
    only = Item(circuit, np.zeros((1, 0)), None)
    first = run(backend, Batch((only,))).arrays[0]
    circuit.data[1] = circuit.data[1].replace(qubits=circuit.data[1].qubits[::-1])
    second = run(backend, Batch((only,))).arrays[0]
    np.testing.assert_allclose(first, [[0.5, 0, 0, 0.5]], atol=1e-15)
    np.testing.assert_allclose(second, [[0.5, 0.5, 0, 0]], atol=1e-15)


def test_an_origin_that_does_not_make_the_bindings_is_not_used():
    from dataclasses import replace

    from qt_hw.execution.backend import Origin

    base, backend = np.ones((1, 6)), StatevectorBackend()
    rows = np.repeat(base, 2, axis=0)
    rows[0, 1] += 0.3
    rows[1, 4] -= 0.3
    origin = Origin(base=base, index=np.array([1, 4]), shift=np.array([0.3, -0.3]))
    assert origin.makes(rows)
    moved = item(bindings=rows + 1, shots=None, origin=origin)
    assert not origin.makes(moved.bindings)
    assert not origin.makes(rows[:1])
    found = run(backend, Batch((moved,))).arrays[0]
    expected = run(backend, Batch((replace(moved, origin=None),))).arrays[0]
    np.testing.assert_array_equal(found, expected)


def test_prepared_takes_the_fields_of_the_interface():
    from qt_hw.execution.backend import Prepared

    prepared = Prepared(FORM.circuit, FORM.A, FORM.b, {"t1": 1.0}, "2026-11-22")
    assert prepared.form.terms.tolist() == [2] * 6
    assert prepared.calibration_date == "2026-11-22"


@pytest.mark.parametrize("wrong", [None, 1.5, "4G", float("nan"), True])
def test_memory_limits_are_whole_numbers(wrong):
    with pytest.raises(InputError, match="whole number of bytes"):
        open_backend("statevector", memory_limit=wrong)


@pytest.mark.parametrize("wrong", ["meta", None, 1.5])
def test_devices_that_cannot_compute_are_refused(wrong):
    with pytest.raises(InputError, match="no device"):
        open_backend("statevector", device=wrong)


def test_copies_of_a_backend_have_no_jobs():
    import copy

    backend = StatevectorBackend()
    job = backend.submit(Batch((item(),)), "qthw-1")
    assert copy.deepcopy(backend).find("qthw-1") == [] != backend.find(job.token)
