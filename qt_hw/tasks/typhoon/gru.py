"""The small network: a gated recurrent unit over the past positions and steering winds."""

from __future__ import annotations

import torch
from torch import Tensor, nn

__all__ = ["TrackGru"]


class TrackGru(nn.Module):
    """One GRU layer (Cho et al., arXiv:1406.1078) and a dense layer on its last state.

    With the reset gate r, the update gate z and the state h,

        h ← (1 − z) · tanh(W x + b + r · (U h)) + z · h.

    Args:
        inputs: Numbers F of a time step.
        hidden: Units H.
        leads: Lead times L.
        device: Where the parameters lie; ``"meta"`` leaves them without memory.

    Inputs are ``(B, T, F)``, outputs ``(B, 2 L)``: a displacement towards north and east for
    each lead time.
    """

    def __init__(self, inputs: int, hidden: int, leads: int, *, device: str = "cpu") -> None:
        super().__init__()
        self.hidden = hidden
        self.input = nn.Linear(inputs, 3 * hidden, device=device, dtype=torch.float32)
        self.state = nn.Linear(hidden, 3 * hidden, bias=False, device=device, dtype=torch.float32)
        self.head = nn.Linear(hidden, 2 * leads, device=device, dtype=torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        """Return the displacements ``(B, 2 L)`` of the inputs ``x`` ``(B, T, F)``."""
        driven = self.input(x)
        h = driven.new_zeros(len(x), self.hidden)
        for t in range(x.shape[1]):
            r, z, new = driven[:, t].chunk(3, dim=1)
            own_r, own_z, own_new = self.state(h).chunk(3, dim=1)
            update = torch.sigmoid(z + own_z)
            candidate = torch.tanh(new + torch.sigmoid(r + own_r) * own_new)
            h = (1 - update) * candidate + update * h
        displacement: Tensor = self.head(h)
        return displacement
