"""Options of the backends that run on this machine, checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, TypeVar

from qt_hw.errors import InputError, UnknownName

__all__ = [
    "EmulatorOptions",
    "IdealOptions",
    "NoisyOptions",
    "default_memory_limit",
    "read_options",
]

#: What ``[account]`` says of the cloud has no meaning here and does no harm.
_ACCOUNT = ("bucket", "region")


def default_memory_limit() -> int:
    """Return half of the machine's memory, bytes."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2


@dataclass(frozen=True, kw_only=True)
class IdealOptions:
    """What ``braket:local`` takes.

    Attributes:
        memory_limit: Bytes for results and states, default half of the machine's.
    """

    memory_limit: int = field(default_factory=default_memory_limit)


@dataclass(frozen=True, kw_only=True)
class _DensityOptions(IdealOptions):
    max_density_qubits: int = 8


@dataclass(frozen=True, kw_only=True)
class NoisyOptions(_DensityOptions):
    """What ``braket:local-dm`` takes; the probabilities are Amazon Braket's.

    Attributes:
        p1: After each ry, with this probability one of X, Y and Z (``Depolarizing``); rz is done
            in software and has no noise. Aer's depolarizing probability is 4/3 of it.
        p2: After each cnot, with this probability one of the 15 pairs of Paulis
            (``TwoQubitDepolarizing``). Aer's depolarizing probability is 16/15 of it.
        readout: Probability that the outcome of a qubit is read as the other (``BitFlip``).
        max_density_qubits: Most qubits: a density matrix of n qubits has 4**n entries.
        memory_limit: Bytes for results and states, default half of the machine's.
    """

    p1: float | None = None
    p2: float | None = None
    readout: float | None = None


@dataclass(frozen=True, kw_only=True)
class EmulatorOptions(_DensityOptions):
    """What ``ionq:emulator`` takes.

    Attributes:
        properties: File with a device's properties as ``AwsDevice(arn).properties.json()`` gives
            them; by default the rounded figures of Forte-1 that come with this package.
        max_density_qubits: Most qubits: a density matrix of n qubits has 4**n entries.
        memory_limit: Bytes for results and states, default half of the machine's.
    """

    properties: str | Path | None = None


_WHOLE = {"memory_limit": (2**20, 2**60), "max_density_qubits": (1, 13)}
_PROBABILITIES = {"p1": 0.75, "p2": 0.9375, "readout": 0.5}

_Options = TypeVar("_Options", IdealOptions, NoisyOptions, EmulatorOptions)


def read_options(kind: type[_Options], options: Mapping[str, Any], name: str) -> _Options:
    """Return the options of the backend ``name``, checked.

    Raises:
        UnknownName: No such option.
        InputError: A wrong value, or ``braket:local-dm`` without noise.
    """
    known = [entry.name for entry in fields(kind)]
    given = {key: value for key, value in options.items() if key not in _ACCOUNT}
    for key in given:
        if key not in known:
            raise UnknownName(f"option of the backend {name!r}", key, known)
    for key, value in given.items():
        if key in _WHOLE:
            _check_whole(key, value)
        elif key in _PROBABILITIES:
            _check_probability(key, value)
    result = kind(**given)
    if isinstance(result, NoisyOptions) and not any(
        value is not None for value in (result.p1, result.p2, result.readout)
    ):
        raise InputError(
            "'braket:local-dm' needs p1=, p2= or readout=, e.g. p1=0.001, p2=0.01; without noise "
            "use 'braket:local'"
        )
    return result


def _check_whole(key: str, value: Any) -> None:
    low, high = _WHOLE[key]
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise InputError(f"{key} must be a whole number from {low} to {high}, not {value!r}")


def _check_probability(key: str, value: Any) -> None:
    high = _PROBABILITIES[key]
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and 0 <= value <= high):
        raise InputError(f"{key} must be a probability from 0 to {high}, not {value!r}")
