"""What is wrong with a configuration, in words for its author."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from qt_hw.errors import nearest

__all__ = ["problems"]

_Path = Sequence[str | int]
_KINDS = {
    str: ("a text",), int: ("a number",), float: ("a number",), bool: ("true", "false"),
    tuple: ("a list of these",), dict: ("a table of these",),
}  # fmt: skip
# JSON, which pydantic reads, has other names for these than TOML.
_TOML = dict.fromkeys(("dict_type", "model_type"), "should be a table") | {
    "tuple_type": "should be a list"
}


def problems(error: ValidationError, root: type[BaseModel]) -> list[str]:
    """Return what is wrong, in this program's words.

    A value that may be of several kinds has an error for each that it is not, and the paths of
    these go on with the kind: together they make one sentence.
    """
    found: dict[tuple[str | int, ...], str] = {}
    for detail in error.errors(include_url=False):
        path = tuple(part for part in detail["loc"] if not str(part).startswith("function-"))
        end, kinds = _either(path, root)
        if path[:end] not in found:
            text = _of_no_kind(path[:end], kinds, detail) if kinds else _of(path, detail, root)
            found[path[:end]] = text
    return list(found.values())


def _of(path: _Path, detail: ErrorDetails, root: type[BaseModel]) -> str:
    """Return one error of validating ``root``."""
    key, kind = _key(path), detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(key, path, root)
    if kind == "missing":
        return f"{key} is missing"
    if kind == "value_error":
        said = detail["msg"].removeprefix("Value error, ")
        return f"{key}: {said}" if key else said
    if kind == "literal_error":
        return _unknown_choice(key, path, detail, root)
    message = _TOML.get(kind, detail["msg"].removeprefix("Input "))
    hint = f" (to take the key out: --set {key}=)" if detail["input"] == "none" else ""
    return f"{key} {message}, got {_shown(detail['input'])}{hint}"


def _of_no_kind(path: _Path, kinds: Sequence[Any], detail: ErrorDetails) -> str:
    """Return the error of a value that is of none of the kinds that it may be of."""
    there = {get_origin(kind) or kind for kind in kinds}
    words = [word for kind, own in _KINDS.items() if kind in there for word in own]
    *others, last = dict.fromkeys(words)
    return f"{_key(path)} should be {', '.join(others)} or {last}, got {_shown(detail['input'])}"


def _key(path: _Path) -> str:
    return ".".join(str(part) for part in path)


def _either(path: _Path, root: type[BaseModel]) -> tuple[int, tuple[Any, ...]]:
    """Return where in ``path`` a value of several kinds is left, and these kinds.

    That is the whole path, and no kinds, where there is no such value.
    """
    annotation: Any = root
    for place, part in enumerate(path[:-1], start=1):
        annotation = _inner(annotation, part)
        kinds = _kinds(annotation)
        if len(kinds) > 1:
            return place, kinds
    return len(path), ()


def _at(path: _Path, root: type[BaseModel]) -> Any:
    """Return the annotation of what is at ``path``, where each value is of one kind."""
    annotation: Any = root
    for part in path:
        annotation = _inner(annotation, part)
    return annotation


def _inner(annotation: Any, part: str | int) -> Any:
    """Return what ``annotation`` holds under ``part``: a field, a value or an item."""
    (kind, *_) = _kinds(annotation)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(part))
        return None if field is None else field.annotation
    held = get_args(kind)
    return (held[-1] if get_origin(kind) is dict else held[0]) if held else None


def _kinds(annotation: Any) -> tuple[Any, ...]:
    """Return the members of a union, without None; of anything else itself."""
    if get_origin(annotation) is Annotated:
        return _kinds(get_args(annotation)[0])
    if get_origin(annotation) in (Union, UnionType):
        return tuple(kind for kind in get_args(annotation) if kind is not NoneType)
    return (annotation,)


def _names(annotation: Any) -> tuple[str, ...]:
    """Return the keys of a table or of the tables in a list; of anything else none."""
    (kind, *_) = _kinds(annotation)
    if get_origin(kind) is tuple:
        return _names(get_args(kind)[0])
    return tuple(getattr(kind, "model_fields", ()))


def _unknown_key(key: str, path: _Path, root: type[BaseModel]) -> str:
    allowed = _names(_at(path[:-1], root))
    near = nearest(str(path[-1]), allowed)
    guess = _elsewhere(str(path[-1]), root) or (near and ".".join([*map(str, path[:-1]), near]))
    hint = f"; did you mean {guess!r}?" if guess else ""
    return f"unknown key {key!r}{hint} (known: {', '.join(allowed)})"


def _elsewhere(name: str, root: type[BaseModel]) -> str | None:
    """Return the full key, if ``name`` is one of another table."""
    for table, field in root.model_fields.items():
        if name in _names(field.annotation):
            return f"{table}.{name}"
    return None


def _unknown_choice(key: str, path: _Path, detail: ErrorDetails, root: type[BaseModel]) -> str:
    allowed = [choice for kind in _kinds(_at(path, root)) for choice in get_args(kind)]
    guess = nearest(str(detail["input"]), allowed)
    hint = f"; did you mean {guess!r}?" if guess else ""
    return f"unknown {key} {detail['input']!r}{hint} (known: {', '.join(allowed)})"


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
