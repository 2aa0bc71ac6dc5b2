"""From the options of ``[target]`` to the configuration of a PEFT method."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import Field, fields
from typing import TYPE_CHECKING, Any

from torch import nn

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks.language.options import OPTION, PEFT, ModelOptions
from qt_hw.tasks.language.vendors import vendor

if TYPE_CHECKING:
    from peft import PeftConfig

__all__ = ["check_patterns", "peft_config", "reason"]

_TYPES = {"lora": "LORA", "dora": "LORA", "prefix": "PREFIX_TUNING", "prompt": "PROMPT_TUNING"}
# How a method may call one of our options; the first that it knows is taken.
_FIELDS = {
    "rank": ("r",),
    "scale": ("lora_alpha", "alpha"),
    "dropout": ("lora_dropout",),
    "tokens": ("num_virtual_tokens",),
}


def peft_config(options: ModelOptions) -> PeftConfig:
    """Return the configuration of the method, from those of our options that it knows.

    Raises:
        UnknownName: PEFT has no such method, or the method no such option.
        InputError: The method does not take a value.
    """
    vendor("peft")
    from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds = {
        str(getattr(kind, "value", kind)): c for kind, c in PEFT_TYPE_TO_CONFIG_MAPPING.items()
    }
    name = options.adapter.lower()
    wanted = _TYPES.get(name, name.upper().replace("-", "_"))
    if wanted not in kinds:
        others = (kind.lower() for kind in kinds if kind not in _TYPES.values())
        raise UnknownName("adapter", options.adapter, (*_TYPES, "bottleneck", *others))
    kind: Any = kinds[wanted]
    known = {f.name: f for f in fields(kind)}
    found: dict[str, Any] = {"task_type": "CAUSAL_LM"}
    for ours, theirs in _FIELDS.items():
        if taken := next((field for field in theirs if field in known), None):
            found[taken] = getattr(options, ours)
    if options.names and "target_modules" not in known:
        raise InputError(f"the adapter {options.adapter!r} takes no target.options.modules")
    if options.names:
        found["target_modules"] = list(options.names)
    if name == "dora":
        found["use_dora"] = True
    for key, value in options.peft.items():
        if key not in known:
            raise UnknownName(f"option of the adapter {options.adapter!r}", PEFT + key, _own(known))
        _check_table(known[key], value)
        found[key] = _plain(value)
    if str(found.get("init_lora_weights")).startswith("pissa_niter"):
        raise InputError(
            f"{OPTION}init_lora_weights = {found['init_lora_weights']!r} takes a "
            "random part out of the model, so that exported adapters would not fit: take 'pissa'"
        )
    try:
        config: PeftConfig = kind(**found)
    except (ValueError, TypeError) as error:
        raise InputError(
            f"the adapter {options.adapter!r} does not take these options ({reason(error)}): its "
            f"own are set as {OPTION}NAME"
        ) from error
    return config


def check_patterns(model: nn.Module, config: PeftConfig) -> None:
    """Refuse options for layers, such as ``rank_pattern``, that reach no layer with an adapter.

    PEFT passes over them in silence.

    Args:
        model: With adapters.
        config: By which they were made.

    Raises:
        InputError: A pattern fits no such layer.
    """
    patterns = [
        (one.name, pattern)
        for one in fields(config)
        if _by_layer(one)
        for pattern in getattr(config, one.name)
    ]
    if not patterns:
        return
    from peft.tuners.tuners_utils import BaseTunerLayer

    layers = [path for path, one in model.named_modules() if isinstance(one, BaseTunerLayer)]
    for name, pattern in patterns:
        # As PEFT compares them.
        if not any(re.match(rf"(.*\.)?({pattern})$", path) for path in layers):
            there = ", ".join(sorted({path.rpartition(".")[2] for path in layers}))
            raise InputError(
                f"{OPTION}{name}: no layer with an adapter ends in {pattern!r}; there are {there}"
            )


def reason(error: Exception) -> str:
    """Return the first line of what PEFT said."""
    return (str(error) or type(error).__name__).splitlines()[0]


def _own(known: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(PEFT + name for name in known))


def _check_table(field: Field[Any], value: object) -> None:
    """Refuse a table where the method takes none, and anything else where it takes only tables."""
    key = OPTION + field.name
    if not isinstance(value, Mapping):
        if field.default_factory is dict:
            example = f", such as --set {key}.c_attn=8" if _by_layer(field) else ""
            raise InputError(f"{key} must be a table{example}, got {_plain(value)!r}")
        return
    if "dict" not in str(field.type).lower():
        raise InputError(f"{key} takes no table, got {_plain(value)}")
    for pattern in value if _by_layer(field) else ():
        try:
            re.compile(pattern)
        except re.error as error:
            raise InputError(f"{key}: {pattern!r} is no regular expression ({error})") from None


def _by_layer(field: Field[Any]) -> bool:
    """Return whether its keys are ends of layers' names, as regular expressions.

    Tables of the same names that are not there from the start mean other things: parts of names
    (OSF), or what training has found (AdaLoRA).
    """
    return field.name.endswith("_pattern") and field.default_factory is dict


def _plain(value: object) -> object:
    """Return an option as PEFT asks for it: lists and dicts."""
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return list(value) if isinstance(value, tuple) else value
