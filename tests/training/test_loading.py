from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from qt_hw.errors import ConfigError, UnknownName
from qt_hw.training.build import make_scaling
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import config_from_dict, known_presets, load_config, to_toml

MINIMAL = """
[task]
name = "digits"
[target]
name = "mlp-64-32-10"
[ansatz]
name = "RyCnot"
n_qubits = 6
n_layers = 2
[optimizer]
steps = 3
"""


@pytest.mark.parametrize("name", known_presets())
def test_every_preset_survives_the_way_through_toml(name: str) -> None:
    config = load_config(name)
    assert config.description
    assert config_from_dict(tomllib.loads(to_toml(config))) == config


def test_a_file_is_read_and_defaults_fill_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(MINIMAL)
    config = load_config(path)
    assert config.optimizer.steps == 3
    assert config.scaling.recipe == "balanced"
    assert config.backend.name == "statevector"
    assert config.is_noiseless


def test_lists_among_the_options_of_a_backend_survive_the_way_through_toml() -> None:
    config = load_config("digits-ibm", ["backend.options={layout=[3, 1, 2], mode='job', x=0.5}"])
    assert config.backend.options == {"layout": (3, 1, 2), "mode": "job", "x": 0.5}
    assert config_from_dict(tomllib.loads(to_toml(config))) == config


def test_a_fill_is_written_only_where_it_is_set() -> None:
    assert "fill" not in to_toml(load_config("digits"))
    config = load_config("digits", ["scaling.fill=neighbours"])
    assert 'fill = "neighbours"' in to_toml(config)
    assert make_scaling(config.scaling).fill == "neighbours"
    assert make_scaling(load_config("digits").scaling).fill == "none"


def test_a_calibrated_simulator_is_not_noiseless() -> None:
    changes = ["backend.name=aer", "backend.shots=", "backend.options.calibration=c.json"]
    assert not load_config("digits", changes).is_noiseless
    assert load_config("digits", changes[:2]).is_noiseless


def test_empty_hidden_layers_are_not_lost() -> None:
    config = load_config("mnist-qt", ["mapping.hidden=[]"])
    assert config.mapping.hidden == ()
    assert config_from_dict(tomllib.loads(to_toml(config))).mapping.hidden == ()


@pytest.mark.parametrize(
    ("override", "path", "value"),
    [
        ("optimizer.steps=100", ("optimizer", "steps"), 100),
        ("optimizer.lr_angles=1e-3", ("optimizer", "lr_angles"), 1e-3),
        ("optimizer.lr_angles=1", ("optimizer", "lr_angles"), 1.0),
        ("backend.name=statevector", ("backend", "name"), "statevector"),
        ('backend.name="aer:fake_torino"', ("backend", "name"), "aer:fake_torino"),
        ("backend.name=aer:fake_torino", ("backend", "name"), "aer:fake_torino"),
        (
            "backend.noise=depolarizing(p1=1e-3, p2=1e-2)",
            ("backend", "noise"),
            "depolarizing(p1=1e-3, p2=1e-2)",
        ),
        ("backend.shots=", ("backend", "shots"), None),
        ("target.activation=none", ("target", "activation"), "none"),
        ("mapping.hidden=[16, 8]", ("mapping", "hidden"), (16, 8)),
        ("scaling.learnable=true", ("scaling", "learnable"), True),
        ("scaling.fill=neighbours", ("scaling", "fill"), "neighbours"),
        ("backend.options.method=automatic", ("backend", "options"), {"method": "automatic"}),
        ("backend.options.layout=[3, 1]", ("backend", "options"), {"layout": (3, 1)}),
        ("optimizer.schedule = cosine", ("optimizer", "schedule"), "cosine"),
    ],
)
def test_overrides_are_toml_values_or_bare_words(
    override: str, path: tuple[str, str], value: object
) -> None:
    config = load_config("digits", [override])
    assert getattr(getattr(config, path[0]), path[1]) == value


