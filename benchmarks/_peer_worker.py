"""Runs in the peers' environment: exact probabilities and VJP of a U3-CU3 ring.

Reads one JSON line (the problem), answers with the outcome of its fastest variant, then does the
job once for every further line and answers with the seconds. Needs nothing of ``qt_hw``.
"""

from __future__ import annotations

import contextlib
import importlib.abc
import importlib.machinery
import json
import sys
import time
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Circuit = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Problem:
    """A U3-CU3 ring with qubit 0 as the most significant bit; per layer all U3, then all CU3."""

    n_qubits: int
    n_layers: int
    threads: int
    angles: list[float]
    cotangent: list[float]

    def gates(self) -> Iterator[tuple[int, tuple[int, ...]]]:
        """Yield (first angle, wires) of every gate, in order."""
        k, n = 0, self.n_qubits
        for _ in range(self.n_layers):
            for wires in [*((q,) for q in range(n)), *((q, (q + 1) % n) for q in range(n))]:
                yield k, wires
                k += 3


# ---- PennyLane


def pennylane_circuits(problem: Problem, *, own_gates: bool) -> dict[str, Circuit]:
    """Return the ways to write the circuit: with PennyLane's gates or with hand-built matrices."""
    import pennylane as qml

    def u3(t: Tensor, w: tuple[int, ...]) -> None:
        qml.U3(t[0], t[1], t[2], wires=w)

    def rot(t: Tensor, w: tuple[int, ...]) -> None:
        qml.Rot(t[2], t[0], t[1], wires=w)

    def controlled(t: Tensor, w: tuple[int, ...]) -> None:
        qml.ctrl(qml.U3(t[0], t[1], t[2], wires=w[1]), control=w[0])

    def crot(t: Tensor, w: tuple[int, ...]) -> None:
        qml.PhaseShift((t[1] + t[2]) / 2, wires=w[0])
        qml.CRot(t[2], t[0], t[1], wires=w)

    def matrix(t: Tensor, w: tuple[int, ...]) -> None:
        qml.QubitUnitary(_u3_matrix(t), wires=w)

    def controlled_matrix(t: Tensor, w: tuple[int, ...]) -> None:
        four = torch.eye(4, dtype=torch.complex128)
        four[2:, 2:] = _u3_matrix(t)
        qml.QubitUnitary(four, wires=w)

    device = qml.device("default.qubit", wires=problem.n_qubits)

    def build(one: Callable[..., None], two: Callable[..., None]) -> Circuit:
        @qml.qnode(device, interface="torch", diff_method="backprop")  # type: ignore[untyped-decorator, unused-ignore]
        def circuit(angles: Tensor) -> Any:
            for k, wires in problem.gates():
                (one if len(wires) == 1 else two)(angles[k : k + 3], wires)
            return qml.probs(wires=range(problem.n_qubits))

        return circuit  # type: ignore[no-any-return, unused-ignore]

    if own_gates:
        return {"U3, ctrl(U3)": build(u3, controlled), "Rot, CRot": build(rot, crot)}
    return {"QubitUnitary": build(matrix, controlled_matrix)}


def _u3_matrix(t: Tensor) -> Tensor:
    cos, sin = torch.cos(t[0] / 2), torch.sin(t[0] / 2)
    left, right = torch.exp(1j * t[1]), torch.exp(1j * t[2])
    return torch.stack([cos + 0j, -right * sin, left * sin, left * right * cos]).reshape(2, 2)


# ---- TorchQuantum


