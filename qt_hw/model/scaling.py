"""From a measured probability vector to the feature x of the mapping model.

One module owns the smoothing of empty bins, the pre-scaling, the order of slicing and centring,
and what belongs to the same recipe: the output rule and the circuit's share at the start.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import torch
from torch import Tensor, nn

from qt_hw.errors import InputError, UnknownName
from qt_hw.model.smoothing import filled

__all__ = ["FLOOR", "RECIPES", "Recipe", "Scaling"]

FLOOR = 1e-4
"""Below this multiple of the uniform probability the curve goes on along its tangent."""

_SPREAD_FLOOR = 1e-3

_OUTPUT_RULES = ("fitted", "centred")
_FILLS = ("none", "neighbours")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Constants of a scaling ``x = (beta * tanh(gamma * r / 2)) ** alpha``, r = p·D over D bins.

    Attributes:
        alpha: Exponent.
        beta: Factor.
        gamma: Slope inside the tanh.
        slice_first: True: keep the bins in use, then scale and centre (QT). False: scale and
            centre over all bins, then keep those in use (QPA).
        standardise: Whether x is divided by its standard deviation.
        output: ``"centred"``: weights are the mapping's outputs minus their mean, as published;
            ``"fitted"``: each tensor starts at the mean and spread of the target's own.
        share: Part of the initial variance of the mapping's outputs that x is to supply (a gain
            on x is fitted once); None leaves it as it falls out.
    """

    alpha: float
    beta: float
    gamma: float
    slice_first: bool = True
    standardise: bool = False
    output: str = "centred"
    share: float | None = None


RECIPES: dict[str, Recipe] = {
    "balanced": Recipe(
        alpha=0.5,
        beta=1.0,
        gamma=0.1,
        standardise=True,
        output="fitted",
        share=0.5,
    ),
    "qt": Recipe(alpha=0.3, beta=0.8, gamma=0.1),
    "qpa": Recipe(alpha=0.15, beta=0.6, gamma=0.1, slice_first=False),
    "qtrl": Recipe(alpha=1.0, beta=1.0, gamma=0.1),
}
"""The named recipes: ``balanced`` is ours, the others are the papers'."""


