"""The contract of a task, and the registry of the tasks by name."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from qt_hw.errors import InputError, UnknownName

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Data", "Task", "check_count", "get_task", "known_tasks"]

_TASKS = {
    "digits": ("qt_hw.tasks.digits", "Digits"),
    "mnist": ("qt_hw.tasks.mnist", "Mnist"),
    "fashion-mnist": ("qt_hw.tasks.fashion_mnist", "FashionMnist"),
    "cifar-10": ("qt_hw.tasks.cifar10", "Cifar10"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """A data set in memory, ready for a target network.

    Attributes:
        train: Inputs ``(N, …)`` as float32 and classes ``(N,)`` as int64.
        test: The same for the test part.
        n_classes: Number of classes.
        name: Name of the task.
        description: JSON-ready facts for the manifest: checksums, split, normalisation.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    n_classes: int
    name: str
    description: dict[str, object]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch."""
        return tuple(self.train[0].shape[1:])


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """Data, loss and metrics of one classification problem; options are dataclass fields.

    Attributes:
        label_smoothing: Share of the uniform distribution in the labels of the training loss,
            0 to 1 (Szegedy et al. 2016, sect. 7); metrics use the labels as they are.
    """

    name: ClassVar[str]
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        value = self.label_smoothing
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise InputError(f"label_smoothing must be at least 0 and below 1, got {value!r}")

    @abstractmethod
    def load(self) -> Data:
        """Return the data; the same options give the same tensors, bit for bit.

        Raises:
            DataError: A file is missing, damaged, or has another checksum than expected.
            StorageError: The data folder cannot be written.
            InputError: An option asks for more samples than there are.
        """

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the training loss of the logits ``(B, n_classes)``: mean cross-entropy, a scalar.

        Raises:
            InputError: The shapes do not fit.
        """
        import torch.nn.functional as F  # noqa: N812

        _check_output(output, y)
        return F.cross_entropy(output, y, label_smoothing=self.label_smoothing)

    def metrics(self, output: Tensor, y: Tensor) -> dict[str, float]:
        """Return ``accuracy`` (0 to 1) and mean ``loss`` of the logits ``(B, n_classes)``.

        Raises:
            InputError: The shapes do not fit.
        """
        import torch.nn.functional as F  # noqa: N812

        _check_output(output, y)
        loss = F.cross_entropy(output.detach(), y)
        right = output.detach().argmax(dim=1) == y
        return {"accuracy": float(right.double().mean()), "loss": float(loss)}


def _check_output(output: Tensor, y: Tensor) -> None:
    if output.ndim != 2 or y.shape != output.shape[:1]:
        raise InputError(
            f"the target returned the shape {tuple(output.shape)} for {tuple(y.shape)} labels: "
            "expected (batch, classes)"
        )
    if not len(y):
        raise InputError("the batch is empty: at least one sample is needed")


def check_count(name: str, value: object) -> None:
    """Refuse a number of samples that is neither None nor a positive int.

    Raises:
        InputError: ``value`` is something else.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}")


def known_tasks() -> tuple[str, ...]:
    """Return the names that ``get_task`` accepts.

    >>> known_tasks()
    ('digits', 'mnist', 'fashion-mnist', 'cifar-10')
    """
    return tuple(_TASKS)


def get_task(name: str, **options: Any) -> Task:
    """Return the task of that name.

    Args:
        name: One of ``known_tasks()``.
        options: The task's own options, such as ``train_size``; see the task's class.

    Raises:
        UnknownName: There is no such task, or the task has no such option.
        InputError: An option has a wrong value.

    >>> get_task("digits", image_size=28).name
    'digits'
    """
    if name not in _TASKS:
        raise UnknownName("task", str(name), known_tasks())
    module, attribute = _TASKS[name]
    kind: type[Task] = getattr(import_module(module), attribute)
    allowed = tuple(field.name for field in fields(kind))
    for option in options:
        if option not in allowed:
            raise UnknownName(f"option of the task {name!r}", option, allowed)
    return kind(**options)
