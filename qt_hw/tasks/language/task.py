"""Language-model fine-tuning: next tokens of a text, by perplexity."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar, cast

from qt_hw.errors import DataError, InputError, UnknownName
from qt_hw.tasks.metric import Metric
from qt_hw.tasks.task import Data, Task, check_count, check_parts, first_output

if TYPE_CHECKING:
    from torch import Tensor, nn

    from qt_hw.tasks.language.packing import Packed
    from qt_hw.tasks.language.tokens import Tokens

__all__ = ["Language"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Language(Task):
    """Predict each token of a text from those before.

    Inputs are tokens ``(N, length)``, labels the same with -100 where a token does not count. The
    metrics are ``ppl``, exp of the mean loss of the tokens that count; ``ppl_padded``, the QPA
    paper's, in which padding counts; and ``loss`` in nats per token. See ``scores``.

    Attributes:
        text: ``"python-code"``, ``"python-docs"``, a file or a WikiText folder; see ``read_text``.
        tokenizer: ``"bytes"``, or a tokenizer of Hugging Face by name or folder.
        length: Tokens of a sample.
        stride: Tokens between the starts of two windows; None: ``length``, without overlap.
        packing: ``"windows"`` cuts the joined documents; ``"lines"`` makes a padded sample of
            each of their lines, as the paper does.
        keep_empty: Whether blank lines are samples too, of nothing but padding, as in the paper;
            only for ``"lines"``.
        train_on_padding: Whether padding counts in the training loss, as in the paper.
        padded_batch: Samples of a batch of ``ppl_padded``.
        train_size: Keep that many training samples, evenly spread; None keeps all.
        test_size: The same for testing.
        train_evaluated: How many of the training samples, evenly spread, an evaluation covers.
        test_part: Of a WikiText folder ``"test"`` or ``"valid"``.
    """

    name: ClassVar[str] = "language"
    headline: ClassVar[Metric] = Metric(
        key="ppl",
        label="perplexity",
        higher_is_better=False,
        digits=3,
        low=1.0,
        drops=(0.02, 0.05, 0.1, 0.2),
    )

    text: str = "python-code"
    tokenizer: str = "bytes"
    length: int = 64
    stride: int | None = None
    packing: str = "windows"
    keep_empty: bool = False
    train_on_padding: bool = False
    padded_batch: int = 1
    train_size: int | None = None
    test_size: int | None = None
    train_evaluated: int = 128
    test_part: str = "test"

    def __post_init__(self) -> None:
        """Check the options."""
        for name in ("length", "stride", "padded_batch", "train_size", "test_size"):
            check_count(name, getattr(self, name))
        check_count("train_evaluated", self.train_evaluated)
        for name in ("text", "tokenizer"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value or "\0" in value:
                raise InputError(f"{name} must be a name or a path, got {value!r}")
        for name in ("keep_empty", "train_on_padding"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be true or false, got {getattr(self, name)!r}")
        _check_choice("packing", self.packing, ("windows", "lines"))
        _check_choice("test_part", self.test_part, ("test", "valid"))
        self._check_lengths()

    def load(self) -> Data:
        """Return the text as tokens; see ``Task.load``.

        Raises:
            MissingExtra: The tokenizer needs ``transformers``.
        """
        from qt_hw.tasks.language.text import read_text
        from qt_hw.tasks.language.tokens import get_tokens

        text, tokens = read_text(self.text, self.test_part), get_tokens(self.tokenizer)
        train = self._part("train", text.train, tokens, self.train_size)
        test = self._part("test", text.test, tokens, self.test_size)
        facts: dict[str, object] = {
            "tokenizer": self.tokenizer,
            "vocabulary": tokens.size,
            "end": tokens.end,
            "packing": self.packing,
            "tokens": {"train": _counted(train), "test": _counted(test)},
            "tokens_cut": {"train": train.cut, "test": test.cut},
            "n_train": len(train.ids),
            "n_test": len(test.ids),
        }
        return Data(
            train=(train.ids, train.labels),
            test=(test.ids, test.labels),
            name=self.name,
            description={**text.description, **facts},
        )

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the mean loss of the logits ``(B, L, V)`` in nats per token that counts.

        Raises:
            InputError: The shapes do not fit.
        """
        from qt_hw.tasks.language.scores import mean_loss

        return mean_loss(output, y)

    def metrics(self, output: Tensor, y: Tensor) -> dict[str, float]:
        """Return ``loss`` and ``ppl`` of logits ``(B, L, V)``; ``evaluate`` sums over slices.

        Raises:
            InputError: The shapes do not fit.
        """
        import math

        loss = float(self.loss(output.detach(), y))
        return {"loss": loss, "ppl": math.exp(min(loss, 700.0))}

    def batch_loss(self, model: nn.Module, data: Data, index: Tensor) -> Tensor:
        x, y = data.train
        return self.loss(model(x[index]), (x if self.train_on_padding else y)[index])

    def evaluate(self, model: nn.Module, data: Data) -> dict[str, float]:
        """Return ``train_…`` and ``test_…`` of ``loss``, ``ppl`` and ``ppl_padded``.

        The training part is represented by ``train_evaluated`` of its samples.
        """
        from qt_hw.tasks.language.packing import Packed, spread
        from qt_hw.tasks.language.scores import score

        some = spread(Packed(ids=data.train[0], labels=data.train[1]), self.train_evaluated)
        size = int(str(data.description["vocabulary"]))
        parts = {"train": (some.ids, some.labels), "test": data.test}
        return {
            f"{part}_{name}": value
            for part, samples in parts.items()
            for name, value in score(model, samples, size, self.padded_batch).items()
        }

    def check(self, target: nn.Module, data: Data) -> None:
        """Pass one sample through a copy of ``target``.

        Raises:
            InputError: Its vocabulary or context is too small, its output is no logits, or it
                sees the tokens that it is to tell.
        """
        import torch
        from torch import Tensor

        check_parts(data)
        size = int(str(data.description["vocabulary"]))
        vocabulary = getattr(target, "vocabulary", None)
        _check_size("vocabulary", vocabulary, size, _OTHER_TOKENS)
        if isinstance(vocabulary, int) and vocabulary > 2 * size:
            logger.warning(
                "the target knows %s tokens, the data use %s: %s if it is another",
                f"{vocabulary:,}",
                f"{size:,}",
                _OTHER_TOKENS,
            )
        length = data.train[0].shape[1]
        _check_size("context", getattr(target, "context", None), length, _SHORTER)
        output = first_output(target, data)
        fits = isinstance(output, Tensor) and output.shape[:2] == (1, length)
        if not isinstance(output, Tensor) or not fits or output.ndim != 3:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"the target's output for one sample must be logits of shape (1, {length}, "
                f"vocabulary), not {shape}: name a target such as 'causal-lm'"
            )
        _check_size("output", output.shape[2], size, _OTHER_TOKENS)
        x, y = data.train
        another = torch.cat([x[:1, :-1], (x[:1, -1:] + 1) % size], 1)
        shifted = replace(data, train=(another, y[:1]))
        # Moved too, for an adapter that starts at zero looks nowhere yet.
        for network in (target, _moved(target)):
            logits = cast("Tensor", first_output(network, data))
            if not _same_but_the_last(logits, first_output(network, shifted)):
                raise InputError(
                    "the target sees the tokens that it is to tell (logits change with a later "
                    "token): its perplexity would mean nothing; take a causal model, or another "
                    "adapter"
                )

    def _part(
        self, part: str, documents: Sequence[str], tokens: Tokens, size: int | None
    ) -> Packed:
        from qt_hw.tasks.language.packing import pack_lines, pack_windows, spread
        from qt_hw.tasks.language.text import lines_of

        if self.packing == "lines":
            # WikiText writes a blank line as a space; the published loader makes it empty.
            lines = [line if line.strip() else "" for text in documents for line in lines_of(text)]
            packed = pack_lines(
                tokens.encode(lines), tokens.end, self.length, keep_empty=self.keep_empty
            )
        else:
            encoded = tokens.encode(documents)
            packed = pack_windows(encoded, tokens.end, self.length, self.stride or self.length)
        if not _counted(packed):
            raise DataError(f"the {part} part of {self.text!r} has no token to be told")
        if size is not None and size > len(packed.ids):
            raise InputError(
                f"{part}_size = {size:,}, there are {len(packed.ids):,} samples: take fewer, or a "
                "smaller length or stride"
            )
        return spread(packed, size)

    def _check_lengths(self) -> None:
        if self.length < 2:
            raise InputError("length must be at least 2: one token tells the next")
        if self.stride is not None and (self.stride > self.length or self.packing == "lines"):
            raise InputError(
                f"stride must be at most length = {self.length}, and belongs to packing = "
                f"'windows', got {self.stride}"
            )
        if self.keep_empty and self.packing != "lines":
            raise InputError("keep_empty belongs to packing = 'lines'")


_OTHER_TOKENS = "set task.options.tokenizer to the tokenizer of the model"
_SHORTER = "set a smaller task.options.length"


def _check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise UnknownName(f"value of {name}", str(value), allowed)


def _check_size(what: str, has: object, needed: int, advice: str) -> None:
    if isinstance(has, int) and has < needed:
        raise InputError(f"the target's {what} is {has:,}, the data need {needed:,}: {advice}")


def _moved(target: nn.Module) -> nn.Module:
    """Return a copy whose trained parameters are elsewhere."""
    import torch

    moved = copy.deepcopy(target)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in moved.parameters():
            if parameter.requires_grad:
                noise = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype)
                parameter.add_(noise.to(parameter.device), alpha=0.3)
    return moved


def _same_but_the_last(logits: Tensor, others: object) -> bool:
    """Return whether logits ``(1, L, V)`` agree before the last position, as far as finite."""
    difference = (logits - cast("Tensor", others))[:, :-1].abs().max()
    return not bool(difference > 1e-4 * logits.abs().max())


def _counted(packed: Packed) -> int:
    """Return how many tokens are told."""
    from qt_hw.tasks.language.packing import IGNORED

    return int((packed.labels[:, 1:] != IGNORED).sum())
