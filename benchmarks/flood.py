"""QT-LSTM: seconds per training step of the preset ``flood-qt-lstm``.

    python -m benchmarks.flood [--repetitions 5] [--threads 2]

A step is circuit, mapping, two LSTM layers over 100 time steps for a batch of 256, and the gradient
of all of it, at fixed angles. The published code takes 0.10 s on a GPU (0.42 to 0.55 s with
PennyLane), but its gradient does not pass through the LSTM layers; that variant is timed too, with
the same loss (checked before), and so are the same layers trained directly, without a circuit.
"""

from __future__ import annotations

import argparse

import torch

from benchmarks._timing import Route, clock, compare, write
from qt_hw.model.trainable import Trainable
from qt_hw.tasks import batches
from qt_hw.training.build import make_model, make_task
from qt_hw.training.config import ControlConfig, RunConfig
from qt_hw.training.loading import load_config

PUBLISHED = {
    "TorchQuantum on a GPU, gradient of the dense layer alone": 0.10,
    "PennyLane default.qubit, the same": (0.42, 0.55),
}


class Step:
    """Forward and backward pass of one batch, with the circuit measured anew each time."""

    def __init__(self, config: RunConfig, *, dense_alone: bool = False) -> None:
        task = make_task(config.task)
        x, y = task.load().train
        index = batches(len(x), config.optimizer.batch_size, seed=0, step=0)
        self.task, self.x, self.y = task, x[index], y[index]
        self.model: Trainable = make_model(config)
        self.dense_alone = dense_alone

    def __call__(self) -> float:
        """Return the loss; gradients are in the parameters."""
        self.model.zero_grad(set_to_none=True)
        self.model.refresh()
        weights = self.model.weights()
        if self.dense_alone:  # what copying the weights in by .data amounts to
            weights = {k: w if k.startswith("fc") else w.detach() for k, w in weights.items()}
        output = self.model.target.call(weights, self.x)
        assert isinstance(output, torch.Tensor)
        loss = self.task.loss(output, self.y)
        loss.backward()  # type: ignore[no-untyped-call]
        return float(loss.detach())


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    config = load_config(
        "flood-qt-lstm", ["task.options.train_size=512", "task.options.test_size=64"]
    )
    direct = Step(config.model_copy(update={"control": ControlConfig(name="direct")}))
    ours, dense = Step(config), Step(config, dense_alone=True)
    assert abs(ours() - dense()) < 1e-6
    routes = [
        Route(name="the LSTM trained directly", run=clock(direct), note="no circuit"),
        Route(name="QT-LSTM", run=clock(ours), note="exact, gradient of all weights"),
        Route(
            name="QT-LSTM, dense layer alone",
            run=clock(dense),
            note="exact, gradient as in the published code",
        ),
    ]
    title = "One step of flood-qt-lstm, 15 qubits, 31,051 weights"
    table = compare(title, routes, repetitions=args.repetitions)
    for name, seconds in PUBLISHED.items():
        print(f"published: {name}: {seconds} s")
    write("flood", [table], threads=args.threads, published_seconds=PUBLISHED)


if __name__ == "__main__":
    main()
