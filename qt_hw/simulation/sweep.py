"""All shifted probability vectors of a gradient in one sweep.

A rotation's gate at angle a+δ is a fixed linear combination of the gate at a and its derivative,
so the shifted state is one of ψ and χ = U_suffix D ψ_prefix. One χ serves every shift of a
rotation or phase, two serve those of a controlled rotation. The χ of many angles ride through
the rest of the circuit in one batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.simulation.blocks import apply_pair, block_matrices, constants, pair_steps
from qt_hw.simulation.layout import moves
from qt_hw.simulation.program import Program
from qt_hw.simulation.statevector import final_states, initial_states

__all__ = ["Shifted", "can_sweep", "shifted_probabilities"]

#: Bytes of states that travel together: about what the caches hold.
SLICE_BYTES = 1 << 20


@dataclass(frozen=True, eq=False)
class Shifted:
    """Some of the requested rows: ``p[i]`` belongs to row ``rows[i]``, ``(r, 2**n_qubits)``."""

    rows: NDArray[np.int64]
    p: Tensor


def can_sweep(program: Program) -> bool:
    """Tell whether every open angle belongs to just one operation, as in any ``Form``."""
    slots = program.pairs.slot[program.pairs.slot >= 0]
    return len(np.unique(slots)) == len(slots) == program.n_slots


class _Insertions:
    """For each open angle, the 4×4 matrices to insert before its pair acts.

    With a pair's matrix ``A G B`` (G the gate) and the derivative matrix D, inserting
    ``(G B)† D B`` before the pair gives ``A D B``.
    """

    def __init__(self, program: Program, angles: Tensor, dtype: torch.dtype) -> None:
        c = constants(program, dtype, angles.device)
        cos, sin = (x[0, ..., None, None] for x in pair_steps(c, angles[None]))
        first, second = cos * c.k1 + sin * c.k2, cos * c.k2 - sin * c.k1
        steps = c.k0 + first
        before = torch.eye(4, dtype=dtype, device=angles.device).expand(steps.shape[1:])
        one, two = [], []
        for s in range(len(steps)):
            after = steps[s] @ before
            one.append(after.mH @ (first[s] @ before))
            two.append(after.mH @ (second[s] @ before))
            before = after
        self.pairs = before
        self._by_kind = torch.stack([torch.stack(one), torch.stack(two)])

    def of(self, kind: Tensor, step: Tensor, pair: int) -> Tensor:
        """Return the matrices ``(j, 4, 4)`` of ``j`` insertions into one pair."""
        return self._by_kind[kind, step, pair]


@dataclass(frozen=True)
class _Plan:
    """Which χ are needed: one entry for each, in the order in which the blocks make them."""

    slot: list[int]
    kind: list[int]
    step: list[int]
    pair: list[int]
    per_block: list[range]


def _plan(program: Program, wanted: NDArray[np.bool_]) -> _Plan:
    table = program.pairs
    plan = _Plan([], [], [], [], [])
    for block in program.blocks:
        start = len(plan.slot)
        for pair in block.pairs:
            for step in np.flatnonzero(table.slot[:, pair] >= 0):
                slot = int(table.slot[step, pair])
                if not wanted[slot]:
                    continue
                for kind in _kinds(table.terms[step, pair], table.factor[step, pair]):
                    plan.slot.append(slot)
                    plan.kind.append(kind)
                    plan.step.append(int(step))
                    plan.pair.append(pair)
        plan.per_block.append(range(start, len(plan.slot)))
    return plan


def _kinds(terms: int, factor: float) -> tuple[int, ...]:
    """Which derivative matrices an operation needs: D1 (0), D2 (1) or both."""
    if terms == 4:
        return (0, 1)
    return (0,) if factor == 1.0 else (1,)


def _block_insertions(
    program: Program, number: int, plan: _Plan, insertions: _Insertions, matrix: Tensor
) -> Tensor:
    """Return what replaces a block's matrix for each of its χ, ``(j, d, d)``."""
    block, k, d = program.blocks[number], program.block_qubits, len(matrix)
    prefix = torch.eye(d, dtype=matrix.dtype, device=matrix.device)
    mine = plan.per_block[number]
    out = []
    for pair, places in zip(block.pairs, block.places, strict=True):
        chosen = [i for i in mine if plan.pair[i] == pair]
        if chosen:
            kind = torch.tensor([plan.kind[i] for i in chosen])
            step = torch.tensor([plan.step[i] for i in chosen])
            gates = insertions.of(kind, step, pair)
            inserted = apply_pair(gates, prefix.expand(len(chosen), d, d), places, k)
            out.append((matrix @ prefix.mH) @ inserted)
        prefix = apply_pair(insertions.pairs[pair], prefix, places, k)
    return torch.cat(out)


