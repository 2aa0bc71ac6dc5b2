from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import t

from benchmarks._task_table import Line, markdown
from qt_hw.study.summary import summarise
from qt_hw.tasks.metric import ACCURACY
from tests.study.rows import CONTROLS, rows

SEEDS = (1, 2, 3)


def line(*, shots: int = 4096) -> Line:
    """Return a task with one count of shots, as the table's study has."""
    kept = [
        row
        for row in rows(SEEDS)
        if row["shots"] in (None, shots) and (row["kind"] != "evaluate" or "fake" in row["backend"])
    ]
    groups = summarise(kept).groups
    return Line(base="digits", circuit="U3Cu3(6, 2)", metric=ACCURACY, groups=groups, failed=0)


def expected(**where: object) -> str:
    """Return mean and half interval of the rows themselves, in percent."""
    values = [
        100 * row["value"]
        for row in rows(SEEDS)
        if row["metric"] == "test_accuracy" and all(row[k] == v for k, v in where.items())
    ]
    half = t.ppf(0.975, len(SEEDS) - 1) * np.std(values, ddof=1) / np.sqrt(len(SEEDS))
    assert len(values) == len(SEEDS)
    return f"{np.mean(values):.2f} ± {half:.2f}"


def test_each_column_holds_the_mean_of_its_own_cells_and_its_interval() -> None:
    noisy = {"kind": "evaluate", "backend": "aer:fake_torino", "shots": 4096}
    assert line().cells()[3:8] == (
        expected(kind="control", control="direct"),
        expected(kind="noiseless"),
        expected(kind="train", shots=4096),
        expected(**noisy, mitigation="none"),
        expected(**noisy, mitigation="readout"),
    )


def test_parameters_are_those_of_both_ways_to_train() -> None:
    many = CONTROLS["direct"][1]
    assert line().cells()[2] == f"393 / {many:,} ({393 / many:.1%})"


def test_one_seed_has_no_interval() -> None:
    groups = summarise([row for row in rows((1,)) if row["kind"] == "noiseless"]).groups
    alone = Line(base="digits", circuit="", metric=ACCURACY, groups=groups, failed=0)
    (twin,) = groups
    assert alone.cells()[4] == f"{100 * twin.metrics['test_accuracy'].mean:.2f}"


def test_what_is_not_finished_is_left_open() -> None:
    empty = Line(base="digits", circuit="", metric=ACCURACY, groups=(), failed=0)
    assert set(empty.cells()[2:8]) == {"-"}


def test_every_line_has_a_cell_for_each_column() -> None:
    lines = markdown([line(), line()]).splitlines()
    assert len(lines) == 4
    assert {text.count("|") for text in lines} == {10}
    assert "FakeTorino" in lines[0]


@pytest.mark.parametrize(("seconds", "shown"), [(42.4, "42 s"), (99.4, "99 s"), (150.0, "2.5 min")])
def test_times_are_in_seconds_or_minutes(seconds: float, shown: str) -> None:
    made = [{**row, "value": seconds} if row["metric"] == "seconds" else row for row in rows(SEEDS)]
    groups = summarise([row for row in made if row["kind"] == "noiseless"]).groups
    alone = Line(base="digits", circuit="", metric=ACCURACY, groups=groups, failed=0)
    assert alone.cells()[-1] == f"{shown}, -"
