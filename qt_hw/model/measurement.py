"""One value of the angles, measured: base and shifted vectors, each once.

Random streams of a step are ``SeedSequence([seed, k, part])``; each factor of the ansatz has its
parts for the base vector, for the choice of shifted bindings, and for the shifted vectors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError, PreflightError
from qt_hw.execution.backend import Backend, Batch, Counts, Item, Prepared
from qt_hw.execution.checks import check_shots, check_step
from qt_hw.execution.executor import Executor, as_executor
from qt_hw.execution.statevector_backend import StatevectorBackend
from qt_hw.model.gradient import ExactRule, Shifts, parse_gradient

__all__ = ["Measurement", "Setup", "Usage"]

Array = NDArray[np.float64]

#: Bytes of the backend's memory limit for each bin of one item (vectors, counts and copies);
#: more bins are measured in several items, with streams of their own.
_ITEM_BYTES = 32
#: The same for the shifted vectors that are kept for further backward passes; above it they are
#: drawn again, from the same streams, so that the numbers are the same.
_KEPT_BYTES = 16


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

    def part(self, which: int) -> int:
        """Return the stream of the base (0), of the choice of rows (1), of item i (2 + i)."""
        return self.number + self.count * which


class Setup:
    """What is measured, where, with how many shots, and by which gradient rule; all checked.

    Attributes:
        exact: Whether value and gradient both come from the exact engine, without a measurement.
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
        if not (mitigation is None or (isinstance(mitigation, str) and mitigation == "none")):
            raise InputError("this version has no error mitigation; pass mitigation=None")
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
        self.factors = self._prepare()
        self.check_size(n_bases=1)

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
            rows = n_bases * (1 + self.rule.n_rows(factor.prepared.form))
            check_step(self.backend.limits, rows, factor.ansatz.n_qubits, self.shots)

    @property
    def n_shifts(self) -> int:
        """Number of shifted circuits of one gradient."""
        return sum(self.rule.n_rows(f.prepared.form) for f in self.factors)

    def describe(self) -> dict[str, Any]:
        """Return what the manifest records, JSON-ready."""
        return {
            "ansatz": self.ansatz.describe(),
            "backend": self.backend.describe(),
            "shots": self.shots,
            "gradient": self.rule.text,
            "form": [f.prepared.form.name for f in self.factors],
            "n_angles": self.ansatz.n_angles,
            "circuits_per_step": {"base": len(self.factors), "shifted": self.n_shifts},
            "shifted_circuits_by_form": self.ansatz.binding_counts(),
            "calibration_date": self.factors[0].prepared.calibration_date,
        }


@dataclass
class _Shifted:
    """The shifted vectors of one factor: their rows, and slices of counts where kept."""

    shifts: Shifts
    slices: list[slice]
    counts: list[NDArray[Any]] | None = None