@pytest.mark.parametrize(
    ("override", "parts"),
    [
        ("optimizer.stepz=3", ["unknown key 'optimizer.stepz'", "mean 'optimizer.steps'"]),
        ("optimizer.shots=3", ["unknown key 'optimizer.shots'", "mean 'backend.shots'"]),
        ("shots=3", ["unknown key 'shots'", "did you mean 'backend.shots'"]),
        ("optimiser.steps=3", ["unknown key 'optimiser'", "did you mean 'optimizer'"]),
        ("optimizer.steps=0", ["optimizer.steps should be greater than 0, got 0"]),
        ("optimizer.steps=1.5", ["optimizer.steps", "integer", "1.5"]),
        ('optimizer.steps="100"', ["optimizer.steps", "integer", '"100"']),
        ("optimizer.steps=true", ["optimizer.steps", "integer", "true"]),
        ("optimizer.steps=", ["optimizer.steps is missing"]),
        ("backend.shots=none", ["backend.shots", "to take the key out: --set backend.shots="]),
        ("optimizer.lr_angles=nan", ["optimizer.lr_angles", "finite", "nan"]),
        ("optimizer.lr_angles=-1", ["optimizer.lr_angles", "-1"]),
        ("optimizer.schedule=cosin", ["did you mean 'cosine'", "constant, cosine"]),
        ("optimizer=3", ["optimizer", "got 3"]),
        ("mapping=3", ["mapping should be a table, got 3"]),
        ("target.select=3", ["target.select should be a list, got 3"]),
        ("mitigation.method=3", ["mitigation.method should be a text or a list of these, got 3"]),
        ("task.options.x=[1]", ["task.options.x should be a text, a number, true or false, got ["]),
        ("backend.options.x={y=1}", ["backend.options.x should be a text, a number, true, fal"]),
        ("mitigation.zne.scales=[1,[2]]", ["zne.scales should be a", "these, got [1, [2]]"]),
        ("target.options.x={y={z=1}}", ["target.options.x should be", "or a table of these, got"]),
        ("backend.shots=0", ["backend.shots", "greater than 0", "got 0"]),
        ("backend.shots=-4", ["backend.shots", "greater than 0", "got -4"]),
        ("ansatz.name=RyCnott", ["unknown ansatz.name 'RyCnott'", "did you mean 'RyCnot'"]),
        ("scaling.recipe=balance", ["did you mean 'balanced'"]),
        ("gradient.method=subset(0)", ["gradient.method", "subset(k) needs k"]),
        ("gradient.method=spas", ["did you mean 'spsa'"]),
        ("gradient.method=spsa(step=9)", ["gradient.method", "0 < step"]),
        ("mitigation.method=redout", ["unknown mitigation 'redout'", "did you mean 'readout'"]),
        ("seeds.data=-1", ["seeds.data", "-1"]),
        ("optimizer.early_stopping.patienc=3", ["mean 'optimizer.early_stopping.patience'"]),
        ("steps", ["write table.key=value"]),
        ("=3", ["write table.key=value"]),
        ("optimizer.steps.x=3", ["'steps' is a value, not a table"]),
    ],
)
def test_what_is_wrong_is_said_in_one_line(override: str, parts: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config("digits", [override])
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message
    assert message.count("should be") <= 1, message


def test_all_problems_are_told_at_once() -> None:
    with pytest.raises(ConfigError, match=r"steps.*batch_size"):
        load_config("digits", ["optimizer.steps=0", "optimizer.batch_size=0"])


def test_an_unknown_preset_is_refused_with_the_nearest() -> None:
    with pytest.raises(UnknownName, match="did you mean 'digits'"):
        load_config("digts")


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no file .*missing.toml; the presets are: .*digits"):
        load_config(tmp_path / "missing.toml")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(tmp_path)
    broken = tmp_path / "broken.toml"
    broken.write_text("[task\n")
    with pytest.raises(ConfigError, match=r"broken.toml: not valid TOML: .*line 1"):
        load_config(broken)
    broken.write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="cannot read"):
        load_config(broken)


def test_other_types_are_refused() -> None:
    with pytest.raises(ConfigError, match="not int"):
        load_config(3)  # type: ignore[arg-type]


def test_a_configuration_cannot_be_changed() -> None:
    config = load_config("digits")
    with pytest.raises(ValueError, match="frozen"):
        config.seeds.data = 3


def test_the_noiseless_twin_differs_in_the_backend_only() -> None:
    config = load_config("digits", ["gradient.method=parameter-shift"])
    twin = config.noiseless()
    assert (twin.backend.name, twin.backend.shots) == ("statevector", None)
    assert twin.gradient.method == "auto"
    same = {"backend", "gradient"}
    assert twin.model_dump(exclude=same) == config.model_dump(exclude=same)


def test_the_twin_of_an_exact_engine_keeps_its_precision() -> None:
    config = load_config("digits", ["backend.name=statevector", "backend.dtype=complex64"])
    assert config.noiseless().backend.dtype == "complex64"
    assert config.noiseless().backend.shots is None


def test_a_configuration_passes_through() -> None:
    config = load_config("digits")
    assert load_config(config) == config
    assert isinstance(load_config(config.model_dump(exclude_none=True)), RunConfig)
