"""The contract of a task, and the registry of the tasks by name."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from importlib import import_module
from typing import TYPE_CHECKING, Any, ClassVar

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks.metric import ACCURACY, Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor, nn

__all__ = [
    "Classification",
    "Data",
    "Task",
    "check_count",
    "check_parts",
    "check_texts",
    "first_output",
    "get_task",
    "get_task_class",
    "headline_of",
    "known_tasks",
]

_TASKS = {
    "digits": ("qt_hw.tasks.digits", "Digits"),
    "mnist": ("qt_hw.tasks.mnist", "Mnist"),
    "fashion-mnist": ("qt_hw.tasks.fashion_mnist", "FashionMnist"),
    "cifar-10": ("qt_hw.tasks.cifar10", "Cifar10"),
    "language": ("qt_hw.tasks.language.task", "Language"),
    "flood": ("qt_hw.tasks.flood.task", "Flood"),
    "reinforcement": ("qt_hw.tasks.reinforcement.task", "Reinforcement"),
    "typhoon": ("qt_hw.tasks.typhoon.task", "Typhoon"),
}


@dataclass(frozen=True, kw_only=True, eq=False)
class Data:
    """A data set in memory, ready for a target network.

    Attributes:
        train: Inputs ``(N, …)`` and what is to be learnt of each, ``(N, …)``; of a
            classification float32 and the classes ``(N,)`` as int64.
        test: The same for the test part.
        n_classes: Number of classes; 0 where there are none.
        name: Name of the task.
        description: JSON-ready facts for the manifest: checksums, split, normalisation.
    """

    train: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    n_classes: int = 0
    name: str
    description: dict[str, object]

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of one input, without the batch."""
        return tuple(self.train[0].shape[1:])


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """Data, loss and metrics of one problem; its options are dataclass fields.

    Attributes:
        headline: The metric that tables, figures and studies show, on the test part.
        evaluation_batch: Samples that ``evaluate`` passes through the network at once.
    """

    name: ClassVar[str]
    headline: ClassVar[Metric]
    evaluation_batch: ClassVar[int] = 1000

    @abstractmethod
    def load(self) -> Data:
        """Return the data; the same options give the same tensors, bit for bit.

        Raises:
            DataError: A file is missing, damaged, or has another checksum than expected.
            StorageError: The data folder cannot be written.
            InputError: An option asks for more samples than there are.
        """

    @abstractmethod
    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the training loss of the network's output ``(B, …)``, a scalar.

        Raises:
            InputError: The shapes do not fit.
        """

    @abstractmethod
    def metrics(self, output: Tensor, y: Tensor) -> dict[str, float]:
        """Return ``loss``, the headline metric and others of the output ``(B, …)``.

        Raises:
            InputError: The shapes do not fit.
        """

    def batch_loss(self, model: nn.Module, data: Data, index: Tensor) -> Tensor:
        """Return the loss of one training step, attached to autograd.

        Args:
            model: Callable like the target; its weights are measured once for all calls.
            data: The data.
            index: Samples of the step, ``(B,)`` int64.

        torch's global generator is seeded for each step: what is drawn from it is reproducible.
        """
        x, y = data.train
        return self.loss(model(x[index]), y[index])

    def evaluate(self, model: nn.Module, data: Data) -> dict[str, float]:
        """Return ``train_…`` and ``test_…`` of each metric, means over all samples.

        It is called without autograd, with the network in evaluation mode. A task whose metrics
        are no means over samples, or which has no training part, returns its own.
        """
        return {
            f"{part}_{name}": value
            for part, samples in (("train", data.train), ("test", data.test))
            for name, value in self._means(model, *samples).items()
        }

    def check(self, target: nn.Module, data: Data) -> None:
        """Pass one sample through a copy of ``target``.

        Raises:
            InputError: The target cannot take it, or its output is of another kind.
        """
        check_parts(data)
        first_output(target, data)

    def figures(self, model: nn.Module, data: Data) -> dict[str, Figure]:
        """Return pictures of a trained network's own results by file name; none by default."""
        return {}

    def _means(self, model: nn.Module, x: Tensor, y: Tensor) -> dict[str, float]:
        """Return the metrics over all samples, evaluated in slices."""
        sums: dict[str, float] = {}
        for start in range(0, len(x), self.evaluation_batch):
            part = slice(start, start + self.evaluation_batch)
            for name, value in self.metrics(model(x[part]), y[part]).items():
                sums[name] = sums.get(name, 0.0) + value * len(x[part])
        return {name: total / len(x) for name, total in sums.items()}


