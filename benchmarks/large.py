"""Exact gradient of U3Cu3(19, 95), the papers' CIFAR-10 generator: time and peak memory.

    python -m benchmarks.large [--device cpu] [--dtype complex64] [--qubits 19] [--layers 95]

Runs in a process of its own, whose peak resident memory is what the operating system reports.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time

from benchmarks._timing import Row, Table, show, verdict, write

CEILING_GIB = 8.0


def gradient(args: argparse.Namespace) -> None:
    """Take the gradient once more after a warm-up on few layers; print time and memory as JSON."""
    import torch

    import qt_hw as qt
    from qt_hw.execution.statevector_backend import StatevectorBackend

    torch.set_num_threads(args.threads)
    backend = StatevectorBackend(dtype=args.dtype, device=args.device)

    def step(n_layers: int) -> float:
        ansatz = qt.U3Cu3(args.qubits, n_layers)
        source = torch.Generator().manual_seed(0)
        angles = torch.rand(ansatz.n_angles, generator=source, dtype=torch.float64)
        angles = (2 * torch.pi * angles - torch.pi).requires_grad_()
        cotangent = torch.randn(2**args.qubits, generator=source, dtype=torch.float64)
        start = time.perf_counter()
        p = qt.probabilities(ansatz, angles, backend=backend)
        p.backward(cotangent.to(p.device))  # type: ignore[no-untyped-call]
        assert angles.grad is not None and bool(angles.grad.isfinite().all())
        return time.perf_counter() - start

    step(1)
    seconds = step(args.layers)
    on_gpu = args.device != "cpu"
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    report = {
        "seconds": seconds,
        "gib": peak,
        "gpu_gib": torch.cuda.max_memory_allocated() / 2**30 if on_gpu else None,
    }
    print(json.dumps(report))


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--dtype", default="complex64")
    parser.add_argument("--qubits", type=int, default=19)
    parser.add_argument("--layers", type=int, default=95)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        gradient(args)
        return
    command = [sys.executable, "-m", "benchmarks.large", "--child", *sys.argv[1:]]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    report = json.loads(output.splitlines()[-1])
    gib = report["gib"] if report["gpu_gib"] is None else report["gpu_gib"]
    row = Row(
        name=f"qt_hw, {args.dtype}, {args.device}",
        seconds=report["seconds"],
        verdict="GiB " + verdict(gib, ceiling=CEILING_GIB),
        note=f"peak {gib:.2f} GiB",
    )
    title = f"Exact gradient, U3Cu3({args.qubits}, {args.layers})"
    table = Table(title=title, rows=(row,), repetitions=1)
    show(table)
    write(f"large-{args.device.split(':')[0]}", [table], **report)


if __name__ == "__main__":
    main()
