"""How the gradient of a measured vector is estimated: which bindings, and what to do with them.

Every rule turns products ``g·p`` of the cotangent with measured vectors into ``g·∂p/∂θ``; the
Jacobian is never formed.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from qt_hw.circuits.form import Form
from qt_hw.circuits.shift import ShiftRows, shift_rows
from qt_hw.errors import InputError, UnknownName
from qt_hw.execution.backend import Origin

__all__ = ["ExactRule", "GradientRule", "Shifts", "parse_gradient"]

Array = NDArray[np.float64]


class Shifts(ABC):
    """The shifted bindings of one gradient; ``len()`` is their number R for each base."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def bindings(self, angles: Array, rows: slice) -> tuple[Array, Origin | None]:
        """Return bindings ``(B·r, gate angles)`` of some rows for ansatz angles ``(B, P)``."""

    @abstractmethod
    def pull_back(self, products: Array) -> Array:
        """Return ``dL/dθ``, ``(B, P)``, of the products ``g·p``, ``(B, R)``."""


class GradientRule(ABC):
    """A named way to estimate a gradient."""

    text: str

    @abstractmethod
    def n_rows(self, form: Form) -> int:
        """Return the number of shifted bindings for each base."""

    @abstractmethod
    def draw(self, form: Form, generator: np.random.Generator) -> Shifts:
        """Return the bindings of one step."""


@dataclass(frozen=True)
class ExactRule(GradientRule):
    """Differentiate the exact engine; needs no shifted bindings."""

    text: str = "exact"

    def n_rows(self, form: Form) -> int:
        return 0

    def draw(self, form: Form, generator: np.random.Generator) -> Shifts:
        raise InputError("gradient='exact' has no shifted bindings")


class _RowShifts(Shifts):
    def __init__(self, form: Form, rows: ShiftRows) -> None:
        self._form, self._rows = form, rows

    def __len__(self) -> int:
        return len(self._rows)

    def bindings(self, angles: Array, rows: slice) -> tuple[Array, Origin]:
        base = self._form.gate_angles(angles)
        part = ShiftRows(
            index=self._rows.index[rows],
            shift=self._rows.shift[rows],
            coefficient=self._rows.coefficient[rows],
        )
        return part.bindings(base), Origin(base=base, index=part.index, shift=part.shift)

    def pull_back(self, products: Array) -> Array:
        return self._form.pull_back(self._rows.contract(products, len(self._form.b)))


@dataclass(frozen=True)
class ParameterShift(GradientRule):
    """Shift every live gate angle in turn: unbiased, with the fewest bindings per angle."""

    text: str = "parameter-shift"

    def n_rows(self, form: Form) -> int:
        return form.n_shifts

    def draw(self, form: Form, generator: np.random.Generator) -> Shifts:
        return _RowShifts(form, shift_rows(form))


@dataclass(frozen=True)
class Subset(GradientRule):
    """Shift k random live gate angles, weighted by the inverse share: unbiased.

    Attributes:
        k: Gate angles of each step; all of them if the form has fewer.
    """

    k: int

    @property
    def text(self) -> str:  # type: ignore[override]
        return f"subset({self.k})"

    def n_rows(self, form: Form) -> int:
        live = np.sort(form.terms[form.terms > 0])[::-1]
        return int(live[: self.k].sum())

    def draw(self, form: Form, generator: np.random.Generator) -> Shifts:
        live = np.flatnonzero(form.terms)
        k = min(self.k, len(live))
        chosen = np.sort(generator.choice(live, size=k, replace=False))
        return _RowShifts(form, shift_rows(form, chosen, weight=len(live) / max(k, 1)))


class _SpsaShifts(Shifts):
    def __init__(self, form: Form, directions: Array, step: float) -> None:
        self._form, self._directions, self._step = form, directions, step

    def __len__(self) -> int:
        return 2 * len(self._directions)

    def bindings(self, angles: Array, rows: slice) -> tuple[Array, None]:
        both = np.stack([self._directions, -self._directions], axis=1)
        moves = self._step * both.reshape(-1, angles.shape[1])[rows]
        shifted = angles[:, None, :] + moves
        return self._form.gate_angles(shifted.reshape(-1, angles.shape[1])), None

    def pull_back(self, products: Array) -> Array:
        pairs = products.reshape(len(products), -1, 2)
        slopes = (pairs[..., 0] - pairs[..., 1]) / (2.0 * self._step)
        return np.asarray(slopes @ self._directions / len(self._directions))


@dataclass(frozen=True)
class Spsa(GradientRule):
    """Simultaneous perturbation: two bindings whatever the size (Spall 1992).

    Unbiased up to the square of the step; its variance grows with the number of angles.

    Attributes:
        step: Perturbation of each angle, radians.
        directions: Random directions that are averaged.
    """

    step: float = 0.2
    directions: int = 1

    @property
    def text(self) -> str:  # type: ignore[override]
        return f"spsa(step={self.step:g}, directions={self.directions})"

    def n_rows(self, form: Form) -> int:
        return 2 * self.directions

    def draw(self, form: Form, generator: np.random.Generator) -> Shifts:
        signs = generator.choice([-1.0, 1.0], size=(self.directions, form.A.shape[1]))
        return _SpsaShifts(form, signs, self.step)


_NAMES = ("auto", "exact", "parameter-shift", "spsa", "subset(k)")
_SPSA = re.compile(r"spsa(?:\((.*)\))?")
_SUBSET = re.compile(r"subset\(\s*(\d+)\s*\)")


def parse_gradient(text: str, exact_possible: bool) -> GradientRule:
    """Return the rule of a name.

    Args:
        text: ``"auto"``, ``"exact"``, ``"parameter-shift"``, ``"spsa"``,
            ``"spsa(step=0.2, directions=1)"`` or ``"subset(k)"``.
        exact_possible: What ``"auto"`` means: the exact gradient or the parameter-shift rule.

    Raises:
        UnknownName: Another name.
        InputError: A wrong number in it.
    """
    name = text.strip() if isinstance(text, str) else str(text)
    if name == "auto":
        return ExactRule() if exact_possible else ParameterShift()
    if name == "exact":
        return ExactRule()
    if name == "parameter-shift":
        return ParameterShift()
    if match := _SUBSET.fullmatch(name):
        if int(match[1]) < 1:
            raise InputError("subset(k) needs k of at least 1")
        return Subset(int(match[1]))
    if match := _SPSA.fullmatch(name):
        return _spsa(match[1] or "")
    raise UnknownName("gradient", name, _NAMES)


def _spsa(arguments: str) -> Spsa:
    values: dict[str, float] = {}
    for part in filter(None, (piece.strip() for piece in arguments.split(","))):
        key, _, value = (piece.strip() for piece in part.partition("="))
        if key not in ("step", "directions"):
            raise UnknownName("option of spsa", key, ("step", "directions"))
        try:
            values[key] = float(value)
        except ValueError:
            raise InputError(f"spsa: {key} must be a number, not {value!r}") from None
    step, directions = values.get("step", 0.2), values.get("directions", 1.0)
    if not 0.0 < step <= np.pi or not 1 <= directions < np.inf or directions % 1:
        raise InputError("spsa needs 0 < step <= pi (radians) and a whole number of directions")
    return Spsa(step, int(directions))
