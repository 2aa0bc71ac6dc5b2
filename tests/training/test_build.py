from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import torch

from qt_hw.errors import ConfigError, InputError, UnknownName
from qt_hw.training.build import make_ansatz, make_mapping, make_model, make_target
from qt_hw.training.loading import config_from_dict, to_toml
from qt_hw.training.run import train
from tests.training.small import small_config, small_tables


@pytest.mark.parametrize(
    ("changes", "error", "part"),
    [
        (("backend.name=statevektor",), UnknownName, "did you mean 'statevector'"),
        (("task.name=digit",), UnknownName, "did you mean 'digits'"),
        (("target.name=mlp",), UnknownName, "mlp-64-32-10"),
        (("task.options={train_siz=3}",), UnknownName, "train_size"),
        (("ansatz.n_qubits=3",), InputError, "need 4 qubits"),
        (("ansatz.n_qubits=",), ConfigError, "n_qubits"),
        (("backend.name=aer:",), InputError, "empty device"),
        (("mapping.chunk_size=2411",), ConfigError, "more than the 2410 weights"),
        (("ansatz.name=product",), ConfigError, "factors"),
        (("ansatz.name=U3Cu3", "ansatz.ring=true"), ConfigError, "ring belongs to RyCnot"),
        (("mapping.bond_dim=3",), ConfigError, "bond_dim does not belong to 'mlp'"),
        (("mapping.name=mps", "mapping.hidden="), ConfigError, "needs bond_dim"),
        (("mapping.activation=relo",), UnknownName, "did you mean 'relu'"),
        (("task.options={image_size=28}",), InputError, "cnn-mnist"),
        (('target.select=["fc9.*"]',), InputError, "fc9"),
    ],
)
def test_wrong_configurations_leave_no_folder(
    tmp_path: Path, changes: tuple[str, ...], error: type[Exception], part: str
) -> None:
    with pytest.raises(error, match=part.replace("(", r"\(")) as caught:
        train(small_config(*changes), out=tmp_path / "run", progress=False)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_product_of_circuits_and_other_mappings_can_be_configured() -> None:
    factor = {"name": "RyCnot", "n_qubits": 2, "n_layers": 1}
    tables = small_tables()
    tables["ansatz"] = {"name": "product", "factors": [factor, {**factor, "name": "U3Cu3"}]}
    tables["mapping"] = {"name": "mps", "bond_dim": 2, "chunk_size": 151}
    config = config_from_dict(tables)
    assert make_ansatz(config.ansatz).n_angles == 2 + 12
    assert config_from_dict(tomllib.loads(to_toml(config))) == config
    assert make_mapping(config.mapping).describe()["kind"] == "mps"


def test_the_target_starts_from_its_own_seed() -> None:
    first, same, other = (
        make_target(small_config(change)).state_dict()["fc1.weight"]
        for change in ("seeds.init=2", "seeds.data=7", "seeds.init=3")
    )
    assert torch.equal(first, same)
    assert not torch.equal(first, other)


def test_seeds_of_initialisation_and_sampling_are_kept_apart() -> None:
    base, init, sampling = (
        make_model(small_config(change)).generator
        for change in ("seeds.init=2", "seeds.init=5", "seeds.sampling=5")
    )
    assert base.seed == init.seed == 3
    assert sampling.seed == 5
    assert torch.equal(base.angles, sampling.angles)
    assert not torch.equal(base.angles, init.angles)
