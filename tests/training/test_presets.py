from __future__ import annotations

import json
import tomllib

import pytest

from qt_hw.errors import PreflightError, UnknownName
from qt_hw.execution.budget import Cap
from qt_hw.hardware.estimate import estimate_training, verdict
from qt_hw.model.controls.make import Recipe, quantum_count
from qt_hw.training.build import make_ansatz, make_mapping, make_scaling, make_target
from qt_hw.training.config import RunConfig
from qt_hw.training.loading import config_from_dict, load_config, to_toml
from qt_hw.training.presets import all_names, known_families, known_presets, read_preset

#: Trained numbers in the tables of 2402.16465 and 2405.11304 (a figure of theirs prints 21,543
#: for QT-38: 6·19·38 + 17,121 = 21,453), and with the matrix product state of 2409.06992 and
#: 2505.08474 its 31 χ² besides the angles.
SMALL_CNN = {1: 327, 4: 561, 7: 795, 10: 1_029, 13: 1_263, 16: 1_497}
LARGE_CNN = {19: 19_287, 38: 21_453, 57: 23_619, 76: 25_785, 95: 27_951}
BONDS = {1: 31, 2: 124, 3: 279, 4: 496, 5: 775, 6: 1_116, 7: 1_519, 8: 1_984, 9: 2_511, 10: 3_100}
PUBLISHED = {
    **{f"mnist-qt{layers}": count for layers, count in SMALL_CNN.items()},
    **{f"fashion-mnist-qt{layers}": count for layers, count in SMALL_CNN.items()},
    **{f"cifar-10-qt{layers}": count for layers, count in LARGE_CNN.items()},
    **{f"mnist-mps{bond}": 1_248 + count for bond, count in BONDS.items()},
    "mnist-qt": 1_497,
    "fashion-mnist-qt": 1_497,
    "cifar-10-qt": 27_951,
    "mnist-mps": 1_744,
    "mnist-distributed": 1_497,
}


def counted(config: RunConfig) -> int:
    """Return how many numbers a run trains; no circuit is evaluated."""
    recipe = Recipe(
        target=make_target(config),
        ansatz=make_ansatz(config.ansatz),
        mapping=make_mapping(config.mapping),
        scaling=make_scaling(config.scaling),
    )
    return quantum_count(recipe)


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_papers_rows_train_as_many_numbers_as_published(name: str) -> None:
    assert counted(load_config(name)) == PUBLISHED[name]


def test_every_row_is_held_against_a_published_count() -> None:
    members = {name for family in known_families().values() for name in family.members}
    assert members <= set(PUBLISHED)


def test_the_description_of_a_preset_names_its_count() -> None:
    presets = known_presets()
    for name in PUBLISHED.keys() & presets.keys():
        assert f"{PUBLISHED[name]:,} numbers" in presets[name]


@pytest.mark.parametrize("name", sorted({*all_names()} - {*known_presets()}))
def test_a_member_differs_from_its_preset_in_one_key(name: str) -> None:
    preset = name.rstrip("0123456789")
    value = name.removeprefix(preset)
    family, config = known_families()[preset], load_config(name)
    same = load_config(preset, [f"{family.key}={value}"])
    assert config.model_copy(update={"description": ""}) == same.model_copy(
        update={"description": ""}
    )
    assert value in config.description
    assert config_from_dict(tomllib.loads(to_toml(config))) == config


def test_the_distributed_circuit_has_the_angles_of_the_whole_one_and_fewer_bins() -> None:
    whole, parts = (load_config(name).ansatz for name in ("mnist-qt", "mnist-distributed"))
    assert make_ansatz(whole).n_angles == make_ansatz(parts).n_angles == 1_248
    assert sum(2**factor.n_qubits for factor in parts.factors or ()) == 192


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mnist-qt3", "unknown preset 'mnist-qt3'; did you mean .*known: mnist-qt, mnist-qt1, "),
        ("mnist-mps11", "known: mnist-mps, mnist-mps1, .*mnist-mps10"),
        ("mnist-qt-7", "unknown preset 'mnist-qt-7'; did you mean 'mnist-qt"),
        ("mnst-qt7", "did you mean 'mnist-qt7'"),
        ("digits7", "did you mean 'digits'"),
    ],
)
def test_other_members_are_refused_with_those_that_there_are(name: str, words: str) -> None:
    with pytest.raises(UnknownName, match=words):
        load_config(name)


def test_members_are_found_by_name_alone() -> None:
    assert read_preset("../presets/mnist-qt4") is None
    assert read_preset("4") is None
    assert "family" not in json.dumps(read_preset("mnist-qt"))


@pytest.mark.parametrize(
    ("name", "changes", "reason"),
    [
        # One step of the largest row: more vectors than fit into memory.
        ("cifar-10-qt95", (), r"21,623 vectors of 2\*\*19 outcomes.*larger chunk_size"),
        # IonQ: the gates of one circuit times its shots are capped.
        ("mnist-qt16", ("backend.name=ionq:forte-1",), "gate-shots"),
        # Fewer shots than the device takes are refused at any size.
        ("mnist-qt1", ("backend.name=ionq:forte-1", "backend.shots=50"), "at least 100"),
    ],
)
def test_the_papers_sizes_are_refused_with_shots(
    name: str, changes: tuple[str, ...], reason: str
) -> None:
    config = load_config(name, ["backend.shots=4096", "backend.dtype=", *changes])
    with pytest.raises(PreflightError, match=reason):
        estimate_training(config, rehearsal={} if changes else None)


def test_the_price_of_the_papers_training_on_a_device_is_above_any_usual_cap() -> None:
    changes = ["backend.name=ionq:forte-1", "backend.shots=600", "backend.dtype="]
    quote = estimate_training(load_config("mnist-qt16", changes), rehearsal={})
    # At 600 shots the gates of a circuit are under the cap of one task. Of 2,470 shifted circuits
    # and the base each shot costs 0.08 USD, 23,450 times.
    assert quote.step.circuits == 2_471
    assert quote.step.usd_high >= 2_471 * 600 * 0.08
    found = verdict(quote.total, Cap(max_usd=1e6))
    assert not found.fits
    assert "above max_usd = 1000000.00" in found.text
