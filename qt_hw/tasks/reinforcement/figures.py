"""Picture of a trained policy: the returns of its test episodes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_returns"]

_BLUE, _BLACK = "#0072B2", "black"


def draw_returns(environment: str, returns: NDArray[np.float64]) -> Figure:
    """Return a histogram of the returns ``(N,)``, with their mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3.5), layout="constrained")
    axes = figure.subplots()
    low, high = float(returns.min()), float(returns.max())
    # Equal returns get a bar in the middle of some width, not an axis of their last digits.
    half = max((high - low) / 2, 0.05 * max(1.0, abs(low), abs(high)))
    middle = (low + high) / 2
    axes.hist(returns, bins=21, range=(middle - half, middle + half), color=_BLUE)
    mean = float(returns.mean())
    axes.axvline(mean, color=_BLACK, linestyle="--", linewidth=1, label=f"mean {mean:.4g}")
    axes.set_title(f"{environment}: {len(returns)} test episodes", loc="left", fontsize=10)
    axes.set_xlabel("return of an episode")
    axes.set_ylabel("episodes")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    return figure
