"""Which circuits are measured in place of one, and with which weight: constructed once, symbolic.

The order of the steps is fixed: fold the prepared circuit, then twirl what came out. Nothing is
transpiled afterwards, which would undo both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from qt_hw.mitigation.extrapolation import coefficients, shares
from qt_hw.mitigation.folding import fold
from qt_hw.mitigation.techniques import Rescale, Technique, Twirling, Zne
from qt_hw.mitigation.twirling import twirled

if TYPE_CHECKING:
    from qiskit import QuantumCircuit

__all__ = ["Variant", "make_bound", "make_variants", "of_kind", "split_shots"]

Kind = TypeVar("Kind", bound=Technique)


@dataclass(frozen=True, kw_only=True, eq=False)
class Variant:
    """One circuit of those whose frequencies are combined.

    Attributes:
        circuit: With the parameters of the original, in their order.
        role: What an item of it is called; empty for the circuit itself.
        weight: Of its frequencies in the combined vector.
        share: Of the shots of one vector.
        scale: Of its noise.
        ideal: Its exact vector, ``(2**n,)``, of a training circuit of ``cdr``.
    """

    circuit: QuantumCircuit
    role: str = ""
    weight: float = 1.0
    share: float = 1.0
    scale: float = 1.0
    ideal: NDArray[np.float64] | None = None


def make_variants(
    techniques: Sequence[Technique], circuit: QuantumCircuit, *, equal: bool
) -> tuple[Variant, ...]:
    """Return the circuits that techniques on open angles measure in place of ``circuit``.

    Args:
        techniques: Those on bound circuits are left out.
        circuit: ``Prepared.circuit``.
        equal: What the ``split`` ``"auto"`` of an extrapolation means: equal shares.

    Raises:
        InputError: The circuit has gates that cannot be folded or twirled, or the reachable noise
            scale factors are too few.
    """
    scaled = _scaled(techniques, circuit, equal)
    twirling = of_kind(techniques, Twirling)
    if twirling is None:
        return scaled
    return tuple(
        Variant(
            circuit=copy,
            role=f"{one.role} twirl({number})".strip(),
            weight=one.weight / twirling.variants,
            share=one.share / twirling.variants,
            scale=one.scale,
        )
        for one in scaled
        for number, copy in enumerate(
            twirled(one.circuit, twirling.variants, seed=twirling.seed), start=1
        )
    )


def make_bound(
    technique: Technique, circuit: QuantumCircuit, angles: NDArray[np.float64], *, seed: int
) -> tuple[Variant, ...]:
    """Return the circuits that a technique on bound circuits measures for one vector.

    Args:
        technique: ``cdr``, ``pec``, ``lre`` or ``ddd``.
        circuit: ``Prepared.circuit``.
        angles: Its angles, radians, ``(gate angles,)``.
        seed: Of the circuits that are drawn at random.

    Raises:
        InputError: The circuit does not go with the technique.
        MissingExtra: mitiq is not installed.
    """
    from qt_hw.mitigation.bound.construct import variants

    return tuple(
        Variant(
            circuit=one.circuit,
            role=one.role,
            weight=one.weight,
            share=one.share,
            ideal=one.ideal,
        )
        for one in variants(technique, circuit.assign_parameters(angles), seed=seed)
    )


def _scaled(
    techniques: Sequence[Technique], circuit: QuantumCircuit, equal: bool
) -> tuple[Variant, ...]:
    rescale, zne = of_kind(techniques, Rescale), of_kind(techniques, Zne)
    if rescale is not None and rescale.fit == "data" and rescale.decay is None:
        # Half of the shots go to the vector, half to the decay; only the first is in the result.
        folded = fold(circuit, 3.0)
        return (
            Variant(circuit=circuit, share=0.5),
            Variant(
                circuit=folded.circuit, role="fold(3)", weight=0.0, share=0.5, scale=folded.scale
            ),
        )
    if zne is None:
        return (Variant(circuit=circuit),)
    folds = [fold(circuit, scale, method=zne.folding) for scale in zne.scales]
    reached = [one.scale for one in folds]
    weights = [float(c) for c in coefficients(reached, zne.degree)]
    proportional = zne.split == "proportional" or (zne.split == "auto" and not equal)
    return tuple(
        Variant(
            circuit=one.circuit,
            role="" if one.scale == 1.0 else f"fold({one.scale:g})",
            weight=weight,
            share=share,
            scale=one.scale,
        )
        for one, weight, share in zip(
            folds, weights, shares(weights, proportional=proportional), strict=True
        )
    )


def of_kind(techniques: Sequence[Technique], kind: type[Kind]) -> Kind | None:
    """Return the technique of a kind, None if it is not among ``techniques``."""
    return next((one for one in techniques if isinstance(one, kind)), None)


def split_shots(shots: int, shares: Sequence[float], least: int = 1) -> tuple[int, ...]:
    """Return whole numbers of shots in the ratio of ``shares``, by rounding down.

    What is left over goes to the largest remainders, so that the sum is ``shots``; small shares
    get ``least``, at the cost of the largest. ``shots`` must do for that.

    >>> split_shots(1000, [0.75, 0.25]), split_shots(10, [1 / 3, 1 / 3, 1 / 3])
    ((750, 250), (4, 3, 3))
    >>> split_shots(100, [0.97, 0.02, 0.01], least=5)
    (90, 5, 5)
    """
    if len(shares) == 1:
        return (shots,)  # too few of them are the backend's to refuse
    exact = [shots * share for share in shares]
    out = [max(least, int(value + 1e-9)) for value in exact]
    order = sorted(range(len(out)), key=lambda i: out[i] - exact[i])
    for i in order[: max(0, shots - sum(out))]:
        out[i] += 1
    while sum(out) > shots and max(out) > least:
        out[out.index(max(out))] -= 1
    return tuple(out)
