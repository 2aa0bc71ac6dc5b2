"""Techniques that are used together: which go together, and what they need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from qt_hw.errors import InputError, MissingExtra
from qt_hw.mitigation.recipe import Recipe, Rule
from qt_hw.mitigation.situation import Method
from qt_hw.mitigation.techniques import (
    Cdr,
    Ddd,
    Lre,
    Pec,
    Readout,
    Rescale,
    Technique,
    Twirling,
    Zne,
)
from qt_hw.mitigation.variants import Variant, of_kind

__all__ = ["CANDIDATES", "TWIRLED", "Combination"]

_ORDER: tuple[type[Technique], ...] = (Readout, Twirling, Ddd, Zne, Rescale, Cdr, Pec, Lre)

#: Techniques that all remove the bias of the gates: a second one would count it twice.
_OF_GATES = (Zne, Rescale, Cdr, Pec, Lre)


@dataclass(frozen=True)
class Combination:
    """Techniques in the order in which they act; none at all is ``raw``.

    Attributes:
        techniques: Each kind at most once.

    Raises:
        InputError: Two of them do not go together.

    >>> Combination((Zne(), Readout())).name
    'readout+zne'
    """

    techniques: tuple[Technique, ...] = ()

    def __post_init__(self) -> None:
        """Sort the techniques and check that they go together."""
        kinds = [type(one) for one in self.techniques]
        for one in self.techniques:
            if kinds.count(type(one)) > 1:
                raise InputError(f"mitigation: {one.name} is given twice")
        object.__setattr__(
            self, "techniques", tuple(sorted(self.techniques, key=lambda t: _ORDER.index(type(t))))
        )
        names = [one.name for one in self.techniques if isinstance(one, _OF_GATES)]
        if len(names) > 1:
            raise InputError(
                f"mitigation: {' and '.join(names)} both undo the errors of the gates; use one"
            )
        bound = [one.name for one in self.techniques if one.bound]
        if bound and any(isinstance(one, Twirling | Zne | Rescale | Ddd) for one in self._others()):
            raise InputError(
                f"mitigation: {bound[0]} goes together with readout only, not with "
                f"{', '.join(o.name for o in self._others())}"
            )

    def _others(self) -> list[Technique]:
        """Return what is neither the first technique on bound circuits nor the readout."""
        bound = next((one for one in self.techniques if one.bound), None)
        return [o for o in self.techniques if o is not bound and not isinstance(o, Readout)]

    @property
    def name(self) -> str:
        """The names joined by +, ``"raw"`` for none."""
        return "+".join(one.name for one in self.techniques) or "raw"

    @property
    def readout(self) -> Readout | None:
        """The readout correction among them."""
        return of_kind(self.techniques, Readout)

    @property
    def rescale(self) -> Rescale | None:
        """The rescaling among them."""
        return of_kind(self.techniques, Rescale)

    @property
    def twirling(self) -> Twirling | None:
        """The twirling among them."""
        return of_kind(self.techniques, Twirling)

    @property
    def bound(self) -> Technique | None:
        """The technique on bound circuits among them."""
        return next((one for one in self.techniques if one.bound), None)

    def check_installed(self) -> None:
        """Check that what the techniques need is there, before anything is measured.

        Raises:
            MissingExtra: mitiq is not installed.
        """
        zne = of_kind(self.techniques, Zne)
        exponential = zne is not None and zne.fit == "exponential"
        if (self.bound is not None or exponential) and find_spec("mitiq") is None:
            raise MissingExtra(f"mitigation {self.name!r}", "mitigation")

    @property
    def differentiable(self) -> bool:
        """Whether gradients pass through all of them."""
        return all(one.differentiable for one in self.techniques)

    @property
    def not_differentiable(self) -> str:
        """The first technique through which no gradient passes, with what makes it so."""
        for one in self.techniques:
            if not one.differentiable:
                fit = getattr(one, "fit", None)
                return one.name if fit is None else f"{one.name} (fit={fit!r})"
        return ""

    @property
    def fitted(self) -> bool:
        """Whether the decay is found from the shots of the vector itself."""
        rescale = self.rescale
        return rescale is not None and rescale.fit == "data" and rescale.decay is None

    @property
    def measures_readout(self) -> bool:
        """Whether the readout has to be calibrated."""
        readout = self.readout
        return readout is not None and readout.source == "calibration" and not readout.confusion

    @property
    def measures_decay(self) -> bool:
        """Whether the decay has to be calibrated."""
        rescale = self.rescale
        return rescale is not None and not self.fitted and rescale.decay is None

    @property
    def decay_key(self) -> str:
        """Of which vectors the decay is: what else corrects them."""
        parts = [one.name for one in self.techniques if isinstance(one, Readout | Twirling)]
        return "+".join(parts) or "raw"

    def recipe(self, variants: Sequence[Variant]) -> Recipe:
        """Return how the vectors of the variants are combined."""
        known = [one.ideal for one in variants if one.ideal is not None]
        return Recipe.of(
            variants,
            rule="known" if known else self._rule,
            readout=self.readout is not None,
            rescale=self.rescale is not None and not self.fitted,
            ideal=np.array(known) if known else None,
        )

    @property
    def _rule(self) -> Rule:
        zne = of_kind(self.techniques, Zne)
        if zne is not None and zne.fit == "exponential":
            return "exponential"
        return "folds" if self.fitted else "linear"

    def method(self, variants: Sequence[Variant]) -> Method:
        """Return what a forecast needs to know; twirled copies count as one."""
        levels = sorted({one.scale for one in variants})
        groups = [[one for one in variants if one.scale == level] for level in levels]
        return Method(
            name=self.name,
            readout=self.readout is not None,
            weights=tuple(sum(one.weight for one in group) for group in groups),
            scales=tuple(levels),
            shares=tuple(sum(one.share for one in group) for group in groups),
            rescale=self.rescale is not None,
            twirled=self.twirling is not None,
        )


CANDIDATES = (
    Combination(),
    Combination((Readout(),)),
    Combination((Readout(), Rescale())),
    Combination((Readout(), Zne())),
)
"""What ``auto`` chooses from."""

TWIRLED = (
    Combination((Readout(), Twirling())),
    Combination((Readout(), Twirling(), Rescale())),
    Combination((Readout(), Twirling(), Zne())),
)
"""What it adds where the errors of the gates look coherent."""
