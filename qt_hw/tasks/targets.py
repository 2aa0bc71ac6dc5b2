"""The networks whose weights are generated, by name.

Each kind of network is a ``TargetFamily`` in a module of its own, imported when one of its names
is used.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from importlib import import_module

import torch
from torch import nn

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks.family import Options, TargetFamily, TargetInfo

__all__ = [
    "TargetInfo",
    "build_target",
    "check_fit",
    "family_of",
    "known_targets",
    "narrower_targets",
    "target_info",
]

_FAMILIES = {
    "mlp": "qt_hw.tasks.image_targets",
    "cnn": "qt_hw.tasks.image_targets",
    "causal": "qt_hw.tasks.language.target",
    "lstm": "qt_hw.tasks.flood.target",
    "policy": "qt_hw.tasks.reinforcement.target",
    "typhoon": "qt_hw.tasks.typhoon.target",
}
"""Module of each family by the first word of its names."""


def known_targets() -> tuple[str, ...]:
    """Return names that ``build_target`` accepts, one or more of each kind.

    >>> known_targets()[:3]
    ('mlp-64-32-10', 'cnn-mnist', 'cnn-cifar')
    """
    return tuple(name for family in _families() for name in family.examples)


def family_of(name: str) -> TargetFamily:
    """Return the kind of network that has this name.

    Raises:
        UnknownName: There is none.
    """
    module = _FAMILIES.get(str(name).split("-")[0])
    near = list(_families()) if module is None else [_family(module)]
    if module is not None and near[0].has(name):
        return near[0]
    said = tuple(family.said for family in near if family.said)
    examples = tuple(example for family in near for example in family.examples)
    raise UnknownName("target", str(name), (*examples, *said))


def target_info(name: str, options: Options | None = None) -> TargetInfo:
    """Return the facts of a target.

    Args:
        name: A name as in ``known_targets()``, such as ``mlp-64-8-10`` with 8 hidden units.
        options: Those of ``[target]``.

    Raises:
        UnknownName: There is no such target, or it has no such option.

    >>> target_info("cnn-cifar").n_weights
    285226
    >>> target_info("mlp-64-8-10").n_weights
    610
    """
    return family_of(name).info(name, options or {})


def check_fit(name: str, input_shape: Sequence[int], options: Options | None = None) -> None:
    """Refuse data of another shape than the target takes.

    Args:
        name: Name of the target.
        input_shape: Shape of one input, without the batch: ``Data.input_shape``.
        options: Those of ``[target]``.

    Raises:
        UnknownName: There is no such target.
        InputError: The shapes differ.
    """
    takes, has = target_info(name, options).input_shape, tuple(input_shape)
    if takes is None or takes == has:
        return
    fitting = ", ".join(t for t in known_targets() if target_info(t).input_shape == has)
    kinds = ", ".join(family.said for family in _families() if family.said)
    named = f"targets that fit: {fitting}" if fitting else f"name one that fits; there are {kinds}"
    hint = {(64,): 8, (1, 28, 28): 28}.get(takes)
    advice = f", or set image_size = {hint} in the task 'digits'" if hint else ""
    raise InputError(
        f"target {name!r} takes inputs of shape {takes}, the data have {has}: {named}{advice}"
    )


def build_target(
    name: str,
    generator: torch.Generator,
    *,
    activation: str | None = None,
    options: Options | None = None,
) -> nn.Module:
    """Return a freshly initialised target network, float32 on the CPU.

    Args:
        name: See ``target_info``.
        generator: Source of all randomness (a CPU generator); torch's global one is not touched.
        activation: ``"none"``, ``"relu"`` or ``"tanh"`` after every hidden layer; by default
            the target's own: ReLU for the dense network, none for the published CNNs.
        options: Those of ``[target]``.

    Raises:
        UnknownName: There is no such target, activation or option.
        InputError: ``generator`` is no CPU generator.

    >>> net = build_target("mlp-64-32-10", torch.Generator().manual_seed(0))
    >>> sum(p.numel() for p in net.parameters())
    2410
    """
    family = family_of(name)
    if not isinstance(generator, torch.Generator) or generator.device.type != "cpu":
        raise InputError(
            f"generator must be a torch.Generator on the CPU, got {generator!r}: "
            "pass torch.Generator().manual_seed(0)"
        )
    return family.build(name, options or {}, generator, activation)


def narrower_targets(name: str) -> tuple[str, ...]:
    """Return the names of the narrower networks of the same kind, narrowest first.

    The last is the network itself; there are none of a network that cannot be narrowed.

    Raises:
        UnknownName: There is no such target.

    >>> narrower_targets("cnn-mnist")[:3]
    ('cnn-mnist-1-1-1', 'cnn-mnist-1-1-2', 'cnn-mnist-1-2-2')
    """
    narrower = family_of(name).narrower
    return () if narrower is None else tuple(narrower(name))


def _families() -> Iterator[TargetFamily]:
    return (_family(module) for module in dict.fromkeys(_FAMILIES.values()))


def _family(module: str) -> TargetFamily:
    family: TargetFamily = import_module(module).FAMILY
    return family
