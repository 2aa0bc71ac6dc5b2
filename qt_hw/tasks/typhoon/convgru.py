"""The Attention-based Multi-ConvGRU (AM-ConvGRU) of typhoon tracks, at its published size.

Xu et al., Neural Comput. Appl. 34 (2022) 5905; shapes read in ``code_base/classical_utils.py`` and
``code_base/qpa_utils.py`` of ``CYLphysics/QPA_Typhoon_Trajectory`` 4af7b24. Images of 31 × 31
points pass three convolutional GRU layers with channel attention and pooling between them; what is
left meets 53 numbers on the track in three dense layers. Unlike there the output has no ReLU: it
stands for a displacement, which has a sign.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from qt_hw.tasks.typhoon.adapters import LowRankConv
from qt_hw.tasks.typhoon.wide import N_WIDE

__all__ = ["CHANNELS", "FEATURES", "IMAGE_SIZE", "RANK", "AmConvGru"]

CHANNELS = 4
IMAGE_SIZE = 31
FEATURES = 256 * 3 * 3
"""Numbers that three layers and three poolings leave of an image."""

RANK = 4
_KERNEL = 3
_WIDTHS = (64, 128, 256)
_REDUCTION = 16
_SLOPE = 0.2


class ChannelAttention(nn.Module):
    """Weighs channels by their means over the image: ``x + x · s(mean(x))``.

    Args:
        channels: Channels C.
        reduction: C by this is the width of the hidden layer.
        device: Where the parameters lie.
    """

    def __init__(self, channels: int, reduction: int, device: str) -> None:
        super().__init__()
        self.down = nn.Conv2d(channels, channels // reduction, 1, device=device)
        self.up = nn.Conv2d(channels // reduction, channels, 1, device=device)

    def forward(self, x: Tensor) -> Tensor:
        """Return ``(B, C, H, W)`` for ``x`` of that shape."""
        weight = torch.sigmoid(self.up(F.relu(self.down(x.mean((2, 3), keepdim=True)))))
        return x + x * weight


class MultiConvGru(nn.Module):
    """A GRU whose gates are convolutions, three in a row on the input and one on the state.

    Args:
        n_in: Channels of the input.
        n_out: Channels of the state.
        adapted: Frozen convolutions with low-rank adapters (and biases, as published) in place of
            trained ones without bias.
        device: Where the parameters lie.
    """

    def __init__(self, n_in: int, n_out: int, *, adapted: bool, device: str) -> None:
        super().__init__()
        self.n_out = n_out
        for gate in "zrh":
            for name, source in ((f"x{gate}1", n_in), *((f"{k}", n_out) for k in _inner(gate))):
                self.add_module(name, _convolution(source, n_out, adapted, device))
            self.register_parameter(
                f"b_{gate}", nn.Parameter(torch.zeros(1, n_out, 1, 1, device=device))
            )

    def forward(self, x: Tensor) -> Tensor:
        """Return all states ``(B, T, n_out, H, W)`` of the inputs ``(B, T, n_in, H, W)``."""
        steps = x.shape[1]
        flat = x.flatten(0, 1)  # the input's part of each gate, of all times at once
        driven = {gate: _parted(self._driven(gate, flat), steps) for gate in "zrh"}
        state = x.new_zeros(len(x), self.n_out, *x.shape[-2:])
        states = []
        for t in range(steps):
            update = torch.sigmoid(self._own("z", state) + driven["z"][:, t])
            reset = torch.sigmoid(self._own("r", state) + driven["r"][:, t])
            new = self._own("h", state) + reset * driven["h"][:, t]
            state = (1 - update) * F.leaky_relu(new, _SLOPE) + update * state
            states.append(state)
        return torch.stack(states, dim=1)

    def _driven(self, gate: str, x: Tensor) -> Tensor:
        for k in (1, 2, 3):
            x = self.get_submodule(f"x{gate}{k}")(x)
        return x

    def _own(self, gate: str, state: Tensor) -> Tensor:
        own: Tensor = self.get_submodule(f"h{gate}")(state) + self.get_parameter(f"b_{gate}")
        return own


class AmConvGru(nn.Module):
    """Images and numbers of a past day to a displacement.

    Args:
        head: The dense layers ``fc1`` ``(2304 → D)``, ``fc2`` ``(53 + D → E)``, ``fc3``
            ``(E → 2)``.
        adapted: Whether the convolutions are frozen, with low-rank adapters.
        device: Where the convolutions lie.

    Inputs are rows ``(B, 53 + T·4·31·31)``: 53 numbers on the track and then T images. Outputs
    are ``(B, 2)``, towards north and east.
    """

    def __init__(
        self, head: tuple[nn.Module, nn.Module, nn.Module], *, adapted: bool, device: str
    ) -> None:
        super().__init__()
        widths = (CHANNELS, *_WIDTHS)
        self.attention0 = ChannelAttention(CHANNELS, 2, device)
        for k in (1, 2, 3):
            layer = MultiConvGru(widths[k - 1], widths[k], adapted=adapted, device=device)
            self.add_module(f"gru{k}", layer)
            self.add_module(f"attention{k}", ChannelAttention(widths[k], _REDUCTION, device))
        self.fc1, self.fc2, self.fc3 = head

    def forward(self, x: Tensor) -> Tensor:
        """Return the displacements ``(B, 2)`` of the inputs ``x`` ``(B, 53 + T·4·31·31)``."""
        wide, images = x[:, :N_WIDE], x[:, N_WIDE:]
        seen = images.reshape(len(x), -1, CHANNELS, IMAGE_SIZE, IMAGE_SIZE)
        seen = self._each(seen, self.attention0)
        for k in (1, 2, 3):
            seen = self.get_submodule(f"gru{k}")(seen)
            if k == 3:  # of the last layer the last state alone matters
                seen = seen[:, -1:]
            attention = self.get_submodule(f"attention{k}")
            seen = self._each(seen, attention, pool=True)
        deep = self.fc1(seen.flatten(1))
        joined = F.relu(self.fc2(torch.cat((wide, deep), dim=1)))
        displacement: Tensor = self.fc3(joined)
        return displacement

    @staticmethod
    def _each(images: Tensor, layer: nn.Module, *, pool: bool = False) -> Tensor:
        """Return ``layer`` of every image ``(B, T, …)``, pooled if asked for."""
        out = layer(images.flatten(0, 1))
        out = F.max_pool2d(out, 2) if pool else out
        return _parted(out, images.shape[1])


def _parted(images: Tensor, steps: int) -> Tensor:
    """Return ``(B T, …)`` as ``(B, T, …)``."""
    return images.reshape(-1, steps, *images.shape[1:])


def _inner(gate: str) -> tuple[str, ...]:
    return f"x{gate}2", f"x{gate}3", f"h{gate}"


def _convolution(n_in: int, n_out: int, adapted: bool, device: str) -> nn.Module:
    if adapted:
        return LowRankConv(n_in, n_out, _KERNEL, RANK, device)
    return nn.Conv2d(n_in, n_out, _KERNEL, padding="same", bias=False, device=device)
