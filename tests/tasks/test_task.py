from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import qt_hw.tasks
from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks import Task, get_task, known_tasks


def test_every_known_task_can_be_made():
    images = ("digits", "mnist", "fashion-mnist", "cifar-10")
    assert known_tasks() == (*images, "language", "flood", "reinforcement", "typhoon")
    for name in known_tasks():
        task = get_task(name, train_size=10)
        assert isinstance(task, Task) and task.name == name
        assert task == get_task(name, train_size=10)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownName, match="unknown task 'fashon-mnist'; did you mean 'fashion-mni"):
        get_task("fashon-mnist")
    message = r"option 'imagesize' of the task 'digits'; did you mean 'image_size'.*train_size"
    with pytest.raises(UnknownName, match=message):
        get_task("digits", imagesize=8)


def test_the_loss_is_the_mean_cross_entropy():
    task = get_task("digits")
    y = torch.tensor([3, 1, 4, 1])
    assert float(task.loss(torch.zeros(4, 10), y)) == pytest.approx(math.log(10), rel=1e-6)
    output = torch.zeros(4, 10)
    output[:, 1] = 2.0
    found = task.metrics(output.requires_grad_(), y)
    normaliser = math.log(9 + math.exp(2))
    assert found == {"accuracy": 0.5, "loss": pytest.approx(normaliser - 1, rel=1e-6)}


@pytest.mark.parametrize(
    ("output", "y"),
    [((4, 10), (3,)), ((40,), (4,)), ((4, 10, 1), (4,)), ((4, 10), (4, 1)), ((0, 10), (0,))],
)
def test_outputs_of_another_shape_are_refused(output, y):
    with pytest.raises(InputError, match=r"shape|empty"):
        get_task("digits").metrics(torch.zeros(output), torch.zeros(y, dtype=torch.int64))


def test_all_exported_names_resolve():
    for name in qt_hw.tasks.__all__:
        assert getattr(qt_hw.tasks, name).__name__ == name
    assert dir(qt_hw.tasks) == sorted(qt_hw.tasks.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = qt_hw.tasks.no_such_name


def test_names_are_listed_without_torch():
    code = (
        "import sys; from qt_hw.tasks import known_tasks; known_tasks(); "
        "print([m for m in ('torch', 'numpy', 'sklearn') if m in sys.modules])"
    )
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root)
    assert done.stdout.strip() == "[]", done.stderr


def test_label_smoothing_is_in_the_loss_and_not_in_the_metrics():
    task = get_task("digits", label_smoothing=0.2)
    output, y = torch.tensor([[2.0, 0.0, -1.0]]), torch.tensor([0])
    logs = output.log_softmax(dim=1)[0]
    expected = -(0.8 * logs[0] + 0.2 * logs.mean())
    torch.testing.assert_close(task.loss(output, y), expected)
    assert task.metrics(output, y)["loss"] == pytest.approx(-float(logs[0]))
    for wrong in (-0.1, 1.0, True, "a bit"):
        with pytest.raises(InputError, match="label_smoothing"):
            get_task("digits", label_smoothing=wrong)
