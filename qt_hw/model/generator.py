"""From angles to a probability vector that torch can differentiate, exact or measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.circuits.form import Form
from qt_hw.errors import CheckpointError, InputError
from qt_hw.execution.backend import Backend
from qt_hw.execution.executor import Executor
from qt_hw.execution.statevector_backend import StatevectorBackend
from qt_hw.mitigation.calibration import Calibration
from qt_hw.mitigation.mitigator import Mitigator
from qt_hw.model.gradient import ExactRule
from qt_hw.model.measurement import Measurement, as_array
from qt_hw.model.setup import Factor, Setup, Usage
from qt_hw.model.source import Source

__all__ = ["Generator", "initial_angles", "probabilities"]


class _GateAngles(torch.autograd.Function):
    """``a = A θ + b`` with the sparse A of a form."""

    @staticmethod
    def forward(ctx: Any, angles: Tensor, form: Form) -> Tensor:
        ctx.form = form
        return torch.from_numpy(form.gate_angles(as_array(angles))).to(angles.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None]:
        pulled = ctx.form.pull_back(as_array(cotangent))
        return torch.from_numpy(pulled).to(cotangent.device), None


class _Measured(torch.autograd.Function):
    """A measured vector whose backward pass contracts the shifted ones."""

    @staticmethod
    def forward(ctx: Any, angles: Tensor, measurement: Measurement, factor: Factor) -> Tensor:
        ctx.measurement, ctx.factor = measurement, factor
        return torch.from_numpy(measurement.base(factor)).to(angles.device)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, cotangent: Tensor) -> tuple[Tensor, None, None]:
        gradient = ctx.measurement.gradient(ctx.factor, as_array(cotangent))
        return torch.from_numpy(gradient).to(cotangent.device), None, None


def _exact(setup: Setup, factor: Factor, angles: Tensor) -> Tensor:
    backend = setup.backend
    assert isinstance(backend, StatevectorBackend)
    form = factor.prepared.form
    gate_angles: Tensor = _GateAngles.apply(angles, form)  # type: ignore[no-untyped-call]
    return backend.probabilities(form.circuit, gate_angles)


def _factor_vector(measurement: Measurement, factor: Factor, angles: Tensor) -> Tensor:
    """Return the vector of one factor, ``(B, 2**n)``, on the graph of ``angles``."""
    setup = measurement.setup
    own = angles[:, factor.angles]
    if not isinstance(setup.rule, ExactRule):
        p: Tensor = _Measured.apply(own, measurement, factor)  # type: ignore[no-untyped-call]
        return p
    if setup.shots is not None:
        # The sampled value with the exact gradient: what shots cost in the forward pass alone.
        sampled = torch.from_numpy(measurement.base(factor)).to(angles.device)
        exact = _exact(setup, factor, own)
        return sampled + (exact - exact.detach())
    return _exact(setup, factor, own)


def _outer(a: Tensor, b: Tensor) -> Tensor:
    return (a[:, :, None] * b[:, None, :]).flatten(1)


def _vector(measurement: Measurement, angles: Tensor) -> Tensor:
    factors = measurement.setup.factors
    return reduce(_outer, [_factor_vector(measurement, f, angles) for f in factors])


def _checked_angles(ansatz: Ansatz, angles: Any) -> Tensor:
    try:
        values = np.ascontiguousarray(angles) if isinstance(angles, np.ndarray) else angles
        tensor = torch.as_tensor(values)
    except (RuntimeError, TypeError, ValueError) as error:
        raise InputError(
            f"angles must be numbers (radians), ({ansatz.n_angles},) or (B, {ansatz.n_angles})"
        ) from error
    if not tensor.is_floating_point() and tensor.dtype not in (torch.int32, torch.int64):
        raise InputError(f"angles must be real numbers (radians), not {tensor.dtype}")
    rows = tensor.shape[:-1]
    if tensor.ndim not in (1, 2) or tensor.shape[-1] != ansatz.n_angles or 0 in rows:
        raise InputError(
            f"angles have the shape {tuple(tensor.shape)}; this ansatz takes "
            f"({ansatz.n_angles},) or (B, {ansatz.n_angles})"
        )
    if not torch.isfinite(tensor).all():
        raise InputError("angles hold a NaN or an infinity")
    return tensor.to(torch.float64)


def _entropy(seed: int | None) -> int:
    if seed is None:
        entropy = np.random.SeedSequence().entropy
        assert isinstance(entropy, int)
        return entropy
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise InputError(f"seed must be a whole number of at least 0, or None, not {seed!r}")
    return int(seed)


def probabilities(
    ansatz: Ansatz,
    angles: Tensor,
    *,
    backend: str | Backend | Executor = "statevector",
    shots: int | None = None,
    seed: int | None = None,
    gradient: str = "auto",
    mitigation: Any = None,
) -> Tensor:
    """Return the outcome frequencies of a circuit, differentiable with respect to its angles.

    Base and shifted vectors are drawn independently; the shifted ones are measured when a
    gradient is first asked for (on devices in the same job as the base). Raw frequencies,
    never smoothed.

    Args:
        ansatz: The circuit.
        angles: Radians, ``(P,)`` or ``(B, P)``.
        backend: A name, or an object from ``qt_hw.backend(name, **options)``. One that costs
            money runs in a capped submission only (``qt_hw.train``, ``qt-hw submit``).
        shots: Shots of each circuit; None for exact probabilities, where the backend has them.
        seed: Seed of the shots; equal seed, equal result. None draws entropy from the system.
        gradient: ``"auto"`` (exact where possible, else the parameter-shift rule),
            ``"exact"``, ``"parameter-shift"``, ``"spsa"`` or ``"subset(k)"``.
        mitigation: None, ``"auto"``, a name such as ``"readout"`` or ``"readout+zne"``, a list of
            names and techniques (``qt_hw.mitigation.Zne(scales=(1, 3, 5))``), or a ``Mitigation``.
            The shots of a vector are spread over its circuits; a calibration comes on top and
            is drawn from ``seed`` too. Vectors are projected onto the simplex; gradients pass
            by the projection. Techniques that are not linear, or need bound circuits (``cdr``,
            ``pec``, ``lre``, ``ddd``), work without gradients only.

    Returns:
        float64, ``(2**n,)`` or ``(B, 2**n)``; bit 0 of the index is qubit 0.

    Raises:
        InputError: Wrong shapes, NaN angles, shots below 1, unknown names.
        PreflightError: The circuit or the step is too large for the backend.

    >>> import torch
    >>> from qt_hw.circuits.builtin import RyCnot
    >>> angles = torch.tensor([torch.pi / 3], dtype=torch.float64, requires_grad=True)
    >>> p = probabilities(RyCnot(1, 1), angles)
    >>> p.detach().round(decimals=4).tolist()
    [0.75, 0.25]
    >>> p[1].backward()
    >>> angles.grad.round(decimals=4).tolist()
    [0.433]
    """
    setup = Setup(ansatz, backend, shots, gradient, mitigation)
    checked = _checked_angles(ansatz, angles)
    batch = checked if checked.ndim == 2 else checked[None]
    wanted = batch.requires_grad and torch.is_grad_enabled()
    if wanted:
        setup.check_differentiable()
    measurement = Measurement(setup, as_array(batch), (_entropy(seed), 0), Usage())
    measurement.measure(with_shifts=wanted)
    out = _vector(measurement, batch)
    return out if checked.ndim == 2 else out[0]


def initial_angles(n_angles: int, seed: int) -> Tensor:
    """Return angles uniform in (-π, π), ``(n_angles,)`` float64."""
    source = torch.Generator().manual_seed(seed % 2**63)
    uniform = torch.rand(n_angles, generator=source, dtype=torch.float64)
    return (2.0 * uniform - 1.0) * torch.pi


class Generator(Source):
    """The quantum parameter generator: owns the angles, returns their probability vector.

    The vectors are measured once per value of the angles; any number of forward and backward
    calls may follow. Measurement k draws from ``SeedSequence([seed, k, part])``.

    Attributes:
        angles: ``(n_angles,)``, float64, radians.
        step: Number of values of the angles measured so far: the k of the next one.
        usage: Circuits and shots executed so far.
    """

    def __init__(
        self,
        ansatz: Ansatz,
        *,
        backend: str | Backend | Executor = "statevector",
        shots: int | None = None,
        gradient: str = "auto",
        mitigation: Any = None,
        seed: int = 0,
        angles: Tensor | None = None,
    ) -> None:
        """Make a generator.

        Args:
            ansatz: The circuit.
            backend: See ``probabilities``.
            shots: See ``probabilities``.
            gradient: See ``probabilities``.
            mitigation: See ``probabilities``.
            seed: Of the shots and, where ``angles`` is None, of the initial angles, which are
                uniform in (-π, π).
            angles: Initial angles, ``(n_angles,)``.

        Raises:
            InputError: See ``probabilities``.
            PreflightError: See ``probabilities``.
        """
        super().__init__()
        self.setup = Setup(ansatz, backend, shots, gradient, mitigation)
        self.setup.check_differentiable()
        self.seed = _entropy(seed)
        self.angles = nn.Parameter(self._initial(angles))
        self.step, self.usage = 0, Usage()
        self._measurement: Measurement | None = None
        # Angles of a checkpoint whose vector had been measured: measured again as the same step.
        self._restored: tuple[NDArray[np.float64], set[int]] | None = None

    def _initial(self, angles: Tensor | None) -> Tensor:
        if angles is None:
            return initial_angles(self.ansatz.n_angles, self.seed)
        checked = _checked_angles(self.ansatz, angles)
        if checked.ndim != 1:
            raise InputError(f"initial angles must be ({self.ansatz.n_angles},)")
        return checked.detach().clone()

    @property
    def ansatz(self) -> Ansatz:
        """The circuit."""
        return self.setup.ansatz

    @property
    def backend(self) -> Backend:
        """Where it runs."""
        return self.setup.backend

    @property
    def shots(self) -> int | None:
        """Shots of each circuit; None: exact."""
        return self.setup.shots

    @property
    def n_bins(self) -> int:
        """Number of outcomes, ``2**n_qubits``."""
        return 1 << self.ansatz.n_qubits

    @property
    def mitigator(self) -> Mitigator | None:
        return self.setup.mitigator

    @property
    def immediate(self) -> bool:
        return self.setup.executor.immediate

    def circuits(self) -> Sequence[Factor]:
        return self.setup.factors

    def binding_counts(self) -> dict[str, int]:
        return dict(self.ansatz.binding_counts())

    def trained_angles(self) -> Tensor:
        return self.angles.detach()

    def ideal(self) -> Tensor:
        return probabilities(self.ansatz, self.angles.detach())

    def forward(self) -> Tensor:
        """Return the vector of the present angles, ``(2**n,)`` float64."""
        measurement = self._current()
        measurement.measure(self.angles.requires_grad and torch.is_grad_enabled())
        return _vector(measurement, self.angles[None])[0]

    def prefetch(self) -> None:
        """Measure base and shifted vectors in one batch, where a batch is a job to wait for.

        Without it, a value needed before its gradient (an evaluation) would be a job of its own.
        """
        if not self.setup.executor.immediate:
            self._current().measure(with_shifts=self.angles.requires_grad)

    def calibrate(self) -> Calibration | None:
        """Measure what the mitigation needs to know; later calls return the same.

        Without it, the first measurement calibrates. ``None`` without mitigation.
        """
        return self.setup.calibrate(self.seed, as_array(self.angles), self.usage)

    def refresh(self) -> None:
        """Forget the measured vectors: the next call measures anew."""
        self._measurement = self._restored = None

    def _current(self) -> Measurement:
        angles = as_array(self.angles)
        if self._measurement is not None and np.array_equal(self._measurement.angles[0], angles):
            return self._measurement
        _checked_angles(self.ansatz, self.angles.detach())
        again = self._restored is not None and np.array_equal(self._restored[0], angles)
        if not again:
            self.step += 1
            self._restored = None
        counted = self._restored[1] if self._restored is not None else set()
        entropy = (self.seed, self.step - 1)
        self._measurement = Measurement(
            self.setup, angles[None].copy(), entropy, self.usage, counted
        )
        return self._measurement

    def get_extra_state(self) -> Tensor:
        """Return step, circuits, shots and the measured parts of the present angles, int64."""
        return torch.tensor(
            [self.step, self.usage.circuits, self.usage.shots, *sorted(self._counted())]
        )

    def _counted(self) -> set[int]:
        """Return the parts that are measured at the present angles."""
        angles = as_array(self.angles)
        if self._measurement is not None and np.array_equal(self._measurement.angles[0], angles):
            return self._measurement.counted
        if self._restored is not None and np.array_equal(self._restored[0], angles):
            return self._restored[1]
        return set()

    def set_extra_state(self, state: Any) -> None:
        """Continue where ``get_extra_state`` was called.

        Raises:
            CheckpointError: The state is not one of a generator.
        """
        try:
            step, circuits, shots, *parts = (int(value) for value in state.tolist())
        except (AttributeError, TypeError, ValueError) as error:
            raise CheckpointError("the generator's state in the checkpoint is damaged") from error
        self.step, self.usage, counted = step, Usage(circuits, shots), set(parts)
        self._measurement = None
        self._restored = (as_array(self.angles).copy(), counted) if counted else None

    def __getstate__(self) -> dict[str, Any]:
        """Leave measured vectors out of copies: they are drawn again, with the same numbers."""
        counted = self._counted()
        state = {**self.__dict__, "_measurement": None, "_restored": None}
        if counted:
            state["_restored"] = (as_array(self.angles).copy(), set(counted))
        return state

    def _apply(self, fn: Any, recurse: bool = True) -> Self:
        # model.float() or .half() is meant for weights: angles keep their precision.
        before = self.angles.detach().clone()
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.angles.dtype != torch.float64:
            self.angles.data = before.to(self.angles.device)
        return self

    def describe(self) -> Mapping[str, Any]:
        """Return ansatz, backend, shots, gradient, form and numbers of circuits, JSON-ready."""
        return {**self.setup.describe(), "seed": self.seed}
