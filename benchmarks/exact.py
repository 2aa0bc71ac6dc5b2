"""Exact probabilities and their VJP: ours against PennyLane and TorchQuantum.

    python -m benchmarks.exact [--qubits 13] [--layers 16] [--repetitions 7]

One step is the forward pass and one backward pass with a fixed cotangent. Each peer runs the
fastest of its variants; all results are compared with ours before any timing.
"""

from __future__ import annotations

import argparse
import contextlib
from pathlib import Path

import numpy as np
import torch

import qt_hw as qt
from benchmarks._peers import ENVIRONMENT, Peer, PeerMissing
from benchmarks._timing import Route, clock, compare, write
from qt_hw.circuits.ansatz import Ansatz

PEERS = {
    "pennylane": ("PennyLane default.qubit, backprop, its own gates", 40.0),
    "pennylane-matrices": ("PennyLane default.qubit, backprop, hand-built matrices", None),
    "torchquantum": ("TorchQuantum", 15.0),
}


class Step:
    """Our forward and backward pass in one precision."""

    def __init__(self, ansatz: Ansatz, angles: torch.Tensor, g: torch.Tensor, dtype: str) -> None:
        self.angles = angles.clone().requires_grad_()
        self._ansatz, self._g = ansatz, g
        self._backend = qt.backend("statevector", dtype=dtype)

    def __call__(self) -> torch.Tensor:
        """Return the probabilities; the gradient is in ``angles.grad``."""
        self.angles.grad = None
        p = qt.probabilities(self._ansatz, self.angles, backend=self._backend)
        p.backward(self._g)  # type: ignore[no-untyped-call]
        return p.detach()


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--qubits", type=int, default=13)
    parser.add_argument("--layers", type=int, default=16)
    parser.add_argument("--repetitions", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--peers", type=Path, default=ENVIRONMENT, help="their environment")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    ansatz = qt.U3Cu3(args.qubits, args.layers)
    source = torch.Generator().manual_seed(0)
    angles = (2 * torch.rand(ansatz.n_angles, generator=source, dtype=torch.float64) - 1) * torch.pi
    g = torch.randn(2**args.qubits, generator=source, dtype=torch.float64)
    steps = {dtype: Step(ansatz, angles, g, dtype) for dtype in ("complex64", "complex128")}
    p = steps["complex128"]().numpy()
    gradient = steps["complex128"].angles.grad
    assert gradient is not None
    problem = {
        "n_qubits": args.qubits,
        "n_layers": args.layers,
        "threads": args.threads,
        "angles": angles.tolist(),
        "cotangent": g.tolist(),
    }
    routes = [Route(name=f"qt_hw, {dtype}", run=clock(step)) for dtype, step in steps.items()]
    missing = []
    with contextlib.ExitStack() as stack:
        for kind, (name, bar) in PEERS.items():
            try:
                peer = stack.enter_context(Peer(kind, problem, args.peers))
            except PeerMissing:
                missing.append(name)
                continue
            np.testing.assert_allclose(peer.probabilities, p, atol=1e-5)
            np.testing.assert_allclose(peer.gradient, gradient.numpy(), atol=1e-4)
            wanted = bar if (args.qubits, args.layers) == (13, 16) else None
            routes.append(Route(name=name, run=peer.run, note=peer.variant, bar=wanted))
        title = f"Exact probabilities + VJP, U3Cu3({args.qubits}, {args.layers})"
        table = compare(title, routes, repetitions=args.repetitions, missing=missing)
    write("exact", [table], threads=args.threads)


if __name__ == "__main__":
    main()
