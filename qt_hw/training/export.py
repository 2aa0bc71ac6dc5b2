"""The trained target as a safetensors file that any PyTorch program can load."""

from __future__ import annotations

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

    Returns:
        The description: target, number of weights, test accuracy, versions.

    Raises:
        InputError: ``file`` does not end in ``.safetensors``, or one of the two files exists and
            ``force`` is false.
        StorageError: The run is not finished, or a file cannot be read or written.
    """
    if file.suffix != ".safetensors":
        raise InputError(f"the file must end in .safetensors, not {file.name!r}")
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
        "test_accuracy": results["test_accuracy"],
        "shots": run.config.backend.shots,
        "versions": manifest["versions"],
    }
    write_bytes(file, save(state))
    write_json(file.with_suffix(".json"), description)
    return description
