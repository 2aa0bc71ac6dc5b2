"""The family ``causal-lm``: language models with adapters, whose adapters are generated.

GPT-2 with LoRA of rank 4 on ``lm_head`` is the paper's (QPA, arXiv:2410.09846): 4x768 and 50,257x4
numbers of the adapter are generated, the model itself stays as it is.
"""

from __future__ import annotations

import json
from functools import lru_cache

import torch
from torch import nn

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks.family import Options, TargetFamily, TargetInfo
from qt_hw.tasks.language.adapters import adapted, adapter_names
from qt_hw.tasks.language.base import build_base, empty_base, seeded
from qt_hw.tasks.language.network import CausalLM
from qt_hw.tasks.language.options import BUILT_IN, ModelOptions, read_options

__all__ = ["FAMILY"]

_NAME = "causal-lm"
_SOURCE = "GPT-2 and other models of Hugging Face; adapters of PEFT; QPA, arXiv:2410.09846"
_LAYER = "peft.base_model.model.transformer.h.{}.attn.c_attn.lora_{}.default.weight"
# Of the default options: known without transformers, which lists of targets should not need.
_DEFAULT = (124_736, tuple(_LAYER.format(layer, factor) for layer in (0, 1) for factor in "AB"))


def _info(name: str, options: Options) -> TargetInfo:
    n_weights, select = _facts(name, _written(options)) if options else _DEFAULT
    return TargetInfo(
        name=name,
        n_weights=n_weights,
        input_shape=None,  # a text of any length up to the model's context
        activation="none",
        source=_SOURCE,
        select=select,
    )


def _written(options: Options) -> str:
    """Return the options as JSON: what a cache can hold, tables too, and tells 1 from true."""
    try:
        return json.dumps(dict(options), sort_keys=True)
    except TypeError as error:
        raise InputError(
            f"target.options hold texts, numbers, true, false, lists and tables of these: {error}"
        ) from None


@lru_cache(maxsize=32)
def _facts(name: str, options: str) -> tuple[int, tuple[str, ...]]:
    """Return the number of parameters, and the names of those that are generated."""
    read = read_options(name, json.loads(options))
    try:
        with torch.device("meta"):
            network = _network(adapted(empty_base(read), read), read)
    except InputError as error:
        # Some methods look at the values of weights, of which there are none on "meta".
        if not isinstance(error.__cause__, RuntimeError):
            raise
        with seeded(0):
            network = _network(adapted(empty_base(read, "cpu"), read), read)
    return sum(p.numel() for p in network.parameters()), adapter_names(network)


def _build(
    name: str, options: Options, generator: torch.Generator, activation: str | None
) -> nn.Module:
    if activation not in (None, "none"):
        raise UnknownName(f"activation of the target {name!r}", str(activation), ("none",))
    read = read_options(name, options)
    base_seed, seed = torch.randint(2**31, (2,), generator=generator).tolist()
    base = build_base(read, base_seed)
    with seeded(seed):
        return _network(adapted(base, read), read)


def _network(model: object, options: ModelOptions) -> CausalLM:
    return CausalLM(model, name=options.model, built_here=options.model in BUILT_IN)  # type: ignore[arg-type]


FAMILY = TargetFamily(
    examples=(_NAME,),
    pattern=_NAME,
    info=_info,
    build=_build,
)