@dataclass
class Measurement:
    """Vectors measured at ``angles`` ``(B, P)``; shifted ones when first asked for.

    Attributes:
        setup: What is measured.
        angles: Radians, ``(B, P)``, float64.
        seed: Entropy ``(seed, k)`` of step k.
        usage: Where executions are counted.
        counted: Parts that are in ``usage`` already.
    """

    setup: Setup
    angles: Array
    seed: tuple[int, ...]
    usage: Usage
    counted: set[int] = field(default_factory=set)
    _base: list[Array] | None = None
    _shifted: dict[int, _Shifted] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Check that the whole step is not too large."""
        self.setup.check_size(len(self.angles))

    def measure(self, with_shifts: bool) -> None:
        """Measure the base vectors; where a batch is a job, the shifted ones together with them."""
        if self._base is not None:
            return
        if self.setup.exact:
            self._count([(factor.part(0), len(self.angles), 0) for factor in self.setup.factors])
            return
        items = [self._base_item(f) for f in self.setup.factors]
        n_base = len(items)
        together = with_shifts and not self.setup.executor.immediate
        if together and not isinstance(self.setup.rule, ExactRule):
            for factor in self.setup.factors:
                record = self._plan(factor)
                items += [self._shift_item(factor, record, i) for i in range(len(record.slices))]
        counts = self._run(items)
        self._base = [counts.frequencies(i) for i in range(n_base)]
        arrays = iter(counts.arrays[n_base:])
        for record in self._shifted.values():
            record.counts = [next(arrays) for _ in record.slices]

    def base(self, factor: Factor) -> Array:
        """Return the frequencies of one factor, ``(B, 2**n)``."""
        self.measure(with_shifts=False)
        assert self._base is not None
        return self._base[factor.number]

    def gradient(self, factor: Factor, cotangent: Array) -> Array:
        """Return ``g·∂p/∂θ`` of one factor, ``(B, its angles)``, for g ``(B, 2**n)``."""
        record = self._shifted.get(factor.number) or self._plan(factor)
        products = np.empty((len(self.angles), len(record.shifts)))
        for i, rows in enumerate(record.slices):
            array = self._slice(factor, record, i)
            products[:, rows] = _products(array, cotangent) / (self.setup.shots or 1)
        return record.shifts.pull_back(products)

    def _slice(self, factor: Factor, record: _Shifted, i: int) -> NDArray[Any]:
        if record.counts is not None and i < len(record.counts):
            return record.counts[i]
        array = self._run([self._shift_item(factor, record, i)]).arrays[0]
        bins = len(record.shifts) * len(self.angles) << factor.ansatz.n_qubits
        if bins * _KEPT_BYTES <= self.setup.backend.limits.memory_limit:
            record.counts = [*(record.counts or []), array]
        return array

    def _plan(self, factor: Factor) -> _Shifted:
        stream = np.random.SeedSequence([*self.seed, factor.part(1)])
        shifts = self.setup.rule.draw(factor.prepared.form, np.random.default_rng(stream))
        most = self.setup.backend.limits.memory_limit // _ITEM_BYTES
        each = max(1, most // (len(self.angles) << factor.ansatz.n_qubits))
        slices = [slice(a, min(a + each, len(shifts))) for a in range(0, len(shifts), each)]
        record = _Shifted(shifts, slices)
        self._shifted[factor.number] = record
        return record

    def _base_item(self, factor: Factor) -> Item:
        form = factor.prepared.form
        bindings = form.gate_angles(self.angles[:, factor.angles])
        return Item(
            circuit=form.circuit, bindings=bindings, shots=self.setup.shots, part=factor.part(0)
        )

    def _shift_item(self, factor: Factor, record: _Shifted, i: int) -> Item:
        bindings, origin = record.shifts.bindings(self.angles[:, factor.angles], record.slices[i])
        return Item(
            circuit=factor.prepared.circuit,
            bindings=bindings,
            shots=self.setup.shots,
            role="shift",
            part=factor.part(2 + i),
            origin=origin,
        )

    def _run(self, items: Sequence[Item]) -> Counts:
        batch = Batch(items=tuple(items), seed=self.seed)
        counts = self.setup.executor.run(batch, self.seed[-1])
        self._count([(item.part, len(item.bindings), item.shots or 0) for item in items])
        return counts

    def _count(self, parts: Sequence[tuple[int, int, int]]) -> None:
        """Add (part, bindings, shots) to the usage, each part once."""
        for part, bindings, shots in parts:
            if part not in self.counted:
                self.usage.circuits += bindings
                self.usage.shots += bindings * shots
                self.counted.add(part)


def _products(array: NDArray[Any], cotangent: Array) -> Array:
    """Return ``(B, r)`` products of rows ``(B·r, D)`` with a cotangent ``(B, D)``."""
    rows = array.reshape(len(cotangent), -1, array.shape[-1])
    out = np.empty(rows.shape[:2])
    for b, g in enumerate(cotangent):
        for at in range(0, rows.shape[1], 256):
            out[b, at : at + 256] = rows[b, at : at + 256].astype(np.float64) @ g
    return out


def as_array(angles: Tensor) -> Array:
    """Return a tensor of angles as float64, without its graph."""
    return angles.detach().to("cpu", torch.float64).numpy()
