"""Circuits that mitiq's techniques measure in place of a bound one, with their weights.

The mitigated vector is the weighted sum of the frequencies; mitiq's own ``combine_results`` take
numbers only, but agree with it component by component.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from qt_hw.errors import InputError, PermanentError
from qt_hw.mitigation.bound.gates import (
    BARRIER,
    built,
    from_cirq,
    gates_of,
    require_mitiq,
    seeded,
    to_cirq,
)
from qt_hw.mitigation.bound.training import exact_vector, training_circuits
from qt_hw.mitigation.extrapolation import shares
from qt_hw.mitigation.techniques import Cdr, Ddd, Lre, Pec, Technique

if TYPE_CHECKING:
    import cirq
    from qiskit import QuantumCircuit

__all__ = ["BoundVariant", "variants"]


@dataclass(frozen=True, kw_only=True, eq=False)
class BoundVariant:
    """One bound circuit of those whose frequencies are combined.

    Attributes:
        circuit: In the gates of the original, with its registers and metadata.
        role: What an item of it is called; empty for the circuit itself.
        weight: Of its frequencies in the mitigated vector.
        share: Of the shots of one vector.
        ideal: Its exact vector ``(2**n,)``, where the decay is fitted to it.
    """

    circuit: QuantumCircuit
    role: str
    weight: float
    share: float
    ideal: NDArray[np.float64] | None = None


def variants(
    technique: Technique, circuit: QuantumCircuit, *, seed: int
) -> tuple[BoundVariant, ...]:
    """Return the circuits that a technique on bound circuits measures in place of ``circuit``.

    Args:
        technique: ``Pec``, ``Lre``, ``Ddd`` or ``Cdr``.
        circuit: Bound, unmeasured, in the gates of ``Backend.prepare``.
        seed: From which all random choices follow, 0 to 2**32 - 1.

    Returns:
        Circuits whose shares add up to 1. PEC: the different ones among the samples, with weights
        norm · sign / samples and shares 1 / samples each. LRE: mitiq's coefficients as weights,
        shares in proportion to their size. DDD: one circuit. CDR: the circuit itself, then
        training circuits of weight 0 with their exact vectors.

    Raises:
        MissingExtra: mitiq is not installed.
        InputError: The circuit is not bound or too short, or the technique is none of these.
        UnsupportedGate: The circuit has a gate that is not converted.
    """
    require_mitiq()
    if not 0 <= seed < 2**32:
        raise InputError(f"seed must lie between 0 and 2**32 - 1, not {seed}")
    with seeded(seed):
        if isinstance(technique, Pec):
            return _pec(technique, circuit, seed)
        if isinstance(technique, Lre):
            return _lre(technique, circuit)
        if isinstance(technique, Ddd):
            return _ddd(technique, circuit)
        if isinstance(technique, Cdr):
            return _cdr(technique, circuit, seed)
    raise InputError(
        f"{technique.name} works on circuits with open angles; those on bound ones are pec, lre, "
        "ddd and cdr"
    )


def _pec(technique: Pec, circuit: QuantumCircuit, seed: int) -> tuple[BoundVariant, ...]:
    samples, signs, norm = _samples(to_cirq(circuit), technique, seed)
    # Small noise draws the circuit itself most of the time: a sum of equal ones is one circuit
    # with the sum of their shots.
    merged: dict[Any, list[float]] = {}
    for sample, sign in zip(samples, signs, strict=True):
        entry = merged.setdefault(tuple(gates_of(sample, circuit)), [0.0, 0.0])
        entry[0] += norm * sign / len(samples)
        entry[1] += 1.0 / len(samples)
    return tuple(
        BoundVariant(circuit=built(gates, circuit), role=f"pec({i})", weight=weight, share=share)
        for i, (gates, (weight, share)) in enumerate(merged.items(), start=1)
    )


def _samples(
    circuit: cirq.Circuit, technique: Pec, seed: int
) -> tuple[Sequence[cirq.Circuit], Sequence[int], float]:
    """Return mitiq's sampled circuits, their signs, and the norm of the quasi-probabilities."""
    import cirq
    from mitiq import pec

    pairs = [operation for operation in circuit.all_operations() if len(operation.qubits) == 2]
    represent = getattr(
        pec,
        f"represent_operations_in_circuit_with_{technique.model}_depolarizing_noise",
    )
    represented = represent(cirq.Circuit(pairs), technique.noise)
    with warnings.catch_warnings():
        # One-qubit gates are taken as noiseless; what mitiq missed shows in the norm.
        warnings.filterwarnings("ignore", "No representation found", UserWarning)
        made, signs, norm = pec.construct_circuits(
            circuit,
            representations=represented,
            num_samples=technique.samples,
            random_state=seed,
            full_output=True,
        )
    expected = represented[0].norm ** len(pairs) if pairs else 1.0
    if not math.isclose(norm, expected, rel_tol=1e-9):
        raise PermanentError(
            f"mitiq represented only some of the {len(pairs)} two-qubit gates: norm {norm:.6g} "
            f"instead of {expected:.6g}"
        )
    return made, signs, float(norm)


