"""Mapping models: from (basis label, x) to the weights of the target.

The features of basis state k are the ±1 binary digits of k, most significant first, and x_k.
The labels are fixed: they are never drawn anew.
"""

from __future__ import annotations

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from qt_hw.errors import InputError, UnknownName

__all__ = [
    "ACTIVATIONS",
    "AffineMapping",
    "Mapping",
    "MlpMapping",
    "MpsMapping",
    "basis_labels",
    "n_blocks_for",
    "n_qubits_for",
]

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
}


def n_blocks_for(n_weights: int, chunk_size: int = 1) -> int:
    """Return how many basis states ``n_weights`` weights need: ``ceil(M / chunk)``."""
    return -(-_whole("n_weights", n_weights) // _whole("chunk_size", chunk_size))


def n_qubits_for(n_weights: int, chunk_size: int = 1) -> int:
    """Return how many qubits ``n_weights`` weights need: ``ceil(log2(ceil(M / chunk)))``, ≥ 1.

    >>> n_qubits_for(6690), n_qubits_for(2410, chunk_size=38)
    (13, 6)
    """
    return max(1, (n_blocks_for(n_weights, chunk_size) - 1).bit_length())


def basis_labels(n_qubits: int, n_blocks: int) -> Tensor:
    """Return the ±1 digits of 0 … n_blocks − 1, ``(n_blocks, n_qubits)``, float64, MSB first.

    >>> basis_labels(2, 3).tolist()
    [[-1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]]
    """
    k = torch.arange(n_blocks)[:, None]
    digits = (k >> torch.arange(n_qubits - 1, -1, -1)) & 1
    return 2.0 * digits.to(torch.float64) - 1.0


class Mapping(nn.Module, ABC):
    """A small trained model that turns (label, x) of each basis state into a chunk of weights.

    A mapping is first described (its constructor) and then built for a number of qubits;
    ``QuantumTrain`` builds a copy, so one description can serve several models.

    Args:
        chunk_size: Weights per basis state.

    Raises:
        InputError: ``chunk_size`` is not a whole number of at least 1.
    """

    labels: Tensor

    def __init__(self, *, chunk_size: int = 1) -> None:
        super().__init__()
        self.chunk_size = _whole("chunk_size", chunk_size)
        self.n_qubits = 0

    def built(
        self,
        n_qubits: int,
        n_blocks: int,
        *,
        generator: torch.Generator,
        dtype: torch.dtype = torch.float32,
    ) -> Mapping:
        """Return a copy with its parameters, for ``n_blocks`` basis states of ``n_qubits``.

        Args:
            n_qubits: Digits of a label.
            n_blocks: Basis states in use, at most ``2 ** n_qubits``.
            generator: Source of the initial values.
            dtype: Of parameters, labels and outputs.

        Raises:
            InputError: The sizes do not fit, or the mapping has been built before.
        """
        if self.n_qubits:
            raise InputError("this mapping is already built: pass a fresh one")
        if n_qubits < 1 or not 1 <= n_blocks <= 2**n_qubits:
            raise InputError(f"{n_qubits} qubits have no {n_blocks} basis states")
        new = copy.deepcopy(self)
        new.n_qubits = n_qubits
        new.register_buffer("labels", basis_labels(n_qubits, n_blocks), persistent=False)
        new._build(generator)
        return new.to(dtype)

    @property
    def n_blocks(self) -> int:
        """Number of basis states in use."""
        return int(self.labels.shape[0])

    @property
    def n_parameters(self) -> int:
        """Number of trained numbers."""
        return sum(p.numel() for p in self.parameters())

    @abstractmethod
    def _build(self, generator: torch.Generator) -> None:
        """Create the parameters; ``n_qubits`` and ``labels`` are set."""

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:
        """Return the chunks ``(n_blocks, chunk_size)`` of the features ``x`` ``(n_blocks,)``."""

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """Return the description as in a configuration file: JSON-ready."""


class _Stack(Mapping):
    """Linear layers from n + 1 features to a chunk, with or without an activation between."""

    def __init__(self, hidden: Sequence[int], *, chunk_size: int) -> None:
        super().__init__(chunk_size=chunk_size)
        if not isinstance(hidden, Sequence) or isinstance(hidden, str | bytes):
            raise InputError(
                f"hidden must be a sequence of widths such as (8,), not {type(hidden).__name__}"
            )
        self.hidden = tuple(_whole("every hidden width", width) for width in hidden)
        self.layers = nn.Sequential()

    @property
    def n_features(self) -> int:
        """Number of inputs: the digits of a label and x."""
        return self.n_qubits + 1

    def _activation(self) -> nn.Module | None:
        return None

    def _build(self, generator: torch.Generator) -> None:
        widths = (self.n_features, *self.hidden, self.chunk_size)
        for index, (n_in, n_out) in enumerate(pairwise(widths)):
            activation = self._activation()
            if index and activation is not None:
                self.layers.append(activation)
            self.layers.append(_linear(n_in, n_out, generator))

    def forward(self, x: Tensor) -> Tensor:
        """Return the chunks ``(n_blocks, chunk_size)`` of the features ``x`` ``(n_blocks,)``."""
        out: Tensor = self.layers(torch.cat([self.labels, x[:, None]], dim=1))
        return out


class AffineMapping(_Stack):
    """The published mapping: a stack of linear layers without activations.

    It computes one affine map of the features, whatever the hidden widths; they are kept so that
    the published parameter counts can be had (249 at 13 qubits). ``hidden=()`` is the same map
    without the redundancy. Source: code of 2402.16465.

    Args:
        hidden: Widths of the hidden layers.
        chunk_size: Weights per basis state.

    Raises:
        InputError: A width or ``chunk_size`` is not a whole number of at least 1.
    """

    def __init__(self, hidden: Sequence[int] = (4, 20, 4), *, chunk_size: int = 1) -> None:
        super().__init__(hidden, chunk_size=chunk_size)

    def describe(self) -> dict[str, object]:
        """Return the description as in a configuration file: JSON-ready."""
        return {"kind": "affine", "hidden": list(self.hidden), "chunk_size": self.chunk_size}


class MlpMapping(_Stack):
    """Linear layers with an activation between them: a true multi-layer perceptron.

    Args:
        hidden: Widths of the hidden layers.
        activation: ``"tanh"``, ``"relu"``, ``"gelu"`` or ``"silu"``.
        chunk_size: Weights per basis state.

    Raises:
        InputError: A width or ``chunk_size`` is not a whole number of at least 1, or
            ``activation`` is not a string.
        UnknownName: There is no such activation.
    """

    def __init__(
        self, hidden: Sequence[int] = (8,), activation: str = "tanh", *, chunk_size: int = 1
    ) -> None:
        super().__init__(hidden, chunk_size=chunk_size)
        if not isinstance(activation, str):
            raise InputError(
                f"activation must be one of {', '.join(ACTIVATIONS)}, "
                f"not {type(activation).__name__}"
            )
        if activation not in ACTIVATIONS:
            raise UnknownName("activation", activation, tuple(ACTIVATIONS))
        self.activation = activation

    def _activation(self) -> nn.Module | None:
        return ACTIVATIONS[self.activation]()

    def describe(self) -> dict[str, object]:
        """Return the description as in a configuration file: JSON-ready."""
        return {
            "kind": "mlp",
            "hidden": list(self.hidden),
            "activation": self.activation,
            "chunk_size": self.chunk_size,
        }


class MpsMapping(Mapping):
    """A matrix product state over the features: multiplicative in labels and x.

    Feature v of a site enters as φ(v) = [v, 1 − v], so site s contributes the matrix
    ``A_s(v) = v·A_s[0] + (1 − v)·A_s[1]``. The output is the trace of the product
    ``L · A_0 ⋯ A_(h−1) · O_c · A_h ⋯ A_n · R`` with one core ``O_c`` for each weight c of the
    chunk, h = (n + 1) // 2. All matrices start near the identity. That makes
    ``(2 (n + 1) + 2 + chunk) · bond_dim²`` numbers, 31·bond_dim² at 13 qubits (2409.06992,
    2505.08474).

    Args:
        bond_dim: Rows and columns of the matrices.
        chunk_size: Weights per basis state.
        noise: Standard deviation of the initial deviation from the identity.

    Raises:
        InputError: ``bond_dim`` or ``chunk_size`` is not a whole number of at least 1, or
            ``noise`` is not positive.
    """

    def __init__(self, bond_dim: int, *, chunk_size: int = 1, noise: float = 0.05) -> None:
        super().__init__(chunk_size=chunk_size)
        self.bond_dim = _whole("bond_dim", bond_dim)
        if (
            isinstance(noise, bool)
            or not isinstance(noise, int | float)
            or not 0 < noise < math.inf
        ):
            raise InputError(f"noise must be a positive number, not {noise!r}")
        self.noise = float(noise)

    def _build(self, generator: torch.Generator) -> None:
        self.sites = self._near_identity((self.n_qubits + 1, 2), generator)
        self.ends = self._near_identity((2,), generator)
        self.output = self._near_identity((self.chunk_size,), generator)

    def _near_identity(self, shape: tuple[int, ...], generator: torch.Generator) -> nn.Parameter:
        size = (*shape, self.bond_dim, self.bond_dim)
        deviation = torch.randn(size, generator=generator, dtype=torch.float64)
        return nn.Parameter(torch.eye(self.bond_dim, dtype=torch.float64) + self.noise * deviation)

    def forward(self, x: Tensor) -> Tensor:
        """Return the chunks ``(n_blocks, chunk_size)`` of the features ``x`` ``(n_blocks,)``."""
        half = (self.n_qubits + 1) // 2
        last = _site(self.sites[-1], x)
        inner = self._labels_from(half) @ last @ self.ends[1] @ self.ends[0]
        environment = inner @ self._labels_up_to(half)
        return torch.einsum("kab,cba->kc", environment, self.output)

    def _labels_up_to(self, half: int) -> Tensor:
        """Product of the first ``half`` label sites for each block, made once per prefix."""
        per_prefix = 2 ** (self.n_qubits - half)
        return self._product(range(half), per_prefix).repeat_interleave(per_prefix, 0)[
            : self.n_blocks
        ]

    def _labels_from(self, half: int) -> Tensor:
        """Product of the remaining label sites for each block, made once per suffix."""
        table = self._product(range(half, self.n_qubits), 1)
        index = torch.arange(self.n_blocks, device=table.device) % table.shape[0]
        return table[index]

    def _product(self, sites: range, stride: int) -> Tensor:
        """Matrices of every value of the digits ``sites``, ``(2**len(sites), χ, χ)``."""
        digits = self.labels.new_tensor([-1.0, 1.0])
        table = torch.eye(self.bond_dim, dtype=digits.dtype, device=digits.device)[None]
        for s in sites:
            table = (table[:, None] @ _site(self.sites[s], digits)[None]).flatten(0, 1)
        return table

    def describe(self) -> dict[str, object]:
        """Return the description as in a configuration file: JSON-ready."""
        return {"kind": "mps", "bond_dim": self.bond_dim, "chunk_size": self.chunk_size}


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, not {value!r}")
    return int(value)


def _site(core: Tensor, v: Tensor) -> Tensor:
    """Return ``v·core[0] + (1 − v)·core[1]`` for each v, ``(len(v), χ, χ)``."""
    return v[:, None, None] * core[0] + (1 - v)[:, None, None] * core[1]


def _linear(n_in: int, n_out: int, generator: torch.Generator) -> nn.Linear:
    """Return a float64 linear layer with torch's default initial values, from ``generator``."""
    layer = nn.Linear(n_in, n_out, dtype=torch.float64, device="meta").to_empty(device="cpu")
    bound = 1.0 / math.sqrt(n_in)
    with torch.no_grad():
        layer.weight.uniform_(-bound, bound, generator=generator)
        layer.bias.uniform_(-bound, bound, generator=generator)
    return layer