class StandIns(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Empty modules for what TorchQuantum 0.1.8 imports but its statevector never uses.

    It pins qiskit < 1.0 and pulls TensorFlow and PySCF; gates and autograd are plain torch.
    """

    unused = (
        "imp", "matplotlib", "opt_einsum", "pathos", "qiskit", "qiskit_aer", "qiskit_ibm_runtime",
        "qiskit_nature", "sklearn", "torchdiffeq", "torchpack", "torchquantum.dataset",
        "torchquantum.noise_model", "torchquantum.plugin", "torchquantum.pulse", "torchvision",
        "tqdm",
    )  # fmt: skip

    def find_spec(
        self, name: str, path: Any = None, target: Any = None
    ) -> importlib.machinery.ModuleSpec | None:
        wanted = any(name == unused or name.startswith(unused + ".") for unused in self.unused)
        return importlib.machinery.ModuleSpec(name, self, is_package=True) if wanted else None

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return StandIn(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        module.__file__ = "__init__.py"


class StandIn(types.ModuleType):
    """A module in which every name is an empty class."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        made = type(name, (), {"__init__": lambda self, *args, **kwargs: None})
        setattr(self, name, made)
        return made


def torchquantum_circuits(problem: Problem) -> dict[str, Circuit]:
    sys.meta_path.insert(0, StandIns())
    import torchquantum as tq
    import torchquantum.functional as tqf

    def build(method: str) -> Circuit:
        def circuit(angles: Tensor) -> Tensor:
            device = tq.QuantumDevice(n_wires=problem.n_qubits, bsz=1)
            for k, wires in problem.gates():
                gate, at = (tqf.u3, wires[0]) if len(wires) == 1 else (tqf.cu3, list(wires))
                gate(device, wires=at, params=angles[None, k : k + 3], comp_method=method)
            state: Tensor = device.get_states_1d()[0]
            return state.real**2 + state.imag**2

        return circuit

    return {method: build(method) for method in ("bmm", "einsum")}


KINDS: dict[str, tuple[torch.dtype, Callable[[Problem], dict[str, Circuit]]]] = {
    "pennylane": (torch.float64, lambda p: pennylane_circuits(p, own_gates=True)),
    "pennylane-matrices": (torch.float64, lambda p: pennylane_circuits(p, own_gates=False)),
    "torchquantum": (torch.float32, torchquantum_circuits),
}


# ---- the loop


def main() -> None:
    """Answer the lines of standard input until it ends."""
    answers = sys.stdout
    problem = Problem(**json.loads(sys.stdin.readline()))
    dtype, make = KINDS[sys.argv[1]]
    try:
        with contextlib.redirect_stdout(sys.stderr):
            circuits = make(problem)
    except ImportError as error:
        print(json.dumps({"missing": str(error)}), file=answers, flush=True)
        return
    angles = torch.tensor(problem.angles, dtype=dtype, requires_grad=True)
    cotangent = torch.tensor(problem.cotangent, dtype=dtype)

    def step(circuit: Circuit, threads: int) -> tuple[float, Tensor]:
        torch.set_num_threads(threads)
        angles.grad = None
        start = time.perf_counter()
        p = circuit(angles)
        p.backward(cotangent)  # type: ignore[no-untyped-call, unused-ignore]
        return time.perf_counter() - start, p

    def quickest(variant: tuple[str, int]) -> float:
        return min(step(circuits[variant[0]], variant[1])[0] for _ in range(3))

    variants = [(name, threads) for name in circuits for threads in {1, problem.threads}]
    name, threads = min(variants, key=quickest)
    _, p = step(circuits[name], threads)
    assert angles.grad is not None
    outcome = {"probabilities": p.tolist(), "gradient": angles.grad.tolist()}
    variant = f"{name}, {threads} thread{'s' if threads > 1 else ''}"
    print(json.dumps({"variant": variant, **outcome}), file=answers, flush=True)
    for _ in sys.stdin:
        # As ours: one step after the other for half a second, the mean of their times.
        times: list[float] = []
        while sum(times) < 0.5:
            times.append(step(circuits[name], threads)[0])
        seconds = sum(times) / len(times)
        print(json.dumps({"seconds": seconds}), file=answers, flush=True)


if __name__ == "__main__":
    main()
