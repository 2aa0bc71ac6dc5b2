"""Texts that ship with Python, files in the true formats, and bad ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from qt_hw.errors import DataError, InputError, UnknownName
from qt_hw.tasks import get_task
from qt_hw.tasks.language.text import WIKI_FILES, read_text


@pytest.mark.parametrize("name", ["python-docs", "python-code"])
def test_the_texts_of_python_are_the_same_each_time(name: str) -> None:
    one, two = read_text(name), read_text(name)
    assert one == two
    train, test = (sum(map(len, part)) for part in (one.train, one.test))
    assert train > 400_000
    assert 0.05 < test / (train + test) < 0.2
    assert not set(one.train) & set(one.test)


def test_a_text_is_looked_for_in_the_data_folder_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("QT_HW_DATA", str(tmp_path))
    (tmp_path / "mine.txt").write_text("a line\n" * 20)
    assert read_text("mine.txt").train == ("a line\n" * 18,)


def test_bad_texts_are_named(tmp_path: Path) -> None:
    for name in WIKI_FILES.values():
        (tmp_path / name).write_text(" = Title = \n", encoding="utf-8")
    (tmp_path / "wiki.valid.raw").unlink()
    with pytest.raises(DataError, match=r"wiki\.valid\.raw is missing in .*: unpack"):
        read_text(str(tmp_path), "valid")
    (tmp_path / "wiki.test.raw").write_text(" \n")
    with pytest.raises(DataError, match=r"wiki\.test\.raw holds no text"):
        read_text(str(tmp_path))
    (tmp_path / "b.txt").write_bytes(b"ab\xff")
    with pytest.raises(DataError, match=r"b\.txt, byte 2: this is no UTF-8 text"):
        read_text(str(tmp_path / "b.txt"))
    with pytest.raises(DataError, match="there is no text 'nowhere'"):
        read_text("nowhere")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"length": 1}, InputError, "at least 2"),
        ({"stride": 65}, InputError, "at most length = 64"),
        ({"keep_empty": True}, InputError, "packing = 'lines'"),
        ({"packing": "words"}, UnknownName, "'words'"),
        ({"text": ""}, InputError, "a name or a path"),
        ({"test_size": 10**8}, InputError, "test_size = 100,000,000, there are"),
        ({"tokenizer": "/no/such"}, DataError, "cannot load the tokenizer '/no/such'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], error: type, said: str) -> None:
    with pytest.raises(error, match=said):
        get_task("language", **options).load()


def test_a_tokenizer_of_hugging_face_is_read_from_a_folder(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = {"<end>": 0, "<unk>": 1, "a": 2, "line": 3}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<end>")
    fast.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "a.txt").write_text("a line\n" * 50)
    task = get_task(
        "language", text=str(tmp_path / "a.txt"), tokenizer=str(tmp_path / "tokenizer"), length=4
    )
    data = task.load()
    assert data.description["vocabulary"] == 4
    assert data.train[0][0].tolist() == [2, 3, 2, 3]
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(tmp_path / "endless")
    with pytest.raises(DataError, match="no token for the end of a text"):
        get_task(
            "language", text=str(tmp_path / "a.txt"), tokenizer=str(tmp_path / "endless")
        ).load()
