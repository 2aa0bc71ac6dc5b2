"""Samples and sums of small texts, by hand."""

from __future__ import annotations

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F  # noqa: N812
from torch import Tensor

from qt_hw.tasks import get_task
from qt_hw.tasks.language.packing import IGNORED, pack_lines, pack_windows
from qt_hw.tasks.language.scores import mean_loss, score
from qt_hw.tasks.language.text import WIKI_FILES

WIKI = " \n = Robert Boulter = \n \n Robert Boulter is an English film actor . \n \n"


@pytest.fixture
def wikitext(tmp_path: Path) -> Path:
    for name in WIKI_FILES.values():
        (tmp_path / name).write_text(WIKI * (3 if "train" in name else 1), encoding="utf-8")
    return tmp_path


def test_wikitext_lines_are_samples_and_empty_ones_may_be(wikitext: Path) -> None:
    options = {"text": str(wikitext), "packing": "lines", "length": 16}
    data = get_task("language", **options).load()
    assert data.train[0].shape == (6, 16)
    assert data.description["tokens"] == {"train": 90, "test": 30}
    assert data.description["tokens_cut"]["train"] == 3 * (
        len(" = Robert Boulter = \n") + len(" Robert Boulter is an English film actor . \n") - 32
    )
    assert torch.equal(data.train[1] == IGNORED, data.train[0] == 256)
    # The raw files write a blank line as one space; the published samples of it are padding alone.
    blank = get_task("language", **options, keep_empty=True).load()
    assert blank.train[0].shape == (15, 16)
    assert (blank.train[0] == 256).all(dim=1).sum() == 9
    assert blank.description["tokens"] == data.description["tokens"]


def test_the_lines_of_a_file_are_samples_and_only_a_line_feed_ends_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("one\x0cline\u2028here\n\n" * 20, encoding="utf-8")
    data = get_task(
        "language", text=str(tmp_path / "a.txt"), packing="lines", length=20, keep_empty=False
    ).load()
    assert (len(data.train[0]), len(data.test[0])) == (18, 2)
    assert data.description["tokens_cut"] == {"train": 0, "test": 0}


def test_a_file_is_parted_and_windows_cover_it_once(tmp_path: Path) -> None:
    lines = [f"line {k}\n" for k in range(100)]
    (tmp_path / "a.txt").write_text("".join(lines))
    data = get_task("language", text=str(tmp_path / "a.txt"), length=10, stride=4).load()
    found = []
    for x, y in (data.train, data.test):
        told = torch.cat([x[0, :1], y[:, 1:].flatten()]).tolist()
        found.append(bytes(token for token in told if 0 <= token < 256).decode())
    assert "".join(found) == "".join(lines)


def bigram(ids: Tensor) -> Tensor:
    table = torch.randn(5, 5, generator=torch.Generator().manual_seed(0))
    return table[ids]


def test_perplexities_are_those_of_their_definitions() -> None:
    packed = pack_lines([[0, 1, 2, 3], [3, 1], [2], []], end=4, length=4, keep_empty=True)
    logs = F.log_softmax(bigram(torch.arange(5)), dim=1)
    told = [(0, 1), (1, 2), (2, 3), (3, 1)]
    masked = -sum(float(logs[a, b]) for a, b in told) / len(told)
    rows = packed.ids.tolist()
    losses = [-sum(float(logs[a, b]) for a, b in pairwise(r)) / 3 for r in rows]
    found = score(bigram, (packed.ids, packed.labels), 5, 1)
    assert found["loss"] == pytest.approx(masked, rel=1e-6)
    assert found["ppl"] == pytest.approx(math.exp(masked), rel=1e-6)
    assert found["ppl_padded"] == pytest.approx(math.exp(sum(losses) / 4), rel=1e-6)
    # Batches of three: the last, of one sample, weighs as much as the first.
    three = score(bigram, (packed.ids, packed.labels), 5, 3)["ppl_padded"]
    assert three == pytest.approx(math.exp((sum(losses[:3]) / 3 + losses[3]) / 2), rel=1e-6)


def test_a_batch_of_nothing_but_padding_has_loss_zero() -> None:
    logits = bigram(torch.full((1, 4), 4)).requires_grad_()
    loss = mean_loss(logits, torch.full((1, 4), IGNORED))
    loss.backward()
    assert float(loss.detach()) == 0
    assert logits.grad is not None
    assert not logits.grad.any()


def test_windows_end_each_document() -> None:
    packed = pack_windows([[1], [2, 3]], end=9, length=3, stride=3)
    assert packed.ids.tolist() == [[1, 9, 2], [3, 9, 9]]
    assert packed.labels.tolist() == [[1, 9, 2], [3, 9, IGNORED]]
