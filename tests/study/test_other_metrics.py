"""Studies of tasks without classes: signs, units and names, from the summary to the report."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from qt_hw.cli.study_tables import print_conclusions
from qt_hw.storage import write_json
from qt_hw.study.figures import draw_study
from qt_hw.study.figures.controls import controls_figure
from qt_hw.study.figures.drawing import _figures
from qt_hw.study.figures.grids import heat, mitigation_figure
from qt_hw.study.figures.shots import metric_figure, paired_figure
from qt_hw.study.figures.views import Setting, control_points, law_line, settings
from qt_hw.study.report.plots import plots_of
from qt_hw.study.report.tables import groups_table, laws_table
from qt_hw.study.summary import Summary, summarise
from qt_hw.tasks.metric import ACCURACY
from tests.study.other_tasks import FLOW, SEEDS, SHOTS, TRACK, TWIN, lost, register, rows, twin

TASKS = ("tracks", "flows")


@pytest.fixture(scope="module", autouse=True)
def registered() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        register(patch)
        yield


@pytest.fixture(scope="module")
def summary(registered: None) -> Summary:
    return summarise(rows(*TASKS))


@pytest.fixture(scope="module")
def both(summary: Summary) -> dict[str, Setting]:
    return {setting.title: setting for setting in settings(summary)}


def curve(setting: Setting, backend: str = "aer", mitigation: str = "none") -> Any:
    wanted = (mitigation, backend)
    return next(
        c for c in setting.curves if (c.mitigation, c.groups[0].condition.backend) == wanted
    )


def mean_loss(task: str, shots: int, backend: str = "aer") -> float:
    return float(np.mean([lost(task, seed, shots, backend) for seed in SEEDS]))


def test_differences_keep_the_direction_of_the_metric(summary: Summary) -> None:
    for task, metric, sign in (("tracks", TRACK, 1.0), ("flows", FLOW, -1.0)):
        (group,) = (
            g
            for g in summary.groups
            if (g.condition.task, g.condition.shots) == (task, 256)
            and (g.condition.backend, g.condition.mitigation) == ("aer", "none")
        )
        found = group.paired[metric.test].difference.mean
        assert found == pytest.approx(sign * mean_loss(task, 256))
        assert group.metrics[metric.test].mean == pytest.approx(TWIN[task] + found)


def test_what_is_compared_is_what_the_task_measures(summary: Summary) -> None:
    found = {(g.condition.task, name) for g in summary.groups for name in g.paired}
    assert found == {
        ("tracks", "test_track_error"),
        ("tracks", "test_loss"),
        ("tracks", "train_track_error"),
        ("tracks", "generalisation_gap"),
        ("flows", "test_nse"),
    }


def test_laws_are_those_of_the_loss_whichever_way_is_better(summary: Summary) -> None:
    for series in summary.series:
        task, metric = series.condition.task, series.condition.metric
        if series.condition.mitigation != "none":
            continue
        law = series.laws[metric.test]
        assert law.drops == pytest.approx(
            [mean_loss(task, shots, series.condition.backend) for shots in SHOTS]
        )
        assert law.coefficient.value == pytest.approx(abs(TWIN[task]))
        if series.condition.backend != "aer":
            assert law.floor.value == pytest.approx(0.2 * abs(TWIN[task]))


def test_shots_are_told_for_the_losses_of_the_metric(summary: Summary) -> None:
    made = json.loads(json.dumps(summary.to_dict(), allow_nan=False))
    tracks = next(s for s in made["series"] if s["condition"]["task"] == "tracks")
    # 1, 2, 5 and 10 % of the twins' 100 km, and a = 100 km: (a / loss)² shots.
    asked = tracks["laws"]["test_track_error"]["shots_for"]
    assert {loss: found["value"] for loss, found in asked.items()} == pytest.approx(
        {"1": 10_000, "2": 2_500, "5": 400, "10": 100}
    )
    flows = next(s for s in made["series"] if s["condition"]["task"] == "flows")
    asked = flows["laws"]["test_nse"]["shots_for"]
    assert {loss: found["value"] for loss, found in asked.items()} == pytest.approx(
        {"0.01": 40_000, "0.05": 1_600}
    )
    assert set(flows["laws"]) == {"test_nse"}


def test_notes_speak_of_the_metric_in_its_unit(summary: Summary) -> None:
    notes = "\n".join(summary.notes)
    assert "track error is within 2 km of the noiseless twin's from about 2,500 shots" in notes
    assert "track error stays more than 2 km above the noiseless twin's however" in notes
    assert "shots: its floor is 20 km above (20 to 20)" in notes
    assert "NSE is within 0.05 of the noiseless twin's from about 1,600 shots" in notes
    assert "NSE stays more than 0.05 below the noiseless twin's" in notes
    assert "accuracy" not in notes


def test_each_task_has_figures_of_its_own_metric(summary: Summary) -> None:
    found = {name for name, _ in _figures(summary, rows(*TASKS))}
    everywhere = {"shots-noise", "paired-differences", "mitigation", "controls"}
    assert found == {
        *(f"{name}-{task}-{task}" for name in everywhere for task in TASKS),
        "track-error-shots-tracks-tracks",
        "nse-shots-flows-flows",
        "generalisation-gap-tracks-tracks",
    }


def test_curves_are_drawn_in_the_unit_and_on_the_right_side(both: dict[str, Setting]) -> None:
    for setting, axis in zip(both.values(), ("test track error (km)", "test NSE"), strict=True):
        task, sign = setting.title.partition(",")[0], -setting.metric.sign
        axes = metric_figure(setting).axes[0]
        assert axes.get_ylabel() == axis
        line = next(one for one in axes.get_lines() if one.get_label() == "aer, ideal")
        wanted = [TWIN[task] + sign * mean_loss(task, shots) for shots in SHOTS]
        assert line.get_ydata() == pytest.approx(wanted)
        x, y = law_line(curve(setting), setting.twin)
        fitted = TWIN[task] + sign * abs(TWIN[task]) / np.sqrt(2.0 ** np.array(x))
        assert y == pytest.approx(fitted)


def test_units_stand_at_the_differences(both: dict[str, Setting]) -> None:
    shown = [paired_figure(setting).axes[0].get_ylabel() for setting in both.values()]
    assert shown == [
        "difference to the noiseless twin\n(km)",
        "difference to the noiseless twin",
    ]


def test_the_best_control_is_on_top(both: dict[str, Setting]) -> None:
    for task, setting in zip(TASKS, both.values(), strict=True):
        names = [point.name for point in control_points(setting)]
        assert names == ["direct", "quantum, noiseless", "uniform"]
        axes = controls_figure(setting, rows(task)).axes[0]
        assert axes.get_xlabel().startswith(f"{setting.metric.axis}, mean with")
        dots = [line for line in axes.get_lines() if line.get_marker() == "."]
        seeds = [twin(task, seed) for seed in SEEDS]
        assert dots[1].get_xdata() == pytest.approx(seeds)


def test_heat_maps_show_stored_values_where_nothing_is_scaled(both: dict[str, Setting]) -> None:
    setting = both["flows, flows"]
    _, _, values = heat(setting.of_kind("evaluate"), setting.curves)
    assert values[0] == pytest.approx([TWIN["flows"] - mean_loss("flows", s) for s in SHOTS])


def test_bars_of_mitigation_end_at_natural_bounds_or_beyond_the_values(
    both: dict[str, Setting],
) -> None:
    tracks, flows = (mitigation_figure(setting).axes[0].get_ylim() for setting in both.values())
    assert tracks[0] == 0.0 and tracks[1] > 100.0 + mean_loss("tracks", 64, "aer:fake_torino")
    assert flows[1] == 1.0 and flows[0] < -2.0 - mean_loss("flows", 64, "aer:fake_torino")


def test_figures_are_written(tmp_path: Path) -> None:
    few = [row for row in rows("flows") if row["kind"] in ("noiseless", "control")]
    assert [p.name for p in draw_study(tmp_path, summarise(few), few)] == [
        "controls.png",
        "controls.svg",
    ]


def test_plots_of_the_page_are_valid_and_in_the_unit(summary: Summary) -> None:
    import plotly.graph_objects as go

    plots = {plot.name: plot for plot in plots_of(summary)}
    for plot in plots.values():
        given = json.loads(plot.to_json())
        go.Figure(data=given["data"], layout=given["layout"])
    shots = plots["track-error-evaluate-tracks-tracks"]
    assert shots.title == "Track error against shots: evaluated under noise (tracks, tracks)"
    assert shots.layout["yaxis"]["title"]["text"] == "test track error (km)"
    names = [note["text"] for note in shots.layout["annotations"]]
    assert names == ["direct, 50 km", "uniform, 300 km"]
    paired = plots["paired-evaluate-tracks-tracks"]
    assert paired.layout["yaxis"]["title"]["text"] == "difference (km)"
    assert paired.traces[0]["y"] == pytest.approx([mean_loss("tracks", s) for s in SHOTS])
    assert "nse-evaluate-flows-flows" in plots
    assert [name for name in plots if name.startswith("gap")] == ["gap-evaluate-tracks-tracks"]
    texts = json.dumps([[p.title, p.caption, p.layout, p.traces] for p in plots.values()])
    assert "accuracy" not in texts and "%" not in re.sub(r"%\{|95 %", "", texts)


def test_tables_of_the_page_name_metric_and_unit(summary: Summary) -> None:
    groups = groups_table(summary)
    assert groups is not None
    place = {name: at for at, name in enumerate(groups.columns)}
    assert {"metric", "test value", "difference"} <= place.keys()
    first, line = groups.rows[0], groups.rows[3]  # the twin, 64 shots on aer
    assert first[place["metric"]].shown == "test track error (km)"
    assert first[place["test value"]].value == pytest.approx(100.0)
    assert line[place["difference"]].value == pytest.approx(mean_loss("tracks", 64))
    alone = groups_table(summarise(rows("tracks")))
    assert alone is not None
    assert {"test track error (km)", "difference (km)"} <= set(alone.columns)
    assert "in km;" in alone.caption


def test_laws_of_the_page_tell_shots_for_the_losses_of_their_metric() -> None:
    laws = laws_table(summarise(rows("flows")))
    assert laws is not None
    assert laws.columns[-2:] == ["shots for a drop of 0.01", "shots for a drop of 0.05"]
    ideal, mitigated, torino, _ = laws.rows
    assert (ideal[-1].value, torino[-1].shown) == (1_600, "never")
    assert mitigated[-1].value == math.ceil((0.5 * 2.0 / 0.05) ** 2)


def test_the_program_prints_each_task_in_its_unit(
    tmp_path: Path,
    summary: Summary,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    write_json(tmp_path / "summary.json", summary.to_dict())
    print_conclusions(tmp_path)
    lines = capsys.readouterr().out.splitlines()
    heads = [line.split() for line in lines if line.startswith(TASKS)]
    assert heads[0][:5] == ["tracks", "seeds", "test", "track", "error"]
    assert heads[1][:4] == ["flows", "seeds", "test", "NSE"]
    (first, second) = (line for line in lines if line.startswith("noiseless"))
    assert "100.0 km [" in first and "-2.000 [" in second
    assert any(f"+{mean_loss('tracks', 64):.1f} km [+" in line for line in lines)
    assert any(f"-{mean_loss('flows', 64):.3f} [-" in line for line in lines)


def test_what_is_no_task_of_ours_counts_as_accuracy() -> None:
    own = [row | {"task": "own", "metric": "test_accuracy"} for row in rows("flows")[:1]]
    (group,) = summarise(own).groups
    assert group.condition.metric == ACCURACY
