"""The techniques by name, each with its options, checked when they are made."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from qt_hw.errors import InputError, UnknownName
from qt_hw.mitigation.confusion import AnyConfusion, load_confusion

__all__ = [
    "TECHNIQUES",
    "Cdr",
    "Ddd",
    "Lre",
    "Pec",
    "Readout",
    "Rescale",
    "Technique",
    "Twirling",
    "Zne",
    "technique",
]


@dataclass(frozen=True, kw_only=True)
class Technique:
    """One technique of error mitigation.

    Attributes:
        name: As users type it.
        bound: Whether it needs bound circuits, and so cannot be used inside gradients.
    """

    name: ClassVar[str] = ""
    bound: ClassVar[bool] = False

    @property
    def differentiable(self) -> bool:
        """Whether it is linear in the measured vectors and works on open angles."""
        return not self.bound

    def to_dict(self) -> dict[str, Any]:
        """Return name and options, JSON-ready."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        lists = {key: list(v) if isinstance(v, tuple) else v for key, v in values.items()}
        return {"name": self.name, **lists}


@dataclass(frozen=True, kw_only=True)
class Readout(Technique):
    """Tensored readout correction (Bravyi et al., Phys. Rev. A 103, 042605).

    Attributes:
        source: ``"calibration"`` measures the confusion, ``"properties"`` takes it from the
            backend's own calibration.
        pairs: Complementary pairs of calibration circuits; one is all 0 and all 1.
        correlated: Whether neighbouring qubits are misread together, as pairs (2j, 2j + 1).
        confusion: A known confusion, in place of a measured one.
    """

    name: ClassVar[str] = "readout"

    source: Literal["calibration", "properties"] = "calibration"
    pairs: int = 1
    correlated: bool = False
    confusion: AnyConfusion | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        _one_of(self, "source", ("calibration", "properties"))
        _whole(self, "pairs", 1)
        if isinstance(self.confusion, Mapping):
            object.__setattr__(self, "confusion", load_confusion(self.confusion))
        if isinstance(self.confusion, str | Sequence):
            raise InputError(f"readout: confusion is a Confusion, not {self.confusion!r}")
        if not isinstance(self.correlated, bool):
            raise InputError(f"readout: correlated is true or false, not {self.correlated!r}")
        if self.correlated and self.pairs < 2:
            object.__setattr__(self, "pairs", 2)

    def to_dict(self) -> dict[str, Any]:
        known = None if self.confusion is None else self.confusion.to_dict()
        return {
            "name": self.name,
            "source": self.source,
            "pairs": self.pairs,
            "correlated": self.correlated,
            "confusion": known,
        }


@dataclass(frozen=True, kw_only=True)
class Zne(Technique):
    """Zero-noise extrapolation by folding (Giurgica-Tiron et al., arXiv:2005.10921).

    Attributes:
        scales: Noise scale factors, 1 or more each.
        fit: ``"linear"``, ``"polynomial"``, ``"richardson"`` (through all points), or
            ``"exponential"`` (by mitiq, not inside gradients).
        order: Degree of the polynomial.
        folding: ``"global"`` folds the whole circuit, ``"layers"`` each layer.
        split: Shots ``"proportional"`` to the size of the coefficients (the least noise),
            ``"equal"``, or ``"auto"``: equal where a job takes one number of shots.
    """

    name: ClassVar[str] = "zne"

    scales: tuple[float, ...] = (1.0, 3.0)
    fit: Literal["linear", "polynomial", "richardson", "exponential"] = "linear"
    order: int = 2
    folding: Literal["global", "layers"] = "global"
    split: Literal["auto", "proportional", "equal"] = "auto"

    def __post_init__(self) -> None:
        """Check the options."""
        _one_of(self, "fit", ("linear", "polynomial", "richardson", "exponential"))
        _one_of(self, "folding", ("global", "layers"))
        _one_of(self, "split", ("auto", "proportional", "equal"))
        _whole(self, "order", 1)
        if isinstance(self.scales, str) or not isinstance(self.scales, Iterable):
            raise InputError(f"zne: scales is a list of numbers, not {self.scales!r}")
        scales = tuple(_number("zne", "scales", scale) for scale in self.scales)
        if min(scales, default=0.0) < 1.0:
            raise InputError(f"zne: scale factors are 1 or more, not {list(self.scales)}")
        if len(set(scales)) < max(2, self.degree + 1):
            raise InputError(
                f"zne: a {self.fit} fit of degree {self.degree} needs {max(2, self.degree + 1)} or "
                f"more different scale factors, not {list(self.scales)}"
            )
        object.__setattr__(self, "scales", scales)

    @property
    def degree(self) -> int:
        """Degree of the polynomial that is fitted; 1 for the exponential."""
        many = {"polynomial": self.order, "richardson": len(self.scales) - 1}
        return many.get(self.fit, 1)

    @property
    def differentiable(self) -> bool:
        return self.fit != "exponential"


@dataclass(frozen=True, kw_only=True)
class Rescale(Technique):
    """Undo a global decay: ``p = u + (q - u) / f`` with one f for all components, u uniform.

    Global depolarizing noise does just that; other incoherent noise nearly (after twirling).

    Attributes:
        fit: How f is found: ``"known"`` and ``"clifford"`` measure circuits with random angles,
            or multiples of π/2, whose exact vectors are computed (Czarnik et al.,
            arXiv:2005.10189, with one slope); ``"folding"`` compares them with themselves
            folded; ``"data"`` folds the circuit itself with half of its shots, not inside
            gradients.
        circuits: Circuits measured for it.
        decay: A known f, in place of a measured one.
    """

    name: ClassVar[str] = "rescale"

    fit: Literal["known", "clifford", "folding", "data"] = "known"
    circuits: int = 8
    decay: float | None = None

    def __post_init__(self) -> None:
        """Check the options."""
        _one_of(self, "fit", ("known", "clifford", "folding", "data"))
        _whole(self, "circuits", 1)
        if self.decay is not None and not 0.05 <= _number("rescale", "decay", self.decay) <= 1.0:
            raise InputError(f"rescale: decay must lie between 0.05 and 1, not {self.decay}")

    @property
    def differentiable(self) -> bool:
        return self.fit != "data" or self.decay is not None


