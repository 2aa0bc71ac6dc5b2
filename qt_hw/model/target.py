"""Binding generated weights to any target module.

The binder keeps a copy of the target in which each generated parameter is a plain placeholder
attribute: neither parameter nor buffer, so absent from ``parameters()`` and ``state_dict()``.
A call swaps the generated tensors in with ``torch.func.functional_call``.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from qt_hw.errors import InputError

__all__ = ["CONSTANT_SPREAD", "Select", "Slot", "Target"]

Select = Callable[[str, nn.Parameter], bool] | Sequence[str] | str | None

CONSTANT_SPREAD = 0.05
"""Initial spread of a tensor that starts constant, in units of max(1, |constant|)."""

_COMPUTED: dict[type, str] = {
    WeightNorm: "use torch.nn.utils.parametrizations.weight_norm",
    SpectralNorm: "use torch.nn.utils.parametrizations.spectral_norm",
    BasePruningMethod: "make the pruning permanent with torch.nn.utils.prune.remove",
}


@dataclass(frozen=True, kw_only=True)
class Slot:
    """One generated tensor.

    Attributes:
        name: Its first name in the target.
        places: A name for each (layer, attribute) that holds it; several for tied weights.
        shape: Its shape.
        mean: Mean of its initial values in the target.
        std: Their standard deviation; ``CONSTANT_SPREAD * max(1, |mean|)`` if all are equal.
        requires_grad: As it was in the target; restored by ``export``.
    """

    name: str
    places: tuple[str, ...]
    shape: torch.Size
    mean: float
    std: float
    requires_grad: bool

    @property
    def size(self) -> int:
        """Number of weights."""
        return self.shape.numel()


class Target(nn.Module):
    """A copy of the target whose selected parameters come from outside.

    Args:
        target: Any module; it is copied and stays as it is.
        select: Which parameters to generate: None for all, a callable ``(name, parameter) ->
            bool``, or names and glob patterns such as ``"layers.*.weight"``. A tied parameter is
            selected if any of its names is, counts once and stays tied.

    Attributes:
        lock: Held while generated tensors are swapped in, so that threads take turns.

    Raises:
        InputError: Nothing is selected, a pattern matches no parameter, the selected parameters
            differ in dtype or device, are not floating point or hold a NaN or an infinity, or
            the target cannot be served (uninitialised, compiled by ``torch.jit``, or with
            weights that a hook computes).
    """

    def __init__(self, target: nn.Module, select: Select = None) -> None:
        super().__init__()
        self.lock = threading.RLock()
        _check_layers(target)
        self.module = _copied(target)
        parameters = _parameters(self.module)
        chosen = _chosen(parameters, select)
        self.n_target = sum(e.parameter.numel() for e in parameters)
        self.slots = tuple(_slot(e) for e in chosen)
        self.dtype, self.device = _common_kind([e.parameter for e in chosen])
        self._order = {path: list(m._parameters) for path, m in self.module.named_modules()}
        for e in chosen:
            placeholder = torch.zeros((), dtype=self.dtype).expand(e.parameter.shape)
            for place in e.places:
                module, attribute = _owner(self.module, place)
                del module._parameters[attribute]
                setattr(module, attribute, placeholder)

    def __getstate__(self) -> dict[str, Any]:
        """Return the state for copies and pickles, which get a lock of their own."""
        return {key: value for key, value in self.__dict__.items() if key != "lock"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state of ``__getstate__``."""
        super().__setstate__(state)  # type: ignore[no-untyped-call]
        self.lock = threading.RLock()

    @property
    def n_generated(self) -> int:
        """Number of generated weights, tied ones counted once."""
        return sum(slot.size for slot in self.slots)

    def split(self, weights: Tensor) -> dict[str, Tensor]:
        """Return the flat ``weights`` ``(n_generated,)`` as tensors by their first names.

        Each has memory of its own: a layer may write to its weights (``Embedding(max_norm=…)``).
        """
        ends = list(accumulate(slot.size for slot in self.slots))
        return {
            slot.name: weights[end - slot.size : end].clone().view(slot.shape)
            for slot, end in zip(self.slots, ends, strict=True)
        }

    def call(self, tensors: dict[str, Tensor], *args: object, **kwargs: object) -> object:
        """Return the target's output with ``tensors`` (by first name) as its weights."""
        bound = {place: tensors[s.name] for s in self.slots for place in s.places}
        with self.lock:
            return torch.func.functional_call(self.module, bound, args, dict(kwargs))

    def filled(self, tensors: dict[str, Tensor]) -> nn.Module:
        """Return an ordinary copy of the target with ``tensors`` as its own parameters."""
        with self.lock:
            module = copy.deepcopy(self.module)
        for slot in self.slots:
            value = tensors[slot.name].detach().clone()
            parameter = nn.Parameter(value, requires_grad=slot.requires_grad)
            for place in slot.places:
                owner, attribute = _owner(module, place)
                delattr(owner, attribute)
                owner.register_parameter(attribute, parameter)
        for path, owner in module.named_modules():
            _reorder(owner, self._order[path])
        return module


