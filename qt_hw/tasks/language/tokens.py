"""From text to numbers: bytes, or a tokenizer of Hugging Face."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from qt_hw.errors import DataError
from qt_hw.tasks.language.vendors import vendor

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["ByteTokens", "Tokens", "get_tokens"]


class Tokens(Protocol):
    """A vocabulary.

    Attributes:
        size: Number of its tokens.
        end: The token that ends a document, and that pads.
    """

    @property
    def size(self) -> int: ...

    @property
    def end(self) -> int: ...

    def encode(self, documents: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each document, without the end."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of tokens."""
        ...


@dataclass(frozen=True)
class ByteTokens:
    """The 256 bytes of UTF-8 text, and the end of a document.

    >>> ByteTokens().encode(["é"]), ByteTokens().decode([195, 169, 256])
    ([[195, 169]], 'é')
    """

    size: int = 257
    end: int = 256

    def encode(self, documents: Sequence[str]) -> list[list[int]]:
        """Return the bytes of each document."""
        return [list(document.encode()) for document in documents]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text; what is no UTF-8 becomes a replacement character."""
        return bytes(i for i in ids if i < 256).decode(errors="replace")


class VendorTokens:
    """A tokenizer of Hugging Face, by name or local folder.

    Raises:
        DataError: It is not to be had, or has no token for the end of a text.
        MissingExtra: ``transformers`` is not installed.
    """

    def __init__(self, name: str) -> None:
        tokenizer = _load(name)
        if tokenizer.eos_token_id is None:
            raise DataError(
                f"the tokenizer {name!r} has no token for the end of a text (eos_token): set it "
                "in its tokenizer_config.json, or choose another"
            )
        self._tokenizer = tokenizer
        self.size, self.end = len(tokenizer), int(tokenizer.eos_token_id)

    def encode(self, documents: Sequence[str]) -> list[list[int]]:
        """Return the tokens of each document."""
        found = self._tokenizer(list(documents), add_special_tokens=False, verbose=False)
        return [list(ids) for ids in found["input_ids"]]

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text, without special tokens."""
        return str(self._tokenizer.decode(list(ids), skip_special_tokens=True))


def get_tokens(name: str) -> Tokens:
    """Return the vocabulary ``"bytes"``, or that of a tokenizer of Hugging Face.

    Raises:
        DataError: See ``VendorTokens``.
        MissingExtra: ``transformers`` is not installed.
    """
    return ByteTokens() if name == "bytes" else VendorTokens(name)


def _load(name: str) -> PreTrainedTokenizerBase:
    transformers: Any = vendor("transformers")
    try:
        found: PreTrainedTokenizerBase = transformers.AutoTokenizer.from_pretrained(
            os.path.expanduser(name)
        )
    except (OSError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "no reason given"
        raise DataError(
            f"cannot load the tokenizer {name!r} ({reason}): set task.options.tokenizer to "
            "'bytes', a name of Hugging Face, or a folder made by save_pretrained"
        ) from error
    return found
