"""Exact probabilities and their vector-Jacobian product.

The backward pass is the adjoint method. While they are small, the states between the blocks are
kept; otherwise the state is carried back through the inverse blocks, so that memory does not grow
with depth. Jones and Gacon, arXiv:2009.02823.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from qt_hw.simulation.blocks import block_matrices
from qt_hw.simulation.layout import moves
from qt_hw.simulation.program import Program
from qt_hw.simulation.threads import threads_for

__all__ = ["final_states", "probabilities"]

#: Bytes of states between the blocks that a forward pass keeps for its backward pass.
_KEPT_BYTES = 256 << 20


def initial_states(program: Program, rows: int, like: Tensor) -> Tensor:
    """Return |0…0⟩ for each row, ``(rows, 2**width)``."""
    state = torch.zeros(rows, 2**program.width, dtype=like.dtype, device=like.device)
    state[:, 0] = 1.0
    return state


def final_states(program: Program, matrices: Tensor, kept: list[Tensor] | None = None) -> Tensor:
    """Return the states ``(B, 2**width)`` of block matrices ``(blocks, B, d, d)``.

    What enters each block is appended to ``kept``, ``(B, d, rest)``.
    """
    rows, d = matrices.shape[1], matrices.shape[-1]
    state = initial_states(program, rows, matrices)
    plan = moves(program, "batch", rows)
    for matrix, move in zip(matrices.unbind(), plan.before, strict=True):
        state = state.as_strided(*move).reshape(rows, d, -1)
        if kept is not None:
            kept.append(state)
        state = torch.bmm(matrix, state)
    return state.as_strided(*plan.last).reshape(rows, -1)


class _Probabilities(torch.autograd.Function):
    # The block matrices are differentiated in here, so that this too runs on few threads.

    @staticmethod
    def forward(ctx: Any, angles: Tensor, program: Program, dtype: torch.dtype) -> Tensor:
        wanted = ctx.needs_input_grad[0]
        with threads_for(len(angles) << program.width):
            with torch.set_grad_enabled(wanted):
                ctx.leaf = angles.detach().requires_grad_(wanted)
                ctx.matrices = block_matrices(program, ctx.leaf, dtype)
            matrices = ctx.matrices.detach()
            few = len(matrices) * len(angles) * dtype.itemsize << program.width <= _KEPT_BYTES
            ctx.program, ctx.kept = program, ([] if few and wanted else None)
            ctx.state = final_states(program, matrices, ctx.kept)
            p: Tensor = ctx.state.real.square() + ctx.state.imag.square()
            return p

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None]:
        matrices, state, program = ctx.matrices.detach(), ctx.state, ctx.program
        with threads_for(state.numel()):
            if ctx.kept is not None:
                slopes = _from_kept(matrices, state, ctx.kept, cotangent, program)
            else:
                slopes = _adjoint(matrices, state, cotangent, program)
            (out,) = torch.autograd.grad(ctx.matrices, ctx.leaf, slopes, retain_graph=True)
            return out, None, None


def _from_kept(
    matrices: Tensor, state: Tensor, kept: list[Tensor], cotangent: Tensor, program: Program
) -> Tensor:
    """Return the gradient of the block matrices from the states that entered the blocks."""
    rows, d = matrices.shape[1], matrices.shape[-1]
    plan = moves(program, "batch", rows)
    # The conjugate of the adjoint goes back by the transpose; no product needs a conjugation.
    back, conjugate = matrices.mT.unbind(), 2.0 * cotangent * state.conj()
    conjugate = conjugate.as_strided(*plan.undo_last).reshape(rows, d, -1)
    out = torch.empty_like(matrices, memory_format=torch.contiguous_format)
    slots = out.unbind()
    for b in range(len(matrices) - 1, -1, -1):
        torch.bmm(conjugate, kept[b].mT, out=slots[b])
        if b:
            moved = torch.bmm(back[b], conjugate).as_strided(*plan.undo[b])
            conjugate = moved.reshape(rows, d, -1)
    return out.conj_physical_()


def _adjoint(matrices: Tensor, state: Tensor, cotangent: Tensor, program: Program) -> Tensor:
    """Return the same without kept states: they are carried back through the inverse blocks."""
    rows, d = matrices.shape[1], matrices.shape[-1]
    plan = moves(program, "batch", 2 * rows)
    # The conjugate of the state goes back by the transpose, its adjoint by the inverse: kept so,
    # the gradient of a block is a plain product of the two.
    back = torch.cat([matrices.mT, matrices.mH], dim=1)
    both = torch.cat([state.conj(), 2.0 * cotangent * state])
    both = both.as_strided(*plan.undo_last).reshape(2 * rows, d, -1)
    out = torch.empty_like(matrices)
    for b in range(len(matrices) - 1, -1, -1):
        before = torch.bmm(back[b], both)
        torch.bmm(both[rows:], before[:rows].mT, out=out[b])
        # The layout before this block is that after the previous one.
        both = before.as_strided(*plan.undo[b]).reshape(2 * rows, d, -1)
    return out


def probabilities(program: Program, angles: Tensor, dtype: torch.dtype) -> Tensor:
    """Return outcome probabilities, differentiable with respect to the gate angles.

    Args:
        program: The compiled circuit.
        angles: Gate angles, radians, ``(B, slots)``, float64.
        dtype: ``torch.complex64`` or ``torch.complex128``.

    Returns:
        ``(B, 2**n_qubits)`` float32 or float64, index bit 0 = qubit 0.
    """
    p: Tensor = _Probabilities.apply(angles, program, dtype)  # type: ignore[no-untyped-call]
    return p[:, : 2**program.n_qubits]
