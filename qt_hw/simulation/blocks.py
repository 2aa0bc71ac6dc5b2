"""Matrices of a program's pairs and blocks, batched and differentiable."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from qt_hw.simulation.program import Program

__all__ = ["PairConstants", "apply_pair", "block_matrices", "constants", "pair_steps"]


class PairConstants:
    """The constant arrays of a program as tensors of one dtype and device."""

    def __init__(self, program: Program, dtype: torch.dtype, device: torch.device) -> None:
        """Copy the tables of ``program``."""
        table = program.pairs
        self.slot = torch.as_tensor(np.maximum(table.slot, 0), device=device)
        self.open = torch.as_tensor(table.slot >= 0, device=device)
        self.offset = torch.as_tensor(table.offset, device=device)
        self.factor = torch.as_tensor(table.factor, device=device)
        self.k0, self.k1, self.k2 = (
            torch.as_tensor(k, dtype=dtype, device=device) for k in table.matrices
        )
        self.signatures = _signatures(program, device)


def _signatures(
    program: Program, device: torch.device
) -> tuple[list[tuple[tuple[tuple[int, int], ...], Tensor]], Tensor]:
    """Group blocks whose pairs sit in the same places; return the groups and the way back."""
    kinds: dict[tuple[tuple[int, int], ...], list[int]] = {}
    for number, block in enumerate(program.blocks):
        kinds.setdefault(block.places, []).append(number)
    groups = [
        (places, torch.tensor([program.blocks[i].pairs for i in numbers], device=device))
        for places, numbers in kinds.items()
    ]
    order = np.concatenate([np.array(numbers) for numbers in kinds.values()])
    return groups, torch.as_tensor(np.argsort(order), device=device)


@lru_cache(maxsize=64)
def constants(program: Program, dtype: torch.dtype, device: torch.device) -> PairConstants:
    """Return the constants of ``program``, cached."""
    with torch.inference_mode(False):  # autograd cannot save tensors made in inference mode
        return PairConstants(program, dtype, device)


def pair_steps(c: PairConstants, angles: Tensor) -> tuple[Tensor, Tensor]:
    """Return cos and sin of every step, each ``(B, S, G)`` real, of angles ``(B, slots)``."""
    if angles.shape[1]:
        values = angles[:, c.slot] * c.open + c.offset
    else:
        # The sum of nothing keeps the result on the graph of the angles.
        values = c.offset + angles.sum(dim=1)[:, None, None]
    values = values * c.factor
    real = torch.float64 if c.k0.dtype == torch.complex128 else torch.float32
    return values.cos().to(real), values.sin().to(real)


def step_matrices(c: PairConstants, angles: Tensor) -> Tensor:
    """Return the matrix of every step, ``(B, S, G, 4, 4)``."""
    cos, sin = pair_steps(c, angles)
    return c.k0 + cos[..., None, None] * c.k1 + sin[..., None, None] * c.k2


def pair_matrices(steps: Tensor) -> Tensor:
    """Multiply the steps of each pair: ``(B, S, G, 4, 4)`` to ``(B, G, 4, 4)``."""
    while steps.shape[1] > 1:
        odd = steps[:, -1:] if steps.shape[1] % 2 else None
        even = steps[:, : steps.shape[1] // 2 * 2]
        steps = even[:, 1::2] @ even[:, 0::2]
        if odd is not None:
            steps = torch.cat([steps, odd], dim=1)
    return steps[:, 0]


def apply_pair(gate: Tensor, matrix: Tensor, places: tuple[int, int], k: int) -> Tensor:
    """Multiply ``matrix`` ``(..., 2**k, m)`` from the left by ``gate`` ``(..., 4, 4)``.

    ``places`` are the gate's qubits among the k of the rows, most significant first, ascending.
    """
    a, b = places
    lead, m = matrix.shape[:-2], matrix.shape[-1]
    if b == a + 1:
        view = matrix.reshape(*lead, 2**a, 4, 2 ** (k - a - 2) * m)
        return (gate.unsqueeze(-3) @ view).reshape(*lead, 2**k, m)
    view = matrix.reshape(*lead, 2**a, 2, 2 ** (b - a - 1), 2, 2 ** (k - b - 1) * m)
    d = len(lead)
    moved = view.movedim((d + 1, d + 3), (d, d + 1))
    flat = moved.reshape(*lead, 4, -1)
    out = (gate @ flat).reshape(moved.shape)
    return out.movedim((d, d + 1), (d + 1, d + 3)).reshape(*lead, 2**k, m)


def block_matrices(program: Program, angles: Tensor, dtype: torch.dtype) -> Tensor:
    """Return all block matrices, ``(blocks, B, d, d)``, on the graph of angles ``(B, slots)``."""
    c = constants(program, dtype, angles.device)
    pairs = pair_matrices(step_matrices(c, angles))
    k, d = program.block_qubits, 2**program.block_qubits
    groups, order = c.signatures
    made = []
    for places, numbers in groups:
        gates = pairs[:, numbers]
        matrix = torch.eye(d, dtype=dtype, device=angles.device)
        matrix = matrix.expand(*gates.shape[:2], d, d)
        for step, place in enumerate(places):
            matrix = apply_pair(gates[:, :, step], matrix, place, k)
        made.append(matrix)
    return torch.cat(made, dim=1)[:, order].transpose(0, 1)
