"""Projection onto the simplex: optimality conditions, a quadratic program, gradients."""

from __future__ import annotations

from itertools import chain, combinations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from qt_hw.errors import InputError
from qt_hw.mitigation import project


def rough(rows, size, seed=0, spread=0.3):
    rng = np.random.default_rng(seed)
    return rng.dirichlet(np.ones(size), rows) + spread * rng.normal(size=(rows, size))


def brute_force(v):
    """The nearest of the projections onto all faces of the simplex."""
    faces = chain.from_iterable(combinations(range(len(v)), k) for k in range(1, len(v) + 1))
    best = None
    for face in map(list, faces):
        x = np.zeros(len(v))
        x[face] = v[face] + (1 - v[face].sum()) / len(face)
        if x.min() >= 0 and (best is None or np.sum((x - v) ** 2) < np.sum((best - v) ** 2)):
            best = x
    return best


@pytest.mark.parametrize("size", [1, 2, 3, 6])
def test_projection_is_the_nearest_point_of_all_faces(size):
    v = rough(20, size, spread=1.0)
    expected = [brute_force(row) for row in v]
    np.testing.assert_allclose(project(v), expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(project(v[0]), expected[0], rtol=0, atol=1e-12)


def test_projection_solves_the_quadratic_program():
    (v,) = rough(1, 16)
    found = minimize(
        lambda x: np.sum((x - v) ** 2),
        np.full(16, 1 / 16),
        jac=lambda x: 2 * (x - v),
        bounds=[(0, None)] * 16,
        constraints={"type": "eq", "fun": lambda x: x.sum() - 1, "jac": np.ones_like},
        options={"ftol": 1e-14},
    )
    np.testing.assert_allclose(project(v), found.x, rtol=0, atol=1e-6)


def test_large_vectors_satisfy_the_conditions_of_the_optimum():
    v = rough(3, 2**13, spread=1e-3)
    x = project(v)
    np.testing.assert_allclose(x.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    assert x.min() == 0
    for row, out in zip(v, x, strict=True):
        # Kept entries are all lowered by the same τ, and those set to 0 were at most τ.
        taken = (row - out)[out > 0]
        assert np.ptp(taken) < 1e-12 and row[out == 0].max() <= taken.mean() + 1e-12


def test_projection_is_idempotent_and_no_further_from_any_distribution():
    v, targets = rough(50, 32), np.random.default_rng(5).dirichlet(np.ones(32), 50)
    x = project(v)
    np.testing.assert_allclose(project(x), x, rtol=0, atol=1e-14)
    np.testing.assert_allclose(project(targets), targets, rtol=0, atol=1e-14)
    before, after = (np.linalg.norm(y - targets, axis=1) for y in (v, x))
    assert (after <= before + 1e-14).all()


def test_tensors_give_the_same_without_a_graph():
    v = rough(4, 8)
    tensor = torch.from_numpy(v).requires_grad_()
    found = project(tensor)
    assert not found.requires_grad and found.dtype == torch.float64
    np.testing.assert_array_equal(found.numpy(), project(v))
    single = project(tensor.float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single.numpy(), project(v), rtol=0, atol=1e-6)


@pytest.mark.parametrize("bad", [[np.nan, 1.0], [np.inf, 0.0], [], 1.0])
def test_what_has_no_projection_is_refused(bad):
    with pytest.raises(InputError, match="cannot project vectors"):
        project(np.array(bad))
