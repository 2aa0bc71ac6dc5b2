from __future__ import annotations

import numpy as np
import pytest
import torch

from qt_hw.circuits.builtin import RyCnot, U3Cu3
from qt_hw.errors import InputError, UnknownName
from qt_hw.model.mapping import (
    AffineMapping,
    Mapping,
    MlpMapping,
    MpsMapping,
    basis_labels,
    n_qubits_for,
)


def built(mapping: Mapping, n_qubits: int, n_blocks: int | None = None, seed: int = 0) -> Mapping:
    return mapping.built(
        n_qubits,
        2**n_qubits if n_blocks is None else n_blocks,
        generator=torch.Generator().manual_seed(seed),
        dtype=torch.float64,
    )


def features(mapping: Mapping, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(mapping.n_blocks, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize(
    ("n_weights", "chunk", "n_qubits"),
    [  # counts of the papers' code
        (6_690, 1, 13),
        (285_226, 1, 19),
        (39_222, 1, 16),
        (10_422, 1, 14),
        (31_051, 1, 15),
        (898, 1, 10),
        (4_835, 1, 13),
        (204_100, 2_048, 7),
        (1_032_192, 4_096, 8),
        (10**9, 1, 30),
        (10**9, 1_024, 20),
        (2_410, 38, 6),
        (1, 1, 1),
        (64, 1, 6),
        (65, 1, 7),
    ],
)
def test_number_of_qubits(n_weights: int, chunk: int, n_qubits: int) -> None:
    assert n_qubits_for(n_weights, chunk) == n_qubits


@pytest.mark.parametrize(
    ("hidden", "chunk", "n_qubits", "count"),
    [  # counts of the papers' code
        ((4, 20, 4), 1, 13, 249),
        ((10, 20, 10), 1, 16, 621),
        ((10, 20, 10), 1, 14, 601),
        ((10, 10, 10), 1, 10, 351),
        ((10, 64, 10), 1, 13, 1_515),
        ((40, 200, 40), 1, 19, 17_121),
        ((32, 64, 64, 64, 32), 1, 15, 13_089),
        ((32, 64, 128, 128, 64, 32, 32), 2_048, 7, 38_624 + 67_584),
    ],
)
def test_published_mapping_counts(
    hidden: tuple[int, ...], chunk: int, n_qubits: int, count: int
) -> None:
    mapping = built(AffineMapping(hidden, chunk_size=chunk), n_qubits, 2)
    assert mapping.n_parameters == count


@pytest.mark.parametrize(
    ("angles", "hidden", "n_qubits", "chunk", "total"),
    [  # counts of the papers' code
        (U3Cu3(13, 16).n_angles, (4, 20, 4), 13, 1, 1_497),
        (U3Cu3(13, 1).n_angles, (4, 20, 4), 13, 1, 327),
        (U3Cu3(19, 19).n_angles, (40, 200, 40), 19, 1, 19_287),
        (U3Cu3(19, 38).n_angles, (40, 200, 40), 19, 1, 21_453),
        (U3Cu3(19, 95).n_angles, (40, 200, 40), 19, 1, 27_951),
        (U3Cu3(16, 16).n_angles, (10, 20, 10), 16, 1, 2_157),
        (U3Cu3(14, 11).n_angles, (10, 20, 10), 14, 1, 1_525),
        (U3Cu3(14, 14).n_angles, (10, 20, 10), 14, 1, 1_777),
        (U3Cu3(10, 5).n_angles, (10, 10, 10), 10, 1, 651),
        (U3Cu3(13, 13).n_angles, (10, 64, 10), 13, 1, 2_529),
        (RyCnot(7, 8).n_angles, (32, 64, 128, 128, 64, 32, 32), 7, 2_048, 106_264),
        # QT-LSTM: besides 10 output scales and 3 learnable scaling constants.
        (RyCnot(15, 15, ring=True).n_angles, (32, 64, 64, 64, 32), 15, 1, 13_327 - 13),
    ],
)
def test_published_totals(
    angles: int, hidden: tuple[int, ...], n_qubits: int, chunk: int, total: int
) -> None:
    mapping = built(AffineMapping(hidden, chunk_size=chunk), n_qubits, 2)
    assert angles + mapping.n_parameters == total


@pytest.mark.parametrize("bond_dim", range(1, 11))
def test_mps_has_31_chi_squared_parameters_at_13_qubits(bond_dim: int) -> None:
    assert built(MpsMapping(bond_dim), 13, 2).n_parameters == 31 * bond_dim**2


def test_labels_are_binary_digits_most_significant_first() -> None:
    expected = [[2 * int(c) - 1 for c in f"{k:03b}"] for k in range(7)]
    assert basis_labels(3, 7).tolist() == expected
    assert basis_labels(1, 2).tolist() == [[-1], [1]]


def test_published_stack_equals_one_affine_map() -> None:
    mapping = built(AffineMapping(), 13, 6_690)
    x = features(mapping)
    inputs = np.column_stack([mapping.labels.numpy(), x.numpy(), np.ones(mapping.n_blocks)])
    outputs = mapping(x).detach().numpy()
    coefficients, *_ = np.linalg.lstsq(inputs, outputs, rcond=None)
    assert np.abs(inputs @ coefficients - outputs).max() < 1e-13


def test_mlp_equals_its_formula_and_is_not_affine() -> None:
    mapping = built(MlpMapping((5,), "tanh", chunk_size=3), 4, 11)
    x = features(mapping)
    p = {name: value.detach().numpy() for name, value in mapping.named_parameters()}
    inputs = np.column_stack([mapping.labels.numpy(), x.numpy()])
    hidden = np.tanh(inputs @ p["layers.0.weight"].T + p["layers.0.bias"])
    expected = hidden @ p["layers.2.weight"].T + p["layers.2.bias"]
    np.testing.assert_allclose(mapping(x).detach().numpy(), expected, atol=1e-14)
    bend = mapping(x + 1) - 2 * mapping(x) + mapping(x - 1)
    assert bend.abs().max() > 1e-3


@pytest.mark.parametrize(("n_qubits", "n_blocks"), [(1, 2), (2, 3), (5, 21), (6, 64)])
def test_mps_equals_the_product_taken_one_block_at_a_time(n_qubits: int, n_blocks: int) -> None:
    mapping = built(MpsMapping(3, chunk_size=2, noise=0.3), n_qubits, n_blocks)
    assert isinstance(mapping, MpsMapping)
    x = features(mapping)
    p = {name: value.detach().numpy() for name, value in mapping.named_parameters()}
    half = (n_qubits + 1) // 2
    expected = np.empty((n_blocks, 2))
    for k in range(n_blocks):
        values = [*mapping.labels[k].tolist(), x[k].item()]
        sites = [
            v * core[0] + (1 - v) * core[1] for v, core in zip(values, p["sites"], strict=True)
        ]
        for c in range(2):
            product = p["ends"][0]
            for matrix in [*sites[:half], p["output"][c], *sites[half:], p["ends"][1]]:
                product = product @ matrix
            expected[k, c] = np.trace(product)
    np.testing.assert_allclose(mapping(x).detach().numpy(), expected, rtol=1e-12)


def test_mps_starts_near_the_identity() -> None:
    mapping = built(MpsMapping(4, noise=1e-6), 6)
    np.testing.assert_allclose(mapping(features(mapping)).detach().numpy(), 4.0, atol=1e-3)


@pytest.mark.parametrize("mapping", [MlpMapping(), AffineMapping(()), MpsMapping(2)])
def test_start_depends_on_the_generator_alone(mapping: Mapping) -> None:
    state = torch.get_rng_state()
    a, b, c = (built(mapping, 4, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), state)
    for p, q, r in zip(a.parameters(), b.parameters(), c.parameters(), strict=True):
        assert torch.equal(p, q)
        assert not torch.equal(p, r)


def test_start_is_that_of_torch_linear() -> None:
    # Uniform in ±1/sqrt(fan_in): std 1/sqrt(3 fan_in), relative error 0.45/sqrt(4,000) x 4 sigma.
    mapping = built(MlpMapping((1_000,)), 3)
    weight = dict(mapping.named_parameters())["layers.0.weight"]
    assert weight.abs().max() <= 0.5
    assert weight.std().item() == pytest.approx(1 / np.sqrt(12), rel=0.03)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: MlpMapping(chunk_size=0),
            "chunk_size must be a whole number of at least 1, not 0",
        ),
        (lambda: AffineMapping((4, 0)), "hidden width"),
        (lambda: MpsMapping(0), "bond_dim must be a whole number of at least 1, not 0"),
        (lambda: MpsMapping(2, noise=0.0), "noise must be a positive number"),
        (lambda: built(MlpMapping(), 2, 5), "2 qubits have no 5 basis states"),
        (lambda: built(built(MlpMapping(), 2), 2), "already built"),
        (lambda: n_qubits_for(0), "at least 1"),
    ],
)
def test_bad_sizes_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(InputError, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        *(
            (lambda size=size: MlpMapping(chunk_size=size), "chunk_size must be a whole number")
            for size in (2.5, "3", None, True)
        ),
        *(
            (lambda hidden=hidden: MlpMapping(hidden), r"hidden must be a sequence .* \(8,\)")
            for hidden in (8, None, "8", b"8")
        ),
        *(
            (lambda hidden=hidden: AffineMapping(hidden), "every hidden width must be a whole")
            for hidden in ((8.5,), ("a",), (True,))
        ),
        *(
            (lambda size=size: MpsMapping(size), "bond_dim must be a whole number")
            for size in (2.0, "x", None)
        ),
        (lambda: MpsMapping(2, noise="x"), "noise must be .* not 'x'"),  # type: ignore[arg-type]
        (lambda: MlpMapping((8,), 5), "must be one of tanh, .* not int"),  # type: ignore[arg-type]
        (lambda: n_qubits_for(10, 2.5), "chunk_size must be"),  # type: ignore[arg-type]
    ],
)
def test_values_of_other_types_are_refused(make: object, message: str) -> None:
    assert callable(make)
    with pytest.raises(InputError, match=message) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_numpy_sizes_are_taken() -> None:
    two = np.int64(2)
    mapping = built(MlpMapping((two,), chunk_size=two), 3)  # type: ignore[arg-type]
    assert mapping(features(mapping)).shape == (8, 2)
    assert mapping.describe()["hidden"] == [2]


def test_unknown_activation_gets_a_suggestion() -> None:
    with pytest.raises(UnknownName, match="did you mean 'tanh'"):
        MlpMapping(activation="tan")
