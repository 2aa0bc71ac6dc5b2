"""Runs in the peers' environment: training steps of Quantum-Train written with PennyLane.

A U3-CU3 ring on ``lightning.qubit`` with shots, its gradient by PennyLane's parameter-shift rule,
the mapping, target and optimiser of the preset ``digits`` in plain torch. Reads one JSON line (the
problem), answers with probabilities and a gradient, without shots and with them, then does one step
for every further line and answers with its seconds. Needs nothing of ``qt_hw``.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

N_IN, N_HIDDEN, N_OUT, BATCH = 64, 32, 10, 128
SHAPES = ((N_HIDDEN, N_IN), (N_HIDDEN,), (N_OUT, N_HIDDEN), (N_OUT,))


def circuit_of(n: int, layers: int, shots: int | None) -> Callable[[Tensor], Tensor]:
    """Return the ring; controlled U3 as PhaseShift and CRot, whose shifts PennyLane knows."""
    import pennylane as qml

    def ring(angles: Tensor) -> Any:
        k = 0
        for _ in range(layers):
            for q in range(n):
                qml.Rot(angles[k + 2], angles[k], angles[k + 1], wires=q)
                k += 3
            for q in range(n):
                pair = (q, (q + 1) % n)
                qml.PhaseShift((angles[k + 1] + angles[k + 2]) / 2, wires=q)
                qml.CRot(angles[k + 2], angles[k], angles[k + 1], wires=pair)
                k += 3
        return qml.probs(wires=range(n))

    device = qml.device("lightning.qubit", wires=n)
    node = qml.QNode(ring, device, interface="torch", diff_method="parameter-shift")
    made: Callable[[Tensor], Tensor] = node if shots is None else qml.set_shots(node, shots=shots)
    return made


class Model(nn.Module):
    """Angles, mapping and target; the weights come from the measured probabilities."""

    labels: Tensor

    def __init__(self, n: int, angles: Tensor, circuit: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.angles, self.circuit = nn.Parameter(angles.clone()), circuit
        self.chunk = -(-sum(torch.Size(shape).numel() for shape in SHAPES) // 2**n)
        self.mapping = nn.Sequential(nn.Linear(n + 1, 10), nn.Tanh(), nn.Linear(10, self.chunk))
        digits = torch.arange(2**n)[:, None] >> torch.arange(n - 1, -1, -1)
        self.register_buffer("labels", 2.0 * (digits & 1) - 1.0)

    def forward(self, x: Tensor) -> Tensor:
        p = self.circuit(self.angles).to(torch.float32)
        feature = (p * len(p)).clamp(min=1e-4).sqrt()[:, None]
        flat = 0.1 * self.mapping(torch.cat([self.labels, feature], dim=1)).flatten()
        sizes = [torch.Size(shape).numel() for shape in SHAPES]
        parts = torch.split(flat[: sum(sizes)], sizes)
        w1, b1, w2, b2 = (part.view(s) for part, s in zip(parts, SHAPES, strict=True))
        hidden = torch.relu(nn.functional.linear(x, w1, b1))
        return nn.functional.linear(hidden, w2, b2)


def outcome(
    circuit: Callable[[Tensor], Tensor], angles: Tensor, cotangent: Tensor
) -> tuple[list[float], list[float]]:
    """Return the probabilities and the gradient of their product with ``cotangent``."""
    angles = angles.clone().requires_grad_()
    p = circuit(angles)
    p.backward(cotangent)  # type: ignore[no-untyped-call, unused-ignore]
    assert angles.grad is not None
    return p.tolist(), angles.grad.tolist()


def main() -> None:
    """Answer the lines of standard input until it ends."""
    answers = sys.stdout
    problem = json.loads(sys.stdin.readline())
    n, layers, shots = problem["n_qubits"], problem["n_layers"], problem["shots"]
    torch.set_num_threads(problem["threads"])
    try:
        with contextlib.redirect_stdout(sys.stderr):
            exact, measured = circuit_of(n, layers, None), circuit_of(n, layers, shots)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=answers, flush=True)
        return
    angles = torch.tensor(problem["angles"], dtype=torch.float64)
    model = Model(n, angles, measured)
    cotangent = torch.tensor(problem["cotangent"], dtype=torch.float64)
    p, gradient = outcome(exact, angles, cotangent)
    sampled, noisy = outcome(measured, angles, cotangent)
    reply = {
        "variant": "Rot, CRot, one thread",
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "probabilities": p,
        "gradient": gradient,
        "sampled_probabilities": sampled,
        "sampled_gradient": noisy,
    }
    print(json.dumps(reply), file=answers, flush=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    source = torch.Generator().manual_seed(0)
    x = torch.rand(BATCH, N_IN, generator=source)
    y = torch.randint(N_OUT, (BATCH,), generator=source)
    for _ in sys.stdin:
        start = time.perf_counter()
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call, unused-ignore]
        optimizer.step()
        print(json.dumps({"seconds": time.perf_counter() - start}), file=answers, flush=True)


if __name__ == "__main__":
    main()