def _lre(technique: Lre, circuit: QuantumCircuit) -> tuple[BoundVariant, ...]:
    from mitiq import lre
    from mitiq.lre.inference import multivariate_richardson_coefficients

    whole = to_cirq(circuit)
    if technique.chunks > len(whole):
        raise InputError(
            f"lre: the circuit has {len(whole)} layers, chunks must not exceed it: "
            f"Lre(chunks={max(1, len(whole))})"
        )
    options = (technique.degree, technique.fold_multiplier)
    folded = lre.construct_circuits(
        whole, *options, folding_method=_fold, num_chunks=technique.chunks
    )
    found = multivariate_richardson_coefficients(whole, *options, technique.chunks)
    weights = [float(weight) for weight in found]
    return tuple(
        BoundVariant(
            circuit=from_cirq(one, circuit),
            role=f"fold(lre {i})",
            weight=weight,
            share=share,
        )
        for i, (one, weight, share) in enumerate(
            zip(folded, weights, shares(weights, proportional=True), strict=True), start=1
        )
    )


def _fold(chunk: cirq.Circuit, scale: float) -> cirq.Circuit:
    """Fold all of a chunk an odd number of times, with marks for barriers around each fold."""
    import cirq
    from mitiq.zne.scaling import fold_global

    folded, length = fold_global(chunk, scale), len(chunk)
    return cirq.Circuit(
        cirq.Moment(operation.with_tags(BARRIER) for operation in moment)
        if i and i % length == 0
        else moment
        for i, moment in enumerate(folded)
    )


def _ddd(technique: Ddd, circuit: QuantumCircuit) -> tuple[BoundVariant, ...]:
    import cirq
    from mitiq import ddd

    before = to_cirq(circuit)
    after = ddd.insert_ddd_sequences(before, getattr(ddd.rules, technique.rule))
    # Time passes in moments: barriers hold each inserted gate where mitiq put it, which the
    # identities between them would not on a device.
    inserted = [new != old for old, new in zip(before, after, strict=True)]
    starts = [here or last for last, here in zip([False, *inserted], inserted, strict=False)]
    marked = cirq.Circuit(
        cirq.Moment(operation.with_tags(BARRIER) for operation in moment) if mark else moment
        for moment, mark in zip(after, starts, strict=True)
    )
    copy = from_cirq(marked, circuit)
    return (BoundVariant(circuit=copy, role="twirl(ddd 1)", weight=1.0, share=1.0),)


def _cdr(technique: Cdr, circuit: QuantumCircuit, seed: int) -> tuple[BoundVariant, ...]:
    made = training_circuits(
        circuit, technique.circuits, technique.fraction_non_clifford, seed=seed
    )
    share = (1.0 - technique.share) / len(made)
    itself = BoundVariant(circuit=circuit, role="", weight=1.0, share=technique.share)
    return (
        itself,
        *(
            BoundVariant(
                circuit=one,
                role=f"training({i})",
                weight=0.0,
                share=share,
                ideal=exact_vector(one),
            )
            for i, one in enumerate(made, start=1)
        ),
    )
