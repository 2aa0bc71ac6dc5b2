"""The ready-made runs: the files of ``qt_hw/presets``, and the families that some of them begin.

A file with a table ``[family]`` stands for itself and for the rows of a paper's table that differ
from it in one key: with ``key = "ansatz.n_layers"`` and ``values = [1, 4, …]``, the preset
``mnist-qt`` is also ``mnist-qt1``, ``mnist-qt4``, …. (There is no hyphen before the number:
``runs/mnist-qt-4`` is the fourth run of ``mnist-qt``.)
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import resources
from typing import Any

from qt_hw.errors import UnknownName

__all__ = ["Family", "all_names", "known_families", "known_presets", "read_preset"]

Tables = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Family:
    """Presets that differ from the preset they are named after in one key.

    Attributes:
        preset: The preset they are named after.
        key: What differs, as in ``--set``: ``"ansatz.n_layers"``.
        symbol: What a list writes for its value: ``"L"``.
        values: Allowed values.
        description: Of all members, with ``{}`` for the value.

    >>> family = known_families()["mnist-qt"]
    >>> family.name, family.members[1]
    ('mnist-qt{L}', 'mnist-qt4')
    """

    preset: str
    key: str
    symbol: str
    values: tuple[int, ...]
    description: str

    @property
    def name(self) -> str:
        """All names in one, for lists."""
        return f"{self.preset}{{{self.symbol}}}"

    @property
    def members(self) -> tuple[str, ...]:
        """Names of the presets."""
        return tuple(f"{self.preset}{value}" for value in self.values)

    @property
    def text(self) -> str:
        """The description, for lists."""
        first, last = self.values[0], self.values[-1]
        listed = ", ".join(str(value) for value in self.values)
        if self.values == tuple(range(first, last + 1)):
            listed = f"{first} to {last}"
        return f"{self.description.format(self.symbol)}; {self.symbol} = {listed}"

    def tables(self, name: str) -> Tables:
        """Return the tables of one member.

        Raises:
            UnknownName: There is no such member.
        """
        if name not in self.members:
            raise UnknownName("preset", name, (self.preset, *self.members))
        value = self.values[self.members.index(name)]
        tables = _own(self.preset)
        table, _, key = self.key.partition(".")
        tables[table][key] = value
        tables["description"] = self.description.format(value)
        return tables


def known_presets() -> dict[str, str]:
    """Return the names of the presets, each with its description; families not spelt out.

    >>> "digits" in known_presets(), "mnist-qt4" in known_presets()
    (True, False)
    """
    return {name: str(tables.get("description", "")) for name, tables in _files()}


def known_families() -> dict[str, Family]:
    """Return the families by the preset that each is named after."""
    return {name: _family(name, tables) for name, tables in _files() if "family" in tables}


def read_preset(name: str) -> Tables | None:
    """Return the tables of a preset or of a member of a family; None where none is called so.

    Raises:
        UnknownName: It would belong to a family, but is no member of it.

    >>> tables = read_preset("mnist-qt4")
    >>> tables["ansatz"]["n_layers"]
    4
    """
    if name in _names():
        return _own(name)
    preset = name.rstrip("0123456789")
    if preset not in _names():
        return None
    tables = _tables(preset)
    return _family(preset, tables).tables(name) if "family" in tables else None


def all_names() -> tuple[str, ...]:
    """Return everything that can be typed: presets and members of families.

    >>> "mnist-qt4" in all_names()
    True
    """
    families = known_families().values()
    return (*_names(), *(name for family in families for name in family.members))


def _own(name: str) -> Tables:
    """Return the tables of a preset itself."""
    return {key: table for key, table in _tables(name).items() if key != "family"}


def _family(preset: str, tables: Tables) -> Family:
    table = tables["family"]
    return Family(preset=preset, **{**table, "values": tuple(table["values"])})


def _files() -> Iterator[tuple[str, Tables]]:
    return ((name, _tables(name)) for name in _names())


def _names() -> tuple[str, ...]:
    files = (file.name for file in _folder().iterdir())
    return tuple(sorted(name.removesuffix(".toml") for name in files if name.endswith(".toml")))


def _tables(name: str) -> Tables:
    return tomllib.loads(_folder().joinpath(f"{name}.toml").read_text("utf-8"))


def _folder() -> Any:
    return resources.files("qt_hw").joinpath("presets")
