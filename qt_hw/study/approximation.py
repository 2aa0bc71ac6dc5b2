"""How well a circuit and its mapping can reproduce given weights.

The published theory bounds what a generator with few parameters can reach by the size of the
target. Here it is measured: generator and mapping are fitted to the weights of a network that was
trained directly, without data, and what is left of the error depends on nothing else.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from qt_hw.errors import InputError, QtHwError
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.tasks import Data, Task
from qt_hw.training.build import make_quantum, make_target
from qt_hw.training.config import GradientConfig, RunConfig
from qt_hw.training.schedule import Schedule
from qt_hw.training.trainer import all_metrics

__all__ = ["fit_weights"]

Weights = nn.Module | Mapping[str, Tensor] | Tensor


def fit_weights(
    config: RunConfig,
    weights: Weights,
    *,
    steps: int,
    task: Task | None = None,
    data: Data | None = None,
) -> dict[str, float]:
    """Fit the generated weights to given ones; return what is left of the error.

    Adam with the configuration's two rates, ``eps`` and ``clip_norm``, and a cosine schedule,
    lowers the mean squared error, divided by the variance of the given weights w*, from the
    model's usual start. Probabilities are exact.

    Args:
        config: The run, of which ansatz, mapping, scaling, target and ``seeds.init`` count.
        weights: w*: a network like the configuration's target, its parameters by name, or the
            generated ones flat, ``(M,)``, in the order of the target's parameters.
        steps: Of the optimiser, at least 1.
        task: With it the networks are evaluated.
        data: The task's, if loaded already.

    Returns:
        ``relative_error``, ``||w − w*|| / ||w* − mean(w*)||``: 1 is what a constant reaches, 0
        is exact; ``n_weights`` M; ``trained_parameters``; ``trained_share``, their ratio to M.
        With a task its headline metric, e.g. ``test_accuracy``, of the network with the fitted
        weights and ``target_test_accuracy`` of that with w*; parameters that are not generated
        are those of w* in both, if they were given.

    Raises:
        InputError: w* does not fit the target, is not finite or is constant; ``steps`` below 1.
        QtHwError: The error is not finite any more: a rate is too high.
    """
    if steps < 1:
        raise InputError(f"steps must be at least 1, not {steps}")
    exact = config.noiseless().model_copy(update={"gradient": GradientConfig()})
    network = make_target(exact)
    model = make_quantum(exact, network)
    given = _named(weights, model)
    wanted = _flat({slot.name: given[slot.name] for slot in model.target.slots}).to(torch.float64)
    _check(wanted)
    fitted = _fit(model, wanted, exact, steps)
    report = model.parameter_report()
    values = {
        "relative_error": float((_flat(fitted) - wanted).norm() / (wanted - wanted.mean()).norm()),
        "n_weights": float(report.n_generated),
        "trained_parameters": float(report.n_trained),
        "trained_share": report.share,
    }
    if task is None:
        return values
    loaded = task.load() if data is None else data
    for name, tensors in (("", {**given, **fitted}), ("target_", given)):
        metrics = all_metrics(task, _filled(network, tensors).eval(), loaded)
        values[f"{name}{task.headline.test}"] = metrics[task.headline.test]
    return values


def _fit(model: QuantumTrain, wanted: Tensor, config: RunConfig, steps: int) -> dict[str, Tensor]:
    """Train all but the target's own parameters; return the generated tensors."""
    update = {"steps": steps, "schedule": "cosine", "warmup": 0}
    optimizer = config.optimizer.model_copy(update=update)
    rest = [*model.mapping.parameters(), *model.scaling.parameters()]
    groups = [
        {"params": [model.generator.angles], "rate": optimizer.lr_angles},
        {"params": [p for p in rest if p.requires_grad], "rate": optimizer.lr_mapping},
    ]
    adam = torch.optim.Adam(groups, lr=0.0, eps=optimizer.eps)
    schedule, variance = Schedule(optimizer), wanted.var(correction=0)
    for step in range(steps):
        adam.zero_grad(set_to_none=True)
        loss = (_flat(model.weights()) - wanted).square().mean() / variance
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(model.parameters(), optimizer.clip_norm or math.inf)
        if not (math.isfinite(float(loss.detach())) and math.isfinite(float(norm))):
            raise QtHwError(
                f"the error of the fit is not finite at step {step + 1}; lower "
                "optimizer.lr_angles and optimizer.lr_mapping"
            )
        for group in adam.param_groups:
            group["lr"] = schedule.factor(step) * group["rate"]
        adam.step()
    with torch.no_grad():
        return model.weights()


def _named(weights: Weights, model: QuantumTrain) -> dict[str, Tensor]:
    """Return the given tensors by name, checked against those that are generated."""
    slots = model.target.slots
    if isinstance(weights, Tensor):
        if weights.shape != (model.target.n_generated,):
            raise InputError(
                f"weights have the shape {tuple(weights.shape)}; this target takes "
                f"({model.target.n_generated},)"
            )
        return {name: tensor.detach() for name, tensor in model.target.split(weights).items()}
    named = dict(weights.named_parameters() if isinstance(weights, nn.Module) else weights)
    for slot in slots:
        found = named.get(slot.name)
        if found is None or found.shape != slot.shape:
            has = "are missing" if found is None else f"have the shape {tuple(found.shape)}"
            raise InputError(
                f"weights {slot.name!r} {has}; the target has them in {tuple(slot.shape)}"
            )
    return {name: tensor.detach() for name, tensor in named.items()}


def _check(wanted: Tensor) -> None:
    if not torch.isfinite(wanted).all():
        raise InputError("the weights hold a NaN or an infinity")
    if float(wanted.var(correction=0)) == 0.0:
        raise InputError("all weights are equal: there is nothing to approximate")


def _flat(tensors: Mapping[str, Tensor]) -> Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors.values()])


def _filled(network: nn.Module, tensors: Mapping[str, Tensor]) -> nn.Module:
    """Return a copy of the network with these parameters."""
    out = copy.deepcopy(network)
    own = dict(out.named_parameters())
    with torch.no_grad():
        for name, tensor in tensors.items():
            own[name].copy_(tensor)
    return out
