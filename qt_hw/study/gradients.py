"""How large and how noisy the gradient is at random angles, before the first step.

Exponentially small gradients (barren plateaus: McClean et al. 2018, Nat. Commun. 9, 4812; local
and global observables: Cerezo et al. 2021, Nat. Commun. 12, 1791) show in the variance of its
components over random angles; what shots and noise make of it shows in repeated measurements.

Everything is about the live angles: those that can change an outcome of the ideal circuit.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from qt_hw.circuits.ansatz import Ansatz
from qt_hw.errors import InputError
from qt_hw.model.generator import probabilities
from qt_hw.model.quantum_train import QuantumTrain
from qt_hw.study.measuring import task_and_data
from qt_hw.tasks import Data, Task, batches
from qt_hw.training.build import make_ansatz, make_quantum
from qt_hw.training.config import GradientConfig, RunConfig
from qt_hw.training.trainer import DROPOUT_STREAM, seeded

__all__ = ["circuit_gradient_variance", "live_angles", "loss_gradients", "measure_gradient"]

Array = NDArray[np.float64]

_DRAWS = 64
_STREAM = 2
#: Bins of the states that are differentiated together.
_MOST_BINS = 1 << 20
#: Derivatives below this part of the largest one are rounding.
_DEAD = 1e-9
#: Keeps a signal without any error finite, as JSON needs it.
_TINY = 1e-300


def measure_gradient(config: RunConfig, *, repeats: int) -> dict[str, float]:
    """Return figures of the gradient of the training loss at the initial angles.

    The loss is that of the first batch in the order of ``seeds.data``, the model as ``seeds.init``
    makes it, the gradient with respect to the circuit's angles. g is exact; with shots, ĝ is
    measured ``repeats`` times as a training step would, with the streams of ``seeds.sampling``.

    - ``gradient_variance``: mean of the squared components of g. The mean of a component over
      random angles is 0, since the loss is periodic in each, so the mean of this over seeds is
      the variance. (CU3's polar angle has twice the period; for it it is the second moment.)
    - ``gradient_norm``: ``||g||``.
    - ``local_gradient_variance``, ``global_gradient_variance``: of the circuit alone, see
      ``circuit_gradient_variance``; over 64 draws from ``seeds.init``.
    - ``noise_variance``: mean over the components of the variance of ĝ over the repeats.
    - ``snr``: ``||g||² / mean ||ĝ − g||²``. Shots shift ĝ too, by smoothing, by the curvature
      of the loss and by the kinks of ReLU, and so does a device's noise: the bias counts here.
    - ``cosine``: mean cosine of the angle between ĝ and g; repeats with ĝ = 0 count as 0.

    The last three are there for configurations with shots or noise. Without shots nothing varies:
    one repeat is measured. Two repeats or more give a noise variance; from one it is 0.

    Args:
        config: The run. A backend that costs money refuses.
        repeats: At least 1.

    Raises:
        InputError: ``repeats`` is below 1.
        PreflightError: The circuit is too large for a backend, or the backend costs money.
    """
    if repeats < 1:
        raise InputError(f"repeats must be at least 1, not {repeats}")
    twin = config.noiseless().model_copy(update={"gradient": GradientConfig()})
    exact = make_quantum(twin)
    ansatz = make_ansatz(config.ansatz)
    live = live_angles(ansatz)
    (g,) = loss_gradients(twin, exact, 1)[:, live]
    values = {
        "gradient_variance": float(np.mean(g**2)),
        "gradient_norm": float(np.linalg.norm(g)),
        **circuit_gradient_variance(ansatz, seed=config.seeds.init),
    }
    if config.is_noiseless:
        return values
    count = repeats if config.backend.shots is not None else 1
    measured = loss_gradients(config, make_quantum(config), count)[:, live]
    return values | _noise(g, measured)


def _noise(g: Array, measured: Array) -> dict[str, float]:
    """Return how far measured gradients ``(R, P)`` are from g ``(P,)``."""
    error = float(np.mean(np.sum((measured - g) ** 2, axis=1)))
    lengths = np.linalg.norm(measured, axis=1) * np.linalg.norm(g)
    cosines = np.divide(measured @ g, lengths, out=np.zeros(len(measured)), where=lengths > 0)
    spread = measured.var(axis=0, ddof=1).mean() if len(measured) > 1 else 0.0
    return {
        "noise_variance": float(spread),
        "snr": float(g @ g) / max(error, _TINY),
        "cosine": float(cosines.mean()),
    }


def loss_gradients(config: RunConfig, model: QuantumTrain, repeats: int) -> Array:
    """Return the gradient of the first batch's loss, ``(repeats, P)``, each measured anew."""
    task, data = task_and_data(config.task)
    size, seed = config.optimizer.batch_size, config.seeds.data
    index = batches(len(data.train[0]), size, seed=seed, step=0)
    model.eval()
    return np.stack([_gradient(task, model, data, index, seed) for _ in range(repeats)])


def _gradient(task: Task, model: QuantumTrain, data: Data, index: Tensor, seed: int) -> Array:
    model.refresh()
    with seeded(seed, 0, DROPOUT_STREAM):
        loss = task.batch_loss(model, data, index)
    (gradient,) = torch.autograd.grad(loss, [model.generator.angles])
    return np.asarray(gradient.numpy())


@lru_cache(maxsize=32)
def live_angles(ansatz: Ansatz) -> NDArray[np.bool_]:
    """Return which angles can change an outcome of a circuit, ``(P,)``.

    The others have no derivative at any angles; here it is looked for at four random ones, in a
    random function of the outcomes.

    Raises:
        PreflightError: The circuit is too large to simulate.

    >>> from qt_hw.circuits.builtin import U3Cu3
    >>> int((~live_angles(U3Cu3(4, 2))).sum())  # 2n - 1 of them, whatever the layers
    7
    """
    stream = np.random.default_rng(0)
    angles = torch.from_numpy(stream.uniform(-np.pi, np.pi, (4, ansatz.n_angles)))
    weights = torch.from_numpy(stream.standard_normal((4, 1 << ansatz.n_qubits)))
    p = probabilities(ansatz, angles.requires_grad_())
    (gradient,) = torch.autograd.grad((p * weights).sum(), [angles])
    size = gradient.abs().amax(dim=0).numpy()
    live = np.asarray(size > _DEAD * size.max())
    live.setflags(write=False)  # the cache hands it out again
    return live


def circuit_gradient_variance(
    ansatz: Ansatz, *, draws: int = _DRAWS, seed: int = 0
) -> dict[str, float]:
    """Return the variance of a bare circuit's gradient over random angles, exact.

    Angles are uniform in (-π, π). The variance of ``∂C/∂θ_i`` over the draws (unbiased), averaged
    over the live angles, for observables with eigenvalues ±1:

    - ``local_gradient_variance``: ``C = ⟨Z_q⟩``, averaged over the qubits q too: with a chain of
      gates Z of one end stays local, that of the other end becomes global.
    - ``global_gradient_variance``: ``C = 2 p_0 − 1``, of ``2|0…0⟩⟨0…0| − 1``.

    Args:
        ansatz: The circuit.
        draws: Random angles, at least 2.
        seed: Of the draws.

    Raises:
        InputError: Fewer than 2 draws.
        PreflightError: The circuit is too large to simulate.

    >>> from qt_hw.circuits.builtin import RyCnot
    >>> found = circuit_gradient_variance(RyCnot(1, 1), draws=10_000)
    >>> round(found["local_gradient_variance"], 1)  # ⟨Z⟩ = cos θ: the mean of sin² is 1/2
    0.5
    """
    if draws < 2:
        raise InputError(f"draws must be at least 2, not {draws}")
    stream = np.random.default_rng(np.random.SeedSequence([seed, _STREAM]))
    angles = torch.from_numpy(stream.uniform(-np.pi, np.pi, (draws, ansatz.n_angles)))
    rows = max(1, _MOST_BINS >> ansatz.n_qubits)
    parts = [_observable_gradients(ansatz, part) for part in torch.split(angles, rows)]
    variances = np.concatenate(parts, axis=1).var(axis=1, ddof=1)
    means = variances[:, live_angles(ansatz)].mean(axis=1)
    return {
        "local_gradient_variance": float(means[:-1].mean()),
        "global_gradient_variance": float(means[-1]),
    }


def _observable_gradients(ansatz: Ansatz, angles: Tensor) -> Array:
    """Return the gradients of each ``⟨Z_q⟩`` and of ``2 p_0 − 1``, ``(n + 1, B, P)``."""
    angles = angles.clone().requires_grad_()
    p = probabilities(ansatz, angles)
    bits = (torch.arange(p.shape[1]) >> torch.arange(ansatz.n_qubits)[:, None]) % 2
    observables = [*(p @ (1.0 - 2.0 * bits.to(p)).T).T, 2.0 * p[:, 0]]
    gradients = [
        torch.autograd.grad(values.sum(), [angles], retain_graph=True)[0].numpy()
        for values in observables
    ]
    return np.stack(gradients)
