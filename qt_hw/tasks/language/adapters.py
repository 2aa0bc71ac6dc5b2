"""Adapters of PEFT, by name."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from torch import nn
from torch.nn.utils import parametrize

from qt_hw.errors import InputError
from qt_hw.tasks.language.bottleneck import with_bottlenecks
from qt_hw.tasks.language.gain import Gain
from qt_hw.tasks.language.options import OPTION, ModelOptions
from qt_hw.tasks.language.peft_options import check_patterns, peft_config, reason
from qt_hw.tasks.language.vendors import vendor

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

__all__ = ["adapted", "adapter_names"]


def adapted(base: PreTrainedModel, options: ModelOptions) -> PeftModel | PreTrainedModel:
    """Return the model with adapters; all else is frozen.

    The adapters start as PEFT starts them, drawn from torch's global generator.

    Raises:
        UnknownName: PEFT has no such method, or the method no such option.
        InputError: A named module does not exist, or the method cannot serve the model.
    """
    layers = _listed(base)  # a method that fails may have replaced some
    _check_modules(base, options.names, layers)
    if options.adapter == "bottleneck":
        _check_bottleneck(options)
        return with_bottlenecks(base.requires_grad_(False), options.names, options.rank)
    config = peft_config(options)
    peft: Any = vendor("peft")
    with warnings.catch_warnings():
        # PEFT tells that it handles the transposed layers of GPT-2 and tied embeddings.
        warnings.simplefilter("ignore")
        try:
            model: PeftModel = peft.get_peft_model(base, config)
        # RuntimeError, of which NotImplementedError is one, says also what "meta" cannot do.
        except (ValueError, TypeError, RuntimeError, AttributeError) as error:
            given = ", ".join(OPTION + key for key in options.peft)
            raise InputError(
                f"the adapter {options.adapter!r} cannot be put on {options.model!r} "
                f"({reason(error)}): {f'look at {given}, ' * bool(given)}"
                f"set target.options.modules to some of {layers}, or another adapter"
            ) from error
    check_patterns(model, config)
    if options.gain == "zero":
        _add_gain(model, options)
    if not adapter_names(model):
        raise InputError(
            f"the adapter {options.adapter!r} has no parameters of its own to generate: "
            "take lora, dora, prefix, prompt or bottleneck"
        )
    return model


def adapter_names(model: nn.Module) -> tuple[str, ...]:
    """Return the names of the adapters' parameters, which PEFT marks as trained.

    The gains are not among them: they are trained as they are.
    """
    return tuple(
        name
        for name, parameter in model.named_parameters()
        if parameter.requires_grad and not name.endswith(".gain")
    )


def _check_bottleneck(options: ModelOptions) -> None:
    """Refuse options that bottlenecks, which are not PEFT's, would pass over in silence."""
    if options.peft:
        key = next(iter(options.peft))
        raise InputError(f"{OPTION}{key} belongs to PEFT, not to 'bottleneck'")
    if options.gain == "zero":
        raise InputError("target.options.gain = 'zero' belongs to lora and dora, not to bottleneck")


def _check_modules(base: nn.Module, names: Sequence[str], layers: str) -> None:
    """Refuse names that no module of the model ends in."""
    there = [path for path, _ in base.named_modules()]
    for name in names:
        if not any(path == name or path.endswith(f".{name}") for path in there):
            raise InputError(
                f"target.options.modules: the model has no module {name!r}; those that can have "
                f"adapters: {layers}"
            )


def _listed(base: nn.Module) -> str:
    """Return the last names of the layers that hold a matrix, and their kinds."""
    found = {
        (path.rpartition(".")[2], type(module).__name__)
        for path, module in base.named_modules()
        if getattr(module, "weight", None) is not None and module.weight.ndim == 2
    }
    return ", ".join(f"{name} ({kind})" for name, kind in sorted(found))


def _add_gain(model: nn.Module, options: ModelOptions) -> None:
    """Put a trained factor on each LoRA, and start its second matrix like the first.

    With that matrix at zero, as PEFT starts it, and the factor at zero too, neither had a gradient.
    """
    layers = [layer for path, layer in model.named_modules() if path.endswith(".lora_B.default")]
    if not layers:
        raise InputError(
            f"target.options.gain = 'zero' belongs to lora and dora on dense layers, not to "
            f"{options.adapter!r} on {options.modules or 'these modules'}"
        )
    for layer in layers:
        nn.init.kaiming_uniform_(layer.weight, a=5**0.5)
        parametrize.register_parametrization(layer, "weight", Gain())
