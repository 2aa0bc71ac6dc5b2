from __future__ import annotations

import pytest
import torch
from torch import nn

from qt_hw.errors import InputError, UnknownName
from qt_hw.tasks import build_target, check_fit, known_targets, target_info
from qt_hw.tasks.image_targets import FAMILY


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


# Written out a second time, with torch's own constructors and its own initialisation.
REFERENCES = {
    "mlp-64-32-10": (
        lambda: nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)),
        (64,),
        2_410,
    ),
    "cnn-mnist": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 8, 5),
            nn.MaxPool2d(2),
            nn.Conv2d(8, 12, 5),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(192, 20),
            nn.Linear(20, 10),
        ),
        (1, 28, 28),
        6_690,
    ),
    "cnn-cifar": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 16, 5, padding=2),
            nn.MaxPool2d(2),
            nn.Conv2d(16, 32, 5, padding=2),
            nn.MaxPool2d(2),
            nn.Flatten(),
            nn.Linear(2048, 128),
            nn.Linear(128, 64),
            nn.Linear(64, 10),
        ),
        (3, 32, 32),
        285_226,
    ),
}


def test_every_known_target_has_a_reference():
    assert set(FAMILY.examples) == set(REFERENCES) <= set(known_targets())


@pytest.mark.parametrize("name", REFERENCES)
def test_targets_equal_their_reference_bit_for_bit(name):
    make, shape, count = REFERENCES[name]
    with torch.random.fork_rng():
        torch.manual_seed(11)
        reference = make()
    target = build_target(name, seeded(11))
    ours, theirs = list(target.parameters()), list(reference.parameters())
    assert sum(p.numel() for p in ours) == count == target_info(name).n_weights
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    x = torch.rand(5, *shape, generator=seeded())
    assert target(x).shape == (5, 10)
    assert torch.equal(target(x), reference(x))
    assert target_info(name).input_shape == shape


@pytest.mark.parametrize("hidden", [1, 8, 32, 4096])
def test_dense_targets_of_any_width(hidden):
    name = f"mlp-64-{hidden}-10"
    with torch.random.fork_rng():
        torch.manual_seed(11)
        reference = nn.Sequential(nn.Linear(64, hidden), nn.ReLU(), nn.Linear(hidden, 10))
    ours = list(build_target(name, seeded(11)).parameters())
    theirs = list(reference.parameters())
    assert all(torch.equal(a, b) for a, b in zip(ours, theirs, strict=True))
    info = target_info(name)
    assert info.n_weights == sum(p.numel() for p in ours)
    assert (info.name, info.input_shape, info.activation) == (name, (64,), "relu")
    check_fit(name, (64,))


@pytest.mark.parametrize("name", ["mlp-64-0-10", "mlp-64-4097-10", "mlp-64-08-10", "mlp-64-8-1"])
def test_dense_targets_of_other_forms_are_unknown(name):
    with pytest.raises(UnknownName, match="mlp-64-H-10 with H from 1 to 4096"):
        target_info(name)


@pytest.mark.parametrize("name", REFERENCES)
def test_the_generator_is_the_only_randomness(name):
    before = torch.random.get_rng_state()
    a, b, c = (build_target(name, seeded(seed)) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    vectors = [nn.utils.parameters_to_vector(net.parameters()) for net in (a, b, c)]
    assert torch.equal(vectors[0], vectors[1])
    assert not torch.equal(vectors[0], vectors[2])


@pytest.mark.parametrize("name", REFERENCES)
def test_targets_are_made_of_torch_classes(name):
    modules = list(build_target(name, seeded(), activation="tanh").modules())
    assert {type(module).__module__.split(".")[0] for module in modules} == {"torch"}


@pytest.mark.parametrize(("name", "hidden"), [("mlp-64-32-10", 1), ("cnn-mnist", 3)])
@pytest.mark.parametrize(("activation", "kind"), [("relu", nn.ReLU), ("tanh", nn.Tanh)])
def test_the_activation_follows_every_hidden_layer(name, hidden, activation, kind):
    layers = list(build_target(name, seeded(), activation=activation))
    places = [k for k, layer in enumerate(layers) if isinstance(layer, kind)]
    assert len(places) == hidden
    assert all(isinstance(layers[k - 1], nn.Linear | nn.Conv2d) for k in places)
    assert isinstance(layers[-1], nn.Linear)


def test_without_activation_the_dense_network_is_affine():
    net = build_target("mlp-64-32-10", seeded(), activation="none").double()
    a, b = torch.rand(2, 64, generator=seeded(), dtype=torch.float64)
    assert torch.allclose(net(a) + net(b), net(a + b) + net(torch.zeros_like(a)), atol=1e-14)
    relu = build_target("mlp-64-32-10", seeded()).double()
    assert not torch.allclose(relu(a) + relu(b), relu(a + b) + relu(torch.zeros_like(a)), atol=1e-3)


def test_unknown_names_suggest_the_nearest():
    with pytest.raises(UnknownName, match="unknown target 'cnn-minst'; did you mean 'cnn-mnist'"):
        build_target("cnn-minst", seeded())
    with pytest.raises(UnknownName, match="unknown activation 'rely'; did you mean 'relu'"):
        build_target("cnn-mnist", seeded(), activation="rely")
    with pytest.raises(InputError, match=r"torch\.Generator on the CPU, got 0: pass torch"):
        build_target("cnn-mnist", 0)


def test_data_of_another_shape_are_refused_with_what_fits():
    for name in REFERENCES:
        check_fit(name, target_info(name).input_shape)
    with pytest.raises(
        InputError, match=r"the data have \(64,\): .*: mlp-64-32-10, or set image_s"
    ):
        check_fit("cnn-mnist", (64,))
    with pytest.raises(
        InputError, match=r"\(3, 32, 32\), the data have \(5,\): .*policy-I-H-A with"
    ):
        check_fit("cnn-cifar", (5,))
