"""A run's configuration: one frozen model for each TOML table.

Read one with ``load_config``; ``to_toml`` writes it back, so that a run folder's ``config.toml``
says everything about how its run was made.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)

__all__ = [
    "CUSTOM",
    "AccountConfig",
    "AnsatzConfig",
    "BackendConfig",
    "BudgetConfig",
    "ControlConfig",
    "EarlyStopping",
    "FactorConfig",
    "GradientConfig",
    "LoggingConfig",
    "MappingConfig",
    "MitigationConfig",
    "OptimizerConfig",
    "RunConfig",
    "ScalingConfig",
    "SeedsConfig",
    "TargetConfig",
    "TaskConfig",
]

CUSTOM = "custom"
"""What the configuration says where a target or data were passed in Python."""

Scalar = str | bool | int | float
Option = Scalar | tuple[Scalar, ...]


class _Table(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class TaskConfig(_Table):
    """``[task]``: which data, and the options of their loader (``folder``, ``image_size``, …)."""

    name: str
    options: dict[str, Scalar] = {}


class TargetConfig(_Table):
    """``[target]``: the classical network, and which of its parameters are generated.

    ``activation`` replaces the network's own; ``select`` holds names or shell patterns of
    parameters, without it the network says what is generated (all, or its adapters). ``options``
    are the network's own, a list as a tuple; a table is for an option of an adapter that is one.
    """

    name: str
    activation: Literal["none", "relu", "tanh"] | None = None
    select: tuple[str, ...] | None = None
    options: dict[str, Option | dict[str, Option]] | None = None


class FactorConfig(_Table):
    """One circuit: its kind, qubits and layers."""

    name: Literal["RyCnot", "U3Cu3", "HardwareEfficient"]
    n_qubits: PositiveInt
    n_layers: PositiveInt
    ring: bool = False


class AnsatzConfig(_Table):
    """``[ansatz]``: one circuit, or ``name = "product"`` with ``[[ansatz.factors]]``."""

    name: Literal["RyCnot", "U3Cu3", "HardwareEfficient", "product"]
    n_qubits: PositiveInt | None = None
    n_layers: PositiveInt | None = None
    ring: bool = False
    factors: tuple[FactorConfig, ...] | None = None


class MappingConfig(_Table):
    """``[mapping]``: from (label of a bitstring, probability) to weights.

    ``hidden`` belongs to ``affine`` and ``mlp`` (their own default if absent), ``activation`` to
    ``mlp``, ``bond_dim`` to ``mps``.
    """

    name: Literal["affine", "mlp", "mps"] = "mlp"
    hidden: tuple[PositiveInt, ...] | None = None
    activation: str | None = None
    bond_dim: PositiveInt | None = None
    chunk_size: PositiveInt = 1


class ScalingConfig(_Table):
    """``[scaling]``: how probabilities are smoothed and scaled before the mapping.

    What is left out is as in the recipe; see ``qt_hw.model.scaling.Scaling``.
    """

    recipe: Literal["balanced", "qt", "qpa", "qtrl"] = "balanced"
    learnable: bool = False
    smoothing: NonNegativeFloat | None = None
    alpha: PositiveFloat | None = None
    beta: PositiveFloat | None = None
    gamma: PositiveFloat | None = None
    output: Literal["fitted", "centred"] | None = None
    share: Annotated[float, Field(gt=0, lt=1)] | None = None
    fill: Literal["none", "neighbours"] | None = None
    tensor_scales: tuple[float, ...] | None = None


class ControlConfig(_Table):
    """``[control]``: what takes the place of the trained circuit; ``none`` is the circuit itself.

    See ``qt_hw.model.controls.describe`` for what each control asks.
    """

    name: Literal[
        "none",
        "porter-thomas",
        "dirichlet",
        "uniform",
        "learned-vector",
        "frozen-angles",
        "product",
        "hypernetwork",
        "direct",
        "smaller-target",
        "pruned",
        "shared",
        "low-rank",
    ] = "none"


class BackendConfig(_Table):
    """``[backend]``: where the circuits run, and how often each is measured.

    ``shots`` left out asks for exact probabilities. What is not named here goes into
    ``[backend.options]`` and reaches the backend as it is, a list as a tuple.
    """

    name: str = "statevector"
    shots: PositiveInt | None = None
    noise: str | None = None
    dtype: Literal["complex64", "complex128"] | None = None
    device: str | None = None
    form: Literal["auto", "native", "lowered"] | None = None
    options: dict[str, Option] = {}


class AccountConfig(_Table):
    """``[account]``: where a cloud keeps its results. Never holds secrets."""

    bucket: str | None = None
    region: str | None = None
    instance: str | None = None


class GradientConfig(_Table):
    """``[gradient]``: ``auto``, ``exact``, ``parameter-shift``, ``spsa(…)`` or ``subset(k)``."""

    method: str = "auto"

    @field_validator("method")
    @classmethod
    def _known(cls, value: str) -> str:
        if value != "auto":
            from qt_hw.model.gradient import parse_gradient

            parse_gradient(value, exact_possible=True)
        return value


class MitigationConfig(_Table):
    """``[mitigation]``: correction of the measured vectors.

    ``method`` is ``"none"``, ``"auto"``, a technique, or several (``"readout+zne"`` or a list);
    a table such as ``[mitigation.zne]`` holds the options of one (see
    ``qt_hw.mitigation.techniques``). ``calibration`` is a file in place of a measurement.
    """

    method: str | tuple[str, ...] = "none"
    calibration_shots: PositiveInt | None = None
    calibration: str | None = None
    readout: dict[str, Option] | None = None
    twirling: dict[str, Option] | None = None
    zne: dict[str, Option] | None = None
    rescale: dict[str, Option] | None = None

    @model_validator(mode="after")
    def _makes_sense(self) -> MitigationConfig:
        if self.method != "none" or self.options():
            from qt_hw.mitigation.pipeline import Mitigation

            made = Mitigation.of(self.method, options=self.options())
            if made is not None and not made.differentiable:
                raise ValueError(
                    f"gradients do not pass through {made.combination.not_differentiable}: train "
                    "with readout, twirling, zne (linear, polynomial, richardson) or rescale"
                )
        return self

    def options(self) -> dict[str, dict[str, Option]]:
        """Return the options of the techniques that have some."""
        names = ("readout", "twirling", "zne", "rescale")
        return {name: table for name in names if (table := getattr(self, name)) is not None}


class EarlyStopping(_Table):
    """``[optimizer.early_stopping]``: stop after ``patience`` evaluations without progress.

    ``metric`` is a column of ``metrics.csv``, such as ``test_loss``.
    """

    patience: PositiveInt
    metric: str = "train_loss"
    min_delta: NonNegativeFloat = 0.0


class OptimizerConfig(_Table):
    """``[optimizer]``: Adam, its rates, and the lengths of the training.

    ``name = "adamw"`` decouples ``weight_decay`` from the gradient (Loshchilov and Hutter,
    arXiv:1711.05101).

    ``lr_angles`` is the circuit's rate; ``lr_mapping`` that of everything else (mapping, learnable
    scaling, parameters of the target that are not generated). ``decay`` and ``decay_every`` (in
    steps) belong to the schedule ``step``; ``decay`` and ``plateau_patience`` (in evaluations) to
    ``plateau``; ``warmup`` (in steps) to all. ``eval_every`` and ``checkpoint_every`` are in steps.
    """

    name: Literal["adam", "adamw"] | None = None
    steps: PositiveInt
    batch_size: PositiveInt = 128
    lr_angles: NonNegativeFloat = 5e-3
    lr_mapping: NonNegativeFloat = 5e-3
    schedule: Literal["constant", "cosine", "linear", "step", "plateau"] = "constant"
    decay: Annotated[float, Field(gt=0, lt=1)] = 0.5
    decay_every: PositiveInt = 1000
    plateau_patience: NonNegativeInt = 5
    plateau_metric: str = "train_loss"
    warmup: NonNegativeInt = 0
    weight_decay: NonNegativeFloat = 0.0
    eps: PositiveFloat = 1e-8
    clip_norm: PositiveFloat | None = None
    early_stopping: EarlyStopping | None = None
    eval_every: PositiveInt = 50
    checkpoint_every: PositiveInt = 50


class SeedsConfig(_Table):
    """``[seeds]``: order of the data, initialisation, and sampling of shots, kept apart."""

    data: NonNegativeInt = 0
    init: NonNegativeInt = 0
    sampling: NonNegativeInt = 0


class BudgetConfig(_Table):
    """``[budget]``: caps that no run may exceed."""

    max_usd: NonNegativeFloat | None = None
    max_qpu_seconds: NonNegativeFloat | None = None


class LoggingConfig(_Table):
    """``[logging]``: where the metrics go besides ``metrics.csv``; does not change the run."""

    tensorboard: bool = False


class RunConfig(_Table):
    """Everything that determines a run."""

    description: str = ""
    task: TaskConfig
    target: TargetConfig
    ansatz: AnsatzConfig
    mapping: MappingConfig = MappingConfig()
    scaling: ScalingConfig = ScalingConfig()
    control: ControlConfig = ControlConfig()
    backend: BackendConfig = BackendConfig()
    account: AccountConfig = AccountConfig()
    gradient: GradientConfig = GradientConfig()
    mitigation: MitigationConfig = MitigationConfig()
    optimizer: OptimizerConfig
    seeds: SeedsConfig = SeedsConfig()
    budget: BudgetConfig = BudgetConfig()
    logging: LoggingConfig | None = None

    def noiseless(self) -> RunConfig:
        """Return the twin that differs in nothing but exact probabilities.

        >>> from qt_hw.training.loading import load_config
        >>> load_config("digits").noiseless().backend.shots is None
        True
        """
        own = self.backend.name == "statevector"
        backend = self.backend.model_copy(update={"shots": None}) if own else BackendConfig()
        shift = self.gradient.method == "parameter-shift"
        gradient = GradientConfig() if shift else self.gradient
        free = {
            "account": AccountConfig(),
            "budget": BudgetConfig(),
            "mitigation": MitigationConfig(),
        }
        return self.model_copy(update={"backend": backend, "gradient": gradient, **free})

    @property
    def is_noiseless(self) -> bool:
        """Whether neither shots nor a device disturb the run: it is its own noiseless twin."""
        backend = self.backend
        disturbed = backend.noise is not None or {"noise", "calibration"} & set(backend.options)
        device = ":" in backend.name or disturbed
        return backend.shots is None and not device