def _check_layers(target: nn.Module) -> None:
    """Refuse layers whose parameters have no values yet or cannot be replaced by tensors."""
    for path, layer in target.named_modules():
        where = f"layer {path!r}" if path else "the target"
        if isinstance(layer, torch.jit.ScriptModule):
            raise InputError(f"{where} is compiled by torch.jit: pass the ordinary module")
        for name, parameter in layer.named_parameters(recurse=False):
            if is_lazy(parameter) or parameter.is_meta:
                raise InputError(
                    f"{name!r} of {where} has no values yet: initialise the target first "
                    "(a lazy layer by a forward call)"
                )
        for hook in layer._forward_pre_hooks.values():
            for kind, advice in _COMPUTED.items():
                if isinstance(hook, kind):
                    raise InputError(f"weights of {where} are computed in a hook: {advice}")


def _copied(target: nn.Module) -> nn.Module:
    try:
        return copy.deepcopy(target)
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise InputError(f"the target cannot be copied by copy.deepcopy: {reason}") from error


@dataclass(frozen=True)
class _Named:
    """A parameter with every name it has, and one name for each place that holds it."""

    parameter: nn.Parameter
    names: list[str]
    places: list[str]


def _parameters(module: nn.Module) -> list[_Named]:
    """Return each parameter of ``module`` once, in its usual order."""
    found: dict[int, _Named] = {}
    seen: set[tuple[int, str]] = set()
    for path, owner in module.named_modules(remove_duplicate=False):
        for attribute, parameter in owner._parameters.items():
            if parameter is None:
                continue
            named = found.setdefault(id(parameter), _Named(parameter, [], []))
            name = f"{path}.{attribute}" if path else attribute
            named.names.append(name)
            # A layer that is used twice has two names but one place: swapping a tensor in by
            # both would leave it there.
            if (id(owner), attribute) not in seen:
                seen.add((id(owner), attribute))
                named.places.append(name)
    return list(found.values())


def _chosen(parameters: list[_Named], select: Select) -> list[_Named]:
    known = [name for named in parameters for name in named.names]
    if select is None:
        return _some(parameters, known)
    if callable(select):
        rule = select
        return _some(
            [e for e in parameters if any(rule(name, e.parameter) for name in e.names)], known
        )
    patterns = _patterns(select)
    _check_patterns(patterns, known)
    hits = {name for name in known for pattern in patterns if fnmatchcase(name, pattern)}
    return _some([e for e in parameters if hits.intersection(e.names)], known)


def _patterns(select: object) -> list[str]:
    entries = [select] if isinstance(select, str) or not isinstance(select, Iterable) else select
    patterns = []
    for entry in entries:
        if not isinstance(entry, str):
            raise InputError(
                "select must be None, names or patterns of parameters, or a function (name, "
                f"parameter) -> bool; found a value of type {type(entry).__name__}"
            )
        patterns.append(entry)
    return patterns


def _some(chosen: list[_Named], known: list[str]) -> list[_Named]:
    if not chosen:
        raise InputError(f"select chooses no parameter of the target (it has: {_listed(known)})")
    return chosen


def _check_patterns(patterns: list[str], known: list[str]) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in known):
            raise InputError(
                f"select: {pattern!r} matches no parameter (the target has: {_listed(known)})"
            )


def _listed(names: list[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (", …" if len(names) > most else "") or "none"


def _common_kind(parameters: list[nn.Parameter]) -> tuple[torch.dtype, torch.device]:
    kinds = {(p.dtype, p.device) for p in parameters}
    if len(kinds) > 1:
        found = ", ".join(sorted(f"{dtype} on {device}" for dtype, device in kinds))
        raise InputError(f"generated parameters must share dtype and device, found {found}")
    dtype, device = kinds.pop()
    if not dtype.is_floating_point:
        raise InputError(f"generated parameters must be floating point, not {dtype}")
    return dtype, device


def _slot(entry: _Named) -> Slot:
    parameter = entry.parameter
    values = parameter.detach().to(torch.float64).flatten()
    if not torch.isfinite(values).all():
        raise InputError(f"{entry.names[0]!r} of the target holds a NaN or an infinity")
    # A tensor without entries (a layer of width 0) has no statistics.
    mean = float(values.mean()) if len(values) else 0.0
    std = float(values.std(correction=0)) if len(values) else 0.0
    if std <= 1e-12 * max(1.0, abs(mean)):
        std = CONSTANT_SPREAD * max(1.0, abs(mean))
    return Slot(
        name=entry.names[0],
        places=tuple(entry.places),
        shape=parameter.shape,
        mean=mean,
        std=std,
        requires_grad=parameter.requires_grad,
    )


def _owner(module: nn.Module, name: str) -> tuple[nn.Module, str]:
    path, _, attribute = name.rpartition(".")
    return module.get_submodule(path), attribute


def _reorder(module: nn.Module, order: list[str]) -> None:
    parameters = {name: module._parameters[name] for name in order}
    module._parameters.clear()
    module._parameters.update(parameters)
