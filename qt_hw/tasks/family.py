"""A kind of target network: all names of one pattern, and how they are built."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

__all__ = ["Options", "TargetFamily", "TargetInfo"]

Options = Mapping[str, object]


@dataclass(frozen=True, kw_only=True)
class TargetInfo:
    """What is known of a target before it is built.

    Attributes:
        name: Name for ``build_target``.
        n_weights: Number of its parameters.
        input_shape: Shape of one input, without the batch; None where any will do.
        activation: The activation if none is asked for.
        source: Where the network comes from.
        select: Patterns of the parameters that are generated if none are asked for; None: all.
    """

    name: str
    n_weights: int
    input_shape: tuple[int, ...] | None
    activation: str
    source: str
    select: tuple[str, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class TargetFamily:
    """Networks of one kind.

    Attributes:
        examples: Names that lists show.
        pattern: Regular expression of all names.
        said: The names in words, for messages; empty where the examples are all.
        info: From a name and the options of ``[target]`` to what is known of the network.
        build: From a name, the options, the source of all randomness (a CPU generator) and the
            activation (None: the network's own) to the network, float32 on the CPU.
        narrower: Names of the narrower networks, narrowest first; None where there are none.
    """

    examples: tuple[str, ...]
    pattern: str
    said: str = ""
    info: Callable[[str, Options], TargetInfo]
    build: Callable[[str, Options, torch.Generator, str | None], nn.Module]
    narrower: Callable[[str], Sequence[str]] | None = None

    def has(self, name: str) -> bool:
        """Return whether ``name`` is one of this kind."""
        return re.fullmatch(self.pattern, str(name)) is not None
