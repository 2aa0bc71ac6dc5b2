"""Language models before they get adapters."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from qt_hw.errors import DataError, QtHwError
from qt_hw.tasks.language.options import BUILT_IN, ModelOptions
from qt_hw.tasks.language.pretraining import Recipe, pretrained
from qt_hw.tasks.language.vendors import vendor

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["base_config", "build_base", "empty_base", "seeded"]

_VOCABULARY = 257  # bytes, and the end of a document


def base_config(options: ModelOptions) -> PretrainedConfig:
    """Return the configuration of the model.

    Raises:
        DataError: A model of Hugging Face is not to be had.
        MissingExtra: ``transformers`` is not installed.
    """
    transformers: Any = vendor("transformers")
    config: PretrainedConfig
    if options.model == "tiny-gpt2":
        # So small a model does not overfit; without dropout a step needs no random numbers.
        config = transformers.GPT2Config(
            vocab_size=_VOCABULARY,
            n_positions=options.context,
            n_embd=options.width,
            n_layer=options.layers,
            n_head=options.heads,
            **dict.fromkeys(("embd_pdrop", "attn_pdrop", "resid_pdrop"), 0.0),
            bos_token_id=_VOCABULARY - 1,
            eos_token_id=_VOCABULARY - 1,
        )
    elif options.model == "gpt2-random":
        config = transformers.GPT2Config()
    else:
        with _loading(options.model) as path:
            config = transformers.AutoConfig.from_pretrained(path)
    return config


def empty_base(options: ModelOptions, device: str = "meta") -> PreTrainedModel:
    """Return the model without memory for its weights, or on another device with random ones.

    Raises:
        DataError: See ``base_config``, or the model is of another kind.
    """
    transformers: Any = vendor("transformers")
    config = base_config(options)
    with _loading(options.model), seeded(0), torch.device(device):
        model: PreTrainedModel = transformers.AutoModelForCausalLM.from_config(config)
    return model


def build_base(options: ModelOptions, seed: int) -> PreTrainedModel:
    """Return the model with its weights, float32 on the CPU.

    Args:
        options: Which.
        seed: Of the random weights of ``gpt2-random``.

    Raises:
        DataError: A model of Hugging Face is not to be had.
        StorageError: The data folder cannot be written.
    """
    transformers: Any = vendor("transformers")
    model: PreTrainedModel
    if options.model == "tiny-gpt2":
        config = base_config(options)
        recipe = Recipe(
            text=options.pretrain_text, steps=options.pretrain_steps, seed=options.pretrain_seed
        )
        model = pretrained(config, recipe)
    elif options.model == "gpt2-random":
        with seeded(seed):
            model = transformers.AutoModelForCausalLM.from_config(base_config(options))
    else:
        with _loading(options.model) as path:
            model, loading = transformers.AutoModelForCausalLM.from_pretrained(
                path, dtype=torch.float32, output_loading_info=True
            )
            if missing := sorted(loading["missing_keys"]):
                # They would be drawn at random, anew for each twin and each resumed run.
                raise DataError(
                    f"the model {options.model!r} comes without its weights {missing[0]!r}: set "
                    "target.options.model to one that was saved as a causal language model"
                )
    return model.requires_grad_(False)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Give what draws from torch's global generator numbers of its own."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


@contextlib.contextmanager
def _loading(name: str) -> Iterator[str]:
    """Turn the errors of loading a model into one that says what to name."""
    path = Path(os.path.expanduser(name))
    if (path / "adapter_config.json").is_file() and not (path / "config.json").is_file():
        raise DataError(
            f"{name} holds adapters without a model: set target.options.model to the folder of "
            "the model they belong to"
        )
    try:
        yield str(path) if path.exists() else name
    except QtHwError:
        raise
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DataError(
            f"cannot load the model {name!r} ({reason}): set target.options.model to "
            f"{', '.join(BUILT_IN)}, a causal language model of Hugging Face, or a folder made by "
            "save_pretrained"
        ) from error
