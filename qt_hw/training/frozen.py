"""Weights that training leaves as they are: a checkpoint names their checksums only.

A language model with adapters has a thousand times more of them than of all others.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from qt_hw.errors import ConfigError

__all__ = ["Frozen", "load_model_state"]


class Frozen:
    """The frozen parameters of a model, as they are now.

    Args:
        model: Any module. A parameter that is changed in place later (an embedding with
            ``max_norm``) no longer counts as frozen.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        self._versions = {name: p._version for name, p in _frozen(model).items()}
        self._sums: dict[str, str] = {}

    def state(self) -> dict[str, Any]:
        """Return ``model``, the rest of its ``state_dict``, and ``frozen``, checksums by name."""
        parameters, old = _frozen(self._model), self._versions
        kept = {name: p for name, p in parameters.items() if p._version == old.get(name)}
        for name in kept.keys() - self._sums.keys():
            self._sums[name] = _checksum(kept[name])
        state = self._model.state_dict()
        return {
            "model": {name: value for name, value in state.items() if name not in kept},
            "frozen": {name: self._sums[name] for name in kept},
        }


def load_model_state(model: nn.Module, state: Mapping[str, Any]) -> None:
    """Give ``model`` what ``Frozen.state`` returned.

    Raises:
        ConfigError: Its frozen weights are others than those of the checkpoint.
        RuntimeError: Names or shapes are others.
    """
    parameters, sums = _frozen(model), state.get("frozen", {})
    for name, checksum in sums.items():
        if name not in parameters:
            raise RuntimeError(f"the model has no frozen {name}")
        if _checksum(parameters[name]) != checksum:
            raise ConfigError(
                f"{name!r} has other values than in the run, where it was frozen: put back the "
                "model that the run was trained with, or pass the same target"
            )
    # Copying the frozen ones onto themselves would count as a change.
    found = model.load_state_dict(state["model"], strict=False)
    if found.unexpected_keys or set(found.missing_keys) - sums.keys():
        raise RuntimeError(f"{found.unexpected_keys or found.missing_keys} do not fit")


def _frozen(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the frozen parameters by each of their names."""
    named = model.named_parameters(remove_duplicate=False)
    return {name: p for name, p in named if not p.requires_grad}


def _checksum(tensor: Tensor) -> str:
    flat = tensor.detach().cpu().contiguous().flatten()
    return hashlib.sha256(flat.view(torch.uint8).numpy().data).hexdigest()
