"""The figures of a study: which are drawn, that they show the summary's numbers, how they look."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from qt_hw.errors import StorageError
from qt_hw.study.figures import draw_study
from qt_hw.study.figures.controls import controls_figure, point_name
from qt_hw.study.figures.gradients import gradient_figure, noise_lines, variance_lines
from qt_hw.study.figures.grids import heat, mitigated_places, mitigation_figure
from qt_hw.study.figures.shots import metric_figure, paired_figure
from qt_hw.study.figures.style import MARKERS
from qt_hw.study.figures.views import control_points, intervals, law_line, settings, spread_out
from qt_hw.study.report.plots import plots_of
from qt_hw.study.summary import Summary, summarise
from qt_hw.training.figures import save
from tests.study.rows import CONTROLS, SEEDS, SHOTS, Rows, rows

NAMES = [
    "accuracy-shots",
    "shots-noise",
    "paired-differences",
    "mitigation",
    "controls",
    "sampling",
    "generalisation-gap",
    "gradients",
    "approximation",
]


@pytest.fixture(scope="module")
def table() -> Rows:
    return rows()


@pytest.fixture(scope="module")
def summary(table: Rows) -> Summary:
    return summarise(table)


def test_every_figure_is_written_as_png_and_svg(
    tmp_path: Path, summary: Summary, table: Rows
) -> None:
    paths = draw_study(tmp_path, summary, table)
    assert [path.name for path in paths] == [f"{n}.{k}" for n in NAMES for k in ("png", "svg")]
    for path in paths[1::2]:
        root = ElementTree.parse(path).getroot()
        kinds = {element.tag.rpartition("}")[2] for element in root.iter()}
        assert "path" in kinds and "text" not in kinds  # letters are outlines: no font is needed
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths[::2])


def test_the_same_data_give_the_same_bytes(tmp_path: Path, table: Rows) -> None:
    own = [row for row in table if row["kind"] in ("noiseless", "control")]
    first, again = (draw_study(tmp_path / name, summarise(own), own) for name in "ab")
    assert [a.read_bytes() for a in first] == [b.read_bytes() for b in again]


def test_accuracy_shows_means_twin_laws_and_controls(summary: Summary) -> None:
    (setting,) = settings(summary)
    figure = metric_figure(setting)
    evaluated, trained, controls = figure.axes
    for axes, kind in ((evaluated, "evaluate"), (trained, "train")):
        lines = {line.get_label(): line for line in axes.get_lines()}
        for series in summary.series:
            if series.condition.kind == kind:
                line = lines[series.condition.where]
                means = [100.0 * g.metrics["test_accuracy"].mean for g in series.groups]
                assert np.log2(series.shots) == pytest.approx(line.get_xdata())
                assert means == pytest.approx(line.get_ydata())
        (twin,) = summary.twins
        assert lines["noiseless twin"].get_ydata()[0] == pytest.approx(
            100.0 * twin.metrics["test_accuracy"].mean
        )
    assert {text.get_text().split(",")[0] for text in controls.texts} == set(CONTROLS)
    assert [text.get_text() for text in evaluated.get_xticklabels()] == [f"{s:,}" for s in SHOTS]


def test_curves_differ_in_more_than_colour(summary: Summary) -> None:
    (setting,) = settings(summary)
    axes = metric_figure(setting).axes[0]
    curves = [line for line in axes.get_lines() if line.get_marker() not in ("None", None, "")]
    assert len({(c.get_marker(), c.get_linestyle()) for c in curves}) == len(curves) == 4


def test_no_names_overlap(summary: Summary) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    (setting,) = settings(summary)
    figure = metric_figure(setting)
    FigureCanvasAgg(figure).draw()
    boxes = [text.get_window_extent() for text in figure.axes[2].texts]
    boxes += [text.get_window_extent() for text in figure.axes[0].get_xticklabels()]
    pairs = [(a, b) for i, a in enumerate(boxes) for b in boxes[i + 1 :]]
    assert not any(a.overlaps(b) for a, b in pairs)
    assert all(box.x1 <= figure.bbox.x1 for box in boxes)


def test_paired_figure_fills_what_is_significant(summary: Summary) -> None:
    (setting,) = settings(summary)
    figure = paired_figure(setting)
    marks = [
        (line.get_ydata(), line.get_markerfacecolor())
        for line in figure.axes[0].get_lines()
        if line.get_linestyle() == "None" and line.get_marker() in MARKERS
    ]
    assert sum(len(values) for values, face in marks if face not in ("white", "#cccccc")) == sum(
        g.paired["test_accuracy"].significant is True
        for s in summary.series
        if s.condition.kind == "evaluate"
        for g in s.groups
    )


def test_heat_map_has_the_means(summary: Summary) -> None:
    (setting,) = settings(summary)
    names, columns, values = heat(setting.of_kind("train"), setting.curves)
    assert names == ["aer, ideal"] and columns == [f"{shots:,}" for shots in SHOTS]
    (series,) = (s for s in summary.series if s.condition.kind == "train")
    means = [100.0 * g.metrics["test_accuracy"].mean for g in series.groups]
    assert values[0, 1:4] == pytest.approx(means)
    assert np.isnan(values[0, [0, 4]]).all()


def test_mitigation_only_where_it_was_measured(summary: Summary) -> None:
    (setting,) = settings(summary)
    assert [[c.mitigation for c in curves] for _, curves in mitigated_places(setting)] == [
        ["none", "readout"],
        ["none", "readout"],
    ]


def test_bars_of_mitigation_show_whole_intervals_in_figure_and_page(table: Rows) -> None:
    noisy = {"kind": "evaluate", "backend": "aer:fake_torino", "shots": SHOTS[0]}
    at_the_top = noisy | {"metric": "test_accuracy"}  # of all seeds but one
    values = {True: {"value": 1.0}, False: {}}
    own = [
        row | values[row["seed"] != SEEDS[0] and row.items() >= at_the_top.items()] for row in table
    ]
    summary = summarise(own)
    (setting,) = settings(summary)
    places = mitigated_places(setting)
    drawn = [curve for _, curves in places for curve in curves]
    highest = max(v.high for curve in drawn for v in intervals(curve, "test_accuracy")[1])
    assert highest > 1.0
    low, high = mitigation_figure(setting).axes[0].get_ylim()
    assert low == 0.0 and high > 100.0 * highest
    plots = [plot for plot in plots_of(summary) if plot.name.startswith("mitigation")]
    assert [plot.layout["yaxis"]["range"] for plot in plots] == [[low, high]] * len(places)


def test_controls_are_sorted_and_show_parameters_and_seeds(summary: Summary, table: Rows) -> None:
    (setting,) = settings(summary)
    points = control_points(setting)
    means = [point.value.mean for point in points]
    assert means == sorted(means, reverse=True)
    assert "direct (2,410 parameters)" in map(point_name, points)
    axes = controls_figure(setting, table).axes[0]
    dots = [line for line in axes.get_lines() if line.get_marker() == "."]
    assert [len(line.get_xdata()) for line in dots] == [10] * 5


def test_gradients_exact_and_noise(summary: Summary) -> None:
    exact, noise = variance_lines(summary.plateaus), noise_lines(summary.plateaus)
    assert [line.name[:23] for line in exact] == [
        "1 layer, exact gradient",
        "4 layers, exact gradien",
    ]
    assert [line.name for line in noise] == [
        f"{layers}, noise of 1,024 shots on aer, ideal" for layers in ("1 layer", "4 layers")
    ]
    assert [line.colour for line in exact] == [line.colour for line in noise] == [0, 1]
    drawn = gradient_figure(summary.plateaus).axes
    assert [len(axes.containers) for axes in drawn] == [4, 2]
    for line, container in zip(exact + noise, drawn[0].containers, strict=True):
        means = [value.mean for value in line.values]
        assert container.lines[0].get_ydata() == pytest.approx(means)


def test_several_circuits_get_figures_of_their_own(tmp_path: Path, table: Rows) -> None:
    few = [row for row in table if row["kind"] in ("noiseless", "control") and row["seed"] < 4]
    deeper = [row | {"layers": 4, "cell": f"{row['cell']}-deep"} for row in few]
    for row in deeper:
        row["twin"] = row["twin"] and f"{row['twin']}-deep"
    names = {path.name for path in draw_study(tmp_path, summarise(few + deeper), [])}
    assert {"controls-2-layers.png", "controls-4-layers.png"} <= names


@pytest.mark.parametrize(
    ("kinds", "names"),
    [
        ({"noiseless"}, set()),
        ({"gradient"}, {"gradients"}),
        ({"noiseless", "control"}, {"controls"}),
        ({"approximation"}, {"approximation"}),
    ],
)
def test_only_what_the_data_allow(
    tmp_path: Path, table: Rows, kinds: set[str], names: set[str]
) -> None:
    own = [row for row in table if row["kind"] in kinds and row["seed"] < 4]
    assert {path.stem for path in draw_study(tmp_path, summarise(own), own)} == names


def test_one_seed_and_exact_noise_are_drawn(tmp_path: Path) -> None:
    own = [row for row in rows((1,)) if row["kind"] in ("noiseless", "evaluate")]
    exact = [row | {"shots": None, "cell": f"{row['cell']}-x"} for row in own if row["shots"] == 64]
    summary = summarise(own + exact)
    (setting,) = settings(summary)
    save(paired_figure(setting), tmp_path / "paired")  # constant samples have bars without length
    axes = metric_figure(setting).axes[0]
    assert axes.get_xticklabels()[-1].get_text() == "exact"
    line = next(line for line in axes.get_lines() if line.get_label() == "aer, ideal")
    assert line.get_ydata()[0] == line.get_ydata()[-1]  # the same values stand as exact ones


def test_a_single_shot_count_has_its_interval(table: Rows) -> None:
    kinds = {"noiseless": {None}, "evaluate": {64}, "train": {256}}
    own = [row for row in table if row["shots"] in kinds.get(row["kind"], ())]
    (setting,) = settings(summarise(own))
    for axes, kind in zip(metric_figure(setting).axes, ("evaluate", "train"), strict=True):
        curves = setting.of_kind(kind)
        assert len(axes.containers) == len(curves) > 0
        for curve, drawn in zip(curves, axes.containers, strict=True):
            value = curve.groups[0].metrics["test_accuracy"]
            (ends,) = drawn.lines[2][0].get_segments()
            assert ends[:, 1] == pytest.approx([100.0 * value.low, 100.0 * value.high])


def test_each_gradient_rule_keeps_its_twin(table: Rows) -> None:
    """The first of the table is no twin of the others: not of the controls, nor of the laws."""
    plain = [row for row in table if row["kind"] in ("noiseless", "control", "train")]
    other = [
        row | {"gradient": "spsa", "cell": f"{row['cell']}-spsa", "value": row["value"] - 0.2}
        for row in plain
        if row["kind"] != "control"
    ]
    for row in other:
        row["twin"] = row["twin"] and f"{row['twin']}-spsa"
    summary = summarise(other + plain)
    (setting,) = settings(summary)
    assert setting.twin is not None and setting.twin.condition.gradient == "auto"
    first, second = (law_line(curve, setting.twin)[1] for curve in setting.curves)
    assert np.array(second) - np.array(first) == pytest.approx(0.2)
    labels = [group.condition.label for group in summary.twins]
    assert labels == ["noiseless, spsa", "noiseless"]


def test_names_that_differ_in_lost_letters_keep_their_figures(tmp_path: Path, table: Rows) -> None:
    few = [row for row in table if row["kind"] in ("noiseless", "control") and row["seed"] < 4]
    both = [
        row | {"base": base, "cell": f"{base}-{row['cell']}", "twin": f"{base}-{row['twin']}"}
        for base in ("mäß.toml", "möß.toml")
        for row in few
    ]
    summary = summarise(both)
    names = {path.name for path in draw_study(tmp_path, summary, [])}
    assert {"controls-m-toml.png", "controls-m-toml-2.png"} <= names
    plots = [plot.name for plot in plots_of(summary)]
    assert len(plots) == len(set(plots)) == 2


def test_a_folder_that_cannot_be_written(tmp_path: Path, summary: Summary, table: Rows) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match=re.escape("cannot write")):
        draw_study(tmp_path / "file", summary, table)


@pytest.mark.parametrize("values", [[0.0, 0.1, 0.2, 9.0], [5.0] * 4, [9.9, 9.95], []])
def test_labels_are_spread_out_inside_the_axes(values: list[float]) -> None:
    places = spread_out(values, 1.0, 0.0, 10.0)
    assert len(places) == len(values)
    assert all(b - a >= 1.0 - 1e-9 for a, b in pairwise(places))
    assert all(-1e-9 <= place <= 10.0 + 1e-9 for place in places)
