"""Checkpoints: safetensors for the numbers, JSON for the rest and for the checksum.

The JSON file names the checksum of its tensors and is written last, so a checkpoint exists once
its JSON file does. The last two are kept: should the newest be damaged, the one before it serves.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from qt_hw.errors import CheckpointError, QtHwError, StorageError
from qt_hw.storage import write_bytes, write_json

__all__ = ["Checkpoint", "load_checkpoint", "other_version", "save_checkpoint"]

logger = logging.getLogger(__name__)

_VERSION = 2
_KEPT = 2
_NAME = re.compile(r"step-(\d{8})\.json")
_TENSOR = "__tensor__"


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """The whole state of a training after ``step`` optimiser steps.

    Attributes:
        step: Optimiser steps done; the position in the data follows from it.
        state: Nested dicts and lists of tensors and JSON values: model, optimizer, schedule, …
        run_key: Which configuration it belongs to.
    """

    step: int
    state: Mapping[str, Any]
    run_key: str


def save_checkpoint(folder: Path, checkpoint: Checkpoint) -> Path:
    """Write ``checkpoint`` into ``folder``, then drop all but the last two.

    Raises:
        StorageError: The disk is full or the folder not writable; the previous checkpoint stays
            good, and the message says which it is.
    """
    tensors: dict[str, Tensor] = {}
    state = _split(checkpoint.state, "", tensors)
    data = save(tensors)
    body = {
        "version": _VERSION,
        "step": checkpoint.step,
        "run_key": checkpoint.run_key,
        "tensors_sha256": hashlib.sha256(data).hexdigest(),
        "state": state,
    }
    path = folder / f"step-{checkpoint.step:08d}.json"
    try:
        write_bytes(path.with_suffix(".safetensors"), data)
        write_json(path, {**body, "sha256": _digest(body)})
    except StorageError as error:
        raise StorageError(f"{error}; {_still_good(folder)}") from None
    _drop_old(folder, checkpoint.step)
    return path


def load_checkpoint(folder: Path, run_key: str) -> Checkpoint | None:
    """Return the newest undamaged checkpoint in ``folder``, None if there never was one.

    A damaged one is named in a warning and the one before it is used.

    Raises:
        CheckpointError: All are damaged, belong to another configuration, or were made by another
            version of this package.
    """
    damaged: list[str] = []
    for path in reversed(_files(folder)):
        try:
            checkpoint = _read(path)
        except _OtherVersion:
            raise
        except CheckpointError as error:
            damaged.append(str(error))
            logger.warning("%s; trying the checkpoint before it", error)
            continue
        if checkpoint.run_key != run_key:
            raise CheckpointError(
                f"{path} belongs to another configuration; "
                "give --out a new folder, or resume with the configuration in config.toml"
            )
        return checkpoint
    if damaged:
        raise CheckpointError(
            f"{damaged[0]}, and no older one is left; "
            f"delete {folder} to train from the start, or put a copy back, then --resume"
        )
    return None


@contextlib.contextmanager
def other_version(path: Path) -> Iterator[None]:
    """Turn the errors of loading a state that does not fit into one line.

    Raises:
        CheckpointError: A state from ``path`` lacks something or has another shape.
    """
    try:
        yield
    except QtHwError:  # says more
        raise
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError):
        raise _OtherVersion(path) from None


class _OtherVersion(CheckpointError):
    """A checkpoint that is whole, but not of this version."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"checkpoint {path} was made by another version of qt-hw; "
            "go on with that version, or choose another --out"
        )


def _read(path: Path) -> Checkpoint:
    tensors_path = path.with_suffix(".safetensors")
    try:
        body = json.loads(path.read_text("utf-8"))
        digest = body.pop("sha256")
        data = tensors_path.read_bytes()
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise CheckpointError(f"checkpoint {path} cannot be read ({error})") from None
    if digest != _digest(body):
        raise CheckpointError(f"checkpoint {path} is damaged (wrong checksum)")
    if body.get("version") != _VERSION:
        raise _OtherVersion(path)
    if hashlib.sha256(data).hexdigest() != body["tensors_sha256"]:
        raise CheckpointError(f"checkpoint {tensors_path} is damaged (wrong checksum)")
    try:
        tensors = load(data)
    except SafetensorError as error:
        raise CheckpointError(f"checkpoint {tensors_path} cannot be read ({error})") from None
    state = _join(body["state"], tensors)
    return Checkpoint(step=body["step"], state=state, run_key=body["run_key"])


def _split(value: Any, path: str, tensors: dict[str, Tensor]) -> Any:
    """Move the tensors of nested dicts and lists into ``tensors``; return the rest as JSON."""
    if isinstance(value, Tensor):
        tensors[path] = value.detach().to("cpu").contiguous().clone()
        return {_TENSOR: path}
    if isinstance(value, Mapping):
        # Pairs, because the keys of an optimizer's state are ints, which JSON would turn to text.
        return {"dict": [[key, _split(v, f"{path}/{key}", tensors)] for key, v in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_split(v, f"{path}/{i}", tensors) for i, v in enumerate(value)]}
    return value


def _join(value: Any, tensors: Mapping[str, Tensor]) -> Any:
    """Undo ``_split``; tuples come back as lists."""
    if not isinstance(value, dict):
        return value
    if _TENSOR in value:
        return tensors[value[_TENSOR]]
    if "list" in value:
        return [_join(v, tensors) for v in value["list"]]
    return {key: _join(v, tensors) for key, v in value["dict"]}


def _digest(body: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()


def _files(folder: Path) -> list[Path]:
    """Return the JSON files of all checkpoints, oldest first."""
    return sorted(path for path in folder.glob("step-*.json") if _NAME.fullmatch(path.name))


def _drop_old(folder: Path, newest: int) -> None:
    """Remove all but the last checkpoints, and what an interrupted writing left.

    Later ones than the one just written are those that were found damaged.
    """
    good = [path for path in _files(folder) if path.stem <= f"step-{newest:08d}"]
    kept = {path.stem for path in good[-_KEPT:]}
    for path in folder.glob("step-*"):
        if path.name.split(".")[0] not in kept:
            path.unlink(missing_ok=True)


def _still_good(folder: Path) -> str:
    for path in reversed(_files(folder)):
        try:
            step = _read(path).step
        except CheckpointError:
            continue
        return f"the checkpoint of step {step} is good: make room, then --resume"
    return "there is no earlier checkpoint: make room, then start again"
