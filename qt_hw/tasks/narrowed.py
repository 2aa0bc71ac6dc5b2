"""A named target made narrower, down to a number of weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

from qt_hw.errors import ConfigError
from qt_hw.tasks.targets import build_target, hidden_widths, unallocated

__all__ = ["n_weights_of", "narrowed", "narrower_widths"]

Counted = Callable[[str], bool]


def _every(name: str) -> bool:
    return True


def narrowed(
    name: str,
    most: int,
    generator: torch.Generator,
    activation: str | None = None,
    counted: Counted = _every,
) -> nn.Module:
    """Return the target with all its hidden layers made narrower by one factor.

    It is the widest of the networks ``ceil(factor · width)`` that has at most ``most`` weights.

    Args:
        name: See ``target_info``.
        most: Weights at most.
        generator: Source of the initial values.
        activation: See ``build_target``.
        counted: Which parameters count, by name; the others may be as many as they are.

    Raises:
        ConfigError: Even the narrowest has more weights.
        UnknownName: There is no such target or activation.

    >>> small = narrowed("mlp-64-32-10", 522, torch.Generator().manual_seed(0))
    >>> sum(p.numel() for p in small.parameters())
    460
    """
    sizes = [(n_weights_of(name, widths, counted), widths) for widths in narrower_widths(name)]
    fitting = [widths for n_weights, widths in sizes if n_weights <= most]
    if not fitting:
        raise ConfigError(
            f"control.name: the narrowest {name!r} has {sizes[0][0]:,} weights, the quantum model "
            f"trains {most:,}: leave out the control 'smaller-target'"
        )
    return build_target(name, generator, activation=activation, widths=fitting[-1])


def narrower_widths(name: str) -> list[tuple[int, ...]]:
    """Return every ``ceil(factor · width)`` of the hidden layers, narrowest first.

    >>> narrower_widths("cnn-mnist")[:3]
    [(1, 1, 1), (1, 1, 2), (1, 2, 2)]
    """
    full = hidden_widths(name)
    # Each ratio is where one of the layers has its next width; as whole numbers they are exact.
    ratios = {(k, width) for width in full for k in range(1, width + 1)}
    ordered = sorted(ratios, key=lambda ratio: ratio[0] / ratio[1])
    found = [tuple(-(-k * width // of) for width in full) for k, of in ordered]
    return list(dict.fromkeys(found))


def n_weights_of(name: str, widths: tuple[int, ...], counted: Counted = _every) -> int:
    """Return how many weights the target has at other widths; arguments as in ``narrowed``."""
    network = unallocated(name, widths=widths)
    return sum(p.numel() for key, p in network.named_parameters() if counted(key))
