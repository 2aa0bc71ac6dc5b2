"""A device's median errors: its typical noise, for circuits too large for its whole snapshot.

A routed circuit of many qubits is slow to simulate with the errors of each coupler. The median
errors, on the logical circuit, keep the strength of the noise and leave routing, idling, and the
differences between qubits out.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from statistics import median
from typing import TYPE_CHECKING

from qt_hw.errors import InputError, UnknownName
from qt_hw_aer.fake import known_devices
from qt_hw_aer.spec import Term

if TYPE_CHECKING:
    from qiskit.transpiler import Target

__all__ = ["median_terms"]

#: Entries from here on mark what does not work, e.g. couplers with the error 1.
_DEAD = 0.5


@cache
def median_terms(device: str) -> tuple[Term, Term]:
    """Return the median errors of a fake device as ``depolarizing`` and ``readout``.

    A device states average gate infidelities r. A depolarizing channel that replaces n qubits with
    probability p by the maximally mixed state has r = p (d - 1) / d with d = 2**n (Nielsen, Phys.
    Lett. A 303, 249; so also Aer's device noise), hence p1 = 2 r of SX and p2 = 4/3 r of the
    two-qubit gates. Entries of 0.5 and more are dead and left out. The readout is symmetric.

    Args:
        device: For example ``"fake_torino"``.

    Raises:
        UnknownName: No such fake device.
        MissingExtra: qiskit-ibm-runtime is not installed.
        InputError: The device states no errors of these gates.
    """
    devices = known_devices()
    if device not in devices:
        raise UnknownName("device of the noise 'median'", device, list(devices))
    target = devices[device]().target
    two = [name for name in ("cz", "ecr", "cx") if name in target.operation_names]
    p1 = 2.0 * _median(device, target, ["sx"])
    p2 = 4.0 / 3.0 * _median(device, target, two)
    flip = _median(device, target, ["measure"])
    return (
        Term(kind="depolarizing", values={"p1": p1, "p2": p2}),
        Term(kind="readout", values={"p01": flip, "p10": flip}),
    )


def _median(device: str, target: Target, names: Iterable[str]) -> float:
    """Return the median error of the gates ``names``, dead entries left out."""
    entries = (
        properties
        for name in names
        if name in target.operation_names
        for properties in (target[name] or {}).values()
    )
    errors = [e.error for e in entries if e is not None and e.error is not None]
    alive = [float(error) for error in errors if error < _DEAD]
    if not alive:
        raise InputError(
            f"{device} states no errors of {' or '.join(names) or 'two-qubit gates'}; choose a "
            "newer device, e.g. median(fake_torino)"
        )
    return median(alive)