class _Rows:
    """The requested rows, ready to be combined from ψ and the χ."""

    def __init__(self, program: Program, index: NDArray[np.int64], shift: NDArray[np.float64]):
        table = program.pairs
        factor, terms = np.zeros(program.n_slots), np.zeros(program.n_slots, dtype=np.int64)
        open_ = table.slot >= 0
        factor[table.slot[open_]] = table.factor[open_]
        terms[table.slot[open_]] = table.terms[open_]
        f, t = factor[index], terms[index]
        phase, controlled = f == 1.0, t == 4
        half = shift * 0.5
        rotation = ~phase & ~controlled
        self.index = index
        self.psi = np.where(rotation, np.cos(half), 1.0)
        self.first = np.where(phase, np.exp(1j * shift) - 1.0, np.cos(half) - 1.0 + 0j)
        self.first[rotation] = 0.0
        self.second = np.where(phase, 0.0, np.sin(half))

    def combine(
        self, rows: NDArray[np.int64], psi: Tensor, chi: Tensor, at: dict[tuple[int, int], int]
    ) -> Tensor:
        """Return the probabilities of ``rows``, ``(r, 2**width)``."""
        out = torch.as_tensor(self.psi[rows], dtype=psi.dtype, device=psi.device)[:, None] * psi
        for kind, weight in ((0, self.first[rows]), (1, self.second[rows] + 0j)):
            used = np.flatnonzero(weight)
            if len(used) == 0:
                continue
            source = torch.tensor([at[int(self.index[r]), kind] for r in rows[used]])
            factor = torch.as_tensor(weight[used], dtype=psi.dtype, device=psi.device)[:, None]
            if len(used) == len(rows):
                out += factor * chi[source]
            else:
                out[torch.as_tensor(used)] += factor * chi[source]
        return out.real.square() + out.imag.square()


def shifted_probabilities(
    program: Program,
    angles: Tensor,
    index: NDArray[np.int64],
    shift: NDArray[np.float64],
    dtype: torch.dtype,
    slice_bytes: int = SLICE_BYTES,
) -> Iterator[Shifted]:
    """Yield the probabilities of all rows, each shifting one gate angle of one binding.

    Args:
        program: The compiled circuit, see ``can_sweep``.
        angles: Gate angles, radians, ``(slots,)``, float64.
        index: Gate angle that each row shifts, ``(R,)``.
        shift: By how many radians, ``(R,)``.
        dtype: ``torch.complex64`` or ``torch.complex128``.
        slice_bytes: About how many bytes of states travel together.

    Yields:
        Every row once, in slices; within a slice rows ascend.
    """
    matrices = block_matrices(program, angles[None], dtype)
    psi = final_states(program, matrices)[0]
    wanted = np.zeros(program.n_slots, dtype=bool)
    wanted[index] = True
    plan, rows = _plan(program, wanted), _Rows(program, index, shift)
    by_slot = _rows_by_slot(index)
    for entries, chi in _chis(program, matrices[:, 0], plan, angles, slice_bytes):
        at_chi = {(plan.slot[i], plan.kind[i]): j for j, i in enumerate(entries)}
        slots = sorted({plan.slot[i] for i in entries})
        mine = np.array(sorted(r for slot in slots for r in by_slot[slot]), dtype=np.int64)
        p = rows.combine(mine, psi, chi, at_chi)
        yield Shifted(mine, p[:, : 2**program.n_qubits])


def _rows_by_slot(index: NDArray[np.int64]) -> dict[int, list[int]]:
    out: dict[int, list[int]] = {}
    for row, slot in enumerate(index.tolist()):
        out.setdefault(slot, []).append(row)
    return out


def _chis(
    program: Program, matrices: Tensor, plan: _Plan, angles: Tensor, slice_bytes: int
) -> Iterator[tuple[range, Tensor]]:
    """Yield slices of the χ at the end of the circuit: their places in the plan, ``(j, 2**w)``."""
    insertions = _Insertions(program, angles, matrices.dtype)
    alone = moves(program, "shared", 1).before
    d = matrices.shape[-1]
    most = max(1, slice_bytes // (2**program.width * matrices.element_size()))
    psi = initial_states(program, 1, matrices)
    chi: Tensor | None = None
    start = 0
    for b, made in enumerate(plan.per_block):
        entering = psi.as_strided(*alone[b]).reshape(d, -1)
        if chi is not None:
            step = moves(program, "shared", made.start - start).before[b]
            chi = matrices[b] @ chi.as_strided(*step).reshape(d, -1)
        if made:
            inserted = _block_insertions(program, b, plan, insertions, matrices[b])
            new = (inserted.reshape(-1, d) @ entering).reshape(len(made), d, -1).transpose(0, 1)
            old = [] if chi is None else [chi.reshape(d, made.start - start, -1)]
            chi = torch.cat([*old, new], dim=1)
        psi = matrices[b] @ entering
        count = made.stop - start
        final = b == len(plan.per_block) - 1
        if chi is not None and count and (count >= most or final):
            plan_of_moves = moves(program, "shared", count)
            for later in range(b + 1, len(matrices)):
                chi = matrices[later] @ chi.as_strided(*plan_of_moves.before[later]).reshape(d, -1)
            yield range(start, made.stop), chi.as_strided(*plan_of_moves.last).reshape(count, -1)
            chi, start = None, made.stop
