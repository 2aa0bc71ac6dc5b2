"""A study's configuration: what is varied, how often, and under which cap."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveInt,
    model_validator,
)

from qt_hw.training.config import BudgetConfig, Option

__all__ = [
    "ApproximationBlock",
    "Block",
    "EvaluateBlock",
    "GradientBlock",
    "StudyConfig",
    "TrainBlock",
]

T = TypeVar("T")


def _listed(value: Any) -> Any:
    """Return a single value as a tuple of one: ``shots = 64`` is ``shots = [64]``."""
    return tuple(value) if isinstance(value, list | tuple) else (value,)


Many = Annotated[tuple[T, ...], BeforeValidator(_listed), Field(min_length=1)]
Any_ = Annotated[tuple[T, ...], BeforeValidator(_listed)]
Name = Literal["RyCnot", "U3Cu3", "HardwareEfficient"]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Block(_Table):
    """Axes that every block may vary; a single value stands for a list of one.

    ``ansatz``, ``qubits`` and ``layers`` left out are those of the base; with another number of
    qubits the mapping's ``chunk_size`` follows, so that the weights fit.
    """

    ansatz: Any_[Name] = ()
    qubits: Any_[PositiveInt] = ()
    layers: Any_[PositiveInt] = ()

    def circuits(self) -> Iterator[tuple[str | None, int | None, int | None]]:
        """Yield ansatz, qubits and layers of each circuit; None leaves the base's."""
        yield from product(self.ansatz or (None,), self.qubits or (None,), self.layers or (None,))


class _Noisy(Block):
    """Where circuits are measured."""

    backend: Many[str] = ("aer",)
    shots: Many[PositiveInt]
    noise: Any_[str] = ()
    noise_scale: Many[NonNegativeFloat] = (1.0,)
    mitigation: Many[str] = ("none",)
    calibration_shots: PositiveInt | None = None
    options: dict[str, Option] = {}

    @model_validator(mode="after")
    def _makes_sense(self) -> _Noisy:
        from qt_hw.mitigation.pipeline import Mitigation

        for name in self.mitigation:
            Mitigation.of(name)
        if "noise_scale" in self.options:
            raise ValueError("noise_scale is an axis of its own, not one of the options")
        return self

    def places(self) -> Iterator[tuple[str, str | None, float, str, int]]:
        """Yield backend, noise, noise scale, mitigation and shots of each measurement."""
        noises: tuple[str | None, ...] = self.noise or (None,)
        yield from product(self.backend, noises, self.noise_scale, self.mitigation, self.shots)


class TrainBlock(_Noisy):
    """``[[train]]``: train under shots and noise, beside the noiseless twin.

    ``gradient`` left out is the base's; the twin has the same rule, where it can without shots.
    """

    gradient: Any_[str] = ()


class EvaluateBlock(_Noisy):
    """``[[evaluate]]``: train exactly; only the generated weights suffer shots and noise.

    Attributes:
        repeats: How often each trained circuit is measured; the mean counts.
    """

    repeats: PositiveInt = 5


class GradientBlock(Block):
    """``[[gradients]]``: size and signal-to-noise of the gradient before the first step.

    Attributes:
        shots: Of each circuit; none: exact gradients alone.
        repeats: How often the gradient is measured.
    """

    backend: Many[str] = ("statevector",)
    shots: Any_[PositiveInt] = ()
    repeats: PositiveInt = 10


class ApproximationBlock(Block):
    """``[[approximation]]``: how well given weights are reproduced, by the target's size.

    Attributes:
        widths: Of the hidden layer of the targets ``mlp-64-WIDTH-10``.
        steps: Of the fit.
    """

    widths: Many[PositiveInt]
    steps: PositiveInt = 1000


class StudyConfig(_Table):
    """Everything that determines a study.

    Attributes:
        base: Presets or TOML files of runs, which the blocks vary.
        set: Changes of all bases, as with ``--set``: ``["optimizer.steps=1000"]``.
        seeds: Their number, or a list; a seed is that of data, initialisation and sampling.
        controls: Names of controls, ``"all"``, or an empty list.
        budget: One cap for all cells together.
    """

    description: str = ""
    base: Many[str]
    set: Any_[str] = ()
    seeds: Annotated[tuple[NonNegativeInt, ...], BeforeValidator(lambda v: _seeds(v))] = (
        0, 1, 2, 3, 4,
    )  # fmt: skip
    controls: Any_[str] = ("all",)
    train: tuple[TrainBlock, ...] = ()
    evaluate: tuple[EvaluateBlock, ...] = ()
    gradients: tuple[GradientBlock, ...] = ()
    approximation: tuple[ApproximationBlock, ...] = ()
    budget: BudgetConfig = BudgetConfig()

    @model_validator(mode="after")
    def _makes_sense(self) -> StudyConfig:
        if not self.seeds:
            raise ValueError("seeds: at least one, e.g. seeds = 10 or seeds = [0, 1, 2]")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds: each only once")
        self.control_names()
        return self

    def control_names(self) -> tuple[str, ...]:
        """Return the names of the controls, ``"all"`` resolved.

        Raises:
            ValueError: There is no such control.
        """
        from qt_hw.model.controls import CONTROLS

        known = (*CONTROLS, "permuted")
        for name in self.controls:
            if name not in ("all", *known):
                raise ValueError(f"controls: unknown {name!r} (known: all, {', '.join(known)})")
        return known if "all" in self.controls else self.controls


def _seeds(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 1:
            raise ValueError("at least one, e.g. seeds = 10 or seeds = [0, 1, 2]")
        return tuple(range(value))
    return _listed(value)
