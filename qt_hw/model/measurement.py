"""One value of the angles, measured: base and shifted vectors, each once.

Random streams of a step are ``SeedSequence([seed, k, part])``; each factor of the ansatz has its
parts for the base vector, for the choice of shifted bindings, and for the shifted vectors. Under
mitigation each of these is measured on several circuits (variants), each with parts of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.execution.backend import Batch, Counts, Item
from qt_hw.mitigation.mitigator import Mitigator
from qt_hw.mitigation.variants import Variant
from qt_hw.model.gradient import ExactRule, Shifts
from qt_hw.model.setup import Factor, Setup, Usage

if TYPE_CHECKING:
    pass

__all__ = ["Measurement", "as_array"]

Array = NDArray[np.float64]

#: Bytes of the backend's memory limit for each bin of one item (vectors, counts and copies);
#: more bins are measured in several items, with streams of their own.
_ITEM_BYTES = 32
#: The same for the shifted vectors that are kept for further backward passes; above it they are
#: drawn again, from the same streams, so that the numbers are the same.
_KEPT_BYTES = 16


@dataclass
class _Shifted:
    """The shifted vectors of one factor: their rows, and counts of (slice, variant) where kept."""

    shifts: Shifts
    slices: list[slice]
    counts: dict[tuple[int, int], NDArray[Any]] = field(default_factory=dict)


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
        self.setup.calibrate(self.seed[0], self.angles[0], self.usage)
        if self.setup.mitigator is not None and self.setup.mitigator.bound:
            self._base = [self._bound(f, self.setup.mitigator) for f in self.setup.factors]
            return
        bases = {f.number: self._base_items(f) for f in self.setup.factors}
        items = [item for own in bases.values() for item in own]
        shifted: list[tuple[int, tuple[int, int]]] = []
        together = with_shifts and not self.setup.executor.immediate
        if together and not isinstance(self.setup.rule, ExactRule):
            for factor in self.setup.factors:
                record = self._plan(factor)
                for i in range(len(record.slices)):
                    for v in range(self.setup.n_variants(factor)):
                        items.append(self._shift_item(factor, record, i, v))
                        shifted.append((factor.number, (i, v)))
        counts, at = self._run(items), 0
        base = []
        for number, own in bases.items():
            vectors = [counts.frequencies(i) for i in range(at, at + len(own))]
            base.append(self._combined(number, vectors))
            at += len(own)
        self._base = base
        for (number, key), array in zip(shifted, counts.arrays[at:], strict=True):
            self._shifted[number].counts[key] = array

    def _combined(self, number: int, vectors: Sequence[Array]) -> Array:
        mitigator = self.setup.mitigator
        return vectors[0] if mitigator is None else mitigator.combine(number, vectors)

    def _bound(self, factor: Factor, mitigator: Mitigator) -> Array:
        """Return the vectors of one factor, each from bound circuits of its own."""
        bindings = factor.prepared.form.gate_angles(self.angles[:, factor.angles])
        none, items, made = np.empty((1, 0)), list[Item](), list[tuple[Variant, ...]]()
        for b, angles in enumerate(bindings):
            stream = np.random.SeedSequence([*self.seed, factor.part(1), b])
            seed = int(stream.generate_state(1)[0])
            variants = mitigator.bound_variants(factor.number, angles, seed)
            made.append(variants)
            for one, shots in zip(variants, mitigator.shots_of(variants), strict=True):
                part = factor.part(0, len(items))
                role = one.role or "base"
                items.append(Item(one.circuit, none, shots, role=role, part=part))
        counts, at, out = self._run(items), 0, list[Array]()
        for variants in made:
            vectors = [counts.frequencies(i) for i in range(at, at + len(variants))]
            out.append(mitigator.combine(factor.number, vectors, variants))
            at += len(variants)
        return np.concatenate(out)

    def base(self, factor: Factor) -> Array:
        """Return the frequencies of one factor, mitigated if that was asked for, ``(B, 2**n)``."""
        self.measure(with_shifts=False)
        assert self._base is not None
        return self._base[factor.number]

    def gradient(self, factor: Factor, cotangent: Array) -> Array:
        """Return ``g·∂p/∂θ`` of one factor, ``(B, its angles)``, for g ``(B, 2**n)``.

        Mitigation is linear here, without the projection: it acts on g, not on each vector.
        """
        record = self._shifted.get(factor.number) or self._plan(factor)
        mitigator = self.setup.mitigator
        if mitigator is not None:
            self.setup.calibrate(self.seed[0], self.angles[0], self.usage)
            cotangent = mitigator.pull_back(factor.number, cotangent)
            weights = [one.weight for one in mitigator.variants(factor.number)]
        else:
            weights = [1.0]
        shots = [n for _, n, _ in self.setup.variants(factor)]
        products = np.zeros((len(self.angles), len(record.shifts)))
        for i, rows in enumerate(record.slices):
            for v, weight in enumerate(weights):
                array = self._slice(factor, record, i, v)
                products[:, rows] += _products(array, cotangent) * (weight / (shots[v] or 1))
        return record.shifts.pull_back(products)

    def _slice(self, factor: Factor, record: _Shifted, i: int, v: int) -> NDArray[Any]:
        if (i, v) in record.counts:
            return record.counts[i, v]
        array = self._run([self._shift_item(factor, record, i, v)]).arrays[0]
        bins = len(record.shifts) * len(self.angles) << factor.ansatz.n_qubits
        bins *= self.setup.n_variants(factor)
        if bins * _KEPT_BYTES <= self.setup.backend.limits.memory_limit:
            record.counts[i, v] = array
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

    def _base_items(self, factor: Factor) -> list[Item]:
        bindings = factor.prepared.form.gate_angles(self.angles[:, factor.angles])
        return [
            Item(
                circuit=circuit,
                bindings=bindings,
                shots=shots,
                role=role or "base",
                part=factor.part(0, v),
            )
            for v, (circuit, shots, role) in enumerate(self.setup.variants(factor))
        ]

    def _shift_item(self, factor: Factor, record: _Shifted, i: int, v: int) -> Item:
        bindings, origin = record.shifts.bindings(self.angles[:, factor.angles], record.slices[i])
        circuit, shots, role = self.setup.variants(factor)[v]
        return Item(
            circuit=circuit,
            bindings=bindings,
            shots=shots,
            role=f"{role} shift".strip(),
            part=factor.part(2 + i, v),
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
