"""Which cells a study consists of."""

from __future__ import annotations

import tomllib
from collections import Counter
from pathlib import Path

import pytest

from qt_hw.errors import ConfigError, UnknownName
from qt_hw.model.controls import CONTROLS
from qt_hw.study.cell import Cell
from qt_hw.study.config import StudyConfig
from qt_hw.study.grid import cells_of, read_bases
from qt_hw.study.loading import known_studies, load_study, study_to_toml
from tests.study.small import base_file, small_study


def cells(study: StudyConfig) -> tuple[Cell, ...]:
    return cells_of(study, read_bases(study))


def test_each_noisy_cell_has_the_noiseless_twin_of_its_seed(tmp_path: Path) -> None:
    found = {cell.id: cell for cell in cells(small_study(tmp_path))}
    assert Counter(cell.kind for cell in found.values()) == {
        "noiseless": 2,
        "control": 2,
        "train": 2,
        "evaluate": 4,
    }
    for cell in found.values():
        if cell.kind == "noiseless":
            assert cell.config == cell.config.noiseless()
            assert cell.twin == ""
            continue
        twin = found[cell.twin]
        assert twin.kind == "noiseless"
        assert twin.config.seeds == cell.config.seeds
        assert twin.config.ansatz == cell.config.ansatz
        assert twin.config.optimizer == cell.config.optimizer


def test_twins_are_shared_and_come_first(tmp_path: Path) -> None:
    """Blocks with the same circuits share twins; another circuit has its own."""
    study = small_study(
        tmp_path,
        controls=[],
        train=[{"shots": 64, "layers": [2, 3]}, {"shots": 128}],
        evaluate=[{"shots": 64, "layers": 3}],
    )
    found = cells(study)
    twins = [cell for cell in found if cell.kind == "noiseless"]
    assert sorted(cell.condition.layers for cell in twins) == [2, 2, 3, 3]
    places = {cell.id: place for place, cell in enumerate(found)}
    assert all(places[need] < places[cell.id] for cell in found for need in cell.needs)


def test_every_axis_multiplies(tmp_path: Path) -> None:
    block = {
        "backend": "aer",
        "shots": [64, 128],
        "noise": ["depolarizing(p1=1e-3, p2=1e-2)", "readout(p=0.02)"],
        "noise_scale": [0.5, 1.0, 2.0],
        "mitigation": ["none", "readout"],
        "gradient": ["auto", "spsa"],
        "ansatz": ["RyCnot", "U3Cu3"],
        "qubits": [4, 5],
        "layers": [1, 2],
    }
    study = small_study(tmp_path, seeds=1, controls=[], train=[block], evaluate=[])
    trained = [cell.condition for cell in cells(study) if cell.kind == "train"]
    assert len(trained) == len(set(trained)) == 2 * 2 * 3 * 2 * 2 * 2 * 2 * 2
    assert {c.noise_scale for c in trained} == {0.5, 1.0, 2.0}
    assert {c.mitigation for c in trained} == {"none", "readout"}
    assert {(c.ansatz, c.qubits, c.layers) for c in trained} == {
        (name, n, layers) for name in ("RyCnot", "U3Cu3") for n in (4, 5) for layers in (1, 2)
    }


def test_the_twin_has_the_gradient_rule_of_its_cell(tmp_path: Path) -> None:
    """Nothing but shots and noise differs."""
    study = small_study(
        tmp_path,
        seeds=1,
        controls=[],
        set=["gradient.method=spsa"],
        train=[{"shots": 64}, {"shots": 64, "gradient": ["parameter-shift"]}],
        evaluate=[],
    )
    found = {cell.id: cell for cell in cells(study)}
    rules = {
        cell.condition.gradient: found[cell.twin].config.gradient.method
        for cell in found.values()
        if cell.kind == "train"
    }
    assert rules == {"spsa": "spsa", "parameter-shift": "auto"}


def test_ids_do_not_depend_on_defaults(tmp_path: Path) -> None:
    """What is written out and what is left out is the same cell."""
    left_out, written = base_file(tmp_path), tmp_path / "written"
    written.mkdir()
    study = small_study(tmp_path, controls=[], set=["optimizer.clip_norm="])
    assert "clip_norm" not in left_out.read_text()
    spelled = study.model_copy(update={"set": ("optimizer.weight_decay=0.0", "optimizer.eps=1e-8")})
    assert [cell.id for cell in cells(study)] == [cell.id for cell in cells(spelled)]


