"""From the mapping's outputs to weights: the output rule and the fit of the starting point."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from qt_hw.model.mapping import Mapping
from qt_hw.model.scaling import Scaling
from qt_hw.model.target import Slot

__all__ = ["OutputRule", "outputs_share", "reference_features"]

_PERMUTATIONS = 8
_OWN_STATISTICS = 8
_LEAST_SPREAD = 0.1
_MANY_BLOCKS = 4096
_GAIN_RANGE = (1e-3, 1e3)
_GAIN_STEPS = 8


def reference_features(scaling: Scaling, n_bins: int, n_used: int) -> Tensor:
    """Return the x of a Porter–Thomas vector with a fixed seed, ``(n_used,)``, float64.

    It stands for the probabilities of a random state, so that the start can be fitted without
    measuring anything.
    """
    draw = np.random.default_rng(0).exponential(size=n_bins)
    with torch.no_grad():
        x: Tensor = scaling(torch.from_numpy(draw / draw.sum()), None, n_used)
    return x


def outputs_share(
    mapping: Mapping, x: Tensor, n_weights: int, n_permutations: int = _PERMUTATIONS
) -> float:
    """Return the total-effect index of ``x`` ``(n_blocks,)`` in the mapping's outputs.

    ``mean((w − w_π)²) / (2 var(w))`` over the first ``n_weights`` outputs and a fixed set of
    permutations π of the basis states; 0 for constant outputs.
    """
    rng = np.random.default_rng(0)
    with torch.no_grad():
        w = mapping(x).flatten()[:n_weights].to(torch.float64)
        changes = []
        for _ in range(n_permutations):
            order = torch.from_numpy(rng.permutation(len(x))).to(x.device)
            moved = mapping(x[order]).flatten()[:n_weights]
            changes.append(float((w - moved).square().mean()))
    variance = float(w.var(correction=0))
    return float(np.mean(changes)) / (2 * variance) if variance > 0 else 0.0


class OutputRule(nn.Module):
    """Turns the mapping's outputs ``(M,)`` into weights ``(M,)``.

    ``centred`` subtracts the mean of the outputs, as published. ``fitted`` is an affine map per
    tensor with fixed coefficients. On the reference features each tensor starts with the mean and
    the standard deviation it has in the target; the latter is lowered where the rows of the
    generated tensor are so smooth that the layer would respond too strongly. Tensors of fewer
    than 8 weights share the outputs' overall statistics, since their own are too noisy.

    Attributes:
        gain: Factor on x, fitted to the share that the scaling asks for; 1 if it asks for none.
        scale: Factor of each tensor, ``(T,)``.
        offset: Offset of each tensor, ``(T,)``.
    """

    gain: Tensor
    scale: Tensor
    offset: Tensor
    sizes: Tensor

    def __init__(
        self, scaling: Scaling, mapping: Mapping, slots: Sequence[Slot], x: Tensor
    ) -> None:
        super().__init__()
        self.kind = scaling.output
        n_weights = sum(slot.size for slot in slots)
        gain = 1.0 if scaling.share is None else _fit_gain(mapping, x, scaling.share)
        with torch.no_grad():
            outputs = mapping(gain * x).flatten()[:n_weights].to(torch.float64)
        scale, offset = _fit(outputs, slots) if self.kind == "fitted" else ([], [])
        self.register_buffer("gain", torch.tensor(gain, dtype=x.dtype))
        self.register_buffer("scale", torch.tensor(scale, dtype=x.dtype))
        self.register_buffer("offset", torch.tensor(offset, dtype=x.dtype))
        sizes = torch.tensor([slot.size for slot in slots])
        self.register_buffer("sizes", sizes, persistent=False)

    def forward(self, outputs: Tensor) -> Tensor:
        """Return the weights ``(M,)`` of the mapping's outputs ``(M,)``."""
        if self.kind == "centred":
            return outputs - outputs.mean()
        n_weights = len(outputs)
        scale = self.scale.repeat_interleave(self.sizes, output_size=n_weights)
        offset = self.offset.repeat_interleave(self.sizes, output_size=n_weights)
        return offset + scale * outputs


def _fit(outputs: Tensor, slots: Sequence[Slot]) -> tuple[list[float], list[float]]:
    """Return scale and offset of each tensor, given the mapping's ``outputs`` at the start."""
    scales, offsets = [], []
    overall = _statistics(outputs)
    for slot, part in zip(slots, torch.split(outputs, [s.size for s in slots]), strict=True):
        mean, std = _statistics(part) if slot.size >= _OWN_STATISTICS else overall
        usual = slot.std / math.sqrt(max(1.0, _coherence(part.view(slot.shape))))
        scale = usual / max(std, _LEAST_SPREAD * overall[1], 1e-12)
        scales.append(scale)
        offsets.append(slot.mean - scale * mean)
    return scales, offsets


def _coherence(tensor: Tensor) -> float:
    """Return how much stronger a layer with these weights responds than one with random ones.

    The mean square of the response to inputs of which half the power is their common mean,
    relative to independent weights of the same variance: ``(1 + fan_in · var(row means) /
    var) / 2``. Generated rows are smooth, so their means do not average out.
    """
    if tensor.ndim < 2 or tensor.numel() == 0:
        return 1.0
    rows = tensor.flatten(1)
    variance = float(rows.var(correction=0))
    if variance == 0:
        return 1.0
    return (1 + rows.shape[1] * float(rows.mean(1).var(correction=0)) / variance) / 2


def _statistics(values: Tensor) -> tuple[float, float]:
    return float(values.mean()), float(values.std(correction=0))


def _fit_gain(mapping: Mapping, x: Tensor, share: float) -> float:
    """Return the factor on x at which ``outputs_share`` is ``share``.

    For additive outputs the odds of the share grow with the square of the gain, so one step
    would do; a few more follow the curve where an activation bends it.
    """
    n_weights = len(x) * mapping.chunk_size
    few = _PERMUTATIONS if len(x) <= _MANY_BLOCKS else 1
    gain = 1.0
    for _ in range(_GAIN_STEPS):
        reached = min(max(outputs_share(mapping, gain * x, n_weights, few), 1e-9), 1 - 1e-9)
        odds = share / (1 - share) * (1 - reached) / reached
        gain = min(max(gain * odds**0.5, _GAIN_RANGE[0]), _GAIN_RANGE[1])
    return gain
