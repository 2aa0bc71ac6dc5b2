"""Requests and results of the IBM backend, without a service."""

from __future__ import annotations

import io
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qiskit import QuantumCircuit, qpy
from qiskit.circuit import ParameterVector
from qiskit.primitives import BitArray, DataBin, PrimitiveResult, SamplerPubResult
from qiskit.quantum_info import Statevector
from qiskit_ibm_runtime.fake_provider import FakeManilaV2, FakeTorino

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.circuits.builtin import U3Cu3
from qt_hw.errors import BadResult, ConfigError, InputError, PreflightError
from qt_hw.execution.backend import Batch, Item
from qt_hw_ibm.isa import compile_ansatz, full_width, instructions_per_qubit
from qt_hw_ibm.options import read_options
from qt_hw_ibm.pricing import estimate, read_prices
from qt_hw_ibm.pubs import counts_of, make_request
from qt_hw_ibm.sampler import twirl_shape
from qt_hw_ibm.wire import Wire

Array = NDArray[Any]


def rotations(n: int) -> Ansatz:
    from qt_hw.circuits.custom import CircuitAnsatz

    circuit = QuantumCircuit(n)
    angles = ParameterVector("t", 2 * n)
    for qubit in range(n):
        circuit.ry(angles[qubit], qubit)
    for qubit in range(n - 1):
        circuit.cx(qubit, qubit + 1)
    for qubit in range(n):
        circuit.ry(angles[n + qubit] * 0.5, qubit)
    return CircuitAnsatz(circuit)


def compiled(ansatz: Ansatz, device: Any, layout: list[int] | None = None) -> Any:
    return compile_ansatz(
        ansatz, device.target, "d", optimization_level=3, seed_transpiler=0, layout=layout
    )


# ---- circuits


@pytest.mark.parametrize("layout", [[3, 1, 2], [0, 4, 2], None])
def test_the_measured_circuit_has_the_law_of_the_ansatz(layout: list[int] | None) -> None:
    ansatz, target = rotations(3), FakeManilaV2().target
    angles = np.random.default_rng(4).uniform(-np.pi, np.pi, (1, ansatz.n_angles))
    form = compiled(ansatz, FakeManilaV2(), layout).form
    wide = full_width(form.circuit, target, "d")
    assert wide.num_qubits == 5
    places = {entry.clbits[0]: entry.qubits[0] for entry in wide.data if entry.clbits}
    measured = [wide.find_bit(places[clbit]).index for clbit in wide.clbits]
    bare = wide.remove_final_measurements(inplace=False)
    bound = bare.assign_parameters(form.gate_angles(angles)[0])
    found = Statevector(bound).probabilities(measured)
    expected = Statevector(ansatz.circuit().assign_parameters(angles[0])).probabilities()
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_a_stored_circuit_needs_nothing_else() -> None:
    circuit = compiled(rotations(3), FakeManilaV2(), [0, 4, 2]).form.circuit
    buffer = io.BytesIO()
    qpy.dump(circuit, buffer)
    buffer.seek(0)
    (again,) = qpy.load(buffer)
    target = FakeManilaV2().target
    assert full_width(again, target, "d") == full_width(circuit, target, "d")


def test_every_gate_is_checked_where_it_acts() -> None:
    target = FakeManilaV2().target
    circuit = QuantumCircuit(2, metadata={"physical_qubits": [0, 3]})
    circuit.sx(0)
    full_width(circuit, target, "d")
    circuit.cx(0, 1)  # on 0 and 3, which are no neighbours
    with pytest.raises(InputError, match=r"no gate 'cx' on the qubits \(0, 3\)"):
        full_width(circuit, target, "d")


@pytest.mark.parametrize(
    ("n", "layout", "kind", "message"),
    [
        (6, None, PreflightError, "6 qubits, d has 5"),
        (3, [0, 1], InputError, "layout has 2"),
        (3, [0, 1, 5], InputError, "qubit 5"),
    ],
)
def test_what_does_not_fit_is_refused(
    n: int, layout: list[int] | None, kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind, match=message):
        compiled(rotations(n), FakeManilaV2(), layout)


def test_low_level_instructions_of_the_busiest_qubit() -> None:
    circuit = QuantumCircuit(3, metadata={"physical_qubits": [0, 1, 2]})
    circuit.sx(0)
    circuit.rz(0.1, 1)
    circuit.cz(0, 1)
    circuit.cz(1, 2)
    # Qubit 1: start 50, RZ 1, two CZ 10, measurement 10.
    assert instructions_per_qubit(circuit) == 71


# ---- requests and results


