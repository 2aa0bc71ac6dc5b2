"""The tiny GPT-2 learns to read once; what it has learnt is kept in the data folder.

The file is named after a hash of everything that its weights follow from (text, shape, steps,
seed), so another recipe makes another file and an old one is never mistaken for it.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from qt_hw.errors import DataError, StorageError
from qt_hw.storage import write_bytes
from qt_hw.tasks.files import data_folder
from qt_hw.tasks.language.packing import pack_windows
from qt_hw.tasks.language.scores import mean_loss
from qt_hw.tasks.language.text import Text, read_text
from qt_hw.tasks.language.tokens import ByteTokens
from qt_hw.tasks.language.vendors import vendor
from qt_hw.tasks.lock import locked

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedModel

__all__ = ["Recipe", "pretrained"]

_VERSION = 2  # of what is below; another one makes other weights
_BATCH, _RATE, _DECAY, _WARMUP, _CLIP = 16, 4e-3, 0.01, 50, 1.0
_SHAPE = ("vocab_size", "n_positions", "n_embd", "n_layer", "n_head")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the tiny GPT-2 learns to read.

    Attributes:
        text: See ``read_text``; only its training part is read.
        steps: Steps of AdamW on 16 windows; 0 leaves the weights random.
        seed: Of the initial weights and of the order of the windows.
    """

    text: str
    steps: int
    seed: int


def pretrained(config: PretrainedConfig, recipe: Recipe) -> PreTrainedModel:
    """Return the tiny GPT-2 with its weights, from the data folder if it has read before.

    Two processes that need the same weights take turns: one learns, the other loads.

    Raises:
        DataError: The text is not to be had, or the file is damaged.
        StorageError: The data folder cannot be written.
    """
    text = read_text(recipe.text)
    model = _untrained(config, recipe.seed)
    if not recipe.steps:
        return model
    path = data_folder() / "language" / f"tiny-gpt2-{_key(config, recipe, text)}.safetensors"
    try:
        with locked(path.parent):
            if path.exists():
                return _loaded(model, path)
            _learn(model, config.n_positions, recipe, text)
            write_bytes(path, _saved(model))
    except OSError as error:
        raise StorageError(
            f"cannot keep the pre-trained model in {path.parent} ({error.strerror or error}): set "
            "QT_HW_DATA to a folder that you can write to"
        ) from error
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _untrained(config: PretrainedConfig, seed: int) -> PreTrainedModel:
    transformers: Any = vendor("transformers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model: PreTrainedModel = transformers.GPT2LMHeadModel(config)
    return model


def _key(config: PretrainedConfig, recipe: Recipe, text: Text) -> str:
    shape = {name: getattr(config, name) for name in _SHAPE}
    content = hashlib.sha256("\0".join(text.train).encode()).hexdigest()
    everything = [_VERSION, shape, asdict(recipe), content]
    return hashlib.sha256(json.dumps(everything, sort_keys=True).encode()).hexdigest()[:16]


def _saved(model: PreTrainedModel) -> bytes:
    from safetensors.torch import save

    # The output layer is the embedding, and safetensors holds no tensor twice.
    return save({name: p.detach() for name, p in model.named_parameters()})


def _loaded(model: PreTrainedModel, path: Path) -> PreTrainedModel:
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state, own = load(path.read_bytes()), dict(model.named_parameters())
    except SafetensorError as error:
        raise DataError(f"{path} is damaged ({error}): delete it and run again") from error
    if {name: p.shape for name, p in own.items()} != {name: t.shape for name, t in state.items()}:
        raise DataError(f"{path} holds another model: delete it and run again")
    with torch.no_grad():
        for name, parameter in own.items():
            parameter.copy_(state[name])
    model.eval()  # type: ignore[no-untyped-call]
    return model


def _learn(model: PreTrainedModel, length: int, recipe: Recipe, text: Text) -> None:
    tokens = ByteTokens()
    windows = pack_windows(tokens.encode(text.train), tokens.end, length, length)
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(model.parameters(), lr=_RATE, weight_decay=_DECAY)
    with _one_thread(), torch.enable_grad(), _progress(recipe) as tell:
        model.train()
        for step in range(recipe.steps):
            optimizer.param_groups[0]["lr"] = _rate(step, recipe.steps)
            index = torch.randint(len(windows.ids), (_BATCH,), generator=generator)
            tell(_step(model, optimizer, windows.ids[index], windows.labels[index]))


def _step(
    model: PreTrainedModel, optimizer: torch.optim.Optimizer, ids: Tensor, labels: Tensor
) -> float:
    loss = mean_loss(model(input_ids=ids, use_cache=False).logits, labels)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    optimizer.step()
    return float(loss.detach())


def _rate(step: int, steps: int) -> float:
    """Return the learning rate: a short rise, then half a cosine."""
    return _RATE * min(1, (step + 1) / _WARMUP) * (1 + math.cos(math.pi * step / steps)) / 2


@contextmanager
def _one_thread() -> Iterator[None]:
    """Sum in one order whatever the machine: the weights are the same, and hardly later."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def _progress(recipe: Recipe) -> Iterator[Any]:
    """Show on standard error how far it is; yields what is called with the loss of each step."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    title = f"pre-training tiny-gpt2 on {os.path.basename(recipe.text)}"
    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{title}: {recipe.steps:,} steps, once", file=sys.stderr, flush=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("loss {task.fields[loss]:.2f}"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        line = bar.add_task(title, total=recipe.steps, loss=math.nan)
        yield lambda loss: bar.update(line, advance=1, loss=loss)
