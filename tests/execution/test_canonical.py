"""No two different requests share a token or a key; equal ones do, in any process."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qiskit import AncillaRegister, QuantumCircuit, QuantumRegister, qpy
from qiskit.circuit import Gate, Parameter, ParameterVector
from qiskit.providers.fake_provider import GenericBackendV2

import qt_hw as qt
from qt_hw.errors import InputError
from qt_hw.execution.backend import Batch, Item
from qt_hw.execution.canonical import circuit_bytes, digest, key_of, payload, token_of
from qt_hw.execution.splitting import Piece, piece_of
from qt_hw.execution.transpile import transpile


def base(**changes):
    """A circuit with one of everything, with ``changes``."""
    values = {"gate": "ry", "angle": 0.3, "pair": (0, 1), "order": (0, 1), "name": "t", **changes}
    t = ParameterVector(values["name"], 2)
    circuit = QuantumCircuit(
        values.get("qubits", 3), metadata=values.get("metadata", {"physical_qubits": [4, 2, 0]})
    )
    getattr(circuit, values["gate"])(t[values["order"][0]], 0)
    circuit.rz(values["angle"], 1)
    circuit.cx(*values["pair"])
    circuit.ry(t[values["order"][1]], 2)
    for _ in range(values.get("more", 0)):
        circuit.x(2)
    return circuit


BINDINGS = np.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])


def request(circuit: QuantumCircuit | None = None, **changes) -> Batch:
    item = Item(circuit or base(), BINDINGS, 100, "base")
    other = Item(circuit or base(), BINDINGS[:1], 50, "shift", 1)
    return Batch(items=(replace(item, **changes), other), seed=(1, 2))


def bump(row: int, column: int) -> np.ndarray:
    """The bindings with the last bit of one angle changed."""
    out = BINDINGS.copy()
    out[row, column] = np.nextafter(out[row, column], 1.0)
    return out


def custom(inner: Callable[[QuantumCircuit], object]) -> QuantumCircuit:
    block = QuantumCircuit(1, name="block")
    inner(block)
    circuit = base()
    circuit.append(block.to_gate(), [0])
    return circuit


def controlled(inner: Callable[[QuantumCircuit], object], state: int = 1) -> QuantumCircuit:
    block = QuantumCircuit(1, name="block")
    inner(block)
    circuit = base()
    circuit.append(block.to_gate().control(1, ctrl_state=state), [0, 1])
    return circuit


def with_ancilla() -> QuantumCircuit:
    circuit = QuantumCircuit(
        QuantumRegister(2), AncillaRegister(1), metadata={"physical_qubits": [4, 2, 0]}
    )
    for entry in base().data:
        circuit.append(entry.operation, [base().find_bit(q).index for q in entry.qubits])
    return circuit


def delayed(unit: str) -> QuantumCircuit:
    circuit = base()
    circuit.delay(10, 0, unit=unit)
    return circuit


def two_items() -> tuple[Item, Item]:
    return request().items[0], request().items[1]


DIFFERENT: dict[str, Callable[[], Batch]] = {
    "as it is": request,
    "another gate": lambda: request(base(gate="rx")),
    "a gate more": lambda: request(base(more=1)),
    "two gates more": lambda: request(base(more=2)),
    "a qubit more": lambda: request(base(qubits=4)),
    "control and target exchanged": lambda: request(base(pair=(1, 0))),
    "another pair": lambda: request(base(pair=(0, 2))),
    "angles exchanged": lambda: request(base(order=(1, 0))),
    "last bit of a fixed angle": lambda: request(base(angle=np.nextafter(0.3, 1))),
    "sign of zero in a fixed angle": lambda: request(base(angle=-0.0)),
    "zero in a fixed angle": lambda: request(base(angle=0.0)),
    "other metadata": lambda: request(base(metadata={"physical_qubits": [4, 0, 2]})),
    "no metadata": lambda: request(base(metadata={})),
    "the last qubit not measured": lambda: request(with_ancilla()),
    "an open control": lambda: request(controlled(lambda c: c.x(0), 0)),
    "a closed control": lambda: request(controlled(lambda c: c.x(0), 1)),
    "a control of another gate": lambda: request(controlled(lambda c: c.z(0), 1)),
    "a gate of its own": lambda: request(custom(lambda c: c.x(0))),
    "the same name, another definition": lambda: request(custom(lambda c: c.z(0))),
    "a delay": lambda: request(delayed("ns")),
    "a delay in another unit": lambda: request(delayed("us")),
    "last bit of the first angle": lambda: request(bindings=bump(0, 0)),
    "last bit of the last angle": lambda: request(bindings=bump(2, 1)),
    "bindings in another order": lambda: request(bindings=BINDINGS[::-1]),
    "columns in another order": lambda: request(bindings=BINDINGS[:, ::-1]),
    "a binding less": lambda: request(bindings=BINDINGS[:2]),
    "other shots": lambda: request(shots=101),
    "exact": lambda: request(shots=None),
    "another role": lambda: request(role="fold(3)"),
    "items exchanged": lambda: Batch(items=two_items()[::-1]),
    "one item only": lambda: Batch(items=two_items()[:1]),
    "an item twice": lambda: Batch(items=(*two_items(), two_items()[1])),
    "split after one binding": lambda: Batch(
        items=(
            piece_of(two_items()[0], Piece(item=0, start=0, stop=1, shots=100)),
            piece_of(two_items()[0], Piece(item=0, start=1, stop=3, shots=100)),
            two_items()[1],
        )
    ),
    "split after two bindings": lambda: Batch(
        items=(
            piece_of(two_items()[0], Piece(item=0, start=0, stop=2, shots=100)),
            piece_of(two_items()[0], Piece(item=0, start=2, stop=3, shots=100)),
            two_items()[1],
        )
    ),
    "nothing": lambda: Batch(items=()),
}


def test_no_two_different_requests_share_a_payload():
    found: dict[str, str] = {}
    for name, make in DIFFERENT.items():
        other = found.setdefault(payload(make()), name)
        assert other == name, f"{name!r} and {other!r} share a payload"
    assert len(found) == len(DIFFERENT)


SAME: dict[str, Callable[[], Batch]] = {
    "built once more": request,
    "parameters of other names": lambda: request(base(name="zeta")),
    "another seed": lambda: replace(request(), seed=(7,)),
    "another name and global phase": lambda: request(_renamed(base())),
    "bindings in Fortran order": lambda: request(bindings=np.asfortranarray(BINDINGS)),
    "bindings as big-endian numbers": lambda: request(bindings=BINDINGS.astype(">f8")),
    "shots of numpy": lambda: request(shots=np.int64(100)),
    "metadata in another order": lambda: request(
        base(metadata=dict(reversed(list({"a": 1, "physical_qubits": [4, 2, 0]}.items()))))
    ),
}


def _renamed(circuit: QuantumCircuit) -> QuantumCircuit:
    circuit.name, circuit.global_phase = "another", 0.5
    return circuit


@pytest.mark.parametrize("name", SAME)
def test_equal_requests_share_their_payload(name):
    ordered = base(metadata={"a": 1, "physical_qubits": [4, 2, 0]})
    wanted = request(ordered) if name == "metadata in another order" else request()
    assert payload(SAME[name]()) == payload(wanted)


PLACE = {
    "run": "r",
    "step": 3,
    "part": 1,
    "repetition": 2,
    "payload": "p",
    "backend": "ionq:forte-1",
    "calibration": "2026-01-01",
}


def test_every_field_changes_token_and_key():
    others = {
        "run": "s", "step": 4, "part": 2, "repetition": 1, "payload": "q",
        "backend": "ionq:forte-enterprise-1", "calibration": "2026-01-02",
    }  # fmt: skip
    keys = {key_of(**PLACE), *(key_of(**{**PLACE, name: value}) for name, value in others.items())}
    assert len(keys) == 1 + len(PLACE)
    of_token = {k: PLACE[k] for k in ("run", "step", "part", "repetition", "payload")}
    tokens = {token_of(**of_token, attempt=0), token_of(**of_token, attempt=1)}
    tokens |= {token_of(**{**of_token, name: others[name]}, attempt=0) for name in of_token}
    assert len(tokens) == 2 + len(of_token)
    assert all(len(token) == 45 and token.startswith("qthw-") for token in tokens)


def test_fields_cannot_run_together():
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest(1, 12) != digest(11, 2)
    assert digest("1") != digest(1) != digest(b"1")
    assert digest(np.int64(5)) == digest(5)


SCRIPT = """
import sys
sys.path[:0] = sys.argv[1:]
from tests.execution.test_canonical import DIFFERENT
from qt_hw.execution.canonical import payload
print(*(payload(make()) for make in DIFFERENT.values()))
"""


def test_payloads_do_not_depend_on_the_process():
    here = [payload(make()) for make in DIFFERENT.values()]
    root = str(Path(__file__).parents[2])
    for seed in ("0", "12345"):
        found = subprocess.run(
            [sys.executable, "-c", SCRIPT, root],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert found.stdout.split() == here


# A way through QPY


def reloaded(circuit: QuantumCircuit) -> QuantumCircuit:
    buffer = io.BytesIO()
    qpy.dump([circuit], buffer)
    buffer.seek(0)
    (loaded,) = qpy.load(buffer)
    return loaded


def shared_and_scaled() -> qt.CircuitAnsatz:
    circuit, t = QuantumCircuit(3), ParameterVector("t", 3)
    extra = Parameter("a")  # sorts before the vector
    circuit.ry(t[0], 0)
    circuit.rz(0.5 * t[0] - 0.25 * t[2] + 0.1, 1)
    circuit.rzz(2 * t[1], 0, 2)
    circuit.cx(0, 1)
    circuit.ry(extra, 2)
    circuit.u(t[2], 0.3, extra / 3, 0)
    return qt.CircuitAnsatz(circuit)


def ansaetze():
    product = qt.ProductAnsatz([qt.RyCnot(3, 2), qt.U3Cu3(2, 1)])
    return [
        qt.U3Cu3(3, 2),
        qt.RyCnot(4, 2, ring=True),
        qt.HardwareEfficient(3, 2),
        *product.factors(),
        shared_and_scaled(),
    ]


def forms():
    target = GenericBackendV2(6, seed=3, coupling_map=[[i, i + 1] for i in range(5)]).target
    for ansatz in ansaetze():
        yield ansatz.form("lowered")
        yield ansatz.form("native")
        yield transpile(
            ansatz.form("lowered"),
            target,
            optimization_level=2,
            seed_transpiler=5,
            layout=[5, 2, 0, 3][: ansatz.n_qubits],
        ).form


def test_circuits_are_the_same_after_a_way_through_qpy():
    n_ancillas = 0
    for form in forms():
        again = reloaded(form.circuit)
        assert circuit_bytes(again) == circuit_bytes(form.circuit)
        assert again.num_ancillas == form.circuit.num_ancillas
        assert [str(p) for p in again.parameters] == [str(p) for p in form.circuit.parameters]
        assert again.metadata == form.circuit.metadata
        n_ancillas += again.num_ancillas
    assert n_ancillas > 0, "routing was to use ancillas"


# QPY forgets the unit of a delay: such a request is refused when it is planned.
@pytest.mark.parametrize("name", [name for name in DIFFERENT if "delay" not in name])
def test_every_test_circuit_is_the_same_after_a_way_through_qpy(name):
    for item in DIFFERENT[name]().items:
        assert circuit_bytes(reloaded(item.circuit)) == circuit_bytes(item.circuit)


class Verbatim(Gate):
    """A vendor's gate, without a definition."""

    def __init__(self, angle: float) -> None:
        super().__init__("gpi2", 1, [angle])


