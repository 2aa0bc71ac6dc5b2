"""One step of the published typhoon network: generated factors against plain LoRA.

    python -m benchmarks.typhoon [--batch 4] [--repetitions 5]

A step is the forward pass, the backward pass and Adam on random images of 31 x 31 points at four
times. The time is that of the convolutions, frozen or not, and grows with the batch; the published
run has batches of 128 on a GPU: 40 s for the 60 of an epoch and their validation, 0.67 s a step at
most (stored output of test/QPA_ck_64_qnn_depth_20.ipynb of CYLphysics/QPA_Typhoon_Trajectory).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import torch
from torch import nn

from benchmarks._timing import Route, clock, compare, write
from qt_hw.tasks.typhoon.convgru import CHANNELS, IMAGE_SIZE
from qt_hw.tasks.typhoon.wide import N_WIDE
from qt_hw.training.build import make_model
from qt_hw.training.loading import load_config

_IMAGES = 4
_RATE = 5e-4


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    model = make_model(load_config("typhoon-qpa"))
    plain = model.export()
    x = torch.randn(
        args.batch,
        N_WIDE + _IMAGES * CHANNELS * IMAGE_SIZE**2,
        generator=torch.Generator().manual_seed(0),
    )
    routes = [
        Route(name="plain LoRA", run=clock(_step(plain, x)), note=_trained(plain)),
        Route(name="qt_hw, 8 and 5 qubits", run=clock(_step(model, x)), note=_trained(model)),
    ]
    title = f"A step of AM-ConvGRU with adapters, batch {args.batch}"
    table = compare(title, routes, repetitions=args.repetitions)
    write("typhoon", [table], threads=args.threads, batch=args.batch)


def _step(model: nn.Module, x: torch.Tensor) -> Callable[[], None]:
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=_RATE)

    def step() -> None:
        optimizer.zero_grad()
        model(x).abs().mean().backward()
        optimizer.step()

    return step


def _trained(model: nn.Module) -> str:
    return f"{sum(p.numel() for p in model.parameters() if p.requires_grad):,} numbers trained"


if __name__ == "__main__":
    main()
