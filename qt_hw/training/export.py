"""The trained target as a safetensors file that any PyTorch program can load."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save

from qt_hw.errors import InputError, StorageError
from qt_hw.storage import write_bytes, write_json
from qt_hw.training.run import Run

__all__ = ["export_run"]


def export_run(run: Run, file: Path, *, force: bool = False) -> dict[str, Any]:
    """Write the target's ``state_dict`` to ``file`` and its description to the ``.json`` beside it.

    A target that has a form of its own (the adapters of a language model) is written in that form
    where ``file`` does not end in ``.safetensors``: as a folder.

    Returns:
        The description: target, number of weights, metrics on the test data, versions.

    Raises:
        InputError: ``file`` does not end in ``.safetensors`` and the target has no form of its own,
            or what would be written exists and ``force`` is false.
        StorageError: The run is not finished, or a file cannot be read or written.
    """
    if file.suffix != ".safetensors":
        return _own_form(run, file, force=force)
    for path in (file, file.with_suffix(".json")):
        if path.exists() and not force:
            raise InputError(f"{path} already exists; add --force to replace it")
    results, manifest = run.results(), run.manifest
    source = run.folder / "results" / "weights.safetensors"
    try:
        state = load(source.read_bytes())
    except (OSError, SafetensorError) as error:
        raise StorageError(f"cannot read {source}: {error}") from None
    description = {
        "target": run.config.target.model_dump(exclude_none=True),
        "control": run.config.control.name,
        "weights": sum(tensor.numel() for tensor in state.values()),
        "tensors": {name: list(tensor.shape) for name, tensor in state.items()},
        "data": manifest["data"],
        **{name: v for name, v in results.items() if name.startswith("test_")},
        "shots": run.config.backend.shots,
        "versions": manifest["versions"],
    }
    write_bytes(file, save(state))
    write_json(file.with_suffix(".json"), description)
    return description


def _own_form(run: Run, folder: Path, *, force: bool) -> dict[str, Any]:
    """Have the trained target write itself to a folder."""
    module = run.export()
    write: Callable[[Path], dict[str, Any]] | None = getattr(module, "export_to", None)
    if write is None:
        raise InputError(f"the file must end in .safetensors, not {folder.name!r}")
    if folder.exists() and not force:
        raise InputError(f"{folder} already exists; add --force to replace it")
    return {
        "target": run.config.target.model_dump(exclude_none=True),
        "weights": run.manifest["parameters"]["n_generated"],
        **write(folder),
    }
