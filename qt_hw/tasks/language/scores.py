"""Losses of next-token prediction, and the two perplexities.

``ppl`` is exp of the mean negative log-likelihood of the tokens that count. ``ppl_padded`` is what
the QPA paper's code reports (``CYLphysics/QPA`` 96b03e5): labels are the padded inputs themselves
without a mask, and exp is taken of the mean over batches of a batch's mean loss. Padding is easy
to tell, so it is far smaller and grows with shorter lines; it serves comparison only.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from qt_hw.errors import InputError
from qt_hw.tasks.language.packing import IGNORED

__all__ = ["Scores", "mean_loss", "score"]

_LOGITS = 2**24  # how many are held at once: 64 MB


def mean_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean negative log-likelihood in nats of the tokens that count, a scalar.

    Args:
        logits: ``(B, L, V)``; those at position k tell token k + 1.
        labels: ``(B, L)``. If none counts, the loss is 0 and has a gradient of 0.

    Raises:
        InputError: The shapes do not fit.
    """
    losses = _losses(logits, labels)
    return losses.sum() / (labels[:, 1:] != IGNORED).sum().clamp(min=1)


@dataclass
class Scores:
    """Sums over samples, from which the metrics follow.

    Attributes:
        padded_batch: Samples of a batch of ``ppl_padded``.
    """

    padded_batch: int = 1
    total: float = 0.0
    count: int = 0
    _padded: list[float] = field(default_factory=list)

    def add(self, logits: Tensor, ids: Tensor, labels: Tensor) -> None:
        """Take in samples, logits ``(B, L, V)``, tokens and labels ``(B, L)``."""
        losses = _losses(logits, ids).double()
        counted = labels[:, 1:] != IGNORED
        self.total += float(losses[counted].sum())
        self.count += int(counted.sum())
        self._padded += losses.mean(1).tolist()

    def metrics(self) -> dict[str, float]:
        """Return ``loss`` in nats per token, ``ppl`` and ``ppl_padded``."""
        loss = self.total / max(1, self.count)
        starts = range(0, len(self._padded), self.padded_batch)
        batches = [self._padded[k : k + self.padded_batch] for k in starts]
        means = [sum(batch) / len(batch) for batch in batches]
        padded = sum(means) / max(1, len(means))
        return {"loss": loss, "ppl": _exp(loss), "ppl_padded": _exp(padded)}


def score(
    model: Callable[[Tensor], Tensor], part: tuple[Tensor, Tensor], size: int, padded_batch: int
) -> dict[str, float]:
    """Return the metrics of a model on tokens and labels ``(N, L)``, a few samples at a time.

    Args:
        model: From tokens to logits.
        part: Tokens and labels.
        size: Number of tokens of the vocabulary; it limits how many samples are held at once.
        padded_batch: See ``Scores``.
    """
    ids, labels = part
    few = max(1, _LOGITS // (size * ids.shape[1]))
    scores = Scores(padded_batch)
    for start in range(0, len(ids), few):
        now = slice(start, start + few)
        scores.add(model(ids[now]), ids[now], labels[now])
    return scores.metrics()


def _losses(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the loss of each told token, ``(B, L - 1)``; 0 where none is told."""
    if logits.ndim != 3 or logits.shape[:2] != labels.shape:
        raise InputError(
            f"the target returned the shape {tuple(logits.shape)} for labels "
            f"{tuple(labels.shape)}: expected (batch, length, vocabulary)"
        )
    told = labels[:, 1:]
    losses = F.cross_entropy(
        logits[:, :-1].flatten(0, 1).float(),
        told.flatten(),
        ignore_index=IGNORED,
        reduction="none",
    )
    return losses.view(told.shape)


def _exp(loss: float) -> float:
    """Return exp(loss), below the largest number that can be written."""
    return math.exp(min(loss, 700.0))
