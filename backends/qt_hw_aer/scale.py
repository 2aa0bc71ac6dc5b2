"""All error rates times one factor: stronger or weaker noise of the same kind.

At 0 nothing is left, at 1 everything is as it was. In between and above, rates scale to first
order; where a rate would become unphysical it stops at the value that leaves nothing to destroy.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from qt_hw.errors import InputError
from qt_hw_aer.spec import Term

if TYPE_CHECKING:
    from qiskit.transpiler import Target

__all__ = ["check_scale", "scaled_target", "scaled_term", "scaled_text"]

#: A readout of 0.5 says nothing of the qubit any more.
_MOST_READOUT = 0.5


def check_scale(value: Any) -> float:
    """Return the factor as a number.

    Raises:
        InputError: It is none of at least 0.
    """
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise InputError(f"noise_scale must be a number of at least 0, not {value!r}")
    return float(value)


def scaled_text(text: str, scale: float) -> str:
    """Return the name of a noise times a factor.

    >>> scaled_text("readout(p01=0.02, p10=0.02)", 0.5)
    '(readout(p01=0.02, p10=0.02)) x 0.5'
    >>> scaled_text("fake_torino", 1.0)
    'fake_torino'
    """
    return text if scale == 1.0 else f"({text}) x {scale!r}"


def _capped(value: float, scale: float, most: float) -> float:
    """Return ``value`` times ``scale``, at most ``most``; what is above stays where it is."""
    return min(value * scale, max(value, most))


def scaled_term(term: Term, scale: float) -> Term:
    """Return a term of a noise specification with its rates times ``scale`` > 0.

    - ``depolarizing``: p1 and p2, up to 1.
    - ``readout``: p01 and p10, up to 0.5.
    - ``thermal``: t1 and t2 are divided; the gates take as long as before.
    - ``coherent``: the angles, so that infidelities grow with the square.

    >>> from qt_hw_aer.spec import parse_noise
    >>> [str(scaled_term(term, 30.0)) for term in parse_noise("readout(p01=0.01, p10=0.02)")]
    ['readout(p01=0.3, p10=0.5)']
    """
    return Term(kind=term.kind, values=_scaled_values(term, scale), device=term.device)


def _scaled_values(term: Term, scale: float) -> Mapping[str, float]:
    values = term.values
    if term.kind == "depolarizing":
        return {key: _capped(value, scale, 1.0) for key, value in values.items()}
    if term.kind == "readout":
        return {key: _capped(value, scale, _MOST_READOUT) for key, value in values.items()}
    if term.kind == "thermal":
        shorter = {key: values[key] / scale for key in ("t1", "t2")}
        return {**values, **shorter}
    return {key: value * scale for key, value in values.items()}


def scaled_target(target: Target, scale: float) -> Target:
    """Return a device with its error rates times ``scale``.

    The errors of gates grow up to (d - 1) / d, d = 2 per qubit, the average infidelity of a gate
    whose result is the maximally mixed state; those of the readout up to 0.5. T1 and T2 are
    divided, the gates take as long as before: Aer makes a gate's error of both, so that
    relaxation too grows by ``scale`` to first order. Couplers that the device marks as dead
    (error 1) stay so from 1 on. At 0 there are no errors and T1 and T2 are None.

    Args:
        target: The device; it is left as it is.
        scale: At least 0.
    """
    from qiskit.transpiler import Target

    qubits = target.qubit_properties
    out = Target(
        num_qubits=target.num_qubits,
        dt=target.dt,
        qubit_properties=None if qubits is None else [_scaled_qubit(q, scale) for q in qubits],
    )
    for name in target.operation_names:
        operation, entries = target.operation_from_name(name), target[name]
        if isinstance(operation, type):  # control flow, which has no errors
            out.add_instruction(operation, name=name)
            continue
        scaled = entries and {
            where: _scaled_gate(own, scale, _most(name, where)) for where, own in entries.items()
        }
        out.add_instruction(operation, scaled, name=name)
    return out


def _most(name: str, where: tuple[int, ...] | None) -> float:
    return _MOST_READOUT if name == "measure" else 1.0 - 0.5 ** len(where or (0,))


def _scaled_qubit(qubit: Any, scale: float) -> Any:
    out = copy.copy(qubit)
    for key in ("t1", "t2"):
        if (value := getattr(out, key, None)) is not None:
            setattr(out, key, value / scale if scale else None)
    return out


def _scaled_gate(gate: Any, scale: float, most: float) -> Any:
    out = copy.copy(gate)
    # A readout states its two errors apart where the device knows them.
    for key in ("error", "prob_meas1_prep0", "prob_meas0_prep1"):
        if (value := getattr(out, key, None)) is not None:
            setattr(out, key, _capped(value, scale, most))
    return out
