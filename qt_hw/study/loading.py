"""From a preset or a TOML file to a ``StudyConfig``, and back."""

from __future__ import annotations

import copy
import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import ValidationError

from qt_hw.errors import ConfigError, UnknownName
from qt_hw.study.config import StudyConfig
from qt_hw.training.problems import problems

__all__ = ["known_studies", "load_study", "study_to_toml"]


def known_studies() -> dict[str, str]:
    """Return the names of the ready-made studies, each with its description.

    >>> "digits-shots" in known_studies()
    True
    """
    files = sorted(_folder().iterdir(), key=lambda file: str(file.name))
    texts = {file.name: file.read_text("utf-8") for file in files if file.name.endswith(".toml")}
    return {
        name.removesuffix(".toml"): str(tomllib.loads(text).get("description", ""))
        for name, text in texts.items()
    }


def load_study(
    source: str | Path | StudyConfig | Mapping[str, Any], changes: Sequence[str] = ()
) -> StudyConfig:
    """Return the study named by ``source``.

    Args:
        source: A ready-made study's name, the path of a TOML file, a dict, or a configuration.
        changes: ``key=value`` each, for the study's own keys (``seeds=3``, ``base=digits``).

    Raises:
        ConfigError: The file or a change is wrong; the message names the key.
        UnknownName: There is neither such a study nor such a file.

    >>> load_study("digits-shots", ["seeds=3"]).seeds
    (0, 1, 2)
    """
    if isinstance(source, StudyConfig):
        tables, origin = source.model_dump(mode="json", exclude_none=True), "study"
    elif isinstance(source, Mapping):
        tables, origin = copy.deepcopy(dict(source)), "study"
    else:
        tables, origin = _read(source), str(source)
    for change in changes:
        _apply(tables, change)
    try:
        return StudyConfig.model_validate_json(json.dumps(tables, default=str), strict=True)
    except ValidationError as error:
        raise ConfigError(f"{origin}: {'; '.join(problems(error, StudyConfig))}") from None


def study_to_toml(config: StudyConfig) -> str:
    """Return ``config`` as TOML; what is unset is left out.

    >>> study = load_study("digits-shots")
    >>> load_study(tomllib.loads(study_to_toml(study))) == study
    True
    """
    tables = config.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return tomli_w.dumps(tables)


def _folder() -> Any:
    return resources.files("qt_hw.study").joinpath("presets")


def _read(source: str | Path) -> dict[str, Any]:
    name, known = str(source), known_studies()
    if name in known:
        text = _folder().joinpath(f"{name}.toml").read_text("utf-8")
    elif name.endswith(".toml") or "/" in name or isinstance(source, Path):
        text = _read_file(Path(source), known)
    else:
        raise UnknownName("study", name, tuple(known))
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: not valid TOML: {error}") from None


def _read_file(path: Path, known: Mapping[str, str]) -> str:
    try:
        return path.read_text("utf-8")
    except FileNotFoundError:
        raise ConfigError(f"no file {path}; ready-made studies: {', '.join(known)}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot read {path}: {error}") from None


def _apply(tables: dict[str, Any], change: str) -> None:
    """Set ``key=value``; ``set=`` and ``a.b=`` of runs are added to the list of changes."""
    from qt_hw.training.loading import parse_value

    key, equals, text = change.partition("=")
    key = key.strip()
    if not equals or not key:
        raise ConfigError(f"--set {change}: write key=value, e.g. seeds=3 or optimizer.steps=100")
    table, dot, inner = key.partition(".")
    if dot and table not in StudyConfig.model_fields:
        before = tables.get("set", ())
        listed = list(before) if isinstance(before, list | tuple) else [before]
        tables["set"] = listed if change in listed else [*listed, change]
    elif dot:
        own = tables.setdefault(table, {})
        if not isinstance(own, dict):
            raise ConfigError(f"--set {change}: {table} is no table of single values; edit a file")
        own[inner] = parse_value(text)
    else:
        tables[key] = parse_value(text)
