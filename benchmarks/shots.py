"""Finite-shot parameter-shift gradient: ours against Aer on the same bindings.

    python -m benchmarks.shots [--shots 8192] [--repetitions 3]

One step is the base vector, all shifted vectors of the native form and the contraction with a
fixed cotangent. Aer runs the same number of bindings of the same circuit in its native gates,
which is its fastest form. For the large circuit every tenth binding is run and the seconds are
scaled: Aer's time is linear in their number. Ours are always run in full. The last line is ours
in the lowered form, which needs fewer bindings.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

import qt_hw as qt
from benchmarks._aer_routes import Bindings, ProbabilitiesRoute, SamplerRoute
from benchmarks._timing import Route, Table, clock, compare, write
from qt_hw.circuits.ansatz import Ansatz
from qt_hw.circuits.shift import shift_rows
from qt_hw.model.generator import Generator


@dataclass(frozen=True)
class Case:
    """A U3-CU3 ring, the part of the bindings that Aer runs (every ``slice``-th), the bars."""

    n_qubits: int
    n_layers: int
    slice: int
    sampler_bar: float
    probabilities_bar: float


CASES = (Case(13, 16, 10, 12.0, 4.0), Case(8, 4, 1, 4.0, 3.0))


def gradient_step(
    ansatz: Ansatz, shots: int, form: str, cotangent: torch.Tensor
) -> tuple[Callable[[], object], int]:
    """Return one gradient step of ours and the number of circuits that it runs."""
    backend = qt.backend("statevector", dtype="complex64", form=form)
    generator = Generator(ansatz, backend=backend, shots=shots, gradient="parameter-shift", seed=0)

    def step() -> None:
        generator.refresh()
        generator.zero_grad()
        generator().backward(cotangent)

    step()
    return step, generator.usage.circuits


def bindings(ansatz: Ansatz) -> Bindings:
    """Return the base and shifted bindings ``(R + 1, gate angles)`` of the native form."""
    form = ansatz.form("native")
    angles = np.random.default_rng(0).uniform(-np.pi, np.pi, (1, ansatz.n_angles))
    base = form.gate_angles(angles)
    return np.vstack([base, shift_rows(form).bindings(base)])


def measure(case: Case, shots: int, repetitions: int) -> Table:
    """Compare all routes for one ansatz."""
    ansatz = qt.U3Cu3(case.n_qubits, case.n_layers)
    cotangent = torch.randn(
        2**case.n_qubits, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    rows = bindings(ansatz)
    n_rows = len(rows)
    part = rows[:: case.slice]
    circuit = ansatz.form("native").circuit
    exact = ProbabilitiesRoute(circuit, shots)
    sampler = SamplerRoute(circuit, shots)
    check(ansatz, rows[:1], exact, sampler)
    scale, note = n_rows / len(part), f"{len(part)} of {n_rows} bindings"
    native, n_native = gradient_step(ansatz, shots, "native", cotangent)
    lowered, n_lowered = gradient_step(ansatz, shots, "lowered", cotangent)
    assert n_native == n_rows, (n_native, n_rows)
    routes = [
        Route(name="qt_hw, native form", run=clock(native), note=f"{n_native} bindings"),
        Route(
            name="Aer SamplerV2",
            run=clock(lambda: sampler(part)),
            scale=scale,
            note=note,
            bar=case.sampler_bar,
        ),
        Route(
            name="Aer save_probabilities + multinomial",
            run=clock(lambda: exact(part)),
            scale=scale,
            note=note,
            bar=case.probabilities_bar,
        ),
        Route(name="qt_hw, lowered form", run=clock(lowered), note=f"{n_lowered} bindings"),
    ]
    title = f"Finite-shot gradient, U3Cu3({case.n_qubits}, {case.n_layers}), {shots} shots"
    return compare(title, routes, repetitions=repetitions)


def check(ansatz: Ansatz, base: Bindings, exact: ProbabilitiesRoute, sampler: SamplerRoute) -> None:
    """Make sure that all routes sample the same law: Aer drops some parameterised gates."""
    p = qt.probabilities(ansatz, torch.as_tensor(base[0]), backend="statevector").numpy()
    np.testing.assert_allclose(exact.probabilities(base)[0], p, atol=1e-9)
    counts = sampler(base)[0]
    # Pearson's statistic has mean and half its variance equal to the number of bins.
    pearson = float((((counts - sampler.shots * p) ** 2) / (sampler.shots * p)).sum())
    assert pearson < len(p) + 6 * np.sqrt(2 * len(p) + 1 / p.min() / sampler.shots), pearson


def main() -> None:
    """Parse the command line, measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--shots", type=int, default=8192)
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    tables = [measure(case, args.shots, args.repetitions) for case in CASES]
    write("shots", tables, threads=args.threads, shots=args.shots)


if __name__ == "__main__":
    main()
