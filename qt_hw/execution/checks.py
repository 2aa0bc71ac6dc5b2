"""What must hold of a batch before any backend sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from qt_hw.errors import InputError, PreflightError
from qt_hw.execution.backend import Batch, Item, Limits

__all__ = ["check_batch", "check_job", "check_shots", "check_step"]


def check_shots(shots: Any) -> int | None:
    """Return ``shots`` as an int, or None for exact probabilities.

    Raises:
        InputError: Not a whole number of at least 1.
    """
    if shots is None:
        return None
    whole = isinstance(shots, int | np.integer) and not isinstance(shots, bool)
    if not whole or shots < 1:
        raise InputError(
            f"shots must be a whole number of at least 1, or None for exact probabilities, "
            f"not {shots!r}"
        )
    return int(shots)


def check_batch(batch: Batch, limits: Limits) -> None:
    """Check every item of a batch.

    Raises:
        InputError: A wrong shape, a NaN, a wrong number of shots, a measured circuit.
        PreflightError: A limit is exceeded; all reasons at once.
    """
    for number, item in enumerate(batch.items):
        _check_item(item, f"item {number} ({item.role})")
    reasons = [reason for item in batch.items for reason in _reasons(item, limits)]
    if reasons:
        raise PreflightError(list(dict.fromkeys(reasons)))


def check_job(batch: Batch, limits: Limits) -> None:
    """Check a batch that is to run as one job.

    Raises:
        InputError: See ``check_batch``.
        PreflightError: See ``check_batch``; or too many bindings or executions for one job.
    """
    check_batch(batch, limits)
    reasons = []
    if limits.max_bindings is not None and batch.n_circuits > limits.max_bindings:
        reasons.append(f"{batch.n_circuits} bindings, a job takes {limits.max_bindings}")
    most, shots = limits.split_shots, [item.shots or 0 for item in batch.items]
    if most is not None and max(shots) > most:
        reasons.append(f"{max(shots)} shots of a binding, a job takes {most}")
    if limits.one_shot_count and len(set(shots)) > 1:
        reasons.append("items with different shots, a job takes one number of shots")
    if limits.max_executions is not None and batch.n_shots > limits.max_executions:
        reasons.append(f"{batch.n_shots} executions, a job takes {limits.max_executions}")
    if reasons:
        raise PreflightError(reasons)


def _check_item(item: Item, label: str) -> None:
    circuit, bindings = item.circuit, np.asarray(item.bindings)
    wanted = circuit.num_parameters
    if bindings.ndim != 2 or bindings.shape[1] != wanted or not len(bindings):
        raise InputError(
            f"{label}: the bindings have the shape {bindings.shape}, the circuit has {wanted} "
            f"parameters: pass (B, {wanted}) with B of at least 1"
        )
    if not np.issubdtype(bindings.dtype, np.floating):
        raise InputError(f"{label}: the bindings must be float64, not {bindings.dtype}")
    if not np.isfinite(bindings).all():
        row = int(np.argmin(np.isfinite(bindings).all(axis=1)))
        raise InputError(f"{label}: binding {row} holds a NaN or an infinity")
    check_shots(item.shots)
    if circuit.num_clbits and any(entry.clbits for entry in circuit.data):
        raise InputError(f"{label}: the circuit is measured; pass the unmeasured circuit")


def _reasons(item: Item, limits: Limits) -> Iterator[str]:
    n_qubits, shots = item.circuit.num_qubits, item.shots
    if limits.max_qubits is not None and n_qubits > limits.max_qubits:
        yield f"the circuit has {n_qubits} qubits, the backend takes {limits.max_qubits}"
    if shots is None:
        if not limits.exact:
            yield "this backend has no exact probabilities; pass a number of shots"
        return
    if shots < limits.min_shots:
        yield f"{shots} shots of a binding, the backend takes at least {limits.min_shots}"
    if limits.max_shots is not None and shots > limits.max_shots:
        yield f"{shots} shots of a binding, the backend takes at most {limits.max_shots}"
    most = limits.max_executions
    if most is not None and limits.split_shots is None and shots > most:
        yield f"{shots} shots of a binding, a job takes {most} executions"


def check_step(limits: Limits, n_bindings: int, n_qubits: int, shots: int | None) -> None:
    """Check one whole step, base and shifted bindings together.

    Raises:
        PreflightError: More bindings × outcomes than the backend takes.
    """
    outcomes = n_bindings << n_qubits
    if limits.max_outcomes is not None and outcomes > limits.max_outcomes:
        raise PreflightError(
            [
                f"one step needs {n_bindings:,} vectors of 2**{n_qubits} outcomes, "
                f"the backend takes {limits.max_outcomes:,} bins in all; use "
                + ("" if shots is None else "shots=None, gradient='spsa', ")
                + "a larger chunk_size (fewer qubits) or a ProductAnsatz"
            ]
        )
