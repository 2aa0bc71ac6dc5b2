"""Trained adapters as a folder that PEFT loads without this package."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from torch import nn

from qt_hw.errors import InputError, StorageError
from qt_hw.tasks.language.gain import without_gains
from qt_hw.tasks.language.vendors import vendor

if TYPE_CHECKING:
    from peft import PeftModel

__all__ = ["export_adapter", "write_adapter"]


@runtime_checkable
class _Exports(Protocol):
    def export(self) -> nn.Module: ...


def export_adapter(trained: object, folder: str | Path) -> dict[str, Any]:
    """Write trained adapters to a folder: ``adapter_config.json``, ``adapter_model.safetensors``.

    ``peft.PeftModel.from_pretrained(model, folder)`` puts them on their model; a model that was
    made here (``tiny-gpt2``, ``gpt2-random``) is written to the folder ``base`` in it.

    Args:
        trained: A finished run, a model, or the target that either exports.
        folder: New, or an earlier export, which is replaced.

    Returns:
        What was written: method, model, number of adapter weights.

    Raises:
        InputError: ``trained`` has no adapters of PEFT, or ``folder`` holds something else.
        StorageError: The folder cannot be written, or the run is not finished.
    """
    module = trained.export() if isinstance(trained, _Exports) else trained
    write: Callable[[Path], dict[str, Any]] | None = getattr(module, "export_to", None)
    if write is None:
        raise InputError(
            f"{type(module).__name__} has no adapters to export: train a target such as 'causal-lm'"
        )
    return write(Path(folder))


def write_adapter(model: PeftModel, folder: Path, *, name: str, with_base: bool) -> dict[str, Any]:
    """Write the adapters of ``model``, which is changed by it, in one step.

    Args:
        model: The model as PEFT has made it.
        folder: Where to.
        name: Of the model.
        with_base: Whether the model without adapters is written too, to ``folder/base``.

    Raises:
        InputError: The folder holds something else than an earlier export.
        StorageError: The folder cannot be written.
    """
    _check_replaceable(folder := folder.absolute())
    without_gains(model)
    config = model.active_peft_config
    config.base_model_name_or_path = "base" if with_base else name
    if with_base and hasattr(config, "init_lora_weights"):
        # PiSSA and its kin have changed the base, which is written as it is now: once is enough.
        config.init_lora_weights = True
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f"{folder.name}-", dir=folder.parent) as beside:
            made = Path(beside) / "adapter"
            with _without_bars():
                # The modules' own weights are the model's: embeddings are not adapters here.
                model.save_pretrained(str(made), save_embedding_layers=False)
                if with_base:
                    # It takes the adapters out of the model: its names are then the ordinary ones.
                    _plain(model).save_pretrained(str(made / "base"))
            shutil.rmtree(folder, ignore_errors=True)
            made.rename(folder)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}") from error
    return {"method": str(config.peft_type.value), "model": name, "folder": str(folder)}


def _check_replaceable(folder: Path) -> None:
    """Refuse to delete what is no export."""
    try:
        foreign = folder.exists() and not (folder / "adapter_config.json").is_file()
        if foreign and (not folder.is_dir() or any(folder.iterdir())):
            raise InputError(f"{folder} is not an earlier export: name a new folder")
    except OSError as error:
        raise StorageError(f"cannot read {folder}: {error.strerror or error}") from error


def _plain(model: PeftModel) -> Any:
    unloaded: Any = model.unload() if hasattr(model.base_model, "unload") else model.base_model
    return unloaded


@contextmanager
def _without_bars() -> Iterator[None]:
    """Keep transformers from drawing a bar for each file."""
    bars: Any = vendor("transformers").utils.logging
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()
