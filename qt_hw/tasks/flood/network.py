"""A stack of LSTM layers with a dense head; it needs PyTorch alone."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["StackedLstm"]


class StackedLstm(nn.Module):
    """LSTM layers ``lstm1``, ``lstm2``, … and a dense layer ``fc`` on the last one's output.

    Each layer starts from a zero state and reads the outputs of the layer before; states do not
    pass from layer to layer. Two layers of 50 units with one input and one output are the network
    of QT-LSTM (arXiv:2405.11304) with its 31,051 parameters.

    Args:
        n_inputs: Features F of a time step.
        hidden: Units of each layer.
        horizon: Numbers H to forecast.
        every_step: Whether a forecast is made after each time step, in place of the last alone.
        device: Where the parameters lie; ``"meta"`` leaves them without memory.

    Inputs are ``(B, T, F)``; the output is ``(B, H)``, or ``(B, T, H)`` with ``every_step``.
    """

    def __init__(
        self,
        n_inputs: int,
        hidden: Sequence[int],
        horizon: int,
        *,
        every_step: bool = False,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        self.every_step, self.n_layers = every_step, len(hidden)
        for k, (before, after) in enumerate(pairwise((n_inputs, *hidden)), start=1):
            self.add_module(f"lstm{k}", _lstm(before, after, device))
        self.fc = nn.Linear(hidden[-1], horizon, device=device, dtype=torch.float32)

    def forward(self, x: Tensor) -> Tensor:
        """Return the forecasts of the inputs ``x`` ``(B, T, F)``."""
        for k in range(1, self.n_layers + 1):
            x, _ = self.get_submodule(f"lstm{k}")(x)
        out: Tensor = self.fc(x if self.every_step else x[:, -1])
        return out


def _lstm(n_in: int, n_out: int, device: str) -> nn.LSTM:
    return nn.LSTM(n_in, n_out, batch_first=True, device=device, dtype=torch.float32)
