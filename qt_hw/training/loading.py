"""From a preset, a TOML file or a dict to a ``RunConfig``, and back to TOML."""

from __future__ import annotations

import json
import math
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, get_args

import tomli_w
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from qt_hw.errors import ConfigError, UnknownName, nearest
from qt_hw.training.config import RunConfig

__all__ = ["config_from_dict", "known_presets", "load_config", "parse_value", "to_toml"]


def known_presets() -> dict[str, str]:
    """Return the names of the presets, each with its description.

    >>> "digits" in known_presets()
    True
    """
    files = sorted(_preset_folder().iterdir(), key=lambda file: file.name)
    tables = {file.name: file.read_text("utf-8") for file in files if file.name.endswith(".toml")}
    return {
        name.removesuffix(".toml"): str(tomllib.loads(text).get("description", ""))
        for name, text in tables.items()
    }


def load_config(
    source: str | Path | RunConfig | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> RunConfig:
    """Return the configuration named by ``source``, changed by ``overrides``.

    Args:
        source: A preset's name, the path of a TOML file, a dict of tables, or a configuration.
        overrides: ``"table.key=value"`` each, the value written as in TOML; a bare word is a
            string, and nothing (``table.key=``) takes the key out, so that its default applies.
        defaults: Tables that fill what ``source`` leaves out.

    Raises:
        ConfigError: The file or an override is wrong; the message names the key.
        UnknownName: There is neither such a preset nor such a file.

    >>> load_config("digits", ["optimizer.steps=10"]).optimizer.steps
    10
    """
    tables, origin = _read(source)
    for name, table in (defaults or {}).items():
        if isinstance(tables.setdefault(name, {}), dict):
            tables[name] = {**table, **tables[name]}
    for override in overrides:
        _apply(tables, override)
    return config_from_dict(tables, origin)


def config_from_dict(tables: Mapping[str, Any], origin: str = "configuration") -> RunConfig:
    """Return the configuration held by nested dicts, as they come out of a TOML file.

    Raises:
        ConfigError: A key is unknown or missing, or a value is wrong; ``origin`` names the source.
    """
    try:
        text = json.dumps(tables, default=str)
        return RunConfig.model_validate_json(text, strict=True)
    except ValidationError as error:
        problems = [_problem(detail) for detail in error.errors(include_url=False)]
        raise ConfigError(f"{origin}: {'; '.join(problems)}") from None


def to_toml(config: RunConfig) -> str:
    """Return ``config`` as TOML; what is unset is left out.

    >>> config = load_config("digits")
    >>> config_from_dict(tomllib.loads(to_toml(config))) == config
    True
    """
    tables = config.model_dump(mode="json", exclude_none=True)
    return tomli_w.dumps({name: table for name, table in _pruned(tables).items() if table != ""})


def _pruned(table: dict[str, Any]) -> dict[str, Any]:
    """Return ``table`` without its empty tables."""
    inner = {k: _pruned(v) if isinstance(v, dict) else v for k, v in table.items()}
    return {key: value for key, value in inner.items() if value != {}}


def _preset_folder() -> Any:
    return resources.files("qt_hw").joinpath("presets")


def _read(source: str | Path | RunConfig | Mapping[str, Any]) -> tuple[dict[str, Any], str]:
    if isinstance(source, RunConfig):
        return source.model_dump(mode="json", exclude_none=True), "configuration"
    if isinstance(source, Mapping):
        return _copy(source), "configuration"
    if not isinstance(source, str | Path):
        raise ConfigError(
            f"a configuration is a preset, a TOML file or a dict, not {type(source).__name__}"
        )
    name = str(source)
    if name in known_presets():
        text = _preset_folder().joinpath(f"{name}.toml").read_text("utf-8")
    elif name.endswith(".toml") or "/" in name or isinstance(source, Path):
        text = _read_file(Path(source))
    else:
        raise UnknownName("preset", name, tuple(known_presets()))
    try:
        return tomllib.loads(text), name
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from None


def _read_file(path: Path) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        known = ", ".join(known_presets())
        raise ConfigError(f"no file {path}; the presets are: {known}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None


def _copy(tables: Mapping[str, Any]) -> dict[str, Any]:
    return {
        str(key): _copy(value) if isinstance(value, Mapping) else value
        for key, value in tables.items()
    }


def _apply(tables: dict[str, Any], override: str) -> None:
    """Set one ``table.key=value`` in ``tables``."""
    key, equals, text = override.partition("=")
    path = [part.strip() for part in key.split(".")]
    if not equals or not all(path):
        raise ConfigError(f"--set {override}: write table.key=value, e.g. optimizer.steps=100")
    table = tables
    for part in path[:-1]:
        inner = table.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {override}: {part!r} is a value, not a table")
        table = inner
    if not text.strip():
        table.pop(path[-1], None)
    else:
        table[path[-1]] = parse_value(text)


def parse_value(text: str) -> Any:
    """Return a value written as in TOML; what TOML cannot read is a string.

    >>> parse_value("3"), parse_value("true"), parse_value("XY4")
    (3, True, 'XY4')
    """
    try:
        parsed = tomllib.loads(f"value = {text}")
    except tomllib.TOMLDecodeError:
        return text.strip()
    return parsed["value"] if set(parsed) == {"value"} else text.strip()


def _problem(detail: ErrorDetails) -> str:
    """Return one validation error in this program's words."""
    path = [part for part in detail["loc"] if not str(part).startswith("function-")]
    key = ".".join(str(part) for part in path)
    kind = detail["type"]
    if kind == "extra_forbidden":
        return _unknown_key(key, path)
    if kind == "missing":
        return f"{key} is missing"
    if kind == "value_error":
        return f"{key}: {detail['msg'].removeprefix('Value error, ')}"
    if kind == "literal_error":
        return _unknown_choice(key, path, detail)
    message = detail["msg"].removeprefix("Input ")
    hint = f" (to take the key out: --set {key}=)" if detail["input"] == "none" else ""
    return f"{key} {message}, got {_shown(detail['input'])}{hint}"


def _unknown_key(key: str, path: Sequence[str | int]) -> str:
    allowed = list(_fields(path[:-1]))
    near = nearest(str(path[-1]), allowed)
    guess = _elsewhere(str(path[-1])) or (near and ".".join([*map(str, path[:-1]), near]))
    hint = f"; did you mean {guess!r}?" if guess else ""
    return f"unknown key {key!r}{hint} (known: {', '.join(allowed)})"


def _elsewhere(name: str) -> str | None:
    """Return the full key, if ``name`` is one of another table."""
    for table, field in RunConfig.model_fields.items():
        model = _model(field.annotation)
        if model is not None and name in model.model_fields:
            return f"{table}.{name}"
    return None


def _unknown_choice(key: str, path: Sequence[str | int], detail: ErrorDetails) -> str:
    allowed = _choices(path)
    guess = nearest(str(detail["input"]), allowed)
    hint = f"; did you mean {guess!r}?" if guess else ""
    return f"unknown {key} {detail['input']!r}{hint} (known: {', '.join(allowed)})"


def _fields(path: Iterable[str | int]) -> Mapping[str, Any]:
    """Return the fields of the table at ``path``."""
    model: type[BaseModel] = RunConfig
    for part in path:
        if isinstance(part, int):
            continue
        inner = _model(model.model_fields[part].annotation)
        if inner is None:
            break
        model = inner
    return model.model_fields


def _choices(path: Sequence[str | int]) -> list[str]:
    annotation = _fields(path[:-1])[str(path[-1])].annotation
    options = [
        name
        for option in (annotation, *get_args(annotation))
        for name in get_args(option)
        if isinstance(name, str)
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
