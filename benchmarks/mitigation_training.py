"""Training under device noise: accuracy raw, mitigated and noiseless, and the shots of each.

    python -m benchmarks.mitigation_training [--seeds 5] [--steps 600] [--shots 4096] [--jobs 2]

The preset ``digits`` on ``aer:fake_torino``. First trained under the noise; then the noiseless
runs, whose trained circuits are measured there ten times each. A seed is that of the
initialisation, of the order of the data and of the shots; differences to the noiseless run are
taken seed by seed. Intervals are Student's t, 95 %.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import stats

from benchmarks._timing import RESULTS

if TYPE_CHECKING:
    from qt_hw.training.run import Run

REPEATS = 10

METHODS: dict[str, str | None] = {
    "noiseless": None,
    "raw": "none",
    "readout": "readout",
    "readout+rescale": "readout+rescale",
}


def train_one(task: tuple[str, int, int, int, str]) -> dict[str, Any]:
    """Train once; return accuracy, circuits and shots."""
    import torch

    from qt_hw import train
    from qt_hw.training.loading import load_config

    method, seed, steps, shots, device = task
    torch.set_num_threads(1)
    changes = [
        f"backend.name={device}",
        f"backend.shots={shots}",
        f"optimizer.steps={steps}",
        "optimizer.eval_every=100",
        *(f"seeds.{name}={seed}" for name in ("data", "init", "sampling")),
    ]
    if METHODS[method] is not None:
        changes.append(f"mitigation.method={METHODS[method]}")
    config = load_config("digits", changes)
    if METHODS[method] is None:
        config = config.noiseless()
    with tempfile.TemporaryDirectory() as folder:
        run = train(config, out=Path(folder) / "run", progress=False)
        arrays, results = run.arrays(), run.results()
        measured = _measured(run, device, shots) if method == "noiseless" else {}
    return {
        "evaluated": measured,
        "method": method,
        "seed": seed,
        "accuracy": results["test_accuracy"],
        "circuits": results["circuits"],
        "shots": results["shots"],
        "total_variation": 0.5 * float(np.abs(arrays["probabilities"] - arrays["ideal"]).sum()),
        "seconds": results["seconds"],
    }


def _measured(run: Run, device: str, shots: int) -> dict[str, list[float]]:
    """Return the accuracies with vectors of the trained circuit as the device measures them."""
    import torch

    from qt_hw import Mitigation, backend, probabilities
    from qt_hw.training.run import task_of
    from qt_hw.training.trainer import all_metrics

    model, where, out = run.quantum(), backend(device), dict[str, list[float]]()
    task = task_of(run.config, None)
    data, generator = task.load(), model.generator
    for method in ("none", *list(METHODS)[2:]):
        made = Mitigation.of(method)
        for seed in range(REPEATS):
            with torch.no_grad():
                p = probabilities(
                    generator.ansatz,
                    generator.angles,
                    backend=where,
                    shots=shots,
                    seed=seed,
                    mitigation=made,
                )
            accuracy = all_metrics(task, model.export(p, shots).eval(), data)["test_accuracy"]
            out.setdefault("raw" if method == "none" else method, []).append(accuracy)
    return out


def interval(values: Sequence[float]) -> str:
    """Return mean and half width of the 95 % interval, in per cent."""
    array = 100.0 * np.asarray(values)
    half = stats.t.ppf(0.975, len(array) - 1) * array.std(ddof=1) / np.sqrt(len(array))
    return f"{array.mean():.2f} ± {half:.2f}"


def show(rows: Sequence[dict[str, Any]]) -> None:
    """Print the table."""
    by = {
        m: sorted((r for r in rows if r["method"] == m), key=lambda r: r["seed"]) for m in METHODS
    }
    twin = [r["accuracy"] for r in by["noiseless"]]
    print("| training | test accuracy % | minus noiseless, % | total variation | shots of a run |")
    print("|---|---:|---:|---:|---:|")
    for method, own in by.items():
        accuracies = [r["accuracy"] for r in own]
        less = [a - b for a, b in zip(accuracies, twin, strict=True)]
        distance = np.mean([r["total_variation"] for r in own])
        difference = "-" if method == "noiseless" else interval(less)
        print(
            f"| {method} | {interval(accuracies)} | {difference} | {distance:.3f} | "
            f"{own[0]['shots']:,} |"
        )


def show_evaluated(rows: Sequence[dict[str, Any]]) -> None:
    """Print the accuracy of the noiseless runs with measured vectors, a mean for each seed."""
    twins = [row for row in rows if row["method"] == "noiseless"]
    print("\n| trained without noise, evaluated | test accuracy % | minus noiseless, % |")
    print("|---|---:|---:|")
    for method in twins[0]["evaluated"]:
        means = [float(np.mean(row["evaluated"][method])) for row in twins]
        less = [mean - row["accuracy"] for mean, row in zip(means, twins, strict=True)]
        print(f"| {method} | {interval(means)} | {interval(less)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=600)
    parser.add_argument("--shots", type=int, default=4096)
    parser.add_argument("--jobs", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--device", default="aer:fake_torino")
    arguments = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    tasks = [
        (method, seed, arguments.steps, arguments.shots, arguments.device)
        for seed in range(arguments.seeds)
        for method in METHODS
    ]
    with ProcessPoolExecutor(arguments.jobs) as pool:
        rows = []
        for row in pool.map(train_one, tasks):
            print(json.dumps(row), flush=True)
            rows.append(row)
    show(rows)
    show_evaluated(rows)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "mitigation_training.json").write_text(json.dumps(rows, indent=2) + "\n")


if __name__ == "__main__":
    main()
