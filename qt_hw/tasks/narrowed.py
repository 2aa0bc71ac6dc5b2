"""A named target made narrower, down to a number of weights."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable

import torch
from torch import nn

from qt_hw.errors import ConfigError
from qt_hw.tasks.family import Options
from qt_hw.tasks.targets import build_target, narrower_targets

__all__ = ["narrowed"]

Counted = Callable[[str], bool]


def _every(name: str) -> bool:
    return True


def narrowed(
    name: str,
    most: int,
    generator: torch.Generator,
    activation: str | None = None,
    counted: Counted = _every,
    options: Options | None = None,
) -> nn.Module:
    """Return the target with all its hidden layers made narrower by one factor.

    It is the widest of ``narrower_targets(name)`` that has at most ``most`` weights.

    Args:
        name: See ``target_info``.
        most: Weights at most.
        generator: Source of the initial values.
        activation: See ``build_target``.
        counted: Which parameters count, by name; the others may be as many as they are.
        options: See ``build_target``.

    Raises:
        ConfigError: It cannot be narrowed, or even the narrowest has more weights.
        UnknownName: There is no such target or activation.

    >>> small = narrowed("mlp-64-32-10", 522, torch.Generator().manual_seed(0))
    >>> sum(p.numel() for p in small.parameters())
    460
    """

    def n_weights(narrow: str) -> int:
        network = build_target(narrow, torch.Generator(), options=options)
        return sum(p.numel() for key, p in network.named_parameters() if counted(key))

    names = narrower_targets(name)
    if not names:
        raise ConfigError(
            f"control.name: {name!r} cannot be made narrower: leave out the control "
            "'smaller-target'"
        )
    fitting = bisect_right(names, most, key=n_weights)
    if not fitting:
        raise ConfigError(
            f"control.name: the narrowest {name!r} has {n_weights(names[0]):,} weights, the "
            f"quantum model trains {most:,}: leave out the control 'smaller-target'"
        )
    return build_target(names[fitting - 1], generator, activation=activation, options=options)
