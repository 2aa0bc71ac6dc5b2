"""Samples of equal length from documents of any length."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["IGNORED", "Packed", "pack_lines", "pack_windows", "spread"]

IGNORED = -100
"""The label of a position that does not count."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Packed:
    """Samples of one part.

    Attributes:
        ids: Tokens ``(N, L)``, padded on the right with the end of a document.
        labels: The same ``(N, L)``, ``IGNORED`` where padded or counted in an earlier sample. A
            network tells token k from those before, so the first of a sample is never told.
        cut: Tokens left out because a line is too long.
    """

    ids: Tensor
    labels: Tensor
    cut: int = 0


def pack_windows(documents: Sequence[Sequence[int]], end: int, length: int, stride: int) -> Packed:
    """Cut the documents, joined with an end after each, into windows that start every ``stride``.

    Where windows overlap, a token counts in the first of them only: the others have it as context.
    The last window is padded.

    >>> packed = pack_windows([[1, 2, 3], [4]], end=9, length=4, stride=2)
    >>> packed.ids.tolist(), packed.labels.tolist()
    ([[1, 2, 3, 9], [3, 9, 4, 9]], [[1, 2, 3, 9], [-100, -100, 4, 9]])
    """
    flat = torch.tensor([token for ids in documents for token in (*ids, end)])
    n_windows = 1 + max(0, -(-(len(flat) - length) // stride))
    size = (n_windows - 1) * stride + length
    padded = torch.nn.functional.pad(flat, (0, size - len(flat)), value=end)
    counted = torch.arange(size) < len(flat)
    ids = padded.unfold(0, length, stride).clone()
    labels = ids.masked_fill(~counted.unfold(0, length, stride), IGNORED)
    labels[1:, : max(0, length - stride)] = IGNORED
    return Packed(ids=ids, labels=labels)


def pack_lines(
    documents: Sequence[Sequence[int]], end: int, length: int, *, keep_empty: bool
) -> Packed:
    """Make one sample of each document, cut or padded to ``length``.

    Args:
        documents: Tokens of each.
        end: What pads.
        length: Tokens of a sample.
        keep_empty: Whether documents without tokens become samples of nothing but padding.

    >>> pack_lines([[1, 2], [], [3, 4, 5, 6]], end=9, length=3, keep_empty=False).labels.tolist()
    [[1, 2, -100], [3, 4, 5]]
    """
    kept = [ids[:length] for ids in documents if ids or keep_empty]
    ids = torch.full((len(kept), length), end)
    for row, tokens in zip(ids, kept, strict=True):
        row[: len(tokens)] = torch.tensor(tokens)
    sizes = torch.tensor([len(tokens) for tokens in kept])[:, None]
    labels = ids.masked_fill(torch.arange(length) >= sizes, IGNORED)
    return Packed(
        ids=ids, labels=labels, cut=sum(max(0, len(tokens) - length) for tokens in documents)
    )


def spread(packed: Packed, size: int | None) -> Packed:
    """Return ``size`` of the samples, evenly spread; None returns all."""
    if size is None or size >= len(packed.ids):
        return packed
    index = torch.arange(size) * len(packed.ids) // size
    return Packed(ids=packed.ids[index], labels=packed.labels[index], cut=packed.cut)
