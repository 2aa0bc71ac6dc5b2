"""From a preset, a TOML file or a dict to a ``RunConfig``, and back to TOML."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from qt_hw.errors import ConfigError, UnknownName
from qt_hw.training.config import ControlConfig, RunConfig
from qt_hw.training.presets import all_names, known_presets, read_preset
from qt_hw.training.problems import problems

__all__ = ["config_from_dict", "known_presets", "load_config", "parse_value", "to_toml"]


def load_config(
    source: str | Path | RunConfig | Mapping[str, Any],
    overrides: Sequence[str] = (),
    *,
    defaults: Mapping[str, Mapping[str, Any]] | None = None,
) -> RunConfig:
    """Return the configuration named by ``source``, changed by ``overrides``.

    Args:
        source: The name of a preset or of a member of a family (``mnist-qt4``), the path of a
            TOML file, a dict of tables, or a configuration.
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
        raise ConfigError(f"{origin}: {'; '.join(problems(error, RunConfig))}") from None


def to_toml(config: RunConfig) -> str:
    """Return ``config`` as TOML; what is unset is left out.

    >>> config = load_config("digits")
    >>> config_from_dict(tomllib.loads(to_toml(config))) == config
    True
    """
    # What had no control before there were any is still written, and hashed, as it was then.
    left_out = {"control"} if config.control == ControlConfig() else set[str]()
    tables = config.model_dump(mode="json", exclude_none=True, exclude=left_out)
    return tomli_w.dumps({name: table for name, table in _pruned(tables).items() if table != ""})


def _pruned(table: dict[str, Any]) -> dict[str, Any]:
    """Return ``table`` without its empty tables."""
    inner = {k: _pruned(v) if isinstance(v, dict) else v for k, v in table.items()}
    return {key: value for key, value in inner.items() if value != {}}


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
    preset = read_preset(name)
    if preset is not None:
        return preset, name
    if not (name.endswith(".toml") or "/" in name or isinstance(source, Path)):
        raise UnknownName("preset", name, all_names())
    text = _read_file(Path(source))
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