class Scaling(nn.Module):
    """Smooth, pre-scale, slice and centre a probability vector.

    The pre-scaling is that of 2402.16465 (QT) and 2410.09846 (QPA), written with r = p·D so that
    it holds for any number of bins D. Its slope at p = 0 is infinite for alpha < 1, hence:

    - with S shots, p becomes ``(S·p + a) / (S + a·D)`` first (``a`` = ``smoothing`` per bin);
    - in any case the curve is replaced by its tangent below r = ``FLOOR``, so that value and
      slope stay finite at an empty bin. Above it nothing changes.

    Negative entries, which mitigation can leave, count as zero.

    Args:
        recipe: ``"balanced"``, ``"qt"``, ``"qpa"`` or ``"qtrl"``.
        learnable: Whether alpha, beta and gamma are trained (as logarithms: they stay positive).
        smoothing: Pseudo-counts per bin, at least 0.
        alpha: Replaces the recipe's exponent.
        beta: Replaces the recipe's factor.
        gamma: Replaces the recipe's slope.
        output: Replaces the recipe's output rule, ``"fitted"`` or ``"centred"``.
        share: Replaces the recipe's share of x in the initial variance, between 0 and 1.
        fill: How the pseudo-counts are laid out: ``"none"``, the same in each bin, or
            ``"neighbours"``, after the frequencies at Hamming distance 1 (see
            ``qt_hw.model.smoothing`` for when that helps).
        tensor_scales: Starting values of a trained factor on each generated tensor, in their
            order, as in QT-LSTM (code of 2402.16465); without it there are none.

    Raises:
        UnknownName: There is no such recipe, output rule or fill.
        InputError: A constant is not a positive number, the share is not allowed, or
            ``tensor_scales`` are not finite numbers.

    >>> x = Scaling("qtrl")(torch.tensor([0.25, 0.75], dtype=torch.float64))
    >>> [round(float(v), 4) for v in x]
    [-0.0249, 0.0249]
    """

    tensor_scales: nn.Parameter | None

    def __init__(
        self,
        recipe: str = "balanced",
        *,
        learnable: bool = False,
        smoothing: float = 0.5,
        alpha: float | None = None,
        beta: float | None = None,
        gamma: float | None = None,
        output: str | None = None,
        share: float | None = None,
        fill: str = "none",
        tensor_scales: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        base = RECIPES[_one_of("scaling recipe", recipe, tuple(RECIPES))]
        smoothing = _real("smoothing", smoothing)
        if not (math.isfinite(smoothing) and smoothing >= 0):
            raise InputError(f"smoothing must be a number of at least 0, not {smoothing}")
        self.name, self.base, self.learnable, self.smoothing = recipe, base, learnable, smoothing
        self.output = (
            base.output if output is None else _one_of("output rule", output, _OUTPUT_RULES)
        )
        self.share = base.share if share is None else _fraction(share)
        self.fill = _one_of("fill", fill, _FILLS)
        self._fixed = {
            "alpha": _positive("alpha", base.alpha if alpha is None else alpha),
            "beta": _positive("beta", base.beta if beta is None else beta),
            "gamma": _positive("gamma", base.gamma if gamma is None else gamma),
        }
        self.logs = nn.ParameterDict()
        if learnable:
            for key, value in self._fixed.items():
                self.logs[key] = nn.Parameter(torch.tensor(math.log(value), dtype=torch.float64))
        start = None if tensor_scales is None else nn.Parameter(_finite(tensor_scales))
        self.register_parameter("tensor_scales", start)

    def scale_tensors(self, weights: Tensor, sizes: Tensor) -> Tensor:
        """Return the flat ``weights`` ``(M,)``, each tensor times its factor.

        Args:
            weights: Of the output rule.
            sizes: Numbers of weights of the tensors, ``(T,)``; they add up to M.
        """
        if self.tensor_scales is None:
            return weights
        factors = self.tensor_scales.to(weights)
        return weights * factors.repeat_interleave(sizes, output_size=len(weights))

    def check_tensors(self, n_tensors: int) -> None:
        """Refuse another number of generated tensors than there are factors.

        Raises:
            InputError: Says both numbers.
        """
        if self.tensor_scales is not None and len(self.tensor_scales) != n_tensors:
            raise InputError(
                f"tensor_scales holds {len(self.tensor_scales)} numbers, but {n_tensors} tensors "
                f"are generated: give {n_tensors}"
            )

    def constant(self, key: str, like: Tensor) -> Tensor:
        """Return ``alpha``, ``beta`` or ``gamma`` in the dtype and on the device of ``like``."""
        if self.learnable:
            log: Tensor = self.logs[key]
            return log.to(like).exp()
        return like.new_tensor(self._fixed[key])

    @property
    def constants(self) -> dict[str, float]:
        """The present values of alpha, beta and gamma."""
        like = torch.zeros((), dtype=torch.float64)
        return {key: float(self.constant(key, like).detach()) for key in ("alpha", "beta", "gamma")}

    def smooth(self, p: Tensor, shots: int | None) -> Tensor:
        """Return ``p`` ``(…, D)`` without negative entries and, with shots, without empty bins.

        Raises:
            InputError: ``shots`` < 1, or bins that have no neighbours.
        """
        p = p.clamp(min=0.0)
        if shots is None:
            return p
        if shots < 1:
            raise InputError(f"shots must be at least 1, not {shots}")
        if self.fill == "neighbours":
            return filled(p, shots, self.smoothing)
        return (shots * p + self.smoothing) / (shots + self.smoothing * p.shape[-1])

    def prescale(self, p: Tensor) -> Tensor:
        """Return ``(beta * tanh(gamma * r / 2)) ** alpha`` of ``p`` ``(…, D)``, r = p·D."""
        alpha, beta, gamma = (self.constant(key, p) for key in ("alpha", "beta", "gamma"))
        r = p * p.shape[-1]
        inner = beta * torch.tanh(gamma * r.clamp(min=FLOOR) / 2)
        edge = torch.tanh(gamma * FLOOR / 2)
        slope = alpha * (beta * edge) ** alpha * gamma * (1 / edge - edge) / 2
        below: Tensor = slope * (r - FLOOR).clamp(max=0.0)
        return inner**alpha + below

    def forward(self, p: Tensor, shots: int | None = None, n_used: int | None = None) -> Tensor:
        """Return the feature x of the bins in use.

        Args:
            p: Measured, mitigated or exact probabilities ``(…, D)``, floating point.
            shots: Shots behind each vector; None for exact probabilities.
            n_used: How many bins, from the first, the mapping uses; None for all.

        Returns:
            x ``(…, n_used)``, in the dtype of ``p``.

        Raises:
            InputError: ``shots`` < 1, or more bins asked for than there are.
        """
        n_bins = p.shape[-1]
        n_used = n_bins if n_used is None else n_used
        if not 1 <= n_used <= n_bins:
            raise InputError(f"n_used must be between 1 and {n_bins} bins, not {n_used}")
        x = self.prescale(self.smooth(p, shots))
        kept = x[..., :n_used]
        centre = kept if self.base.slice_first else x
        x = kept - centre.mean(-1, keepdim=True)
        if not self.base.standardise:
            return x
        spread = (x.square().mean(-1, keepdim=True) + _SPREAD_FLOOR**2).sqrt()
        return x / spread

    def extra_repr(self) -> str:
        """Return the recipe and its constants for ``repr``."""
        values = ", ".join(f"{key}={value:g}" for key, value in self.constants.items())
        fill = "" if self.fill == "none" else f", fill={self.fill!r}"
        smoothing = f"smoothing={self.smoothing:g}{fill}"
        return f"{self.name!r}, {values}, {smoothing}, output={self.output!r}"


def _real(key: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InputError(f"{key} must be a number, not {type(value).__name__}")
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _positive(key: str, value: object) -> float:
    number = _real(key, value)
    if not (math.isfinite(number) and number > 0):
        raise InputError(f"{key} must be a positive number, not {number}")
    return number


def _finite(values: object) -> Tensor:
    """Return numbers as a tensor, float64."""
    if isinstance(values, str) or not isinstance(values, Sequence) or not values:
        raise InputError(f"tensor_scales must be a list of numbers, not {values!r}")
    numbers = [_real("each of tensor_scales", value) for value in values]
    if not all(map(math.isfinite, numbers)):
        raise InputError(f"tensor_scales must be finite, not {numbers}")
    return torch.tensor(numbers, dtype=torch.float64)


def _fraction(value: object) -> float:
    number = _real("share", value)
    if not 0.0 < number < 1.0:
        raise InputError(f"share must lie between 0 and 1, not {number}")
    return number


def _one_of(kind: str, value: object, allowed: tuple[str, ...]) -> str:
    if not isinstance(value, str):
        raise InputError(f"{kind} must be one of {', '.join(allowed)}, not {type(value).__name__}")
    if value not in allowed:
        raise UnknownName(kind, value, allowed)
    return value
