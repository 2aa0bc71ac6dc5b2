"""The built-in ansätze against the published probabilities and numbers of circuits."""

from __future__ import annotations

import numpy as np
import pytest
from qiskit.quantum_info import Statevector

from qt_hw import HardwareEfficient, ProductAnsatz, RyCnot, U3Cu3
from qt_hw.errors import InputError

# Independent reference, qubit 0 as the most significant digit; k-th angle 0.1 k or 0.3 k.
U3CU3 = """0.0635384829 0.2286082433 0.1270855813 0.0797429339
           0.0663279755 0.1133171938 0.2062676954 0.1151118938"""
OPEN = """0.0284046232 0.1938143056 0.3693162058 0.0037901174
          2.44572e-05 0.3195778633 0.0543906184 0.030681809"""
RING = """0.1449285596 0.390037589 0.0852486119 0.0183254592
          0.0063312429 0.0739215279 0.0701158096 0.2110911999"""


def exact(ansatz, angles):
    """Probabilities by Qiskit alone."""
    return Statevector(ansatz.circuit().assign_parameters(angles)).probabilities()


@pytest.mark.parametrize(
    ("ansatz", "step", "text"),
    [
        (U3Cu3(3, 2), 0.1, U3CU3),
        (RyCnot(3, 2), 0.3, OPEN),
        (RyCnot(3, 2, ring=True), 0.3, RING),
    ],
)
def test_probabilities_equal_the_published_ones_entry_by_entry(ansatz, step, text):
    angles = step * np.arange(1, ansatz.n_angles + 1)
    np.testing.assert_allclose(exact(ansatz, angles), [float(x) for x in text.split()], atol=5e-11)


@pytest.mark.parametrize(
    ("ansatz", "native", "lowered"),
    [
        (U3Cu3(6, 2), 146, 132),
        (U3Cu3(8, 4), 418, 368),
        (U3Cu3(13, 16), 2862, 2470),
        (RyCnot(7, 8), 112, 112),
        (RyCnot(15, 15, ring=True), 450, 450),
    ],
)
def test_numbers_of_shifted_circuits(ansatz, native, lowered):
    assert ansatz.binding_counts() == {"native": native, "lowered": lowered}


@pytest.mark.parametrize("n", [2, 3, 5])
@pytest.mark.parametrize("layers", [1, 2, 4])
def test_u3cu3_rows_follow_the_formula(n, layers):
    dead = 2 * n - 1
    assert U3Cu3(n, layers).binding_counts()["native"] == 14 * n * layers - 2 * dead


def test_angle_counts_of_the_papers():
    assert U3Cu3(13, 16).n_angles == 1248
    assert U3Cu3(19, 95).n_angles == 10830
    assert RyCnot(7, 8).n_angles == 56
    assert HardwareEfficient(8, 20).n_angles == 480
    assert HardwareEfficient(5, 20).n_angles == 300


def test_product_holds_the_first_part_on_the_most_significant_qubits():
    a, b = U3Cu3(2, 1), RyCnot(3, 2)
    both = ProductAnsatz([a, b])
    angles = np.random.default_rng(1).uniform(-3, 3, both.n_angles)
    p = np.outer(exact(a, angles[:12]), exact(b, angles[12:])).ravel()
    np.testing.assert_allclose(exact(both, angles), p, atol=1e-14)
    assert [f.n_qubits for f in ProductAnsatz([both, a]).factors()] == [2, 3, 2]


def test_circuit_parameters_follow_the_order_of_the_angles():
    names = [p.name for p in U3Cu3(2, 1).circuit().parameters]
    assert names == [f"θ[{i}]" for i in range(12)]


@pytest.mark.parametrize("kind", [RyCnot, U3Cu3, HardwareEfficient])
@pytest.mark.parametrize("wrong", [0, -1, 1.5, True, "3"])
def test_wrong_sizes_are_refused(kind, wrong):
    with pytest.raises(InputError, match="whole number"):
        kind(wrong, 2)
    with pytest.raises(InputError, match="whole number"):
        kind(2, wrong)


def test_a_ring_of_one_is_refused():
    with pytest.raises(InputError, match="at least 2 qubits"):
        U3Cu3(1, 1)


def test_a_product_takes_only_ansaetze():
    with pytest.raises(InputError, match="non-empty list"):
        ProductAnsatz([])
    with pytest.raises(InputError, match="non-empty list"):
        ProductAnsatz([RyCnot(2, 1), "RyCnot"])


def test_unknown_forms_are_refused():
    with pytest.raises(InputError, match="unknown form"):
        RyCnot(2, 1).form("lowred")
    with pytest.raises(InputError, match="two-qubit gate"):
        RyCnot(2, 1).form("lowered", "ecr")


def test_equal_arguments_make_equal_ansaetze():
    assert RyCnot(3, 2) == RyCnot(3, 2) != RyCnot(3, 2, ring=True)
    assert len({U3Cu3(3, 2), U3Cu3(3, 2), HardwareEfficient(3, 2)}) == 2
    assert RyCnot(3, 2).form("lowered") is RyCnot(3, 2).form("lowered")
    assert repr(U3Cu3(3, 2)) == "U3Cu3(n_qubits=3, n_layers=2)"


def test_classes_of_one_name_are_different_ansaetze():
    def make(gate):
        class Mine(RyCnot):
            def circuit(self):
                circuit, angles = self._start()
                getattr(circuit, gate)(angles[0], 0)
                getattr(circuit, gate)(angles[1], 1)
                return circuit

        return Mine(2, 1)

    first, second = make("ry"), make("rz")
    assert first != second
    assert dict(first.form("native").circuit.count_ops()) == {"ry": 2}
    assert dict(second.form("native").circuit.count_ops()) == {"rz": 2}


def test_an_ansatz_of_ones_own_is_checked():
    from dataclasses import dataclass

    from qt_hw import Ansatz

    class Wrong(Ansatz):
        n_qubits, n_angles = 2, 5

        def circuit(self):
            return RyCnot(2, 1).circuit()

        def describe(self):
            return {"kind": "Wrong"}

    with pytest.raises(InputError, match="says 2 qubits and 5 angles, its circuit has 2 and 2"):
        Wrong().form("native")

    @dataclass
    class Unhashable(Wrong):
        pass

    with pytest.raises(InputError, match="frozen=True"):
        Unhashable().form("native")


def test_a_product_takes_any_iterable():
    assert ProductAnsatz(RyCnot(2, 1) for _ in range(2)).n_qubits == 4
    with pytest.raises(InputError, match="non-empty list"):
        ProductAnsatz(RyCnot(1, 1))
