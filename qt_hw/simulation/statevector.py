"""Exact probabilities and their vector-Jacobian product.

The backward pass is the adjoint method: the state is carried back through the inverse blocks, so
memory does not grow with depth. Jones and Gacon, arXiv:2009.02823.
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


def initial_states(program: Program, rows: int, like: Tensor) -> Tensor:
    """Return |0…0⟩ for each row, ``(rows, 2**width)``."""
    state = torch.zeros(rows, 2**program.width, dtype=like.dtype, device=like.device)
    state[:, 0] = 1.0
    return state


def final_states(program: Program, matrices: Tensor) -> Tensor:
    """Return the states ``(B, 2**width)`` of block matrices ``(blocks, B, d, d)``."""
    rows, d = matrices.shape[1], matrices.shape[-1]
    state = initial_states(program, rows, matrices)
    plan = moves(program, "batch")
    for matrix, move in zip(matrices, plan.before, strict=True):
        state = torch.bmm(matrix, move(state, rows).reshape(rows, d, -1))
    return plan.last(state, rows).reshape(rows, -1)


class _Probabilities(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrices: Tensor, program: Program) -> Tensor:
        state = final_states(program, matrices)
        ctx.program = program
        ctx.save_for_backward(matrices, state)
        return state.real.square() + state.imag.square()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:
        matrices, state = ctx.saved_tensors
        with threads_for(2 * state.numel()):
            return _adjoint(matrices, state, cotangent, ctx.program), None


def _adjoint(matrices: Tensor, state: Tensor, cotangent: Tensor, program: Program) -> Tensor:
    """Return the gradient of the block matrices, for ``dL/dp`` ``(B, 2**width)``."""
    rows, d = matrices.shape[1], matrices.shape[-1]
    plan = moves(program, "batch")
    # The conjugate of the state goes back by the transpose, its adjoint by the inverse: kept so,
    # the gradient of a block is a plain product of the two.
    back = torch.cat([matrices.mT, matrices.mH], dim=1)
    both = torch.cat([state.conj(), 2.0 * cotangent * state])
    both = plan.undo_last(both, 2 * rows).reshape(2 * rows, d, -1)
    out = torch.empty_like(matrices)
    for b in range(len(matrices) - 1, -1, -1):
        before = torch.bmm(back[b], both)
        torch.bmm(both[rows:], before[:rows].mT, out=out[b])
        # The layout before this block is that after the previous one.
        both = plan.undo[b](before, 2 * rows).reshape(2 * rows, d, -1)
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
    with threads_for(len(angles) << program.width):
        matrices = block_matrices(program, angles, dtype)
        p: Tensor = _Probabilities.apply(matrices, program)  # type: ignore[no-untyped-call]
    return p[:, : 2**program.n_qubits]