def test_another_number_of_qubits_changes_the_chunks(tmp_path: Path) -> None:
    study = small_study(
        tmp_path, seeds=1, controls=[], train=[], evaluate=[{"shots": 64, "qubits": 5}]
    )
    (evaluated,) = [cell for cell in cells(study) if cell.kind == "evaluate"]
    assert evaluated.config.mapping.chunk_size == -(-2410 // 32)


def test_several_bases_are_tasks_of_their_own(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    bases = [str(base_file(tmp_path)), str(base_file(other, "task.options.train_size=300"))]
    study = small_study(tmp_path, base=bases, seeds=[7], controls=[])
    found = cells(study)
    assert {cell.base for cell in found} == set(bases)
    assert {cell.config.task.options["train_size"] for cell in found} == {200, 300}
    assert {cell.seed for cell in found} == {7}


def test_an_id_names_the_numbers(tmp_path: Path) -> None:
    """The cap does not count, what changes the numbers does."""
    study = small_study(tmp_path)
    before = [cell.id for cell in cells(study)]
    assert [cell.id for cell in cells(load_study(study, ["budget.max_usd=3"]))] == before
    longer = study.model_copy(update={"set": ("optimizer.steps=4",)})
    assert not set(before) & {cell.id for cell in cells(longer)}
    assert len(set(before)) == len(before)


def test_a_cell_survives_its_json(tmp_path: Path) -> None:
    study = small_study(
        tmp_path, gradients=[{"qubits": 3, "shots": 16}], approximation=[{"widths": 4}]
    )
    for cell in cells(study):
        again = Cell.from_json(cell.to_json())
        assert again == cell
        assert again.id == cell.id


def test_all_controls_by_default(tmp_path: Path) -> None:
    study = load_study({"base": str(base_file(tmp_path)), "seeds": 1})
    names = [cell.condition.control for cell in cells(study) if cell.kind == "control"]
    assert names == [*CONTROLS, "permuted"]


def test_an_approximation_needs_the_directly_trained_target(tmp_path: Path) -> None:
    study = small_study(tmp_path, seeds=1, controls=[], approximation=[{"widths": [4, 8]}])
    found = {cell.id: cell for cell in cells(study)}
    fits = [cell for cell in found.values() if cell.kind == "approximation"]
    assert [cell.width for cell in fits] == [4, 8]
    for cell in fits:
        direct = found[cell.needs[0]]
        assert direct.condition.control == "direct"
        assert direct.config.target == cell.config.target


@pytest.mark.parametrize("name", list(known_studies()))
def test_ready_made_studies_read_back(name: str) -> None:
    study = load_study(name)
    assert load_study(tomllib.loads(study_to_toml(study))) == study
    assert study.description
    found = cells(study)
    assert len({cell.id for cell in found}) == len(found)


def test_changes_reach_the_study_or_its_runs() -> None:
    study = load_study(
        "digits-quick", ["seeds=[4, 5]", "budget.max_usd=3", "optimizer.steps=7", "controls=[]"]
    )
    assert study.seeds == (4, 5)
    assert study.budget.max_usd == 3
    (twin, *_) = cells(study)
    assert twin.config.optimizer.steps == 7


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"seeds": 0}, "seeds: at least one"),
        ({"seeds": [1, 1]}, "each only once"),
        ({"controls": ["unifrom"]}, "unknown 'unifrom'.*uniform"),
        ({"evaluate": [{"shots": 0}]}, "greater than or equal to 1|greater than 0"),
        ({"evaluate": [{"shot": 5}]}, "unknown key 'evaluate.0.shot'; did you mean"),
        ({"train": [{"shots": 5, "mitigation": "cdr"}]}, "gradients do not pass through cdr"),
        ({"train": [{"shots": 5, "mitigation": "readuot"}]}, "readuot"),
        ({"train": [{"shots": 5, "options": {"noise_scale": 2}}]}, "axis of its own"),
        ({"train": [{"shots": []}]}, "at least 1 item"),
        ({"train": [{"shots": 5, "qubits": 2, "ansatz": "Ry"}]}, "RyCnot"),
        ({"set": ["optimizer.stepz=3"]}, "stepz"),
        ({"gradients": [{"backend": "ionq:forte-1", "shots": 100}]}, "take simulators only"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, tables: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        cells(small_study(tmp_path, **tables))


def test_a_change_of_changes_that_are_no_list_is_refused() -> None:
    study = {"base": "digits", "set": 5}
    with pytest.raises(ConfigError, match=r"set\.0 should be a valid string, got 5"):
        load_study(study, ["optimizer.steps=3"])


def test_unknown_studies_and_files() -> None:
    with pytest.raises(UnknownName, match="digits-shots"):
        load_study("digits-shot")
    with pytest.raises(ConfigError, match=r"no file nowhere\.toml"):
        load_study("nowhere.toml")
    with pytest.raises(ConfigError, match="write key=value"):
        load_study("digits-quick", ["seeds"])