def test_a_vendors_gate_is_known_by_name_and_angles():
    first, second = QuantumCircuit(1), QuantumCircuit(1)
    first.append(Verbatim(0.25), [0])
    second.append(Verbatim(0.5), [0])
    assert circuit_bytes(first) != circuit_bytes(second)
    assert circuit_bytes(reloaded(first)) == circuit_bytes(first)


def test_metadata_with_numbers_as_keys_stay_the_same():
    circuit = base(metadata={2: "b", 10: "a"})
    assert circuit_bytes(reloaded(circuit)) == circuit_bytes(circuit)


# What cannot be written down


def conditional() -> QuantumCircuit:
    circuit = QuantumCircuit(1, 1)
    with circuit.if_test((circuit.clbits[0], True)):
        circuit.x(0)
    return circuit


def matrix() -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.unitary(np.eye(2), [0])
    return circuit


def expression() -> QuantumCircuit:
    return turned(Parameter("t").sin())


def turned(angle: Any) -> QuantumCircuit:
    circuit = QuantumCircuit(1)
    circuit.ry(angle, 0)
    return circuit


def test_affine_angles_have_a_form_of_their_own() -> None:
    t = Parameter("t")
    angles = [t, -t, 2 * t, -t + 0.5, -t + 0.25, 0.5]
    assert len({circuit_bytes(turned(angle)) for angle in angles}) == len(angles)
    assert circuit_bytes(turned(-t)) == circuit_bytes(turned(-1.0 * Parameter("other")))


def annotated() -> QuantumCircuit:
    circuit = QuantumCircuit(2)
    circuit.append(Verbatim(0.5).control(1, annotated=True), [0, 1])
    return circuit


@pytest.mark.parametrize(
    ("circuit", "words"),
    [
        (conditional(), "control flow"),
        (matrix(), "neither a number nor affine in the parameters"),
        (expression(), r"sin\(t\) is neither"),
        (annotated(), "annotated.*decompose it"),
        (QuantumCircuit(1, metadata={"a": {1, 2}}), "not JSON"),
    ],
    ids=["control flow", "matrix", "expression", "modifier", "metadata"],
)
def test_what_has_no_canonical_form_is_refused(circuit, words):
    with pytest.raises(InputError, match=words) as caught:
        circuit_bytes(circuit)
    assert "\n" not in str(caught.value)
