"""The options of ``[target]`` for language models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks.family import Options

__all__ = ["BUILT_IN", "OPTION", "PEFT", "ModelOptions", "read_options"]

BUILT_IN = ("tiny-gpt2", "gpt2-random")
"""Models that are made here; other names are of Hugging Face, or folders."""

PEFT = "peft_"
"""What options start with that go to the PEFT method as they are."""

OPTION = f"target.options.{PEFT}"
"""What messages call such an option, before its name."""


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """A causal language model with adapters.

    Attributes:
        model: ``"tiny-gpt2"``, a GPT-2 over bytes that is pre-trained here and kept in the data
            folder; ``"gpt2-random"``, GPT-2 of full shape with random weights; or a model of
            Hugging Face by name or local folder.
        adapter: ``"lora"``, ``"dora"``, ``"prefix"``, ``"prompt"``, ``"bottleneck"``, or any
            method of PEFT by its type, such as ``"ia3"``.
        rank: Rank, of ``"bottleneck"`` its width.
        alpha: Numerator of the scale alpha/rank of a LoRA; None: 2 rank, as in QPA.
        dropout: Share of an adapter's inputs that is dropped in training.
        modules: Names of the modules that get adapters, with commas between; None: PEFT's own
            choice for the model.
        tokens: Virtual tokens of a prefix or prompt.
        gain: ``"zero"``: one trained factor on each LoRA starts at zero, so that the model starts
            as it is although both factors of the LoRA are generated. ``"none"``: no such factor.
            A DoRA's magnitudes are generated too, so it starts with a change all the same.
        width: Of tiny-gpt2.
        layers: Of tiny-gpt2.
        heads: Of tiny-gpt2; they divide ``width``.
        context: Of tiny-gpt2: the longest sample, virtual tokens included.
        pretrain_text: What tiny-gpt2 has read; see ``read_text``.
        pretrain_steps: Steps of its pre-training; 0 for random weights.
        pretrain_seed: Of its initial weights and order of samples.
        peft: Further options of the PEFT method; they are written as ``peft_NAME``, a table such
            as ``peft_rank_pattern = { c_attn = 8 }``.
    """

    model: str = "tiny-gpt2"
    adapter: str = "lora"
    rank: int = 4
    alpha: float | None = None
    dropout: float = 0.0
    modules: str | None = None
    tokens: int = 8
    gain: str = "none"
    width: int = 64
    layers: int = 2
    heads: int = 2
    context: int = 96
    pretrain_text: str = "python-docs"
    pretrain_steps: int = 1000
    pretrain_seed: int = 0
    peft: Mapping[str, object] = field(default_factory=dict)

    @property
    def scale(self) -> float:
        """Return alpha."""
        return 2 * self.rank if self.alpha is None else self.alpha

    @property
    def names(self) -> tuple[str, ...]:
        """Return the modules that are named."""
        return tuple(m.strip() for m in (self.modules or "").split(",") if m.strip())


_TINY = ("width", "layers", "heads", "context", "pretrain_text", "pretrain_steps", "pretrain_seed")
_TEXTS = ("model", "adapter", "modules", "gain", "pretrain_text")
_FROM_ZERO = ("pretrain_steps", "pretrain_seed")


def read_options(name: str, options: Options) -> ModelOptions:
    """Return the options of a target, checked.

    Raises:
        UnknownName: There is no such option, or none of that value.
        InputError: A value is wrong, or an option belongs to another model.

    >>> read_options("causal-lm", {"modules": "lm_head, c_attn"}).names
    ('lm_head', 'c_attn')
    """
    allowed = tuple(f.name for f in fields(ModelOptions) if f.name != "peft")
    further = {k.removeprefix(PEFT): v for k, v in options.items() if k.startswith(PEFT)}
    own = {key: value for key, value in options.items() if not key.startswith(PEFT)}
    for key, value in own.items():
        if key not in allowed:
            raise UnknownName(f"option of the target {name!r}", key, (*allowed, f"{PEFT}…"))
        _check(key, value)
    found = ModelOptions(**own, peft=further)  # type: ignore[arg-type]
    if found.gain not in ("none", "zero"):
        raise UnknownName("target.options.gain", found.gain, ("none", "zero"))
    foreign = [key for key in own if key in _TINY and found.model != "tiny-gpt2"]
    if foreign:
        raise InputError(f"target.options.{foreign[0]} belongs to model = 'tiny-gpt2'")
    if found.width % found.heads:
        raise InputError(
            f"target.options.heads = {found.heads} does not divide width = {found.width}"
        )
    return found


def _check(key: str, value: object) -> None:
    """Refuse a value of another kind than the option takes."""
    if key in _TEXTS:
        fits, wanted = isinstance(value, str) and bool(value.strip()), "a text"
    elif key in ("alpha", "dropout"):
        fits, wanted = _within(value, 0, 1 if key == "dropout" else None), "a number of at least 0"
        wanted += " and below 1" * (key == "dropout")
    else:
        least = 0 if key in _FROM_ZERO else 1
        fits = isinstance(value, int) and not isinstance(value, bool) and value >= least
        wanted = f"a whole number of at least {least}"
    if not fits:
        raise InputError(f"target.options.{key} must be {wanted}, got {value!r}")


def _within(value: object, low: float, below: float | None) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return low <= value and (below is None or value < below)