def batch_of(shots: int = 100) -> Batch:
    first = compiled(rotations(2), FakeManilaV2()).form.circuit
    second = compiled(rotations(3), FakeManilaV2()).form.circuit
    ones = first.copy_empty_like()
    rng = np.random.default_rng(0)
    return Batch(
        items=(
            Item(first, rng.normal(size=(2, first.num_parameters)), shots),
            Item(second, rng.normal(size=(3, second.num_parameters)), shots, part=1),
            Item(first.copy(), rng.normal(size=(4, first.num_parameters)), shots, part=2),
            Item(ones, np.zeros((2, 0)), shots, part=3),
        )
    )


def request_of(batch: Batch) -> Any:
    target = FakeManilaV2().target
    return make_request(batch, lambda circuit: full_width(circuit, target, "d"))


def test_all_bindings_of_one_circuit_are_one_pub() -> None:
    batch = batch_of()
    request = request_of(batch)
    # Items 0 and 2 together, item 1, and a PUB for each row of the circuit without parameters.
    assert [len(rows) for _, rows in request.pubs] == [6, 3, 1, 1]
    stacked = np.concatenate([batch.items[0].bindings, batch.items[2].bindings])
    np.testing.assert_array_equal(request.pubs[0][1], stacked)


def test_items_with_other_shots_make_another_job() -> None:
    batch = batch_of()
    other = Item(batch.items[0].circuit, batch.items[0].bindings, 50)
    with pytest.raises(InputError, match=r"\[50, 100\]"):
        request_of(Batch(items=(*batch.items, other)))


def answer(request: Any, shots: int | None = None, seed: int = 1) -> PrimitiveResult[Any]:
    """Return random bits as the vendor's sampler would, for each PUB of ``request``."""
    rng, results = np.random.default_rng(seed), []
    for circuit, rows in request.pubs:
        shape = (len(rows),) if rows.shape[1] else ()
        n, taken = circuit.num_clbits, request.shots if shots is None else shots
        bits = rng.integers(0, 2, (*shape, taken, n)).astype(bool)
        data = DataBin(meas=BitArray.from_bool_array(bits, order="little"), shape=shape)
        results.append(SamplerPubResult(data, {"circuit_metadata": circuit.metadata}))
    return PrimitiveResult(results)


def test_counts_come_back_to_their_items() -> None:
    batch = batch_of()
    request = request_of(batch)
    result = answer(request)
    counts = counts_of(result)
    assert [array.shape for array in counts.arrays] == [(2, 4), (3, 8), (4, 4), (2, 4)]
    assert counts.shots == (100,) * 4
    # Item 2 is rows 2 to 5 of the first PUB; Qiskit's own dictionaries are the oracle.
    for row in range(4):
        expected = result[0].data.meas.get_int_counts(2 + row)
        found = {k: int(v) for k, v in enumerate(counts.arrays[2][row]) if v}
        assert found == dict(Counter(expected))
    assert counts.arrays[3][1].sum() == 100


def test_more_than_eight_qubits_take_two_bytes() -> None:
    circuit = QuantumCircuit(10, metadata={"physical_qubits": list(range(10))})
    batch = Batch(items=(Item(circuit, np.zeros((1, 0)), 300),))
    request = make_request(batch, lambda c: full_width(c, FakeTorino().target, "d"))
    result = answer(request)
    expected = result[0].data.meas.get_int_counts()
    (array,) = counts_of(result).arrays
    assert {k: int(v) for k, v in enumerate(array[0]) if v} == dict(expected)


def test_shots_beyond_those_asked_for_are_left_out() -> None:
    request = request_of(batch_of())
    assert counts_of(answer(request, shots=128)).arrays[0].sum(axis=1).tolist() == [100, 100]


def _without_pub(result: PrimitiveResult[Any]) -> PrimitiveResult[Any]:
    return PrimitiveResult(list(result)[1:])


def _without_row(result: PrimitiveResult[Any]) -> PrimitiveResult[Any]:
    first = result[0]
    data = DataBin(meas=first.data.meas[:-1], shape=(5,))
    return PrimitiveResult([SamplerPubResult(data, first.metadata), *list(result)[1:]])


def _without_plan(result: PrimitiveResult[Any]) -> PrimitiveResult[Any]:
    return PrimitiveResult([SamplerPubResult(pub.data, {}) for pub in result])


