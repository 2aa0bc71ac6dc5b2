"""Bottleneck adapters, which PEFT does not have: a small dense network behind a layer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from qt_hw.errors import InputError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Bottleneck", "with_bottlenecks"]

_USUAL = ("mlp", "feed_forward", "ffn")
_SPREAD = 1e-2  # of the initial weights, so that the model starts nearly as it is


class Bottleneck(nn.Module):
    """A layer, then ``y + up(gelu(down(y)))``.

    Source: Houlsby et al., arXiv:1902.00751, one adapter behind each feed-forward layer.

    Args:
        layer: The layer; it stays as it is.
        size: Width of its output.
        width: Of the bottleneck.
    """

    def __init__(self, layer: nn.Module, size: int, width: int) -> None:
        super().__init__()
        self.layer = layer
        self.down, self.up = nn.Linear(size, width), nn.Linear(width, size)
        for dense in (self.down, self.up):
            nn.init.normal_(dense.weight, std=_SPREAD)
            nn.init.zeros_(dense.bias)

    def forward(self, *inputs: object, **named: object) -> Tensor:
        """Return the layer's output with the adapter's change added."""
        y = cast("Tensor", self.layer(*inputs, **named))
        return y + cast("Tensor", self.up(F.gelu(self.down(y))))


def with_bottlenecks(model: PreTrainedModel, names: Sequence[str], width: int) -> PreTrainedModel:
    """Put a bottleneck behind each module of these names; the model is changed and returned.

    Args:
        model: Frozen.
        names: Last names of the modules; without any, the usual ones of feed-forward layers.
        width: Of the bottlenecks.

    Raises:
        InputError: The model has no such module.
    """
    wanted = tuple(names) or _USUAL
    paths = [path for path, _ in model.named_modules() if path.rpartition(".")[2] in wanted]
    if not paths:
        raise InputError(
            f"the model has none of {', '.join(wanted)} to put bottlenecks behind: set "
            "target.options.modules to the name of its feed-forward layers"
        )
    size = int(cast("Any", model.config).get_text_config().hidden_size)
    for path in reversed(paths):  # what is inside of another named module comes first
        above, _, name = path.rpartition(".")
        owner = model.get_submodule(above)
        adapter = Bottleneck(getattr(owner, name), size, width)
        setattr(owner, name, adapter)
    return model
