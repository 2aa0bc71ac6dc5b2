"""Noise: the error after each gate, and the confusion of each qubit's readout.

The readout acts on the final probabilities only, so the exact law of a noisy circuit is the
diagonal of its density matrix followed by one 2×2 matrix per qubit.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError
from qt_hw_aer.scale import scaled_term, scaled_text
from qt_hw_aer.spec import FORMS, Term, parse_noise
from qt_hw_aer.terms import expanded, gate_errors

if TYPE_CHECKING:
    from qiskit import QuantumCircuit
    from qiskit.transpiler import Target

__all__ = ["Noise", "make_noise", "noise_of_target"]

ONE_QUBIT = (
    "id", "x", "y", "z", "h", "s", "sdg", "t", "tdg", "sx", "sxdg",
    "p", "r", "rx", "ry", "u", "u1", "u2", "u3",
)  # fmt: skip
TWO_QUBIT = (
    "cx", "cy", "cz", "ch", "cs", "csdg", "csx", "cp", "crx", "cry", "crz", "cu", "cu1", "cu3",
    "swap", "iswap", "dcx", "ecr", "rxx", "ryy", "rzz", "rzx",
)  # fmt: skip

#: What happens in software and takes no time: no noise.
VIRTUAL = ("rz", "barrier")

Matrix = NDArray[np.float64]

#: A gate and its qubits; None stands for all qubits without an entry of their own.
Place = tuple[str, tuple[int, ...] | None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Noise:
    """What happens after each gate and at the readout.

    Attributes:
        text: The specification, the device, or ``"sha256:…"`` of a noise model.
        errors: Aer's ``QuantumError`` objects after each gate, in the order in which they act.
        readout: By qubit, ``[true, observed]``; key None holds for all other qubits.
        exact: Whether ``errors`` and ``readout`` say it all, so that the law can be computed.
        gates: Gates that a circuit may hold besides the virtual ones; None allows any.
        given: The user's ``NoiseModel``, if the noise came as one.
        n_measured: Measured qubits of the circuits that it is about; None for any number.
    """

    text: str
    errors: Mapping[Place, Sequence[Any]] = field(default_factory=dict)
    readout: Mapping[int | None, Matrix] = field(default_factory=dict)
    exact: bool = True
    gates: frozenset[str] | None = None
    given: Any = None
    n_measured: int | None = None

    @cached_property
    def noisy_gates(self) -> frozenset[str]:
        """Gates that are followed by an error."""
        if self.given is not None:
            return frozenset(self.given.noise_instructions) - {"measure", "reset"}
        return frozenset(name for name, _ in self.errors)

    @cached_property
    def _channels(self) -> dict[tuple[int, ...], Any]:
        return {}

    def channel(self, name: str, qubits: tuple[int, ...]) -> Any:
        """Return the error after a gate as a Qiskit ``SuperOp``, or None."""
        from qiskit.quantum_info import SuperOp

        errors = self.errors.get((name, qubits), self.errors.get((name, None)))
        if not errors:
            return None
        key = tuple(id(error) for error in errors)
        if key not in self._channels:
            total = SuperOp(errors[0])
            for error in errors[1:]:
                total = total.compose(SuperOp(error))
            self._channels[key] = total
        return self._channels[key]

    def model(self, names: frozenset[str]) -> Any:
        """Return an Aer ``NoiseModel`` for circuits of these gates; the fewer, the faster."""
        from qiskit_aer.noise import NoiseModel, ReadoutError

        if self.given is not None:
            return self.given
        model = NoiseModel(basis_gates=sorted(names))
        for (name, qubits), errors in self.errors.items():
            if name not in names:
                continue
            total = errors[0]
            for error in errors[1:]:
                total = total.compose(error)
            if qubits is None:
                model.add_all_qubit_quantum_error(total, name)
            else:
                model.add_quantum_error(total, name, qubits)
        for qubit, matrix in self.readout.items():
            if qubit is None:
                model.add_all_qubit_readout_error(ReadoutError(matrix))
            else:
                model.add_readout_error(ReadoutError(matrix), [qubit])
        return model

    def observed(self, probabilities: Matrix, n_qubits: int) -> Matrix:
        """Return the law of the outcomes read, ``(B, 2**n_qubits)``, of the true one."""
        rows = len(probabilities)
        for qubit in range(n_qubits):
            matrix = self.readout.get(qubit, self.readout.get(None))
            if matrix is not None:
                axes = probabilities.reshape(rows, -1, 2, 2**qubit)
                probabilities = np.einsum("bxjy,jk->bxky", axes, matrix)
        return np.ascontiguousarray(probabilities.reshape(rows, -1))

    def check(self, circuit: QuantumCircuit) -> None:
        """Refuse a circuit whose gates or qubits would silently run without noise.

        Raises:
            InputError: Names the gates, or the number of qubits.
        """
        n = circuit.num_qubits - circuit.num_ancillas
        if self.n_measured not in (None, n):
            raise InputError(
                f"the calibration is of {self.n_measured} qubits, the circuit measures {n}: "
                "calibrate that circuit"
            )
        names = {str(name) for name in circuit.count_ops()} - set(VIRTUAL)
        bare = sorted(names - self.gates) if self.gates is not None else []
        if bare:
            raise InputError(
                f"the noise {self.text!r} says nothing about the gate {', '.join(bare)}; use "
                "standard gates of one or two qubits"
            )
        # A calibration of the readout prepares its states by X alone, whatever else is noisy.
        prepares = names <= {"x"} and not circuit.parameters
        if names and not prepares and self.noisy_gates and not names & self.noisy_gates:
            raise InputError(
                f"the noise model acts on {', '.join(sorted(self.noisy_gates))} but the circuit "
                f"has only {', '.join(sorted(names))}; add errors to those gates"
            )


def make_noise(noise: Any, scale: float = 1.0) -> Noise | None:
    """Return the noise of an option's value: None, a specification, or a ``NoiseModel``.

    Args:
        noise: The option.
        scale: Factor on the error rates of a specification (see ``qt_hw_aer.scale``).

    Raises:
        InputError: Something else, or a specification that does not parse.
    """
    from qiskit_aer.noise import NoiseModel

    if noise is None:
        return None
    if isinstance(noise, str):
        return _from_terms(parse_noise(noise), scale)
    if isinstance(noise, NoiseModel):
        return _from_model(noise)
    raise InputError(
        f"noise must be text ({'; '.join(FORMS)}; joined by +) or a qiskit_aer NoiseModel, "
        f"not {type(noise).__name__}"
    )


def _from_terms(given: Sequence[Term], scale: float) -> Noise:
    terms, text = expanded(given)
    if scale != 1.0:
        terms = [scaled_term(term, scale) for term in terms] if scale else []
    readout: dict[int | None, Matrix] = {}
    pairs = [gate_errors(term) for term in terms if term.kind != "readout"]
    for term in terms:
        if term.kind == "readout":
            p01, p10 = term.values["p01"], term.values["p10"]
            matrix = np.array([[1 - p01, p01], [p10, 1 - p10]])
            # A median and a readout act one after the other, as terms do.
            readout[None] = readout[None] @ matrix if readout else matrix
    errors: dict[Place, Sequence[Any]] = {}
    if pairs:
        one, two = zip(*pairs, strict=True)
        errors = {(name, None): one for name in ONE_QUBIT} | {
            (name, None): two for name in TWO_QUBIT
        }
    return Noise(
        text=scaled_text(text, scale),
        errors=errors,
        readout=readout,
        gates=frozenset(name for name, _ in errors) or None,
    )


def _from_model(model: Any) -> Noise:
    from qiskit.exceptions import QiskitError
    from qiskit_aer.noise import QuantumError

    readout: dict[int | None, Matrix] = {}
    errors: dict[Place, Sequence[Any]] = {}
    exact = True
    for entry in model.to_dict()["errors"]:
        qubits = tuple(entry["gate_qubits"][0]) if "gate_qubits" in entry else None
        if entry["type"] == "roerror":
            matrix = np.array(entry["probabilities"], dtype=float)
            exact = exact and matrix.shape == (2, 2)
            readout[None if qubits is None else qubits[0]] = matrix
            continue
        (name,) = entry["operations"]
        try:
            errors[name, qubits] = (QuantumError.from_dict(entry),)
        except QiskitError:
            exact = False
        exact = exact and name != "measure"
    text = f"sha256:{_digest(model)}"
    if not exact:
        return Noise(text=text, exact=False, given=model)
    return Noise(text=text, errors=errors, readout=readout, given=model)


def _digest(model: Any) -> str:
    """Hash what a noise model says, without the random ids that Aer gives to errors."""
    entries = model.to_dict(serializable=True)["errors"]
    content = [{key: value for key, value in entry.items() if key != "id"} for entry in entries]
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def noise_of_target(target: Target, text: str) -> Noise:
    """Return the noise that Aer derives from a device's properties.

    Args:
        target: The device, or the part of it that a circuit uses (see ``snapshot.reduced``):
            the time taken grows with its size.
        text: How to name the noise.
    """
    from qiskit_aer.noise.device import basic_device_gate_errors, basic_device_readout_errors

    readout: dict[int | None, Matrix] = {
        qubit: np.asarray(error.probabilities, dtype=float)
        for (qubit,), error in basic_device_readout_errors(target=target)
    }
    errors: dict[Place, Sequence[Any]] = {
        (str(name), tuple(qubits)): (error,)
        for name, qubits, error in basic_device_gate_errors(target=target)
    }
    return Noise(text=text, errors=errors, readout=readout)