def _other_register(result: PrimitiveResult[Any]) -> PrimitiveResult[Any]:
    first = result[0]
    data = DataBin(c=first.data.meas, shape=(6,))
    return PrimitiveResult([SamplerPubResult(data, first.metadata), *list(result)[1:]])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (_without_pub, "5 bindings came back of 11"),
        (_without_row, "for 6 bindings"),
        (_without_plan, "does not say"),
        (_other_register, "register"),
        (lambda result: None, "NoneType"),
        (lambda result: "text", "str"),
        (lambda result: PrimitiveResult([]), "PrimitiveResult"),
    ],
)
def test_a_damaged_result_is_refused(damage: Any, message: str) -> None:
    with pytest.raises(BadResult, match=message):
        counts_of(damage(answer(request_of(batch_of()))))


def test_too_few_shots_are_refused() -> None:
    with pytest.raises(BadResult, match="99 shots came back of 100"):
        counts_of(answer(request_of(batch_of()), shots=99))


@pytest.mark.parametrize("shots", [8, 200, 1000, 1024, 2500, 8192])
def test_twirled_shots_come_out_exactly(shots: int) -> None:
    n, each = twirl_shape(shots)
    assert n * each == shots
    assert 8 <= n <= 32


# ---- prices


def test_the_estimate_of_u3cu3_on_torino() -> None:
    """103 s: IBM's formula by hand, 369 circuits, 1,024 shots, 250 us delay; see the margin."""
    device, ansatz = FakeTorino(), U3Cu3(8, 4)
    form = compiled(ansatz, device).form
    wide = full_width(form.circuit, device.target, "d")
    duration = float(wide.estimate_duration(device.target, "s"))
    assert 10e-6 < duration < 40e-6
    n_rows = 1 + 2 * len(form.b)
    batch = Batch(items=(Item(form.circuit, np.zeros((n_rows, len(form.b))), 1024),))
    options = read_options({"plan": "pay-as-you-go"})
    cost = estimate(batch, [duration], 250e-6, options, read_prices())
    executions = 369 * 1024
    quick, measured = 0.00035 * executions, (250e-6 + duration) * executions
    assert cost.qpu_seconds_low == pytest.approx(2 + measured)
    assert cost.qpu_seconds_high == pytest.approx(2 + 1.2 * quick)
    assert cost.qpu_seconds_low == pytest.approx(103, abs=2)
    assert cost.usd_high == pytest.approx(1.6 * cost.qpu_seconds_high)
    assert "2026-05" in cost.source


def test_a_long_delay_is_paid_for() -> None:
    circuit = QuantumCircuit(1)
    batch = Batch(items=(Item(circuit, np.zeros((1, 0)), 10_000),))
    cost = estimate(batch, [0.0], 4e-3, read_options({}), read_prices())
    assert cost.qpu_seconds_low == pytest.approx(42)
    assert (cost.usd_low, cost.usd_high) == (0.0, 0.0)


def test_a_table_of_ones_own(tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(
        'date = "2030-01"\nsource = "contract"\n[usd_per_second]\npremium = 0.5\n'
        "[seconds]\nper_job = 1\nper_execution = 1e-3\nusual_rep_delay = 2.5e-4\n"
    )
    prices = read_prices(str(file))
    assert prices.rate(read_options({"plan": "premium"})) == 0.5
    assert prices.rate(read_options({"usd_per_second": 3})) == 3.0
    with pytest.raises(InputError, match="flex"):
        prices.rate(read_options({"plan": "flex"}))
    text = file.read_text()
    # Such a price would never reach a cap.
    for old, new in (("0.5", "-0.5"), ("0.5", "nan"), ("0.5", '"0.5"'), ("1e-3", "-inf")):
        file.write_text(text.replace(old, new))
        with pytest.raises(ConfigError, match="not a number of at least 0"):
            read_prices(str(file))
    file.write_text("date = 1\n")
    with pytest.raises(ConfigError, match="no table of prices"):
        read_prices(str(file))


# ---- the wire


def test_a_request_that_never_connected_was_not_sent() -> None:
    import requests
    from urllib3.util.retry import Retry

    for retry_posts in (False, True):
        session, wire = requests.Session(), Wire(retry_posts)
        session.trust_env = False
        session.mount("https://", requests.adapters.HTTPAdapter(max_retries=Retry(0)))
        client = type("Client", (), {"_session": session})()
        wire.mount(type("Service", (), {"_active_api_client": client, "_api_clients": {}})())
        assert wire.mounted
        with pytest.raises(requests.ConnectionError):
            session.post("http://127.0.0.1:9/api/v1/jobs", timeout=1)
        assert wire.job_request is not None
        # With retries switched on an earlier attempt may have arrived.
        assert wire.job_request.sent is retry_posts
        assert wire.job_request.status is None


def test_a_client_without_the_private_session_is_noticed() -> None:
    wire = Wire(False)
    wire.mount(object())
    assert not wire.mounted
