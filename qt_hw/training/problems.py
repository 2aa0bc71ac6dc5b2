"""What is wrong with a configuration, in words for its author."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic import BaseModel
from pydantic_core import ErrorDetails

from qt_hw.errors import nearest

__all__ = ["problem"]


def problem(detail: ErrorDetails, root: type[BaseModel]) -> str:
    """Return one error of validating ``root`` in this program's words."""
    path = [part for part in detail["loc"] if not str(part).startswith("function-")]
    key = ".".join(str(part) for part in path)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(key, path, root)
    if kind == "missing":
        return f"{key} is missing"
    if kind == "value_error":
        said = detail["msg"].removeprefix("Value error, ")
        return f"{key}: {said}" if key else said
    if kind == "literal_error":
        return _unknown_choice(key, path, detail, root)
    message = detail["msg"].removeprefix("Input ")
    hint = f" (to take the key out: --set {key}=)" if detail["input"] == "none" else ""
    return f"{key} {message}, got {_shown(detail['input'])}{hint}"


def _unknown_key(key: str, path: Sequence[str | int], root: type[BaseModel]) -> str:
    allowed = list(_fields(path[:-1], root))
    near = nearest(str(path[-1]), allowed)
    guess = _elsewhere(str(path[-1]), root) or (near and ".".join([*map(str, path[:-1]), near]))
    hint = f"; did you mean {guess!r}?" if guess else ""
    return f"unknown key {key!r}{hint} (known: {', '.join(allowed)})"


def _elsewhere(name: str, root: type[BaseModel]) -> str | None:
    """Return the full key, if ``name`` is one of another table."""
    for table, field in root.model_fields.items():
        model = _model(field.annotation)
        if model is not None and name in model.model_fields:
            return f"{table}.{name}"
    return None


def _unknown_choice(
    key: str, path: Sequence[str | int], detail: ErrorDetails, root: type[BaseModel]
) -> str:
    allowed = _choices(path, root)
    guess = nearest(str(detail["input"]), allowed)
    hint = f"; did you mean {guess!r}?" if guess else ""
    return f"unknown {key} {detail['input']!r}{hint} (known: {', '.join(allowed)})"


def _fields(path: Iterable[str | int], root: type[BaseModel]) -> Mapping[str, Any]:
    """Return the fields of the table at ``path``."""
    model = root
    for part in path:
        if isinstance(part, int):
            continue
        inner = _model(model.model_fields[part].annotation)
        if inner is None:
            break
        model = inner
    return model.model_fields


def _choices(path: Sequence[str | int], root: type[BaseModel]) -> list[str]:
    *tables, name = [part for part in path if not isinstance(part, int)]
    annotation = _fields(tables, root)[name].annotation
    options = [
        choice
        for option in (annotation, *get_args(annotation))
        for choice in get_args(option)
        if isinstance(choice, str)
    ]
    return list(dict.fromkeys(options))


def _model(annotation: Any) -> type[BaseModel] | None:
    """Return the table that an annotation such as ``X | None`` or ``tuple[X, ...]`` holds."""
    for option in (annotation, *get_args(annotation)):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


def _shown(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else text[:57] + "..."