@dataclass(frozen=True, kw_only=True)
class Twirling(Technique):
    """Average over random Paulis around each two-qubit gate: coherent errors become incoherent.

    Attributes:
        variants: Circuits over which the shots are spread; 16 or more.
        seed: Of the Paulis.
    """

    name: ClassVar[str] = "twirling"

    variants: int = 16
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options."""
        _whole(self, "variants", 1)
        _whole(self, "seed", 0)


@dataclass(frozen=True, kw_only=True)
class Ddd(Technique):
    """Dynamical decoupling by mitiq: gates that make the identity, where a qubit waits.

    Attributes:
        rule: ``"xx"``, ``"yy"`` or ``"xyxy"``.
    """

    name: ClassVar[str] = "ddd"
    bound: ClassVar[bool] = True

    rule: Literal["xx", "yy", "xyxy"] = "xx"

    def __post_init__(self) -> None:
        """Check the options."""
        _one_of(self, "rule", ("xx", "yy", "xyxy"))


@dataclass(frozen=True, kw_only=True)
class Cdr(Technique):
    """Clifford data regression by mitiq, with one slope for the whole vector (arXiv:2005.10189).

    Attributes:
        circuits: Near-Clifford training circuits.
        fraction_non_clifford: Share of their angles that are kept.
        share: Share of the shots that the circuit itself gets.
    """

    name: ClassVar[str] = "cdr"
    bound: ClassVar[bool] = True

    circuits: int = 10
    fraction_non_clifford: float = 0.3
    share: float = 0.5

    def __post_init__(self) -> None:
        """Check the options."""
        _whole(self, "circuits", 2)
        for key in ("fraction_non_clifford", "share"):
            if not 0.0 < _number(self.name, key, getattr(self, key)) < 1.0:
                raise InputError(f"cdr: {key} must lie between 0 and 1, not {getattr(self, key)}")


@dataclass(frozen=True, kw_only=True)
class Pec(Technique):
    """Probabilistic error cancellation by mitiq, for known noise (Temme et al., arXiv:1612.02058).

    Attributes:
        noise: Probability of a Pauli error, in mitiq's convention; it must be known.
        model: ``"local"`` depolarizing noise on each qubit of a two-qubit gate (``noise`` for
            each qubit), or ``"global"`` on both together (15/16 of the p of Aer's noise text).
        samples: Circuits over which the shots are spread.
    """

    name: ClassVar[str] = "pec"
    bound: ClassVar[bool] = True

    noise: float | None = None
    model: Literal["local", "global"] = "local"
    samples: int = 200

    def __post_init__(self) -> None:
        """Check the options."""
        _whole(self, "samples", 1)
        _one_of(self, "model", ("local", "global"))
        if self.noise is None:
            raise InputError("pec needs to know the noise: Pec(noise=…), or noise = … in TOML")
        if not 0.0 < _number("pec", "noise", self.noise) < 0.75:
            raise InputError(f"pec: noise must lie between 0 and 0.75, not {self.noise}")


@dataclass(frozen=True, kw_only=True)
class Lre(Technique):
    """Layerwise Richardson extrapolation by mitiq (Russo and Mari, arXiv:2402.04000).

    Attributes:
        degree: Of the polynomial.
        fold_multiplier: Folds of one step.
        chunks: Parts of the circuit that are folded apart.
    """

    name: ClassVar[str] = "lre"
    bound: ClassVar[bool] = True

    degree: int = 1
    fold_multiplier: int = 1
    chunks: int = 3

    def __post_init__(self) -> None:
        """Check the options."""
        for key in ("degree", "fold_multiplier", "chunks"):
            _whole(self, key, 1)


TECHNIQUES: dict[str, type[Technique]] = {
    kind.name: kind for kind in (Readout, Zne, Rescale, Twirling, Ddd, Cdr, Pec, Lre)
}


def technique(name: str, options: Mapping[str, Any] | None = None) -> Technique:
    """Return a technique by its name.

    Raises:
        UnknownName: No such technique or option.
        InputError: An option has a wrong value.

    >>> technique("zne", {"scales": [1, 3, 5], "fit": "richardson"}).degree
    2
    """
    if name not in TECHNIQUES:
        raise UnknownName("mitigation", name, [*TECHNIQUES, "auto", "none"])
    kind, given = TECHNIQUES[name], dict(options or {})
    known = [field.name for field in dataclasses.fields(kind)]
    for key in given:
        if key not in known:
            raise UnknownName(f"option of {name}", key, known)
    return kind(**given)


def _one_of(who: Technique, key: str, allowed: tuple[str, ...]) -> None:
    value = getattr(who, key)
    if value not in allowed:
        raise UnknownName(f"{key} of {who.name}", str(value), allowed)


def _whole(who: Technique, key: str, least: int) -> None:
    value = getattr(who, key)
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InputError(
            f"{who.name}: {key} must be a whole number of at least {least}, not {value!r}"
        )


def _number(name: str, key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{name}: {key} takes numbers, not {value!r}")
    return float(value)