@dataclass(frozen=True, kw_only=True)
class Classification(Task):
    """A problem with classes: cross-entropy and accuracy.

    Attributes:
        label_smoothing: Share of the uniform distribution in the labels of the training loss,
            0 to 1 (Szegedy et al. 2016, sect. 7); metrics use the labels as they are.
    """

    headline: ClassVar[Metric] = ACCURACY
    label_smoothing: float = 0.0

    def __post_init__(self) -> None:
        """Check the options."""
        value = self.label_smoothing
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1:
            raise InputError(f"label_smoothing must be at least 0 and below 1, got {value!r}")

    def loss(self, output: Tensor, y: Tensor) -> Tensor:
        """Return the training loss of the logits ``(B, n_classes)``: mean cross-entropy, a scalar.

        Raises:
            InputError: The shapes do not fit.
        """
        import torch.nn.functional as F  # noqa: N812

        _check_output(output, y)
        return F.cross_entropy(output, y, label_smoothing=self.label_smoothing)

    def metrics(self, output: Tensor, y: Tensor) -> dict[str, float]:
        """Return mean ``loss`` and ``accuracy`` (0 to 1) of the logits ``(B, n_classes)``.

        Raises:
            InputError: The shapes do not fit.
        """
        import torch.nn.functional as F  # noqa: N812

        _check_output(output, y)
        loss = F.cross_entropy(output.detach(), y)
        right = output.detach().argmax(dim=1) == y
        return {"loss": float(loss), "accuracy": float(right.double().mean())}

    def check(self, target: nn.Module, data: Data) -> None:
        from torch import Tensor

        check_parts(data)
        output = first_output(target, data)
        if type(self).loss is not Classification.loss:  # another loss may want another output
            return
        classes = max(data.n_classes, *(int(y.max()) + 1 for _, y in (data.train, data.test)))
        if not isinstance(output, Tensor) or output.ndim != 2 or output.shape[1] < classes:
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise InputError(
                f"the data have {classes} classes, so the target's output for one input must have "
                f"shape (1, {classes}), not {shape}"
            )


def check_parts(data: Data) -> None:
    """Refuse parts without samples, or with another number of labels than of inputs.

    Raises:
        InputError: Says what the part holds.
    """
    for x, y in (data.train, data.test):
        if len(x) != len(y) or not len(x):
            raise InputError(f"the data hold {len(x)} inputs and {len(y)} labels in one part")


def first_output(target: nn.Module, data: Data) -> object:
    """Return what a copy of ``target`` makes of the first training sample.

    Raises:
        InputError: It cannot take it.
    """
    import torch

    try:
        with torch.no_grad():
            return copy.deepcopy(target).eval()(data.train[0][:1])
    except Exception as error:
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(
            f"the target does not take inputs of shape {data.input_shape}: {said}"
        ) from error


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


def check_texts(task: Task, names: Sequence[str]) -> None:
    """Refuse options that are neither None nor text, such as a bare number as a file.

    Raises:
        InputError: Names the first.
    """
    for name in names:
        if (value := getattr(task, name)) is not None and not isinstance(value, str):
            raise InputError(f"{name} must be text, got {value!r}")


def known_tasks() -> tuple[str, ...]:
    """Return the names that ``get_task`` accepts.

    >>> known_tasks()[:4]
    ('digits', 'mnist', 'fashion-mnist', 'cifar-10')
    """
    return tuple(_TASKS)


def get_task_class(name: str) -> type[Task]:
    """Return the class of the task of that name.

    Raises:
        UnknownName: There is no such task.
    """
    if name not in _TASKS:
        raise UnknownName("task", str(name), known_tasks())
    module, attribute = _TASKS[name]
    kind: type[Task] = getattr(import_module(module), attribute)
    return kind


def headline_of(name: str) -> Metric:
    """Return the metric that tables show of a task; accuracy for data of the caller's own.

    >>> headline_of("digits").key
    'accuracy'
    """
    return get_task_class(name).headline if name in _TASKS else ACCURACY


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
    kind = get_task_class(name)
    allowed = tuple(field.name for field in fields(kind))
    for option in options:
        if option not in allowed:
            raise UnknownName(f"option of the task {name!r}", option, allowed)
    return kind(**options)
