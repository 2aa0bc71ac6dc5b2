"""A whole study of a task that has neither accuracy nor a loss of its test part."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from qt_hw.study.folder import StudyFolder
from qt_hw.study.results import make_report
from qt_hw.study.summary import summarise
from qt_hw.study.table import Row, rows_of
from qt_hw.training.run import Run
from tests.rendering import unrendered
from tests.study.other_tasks import Games, register
from tests.study.small import small_study
from tests.study.test_runner import run

__all__ = ["unrendered"]

pytestmark = pytest.mark.usefixtures("unrendered")


@pytest.fixture(scope="module")
def study(unrendered: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StudyFolder]:
    """Return a finished study with cells of every kind that tells of the task."""
    home = tmp_path_factory.mktemp("games")
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        settings = small_study(
            home,
            set=["task.name=games"],
            seeds=1,
            evaluate=[{"backend": "statevector", "shots": 64, "repeats": 2}],
            controls=["direct", "permuted"],
            gradients=[{"backend": "statevector", "shots": 64, "repeats": 2}],
        )
        board, _ = run(settings, home / "out")
        assert set(board.states.values()) == {"done"}
        yield StudyFolder(home / "out")


@pytest.fixture(scope="module")
def rows(study: StudyFolder) -> list[Row]:
    return rows_of(study)


def test_every_number_of_a_cell_is_in_the_table(rows: list[Row]) -> None:
    found: dict[str, set[str]] = {}
    for row in rows:
        found.setdefault(row["control"] or row["kind"], set()).add(row["metric"])
    for kind in ("noiseless", "direct", "permuted", "train", "evaluate"):
        measured = {name for name in found[kind] if name.startswith(("test_", "train_"))}
        assert measured == {"test_score", "test_length"}
        assert "generalisation_gap" not in found[kind]
    assert {"gradient_variance", "snr"} <= found["gradient"]


def test_values_are_those_of_the_trained_networks(study: StudyFolder, rows: list[Row]) -> None:
    task = Games(train_size=200, test_size=100)
    data = task.load()
    for row in rows:
        if (row["kind"], row["metric"]) == ("noiseless", "test_score"):
            network = Run.open(study.cell_folder(row["cell"])).export().eval()
            with torch.no_grad():
                assert task.evaluate(network, data)["test_score"] == row["value"]


def test_only_the_headline_is_compared_and_reported(study: StudyFolder, rows: list[Row]) -> None:
    summary = summarise(rows)
    assert {name for group in summary.groups for name in group.paired} == {"test_score"}
    page = make_report(study)
    assert page is not None
    text = page.read_text("utf-8")
    text = text[: text.index("<script>")] + text[text.rindex("</script>") :]
    assert "test score (points)" in text and "accuracy" not in text
    names = {path.stem for path in (study.path / "figures").glob("*.svg")}
    assert {"score-shots", "controls", "gradients"} <= names
    assert "generalisation-gap" not in names and "accuracy-shots" not in names


def test_a_drawn_loss_has_the_same_gradient_again(study: StudyFolder, rows: list[Row]) -> None:
    """The first step's numbers are drawn from the seed of the data, not from a clock."""
    from qt_hw.study.gradients import measure_gradient

    cell = next(cell for cell in study.cells if cell.kind == "gradient")
    before = torch.get_rng_state()
    found = measure_gradient(cell.config, repeats=cell.repeats)
    assert torch.equal(torch.get_rng_state(), before)
    kept = {row["metric"]: row["value"] for row in rows if row["cell"] == cell.id}
    assert found == kept
