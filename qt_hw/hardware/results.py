"""From the counts of an evaluation to the metrics of the target model, and all of it on disk."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save as to_safetensors
from torch import nn

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import ConfigError
from qt_hw.execution.backend import Counts, Prepared
from qt_hw.execution.executor import LocalExecutor
from qt_hw.execution.journal import JobRow
from qt_hw.execution.statevector_backend import StatevectorBackend
from qt_hw.hardware.evaluation import Evaluation, angles_digest
from qt_hw.hardware.figures import draw_vector
from qt_hw.hardware.home import Home
from qt_hw.hardware.mitigated import calibration_plans, mitigated, raw_vectors, stored_of
from qt_hw.hardware.statistics import distance_of_shots, joined, total_variation
from qt_hw.model.generator import probabilities
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.storage import write_bytes, write_json
from qt_hw.tasks import Data, Task, known_tasks
from qt_hw.training.checks import check_inputs, describe_inputs
from qt_hw.training.metrics import with_gap
from qt_hw.training.provenance import now, versions
from qt_hw.training.run import Run, task_of
from qt_hw.training.trainer import all_metrics

__all__ = ["Bench", "bill", "finish"]

Array = NDArray[np.float64]
Prepare = Callable[[Ansatz], Prepared]


class Bench:
    """The classical side of a run: its model, its data, its metrics, each made when needed."""

    def __init__(
        self, run: Run, target: nn.Module | None = None, data: Data | Task | None = None
    ) -> None:
        """Use ``run``.

        Args:
            run: A finished run.
            target: The target that the run was given, where it was given one.
            data: The data that the run was given, where it was given some.
        """
        self.run, self._target, self._data = run, target, data

    @cached_property
    def model(self) -> QuantumTrain:
        """The trained model, whose own circuits run on the exact engine."""
        return self.run.quantum(self._target, LocalExecutor(StatevectorBackend()))

    @cached_property
    def task(self) -> Task:
        """The task.

        Raises:
            ConfigError: The run was trained on data of the caller's, which are missing.
        """
        name = self.run.config.task.name
        if self._data is None and name not in known_tasks():
            raise ConfigError(
                f"this run was given its own data ({name}): pass the same as data= to "
                "qt_hw.hardware.collect.collect"
            )
        return task_of(self.run.config, self._data)

    @cached_property
    def data(self) -> Data:
        """The data, checked to be those of the training."""
        data, manifest = self.task.load(), self.run.manifest
        found = describe_inputs(data, nn.Module())["data_sha256"]
        inputs = {**(manifest.get("inputs") or {}), "data_sha256": found}
        check_inputs(self.run.folder, manifest, inputs)
        return data

    def ideal(self) -> list[Array]:
        """Return the exact vector of each factor of the circuit."""
        generator, vectors, first = self.model.generator, [], 0
        for factor in generator.ansatz.factors():
            angles = generator.angles.detach()[first : first + factor.n_angles]
            vectors.append(probabilities(factor, angles).numpy().astype(np.float64))
            first += factor.n_angles
        return vectors

    def evaluate(self, p: Array, shots: int) -> tuple[nn.Module, dict[str, float]]:
        """Return the target with the weights of a measured vector, and its metrics."""
        module = self.model.export(torch.from_numpy(p), shots)
        return module, all_metrics(self.task, module.eval(), self.data)


def finish(
    bench: Bench,
    home: Home,
    evaluation: Evaluation,
    counts: Counts,
    jobs: Sequence[JobRow],
    device: Mapping[str, Any],
    prepare: Prepare,
) -> dict[str, Any]:
    """Write the results of an evaluation; the last file makes it finished.

    Args:
        bench: Of its run.
        home: Where it is recorded.
        evaluation: Its record.
        counts: Those of each factor of the circuit, then those of the calibration.
        jobs: What it was measured with.
        device: What its backend says of itself, and the date of its calibration.
        prepare: Returns the circuit of a factor as it was submitted.

    Returns:
        What ``result.json`` holds.

    Raises:
        ConfigError: The run was trained anew since; or its own target or data are missing.
    """
    angles = bench.model.generator.angles.detach().numpy()
    if angles_digest(angles) != evaluation.angles_sha256:
        raise ConfigError(
            f"{bench.run.folder} was trained on since {evaluation.label} was submitted: put the "
            "run back as it was"
        )
    ideal = bench.ideal()
    stored, made = stored_of(evaluation, len(ideal)), evaluation.made
    measured, exact = raw_vectors(counts, stored), joined(ideal)
    p, extra = joined(measured), dict[str, Any]()
    if made is not None:
        raw, (_, metrics) = p, bench.evaluate(p, evaluation.shots)
        ansatz = bench.model.generator.ansatz
        first = sum(len(one.shots) for one in stored)
        plans = calibration_plans(made, ansatz, prepare, first_part=first)
        done = mitigated(
            made,
            plans,
            stored,
            counts,
            ideal,
            backend=evaluation.backend,
            date=evaluation.created,
        )
        p, headline = joined(done.vectors), bench.task.headline.test
        done.calibration.save(evaluation.folder(home) / "calibration.json")
        extra = {
            f"raw_{headline}": metrics[headline],
            "raw_total_variation": total_variation(raw, exact),
            "techniques": made.name,
            "errors": [one.to_dict() for one in done.verdicts],
            "verdict": [one.line for one in done.verdicts],
        }
    module, metrics = bench.evaluate(p, evaluation.shots)
    result = {
        "evaluation": evaluation.number,
        "rehearsal": home.rehearsed,
        "backend": evaluation.backend,
        "shots": evaluation.shots,
        "mitigation": evaluation.mitigation,
        "calibration_shots": evaluation.calibration_shots,
        **with_gap(metrics),
        "total_variation": total_variation(p, exact),
        "total_variation_of_shots": distance_of_shots(ideal, evaluation.shots),
        **extra,
        **bill(jobs),
        "jobs": [row.id for row in jobs],
        "device": dict(device),
        "created": evaluation.created,
        "finished": now(),
        "versions": versions(),
    }
    folder = evaluation.folder(home)
    items = {f"counts_{i}": array for i, array in enumerate(counts.arrays)}
    vectors = {"measured": joined(measured), "used": p, "ideal": exact}
    _write_arrays(folder / "probabilities.npz", {**vectors, **items})
    state = {name: value.detach().clone() for name, value in module.state_dict().items()}
    write_bytes(folder / "weights.safetensors", to_safetensors(state))
    draw_vector(folder / "figures", p, exact, result)
    write_json(folder / "result.json", result)
    return result


def bill(jobs: Sequence[JobRow]) -> dict[str, Any]:
    """Return what jobs cost: ``usd``, ``qpu_seconds`` and from where that is known.

    A job whose charge is not known counts at its high estimate; ``cost_source`` says so.
    """
    sources = {row.charge_source or "estimate" for row in jobs}
    return {
        "usd": sum(row.usd_high if row.usd is None else row.usd for row in jobs),
        "qpu_seconds": sum(
            row.qpu_seconds_high if row.qpu_seconds is None else row.qpu_seconds for row in jobs
        ),
        "cost_source": ", ".join(sorted(sources)),
    }


def _write_arrays(path: Path, arrays: dict[str, NDArray[Any]]) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write_bytes(path, buffer.getvalue())
