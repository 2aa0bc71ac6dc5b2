"""One call of ``train`` on a run folder: from the last checkpoint to the end."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import nn

from qt_hw.mitigation.calibration import Calibration
from qt_hw.model.trainable import Trainable
from qt_hw.storage import write_bytes, write_json, write_text
from qt_hw.tasks import Data, Metric, Task
from qt_hw.training import figures
from qt_hw.training.checkpoint import Checkpoint, load_checkpoint, other_version, save_checkpoint
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import to_toml
from qt_hw.training.metrics import MetricsFile, ordered, with_gap
from qt_hw.training.progress import make_reporter
from qt_hw.training.provenance import describe_run, now, read_manifest, run_key, stored_manifest
from qt_hw.training.tensorboard import open_events
from qt_hw.training.trainer import Row, Trainer

__all__ = ["Session", "use_calibration"]

CALIBRATION = "calibration.json"
"""The file of a run folder with what its mitigation was calibrated with."""


class Session:
    """Trains a model in a folder that the caller has locked, then writes its results."""

    def __init__(
        self,
        folder: Path,
        config: RunConfig,
        model: Trainable,
        task: Task,
        data: Data,
        inputs: Mapping[str, Any],
    ) -> None:
        self.folder, self.config, self.model = folder, config, model
        self.task, self.data = task, data
        self.trainer = Trainer(config, model, task, data)
        self.metrics = MetricsFile(folder / "metrics.csv")
        write_text(folder / "config.toml", to_toml(config))
        checkpoint = load_checkpoint(folder / "checkpoints", run_key(config))
        self._calibrate(counted=checkpoint is not None)
        if checkpoint is None or stored_manifest(folder) is None:
            # Measures the untrained model; the state loaded below puts its counters right.
            model.generator.prefetch()
            manifest = describe_run(config, model, task, data, folder, inputs)
            write_json(folder / "manifest.json", manifest)
        if checkpoint is not None:
            with other_version(folder / "checkpoints"):
                self.trainer.load_state_dict(checkpoint.step, checkpoint.state)
        self.metrics.cut(self.trainer.step)

    def _calibrate(self, *, counted: bool) -> None:
        """Use the calibration in the folder, or measure one and keep it there.

        Args:
            counted: Whether a checkpoint brings the circuits of an earlier call with it.
        """
        path, generator = self.folder / CALIBRATION, self.model.generator
        earlier = path.exists() and self.config.mitigation.calibration is None
        use_calibration(self.folder, self.model)
        if (found := generator.calibrate()) is None:
            return
        found.save(path)
        if earlier and not counted:
            generator.usage.circuits += found.n_circuits
            generator.usage.shots += found.n_shots

    def run(self, title: str, *, progress: bool) -> None:
        """Train to the end."""
        logging, step = self.config.logging, self.trainer.step
        wanted = logging is not None and logging.tensorboard
        with (
            open_events(self.folder, wanted=wanted, step=step) as events,
            make_reporter(
                title, self.config.optimizer.steps, self.task.headline, progress=progress
            ) as reporter,
        ):

            def on_row(row: Row) -> None:
                self.metrics.append(row)
                events.on_row(row)
                reporter.on_row(row)

            self.trainer.fit(
                on_step=reporter.on_step, on_row=on_row, on_checkpoint=self._save_checkpoint
            )

    def finish(self, untrained: nn.Module) -> None:
        """Write the trained weights, the final vectors, the figures and the results."""
        rows = self.metrics.rows()
        module = self.model.export()
        state = {name: value.detach().clone() for name, value in module.state_dict().items()}
        write_bytes(self.folder / "results" / "weights.safetensors", save(state))
        arrays = self._final_arrays(untrained)
        buffer = io.BytesIO()
        np.savez(buffer, allow_pickle=False, **arrays)
        write_bytes(self.folder / "results" / "final.npz", buffer.getvalue())
        shots, control = self.config.backend.shots, self.config.control.name
        name = None if control == "none" else control
        headline = self.task.headline
        figures.draw_run(self.folder / "figures", headline, rows, arrays, shots, name)
        self._draw_task(module)
        manifest = read_manifest(self.folder)
        manifest["circuit_share"]["end"] = rows[-1]["circuit_share"]
        manifest["results"] = _results(manifest, rows[-1], headline)
        manifest.update(status="finished", finished=now())
        write_json(self.folder / "manifest.json", manifest)

    @torch.no_grad()
    def _draw_task(self, module: nn.Module) -> None:
        """Write the pictures that are the task's own."""
        for name, figure in self.task.figures(module.eval(), self.data).items():
            figures.save(figure, self.folder / "figures" / name)

    def _save_checkpoint(self) -> None:
        state = self.trainer.state_dict()
        checkpoint = Checkpoint(step=self.trainer.step, state=state, run_key=run_key(self.config))
        save_checkpoint(self.folder / "checkpoints", checkpoint)

    @torch.no_grad()
    def _final_arrays(self, untrained: nn.Module) -> dict[str, NDArray[np.float64]]:
        generator = self.model.generator
        weights = self.model.weights()
        initial = dict(untrained.named_parameters())
        vectors = {
            "probabilities": generator(),
            "ideal": generator.ideal(),
            "angles": generator.trained_angles(),
            "weights": torch.cat([w.flatten() for w in weights.values()]),
            "initial": torch.cat([initial[name].detach().flatten() for name in weights]),
        }
        return {name: v.double().cpu().numpy() for name, v in vectors.items()}


def use_calibration(folder: Path, model: Trainable) -> None:
    """Have ``model`` mitigate with the calibration that the run in ``folder`` began with.

    Raises:
        StorageError: The file is damaged.
        InputError: It is of other circuits.
    """
    mitigator, path = model.generator.mitigator, folder / CALIBRATION
    if mitigator is not None and path.exists():
        mitigator.use(Calibration.load(path))


def _results(manifest: Mapping[str, Any], row: Row, headline: Metric) -> dict[str, Any]:
    """Return the final figures that tables show."""
    parameters = manifest["parameters"]
    trained = parameters["n_trained"] + parameters["n_kept"]
    without_circuit = parameters["n_generated"] + parameters["n_kept"]  # the frozen ones are none
    return {
        "steps": row["step"],
        **with_gap(ordered(row, headline)),
        "trained_parameters": trained,
        "target_parameters": without_circuit,
        "trained_share": trained / without_circuit,
        "circuit_share_start": manifest["circuit_share"]["start"],
        "circuit_share_end": manifest["circuit_share"]["end"],
        "circuits": row["circuits"],
        "shots": row["shots"],
        **_mitigation(manifest["generator"].get("mitigation")),
        "circuits_per_gradient_native": manifest["circuits"]["per_gradient"]["native"],
        "circuits_per_gradient_lowered": manifest["circuits"]["per_gradient"]["lowered"],
        "seconds": row["seconds"],
    }


def _mitigation(described: Mapping[str, Any] | None) -> dict[str, str]:
    """Return what mitigation was asked for, and the techniques that it came to."""
    if described is None:
        return {"mitigation": "none", "techniques": "none"}
    used = [name.replace("raw", "none") for name in described.get("combinations", ())]
    return {
        "mitigation": described["name"],
        "techniques": ", ".join(dict.fromkeys(used)) or described["name"],
    }
