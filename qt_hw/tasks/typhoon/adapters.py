"""Low-rank adapters of frozen layers (LoRA; Hu et al., arXiv:2106.09685)."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

__all__ = ["LowRankConv", "LowRankLinear"]


class LowRankConv(nn.Module):
    """A frozen ``same`` convolution plus a trained one of low rank: ``W x + (a/r) · A (B x)``.

    B is a convolution of the same kernel to r channels, A one of kernel 1 back, as in the typhoon
    network of QPA. Parameters: ``weight`` and ``bias`` (frozen), ``a`` and ``b`` (trained).

    Args:
        n_in: Channels of the input.
        n_out: Channels of the output.
        kernel: Its side, odd.
        rank: r.
        device: Where the parameters lie.
    """

    def __init__(self, n_in: int, n_out: int, kernel: int, rank: int, device: str) -> None:
        super().__init__()
        base = nn.Conv2d(n_in, n_out, kernel, padding="same", device=device)
        assert base.bias is not None
        self.weight = nn.Parameter(base.weight.detach(), requires_grad=False)
        self.bias = nn.Parameter(base.bias.detach(), requires_grad=False)
        factors = nn.Conv2d(n_in, rank, kernel, bias=False, device=device)
        self.b = nn.Parameter(factors.weight.detach())
        back = nn.Conv2d(rank, n_out, 1, bias=False, device=device)
        self.a = nn.Parameter(back.weight.detach())
        self.factor = SCALE

    def forward(self, x: Tensor) -> Tensor:
        """Return the output ``(B, n_out, H, W)`` of ``x`` ``(B, n_in, H, W)``."""
        # Not the sum of both kernels: its gradient would be that of a full kernel, half as much
        # work again.
        low = F.conv2d(F.conv2d(x, self.b, padding="same"), self.a)
        return F.conv2d(x, self.weight, self.bias, padding="same") + self.factor * low


class LowRankLinear(nn.Module):
    """A frozen dense layer plus one of low rank: ``W x + c + (a/r) · A (B x)``.

    Parameters: ``weight`` and ``bias`` (frozen), ``a`` ``(n_out, r)`` and ``b`` ``(r, n_in)``.

    Args:
        n_in: Inputs.
        n_out: Outputs.
        rank: r.
        trained: Whether ``a`` and ``b`` require a gradient.
        device: Where the parameters lie.
    """

    def __init__(
        self, n_in: int, n_out: int, rank: int, *, trained: bool = True, device: str
    ) -> None:
        super().__init__()
        base = nn.Linear(n_in, n_out, device=device)
        self.weight = nn.Parameter(base.weight.detach(), requires_grad=False)
        self.bias = nn.Parameter(base.bias.detach(), requires_grad=False)
        out, into = (
            nn.Linear(*size, bias=False, device=device) for size in ((rank, n_out), (n_in, rank))
        )
        self.a = nn.Parameter(out.weight.detach(), requires_grad=trained)
        self.b = nn.Parameter(into.weight.detach(), requires_grad=trained)
        self.factor = SCALE

    def forward(self, x: Tensor) -> Tensor:
        """Return the output ``(B, n_out)`` of ``x`` ``(B, n_in)``."""
        low = F.linear(F.linear(x, self.b), self.a)
        return F.linear(x, self.weight, self.bias) + self.factor * low


SCALE = 2.0
"""a/r of all adapters here: the published a = 8 at r = 4."""
