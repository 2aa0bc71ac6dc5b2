"""A causal language model with adapters as an ordinary network: tokens in, logits out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn

from qt_hw.errors import InputError
from qt_hw.tasks.language.export import write_adapter

if TYPE_CHECKING:
    from peft import PeftModel
    from transformers import PreTrainedModel

__all__ = ["CausalLM"]


class CausalLM(nn.Module):
    """A language model with adapters.

    Args:
        peft: The model as PEFT has made it, or with bottlenecks.
        name: Its name or folder, for the description of an export.
        built_here: Whether an export should bring the model along.

    Attributes:
        vocabulary: Number of tokens that it knows.
        context: The longest input, virtual tokens of a prompt taken off; None: not limited.
    """

    def __init__(self, peft: PeftModel | PreTrainedModel, *, name: str, built_here: bool) -> None:
        super().__init__()
        self.peft = peft
        self.name, self.built_here = name, built_here
        # Of a model that also sees, what is said of its language part.
        config: Any = cast("Any", peft.config).get_text_config()
        self.vocabulary = int(config.vocab_size)
        longest = getattr(config, "max_position_embeddings", None)
        method = getattr(peft, "active_peft_config", None)  # bottlenecks are none of PEFT
        virtual = getattr(method, "num_virtual_tokens", None) or 0
        self.context = None if longest is None else int(longest) - virtual

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits ``(B, L, vocabulary)`` of tokens ``(B, L)``; k tells k + 1."""
        logits = cast("Tensor", self.peft(input_ids=ids, use_cache=False).logits)
        return logits[:, -ids.shape[1] :]  # a prompt's virtual tokens come first

    def export_to(self, folder: Path) -> dict[str, Any]:
        """Write the adapters as PEFT does; see ``write_adapter``.

        Raises:
            InputError: PEFT does not know these adapters.
            StorageError: The folder cannot be written.
        """
        if not hasattr(self.peft, "active_peft_config"):
            raise InputError(
                "PEFT has no bottleneck adapters: export them to a file that ends in .safetensors"
            )
        model: Any = copy.deepcopy(self.peft)
        return write_adapter(model, folder, name=self.name, with_base=self.built_here)
