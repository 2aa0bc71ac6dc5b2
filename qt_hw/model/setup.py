"""What is measured, where, and how often: checked once, prepared once."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError, MitigationWarning, PreflightError
from qt_hw.execution.backend import Backend, Batch, Counts, Prepared
from qt_hw.execution.checks import check_shots, check_step
from qt_hw.execution.executor import Executor, as_executor
from qt_hw.execution.statevector_backend import StatevectorBackend
from qt_hw.mitigation.calibration import Calibration
from qt_hw.mitigation.calibrator import Circuit
from qt_hw.mitigation.mitigator import Mitigator
from qt_hw.mitigation.pipeline import Mitigation
from qt_hw.model.gradient import ExactRule, parse_gradient
from qt_hw.storage import now

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["Factor", "Setup", "Usage"]

Array = NDArray[np.float64]

#: Distance of the parts of one variant from those of the one before.
_VARIANT = 1 << 24


@dataclass
class Usage:
    """Running totals of what was executed."""

    circuits: int = 0
    shots: int = 0


@dataclass
class Factor:
    """One independent part of an ansatz, ready to run; its angles are ``θ[:, angles]``."""

    ansatz: Ansatz
    prepared: Prepared
    angles: slice
    number: int
    count: int

    def part(self, which: int, variant: int = 0) -> int:
        """Return the stream of the base (0), of the choice of rows (1), of item i (2 + i)."""
        return self.number + self.count * which + _VARIANT * variant


class Setup:
    """What is measured, where, with how many shots, and by which gradient rule; all checked.

    Attributes:
        exact: Whether value and gradient both come from the exact engine, without a measurement.
        mitigator: What mitigates the vectors, None for nothing.
    """

    def __init__(
        self,
        ansatz: Ansatz,
        backend: str | Backend | Executor,
        shots: int | None,
        gradient: str,
        mitigation: Any,
    ) -> None:
        if not isinstance(ansatz, Ansatz):
            raise InputError(
                f"ansatz must be an Ansatz (for a circuit: CircuitAnsatz(circuit)), "
                f"not {type(ansatz).__name__}"
            )
        self.ansatz, self.shots = ansatz, check_shots(shots)
        self.executor = as_executor(backend)
        self.backend = self.executor.backend
        exact = isinstance(self.backend, StatevectorBackend)
        self.rule = parse_gradient(gradient, exact_possible=exact and self.shots is None)
        if isinstance(self.rule, ExactRule) and not exact:
            raise InputError(
                f"gradient='exact' needs the backend 'statevector', not {self.backend.name!r}; "
                "use gradient='parameter-shift'"
            )
        self.exact = isinstance(self.rule, ExactRule) and self.shots is None
        wanted = Mitigation.of(mitigation)
        if wanted is not None and self.exact:
            raise InputError(
                "exact probabilities have no errors to mitigate: pass shots or another backend, or "
                "leave mitigation out"
            )
        self.factors = self._prepare()
        self._seen: Calibration | None = None
        self.mitigator = None if wanted is None else self._mitigator(wanted)
        self.check_size(n_bases=1)

    def _mitigator(self, mitigation: Mitigation) -> Mitigator:
        circuits = [Circuit(ansatz=f.ansatz, prepared=f.prepared) for f in self.factors]
        return Mitigator(mitigation, circuits, self.backend, self.shots)

    def check_differentiable(self) -> None:
        """Refuse mitigation through which no gradient passes.

        Raises:
            InputError: Names the technique.
        """
        mitigator = self.mitigator
        if mitigator is None or mitigator.mitigation.differentiable:
            return
        name = mitigator.mitigation.combination.not_differentiable
        raise InputError(
            f"mitigation: gradients do not pass through {name}; use readout, twirling, zne "
            "(linear, polynomial or richardson) or rescale, or call probabilities under "
            "torch.no_grad()"
        )

    def calibrate(self, seed: int, angles: Array, usage: Usage) -> Calibration | None:
        """Measure what the mitigation needs to know, once; return it, None if it needs nothing.

        Args:
            seed: Of the calibration.
            angles: ``(P,)``; ``auto`` chooses for them.
            usage: Where the circuits are counted.
        """
        mitigator = self.mitigator
        if mitigator is None:
            return None
        if not mitigator.ready:
            own = [angles[factor.angles] for factor in self.factors]

            def run(batch: Batch) -> Counts:
                counts = self.executor.run(batch, 0, "calibration")
                usage.circuits += batch.n_circuits
                usage.shots += batch.n_shots
                return counts

            mitigator.calibrate(run, seed, own, now())
        found = mitigator.calibration
        if found is not None and found is not self._seen:
            self._seen = found
            # A simulator does not drift.
            if self.backend.limits.paid and (line := found.warning()):
                warnings.warn(line, MitigationWarning, stacklevel=3)
        return found

    def _prepare(self) -> tuple[Factor, ...]:
        out, first = [], 0
        parts = self.ansatz.factors()
        most = self.backend.limits.max_qubits
        for number, part in enumerate(parts):
            if most is not None and part.n_qubits > most:
                raise PreflightError(
                    [f"the circuit has {part.n_qubits} qubits, the backend takes {most}"]
                )
            angles = slice(first, first + part.n_angles)
            out.append(Factor(part, self.executor.prepare(part), angles, number, len(parts)))
            first += part.n_angles
        return tuple(out)

    def check_size(self, n_bases: int) -> None:
        """Check that one step with ``n_bases`` values of the angles is not too large.

        Raises:
            PreflightError: More vectors than the backend takes.
        """
        for factor in self.factors:
            rows = n_bases * (1 + self.rule.n_rows(factor.prepared.form)) * self.n_variants(factor)
            check_step(self.backend.limits, rows, factor.ansatz.n_qubits, self.shots)

    def n_variants(self, factor: Factor) -> int:
        """Return how many circuits are measured for one vector; 1 while ``auto`` has to choose."""
        mitigator = self.mitigator
        if (
            mitigator is None
            or mitigator.bound
            or (mitigator.mitigation.auto and not mitigator.ready)
        ):
            return 1
        return len(mitigator.variants(factor.number))

    def variants(self, factor: Factor) -> list[tuple[QuantumCircuit, int | None, str]]:
        """Return circuit, shots and role of what is measured for one vector of ``factor``."""
        if self.mitigator is None:
            return [(factor.prepared.form.circuit, self.shots, "")]
        made = self.mitigator.variants(factor.number)
        shots = self.mitigator.shots(factor.number)
        return [(v.circuit, n, v.role) for v, n in zip(made, shots, strict=True)]

    @property
    def n_shifts(self) -> int:
        """Number of shifted circuits of one gradient."""
        return sum(self.rule.n_rows(f.prepared.form) * self.n_variants(f) for f in self.factors)

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records, JSON-ready."""
        return {
            "ansatz": self.ansatz.describe(),
            "backend": self.backend.describe(),
            "shots": self.shots,
            "gradient": self.rule.text,
            "form": [f.prepared.form.name for f in self.factors],
            "n_angles": self.ansatz.n_angles,
            "circuits_per_step": {
                "base": sum(self.n_variants(factor) for factor in self.factors),
                "shifted": self.n_shifts,
            },
            "shifted_circuits_by_form": self.ansatz.binding_counts(),
            "calibration_date": self.factors[0].prepared.calibration_date,
            "mitigation": None if self.mitigator is None else self.mitigator.describe(),
        }
