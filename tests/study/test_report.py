"""``report.html`` as a text: structure, escaping, numbers, nothing loaded from elsewhere."""

from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from qt_hw.errors import MissingExtra
from qt_hw.study.report import write_report
from qt_hw.study.report.plots import plots_of
from qt_hw.study.report.tables import gradients_table
from qt_hw.study.summary import Summary, summarise
from tests.study.rows import INFO, Rows, rows

VOID = {"meta", "link", "input", "br"}


class Page(HTMLParser):
    """A strict reader: every element is closed in order; ids, attributes and texts are kept."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def table() -> Rows:
    return rows()


@pytest.fixture(scope="module")
def summary(table: Rows) -> Summary:
    return summarise(table)


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory, summary: Summary, table: Rows) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(path, summary, table, INFO)
    return path.read_text("utf-8")


@pytest.fixture(scope="module")
def page(text: str) -> Page:
    return Page(text)


def test_structure(text: str, page: Page) -> None:
    assert text.startswith('<!DOCTYPE html>\n<html lang="en">')
    assert {"name": "viewport", "content": "width=device-width, initial-scale=1"} in page.of("meta")
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    links = [attributes["href"] for attributes in page.of("a")]
    assert all(str(link).removeprefix("#") in ids for link in links)
    assert page.of("figure") and len(page.of("figure")) == len(page.of("figcaption"))


def test_nothing_is_loaded(text: str, page: Page) -> None:
    sources = [a[k] for _, a in page.elements for k in ("src", "href", "srcset", "data") if k in a]
    assert all(str(source).startswith(("#", "data:")) for source in sources)
    (style,) = ("".join(page.texts["style"]),)
    assert "url(" not in style and "@import" not in style
    policy = next(a for a in page.of("meta") if a.get("http-equiv") == "Content-Security-Policy")
    assert str(policy["content"]).startswith("default-src 'none'")
    assert "Plotly" in text and len(text) < 8_000_000


def test_text_of_users_is_escaped(text: str, page: Page) -> None:
    assert "<em>" not in text and "<disk>" not in text
    assert "a <em>study</em> & more" in "".join(page.texts["title"])
    assert "StorageError: <disk> is full" in page.texts["td"]
    assert INFO["toml"] == "".join(page.texts["pre"])


def test_same_input_same_bytes(tmp_path: Path, text: str, summary: Summary, table: Rows) -> None:
    write_report(tmp_path / "again.html", summary, table, INFO)
    assert (tmp_path / "again.html").read_text("utf-8") == text


def test_findings_and_provenance_are_printed(page: Page, summary: Summary, table: Rows) -> None:
    said = " ".join(chain.from_iterable(page.texts.values()))
    assert all(note in said for note in summary.notes)
    assert f"Smallest p that 10 seeds allow: {summary.smallest_p:.2g}" in said
    assert "298 of 300 cells done, 2 failed" in said
    assert "calibration of 2024-01-02" in said and "no calibration" in said
    assert "1.25 USD, 7 QPU seconds; a rehearsal: nothing was paid" in said
    shots = sum(row["value"] for row in table if row["metric"] == "shots_used")
    assert f"{shots:,.0f}" in page.texts["dd"]
    for name in ("command", "created"):
        assert INFO[name] in page.texts["dd"]
    assert "the uniform vector" in page.texts["dd"] and "2.9" in page.texts["dd"]


def test_numbers_of_the_table_are_those_of_the_summary(text: str, summary: Summary) -> None:
    table = re.search(r'<table id="groups".*?</table>', text, re.DOTALL)
    assert table
    lines = re.findall(r"<tr>(<td.*?)</tr>", table[0])
    groups = [g for g in summary.groups if g.condition.kind not in ("gradient", "approximation")]
    assert len(lines) == len(groups)
    for line, group in zip(lines, groups, strict=True):
        accuracy = group.metrics["test_accuracy"]
        assert f">{group.condition.label}<" in line
        assert f'data-value="{accuracy.mean!r}"' in line
        ends = re.search(r"([\d.]+) \[([\d.]+), ([\d.]+)\]", line)
        assert ends
        shown = [float(end) for end in ends.groups()]
        wanted = [100.0 * v for v in (accuracy.mean, accuracy.low, accuracy.high)]
        assert shown == pytest.approx(wanted, abs=0.006)
        if "test_accuracy" in group.paired:
            paired = group.paired["test_accuracy"]
            assert f'data-value="{paired.p_adjusted!r}"' in line
            assert f'data-value="{paired.difference.mean!r}"' in line


def test_laws_say_never_where_the_floor_is_above(text: str) -> None:
    table = re.search(r'<table id="laws".*?</table>', text, re.DOTALL)
    assert table
    torino = [line for line in table[0].splitlines() if "aer:fake_torino" in line]
    assert torino and all(">never<" in line for line in torino)


def test_plots_are_valid_for_plotly(text: str, summary: Summary) -> None:
    import plotly.graph_objects as go

    plots = plots_of(summary)
    names = [plot.name for plot in plots]
    assert len(names) == len(set(names))
    for plot in plots:
        given: dict[str, Any] = json.loads(plot.to_json())
        go.Figure(data=given["data"], layout=given["layout"])  # refuses unknown keys and values
        assert f'id="{plot.name}"' in text
        assert "n = 10 seeds, 95 % Student-t intervals." in plot.caption


def test_accuracy_plot_has_means_and_ends(summary: Summary) -> None:
    plot = next(plot for plot in plots_of(summary) if plot.name == "accuracy-evaluate")
    lines = {trace["name"]: trace for trace in plot.traces if trace.get("mode") == "lines+markers"}
    evaluated = [series for series in summary.series if series.condition.kind == "evaluate"]
    assert len(lines) == len(evaluated) == 4
    for series in evaluated:
        values = [group.metrics["test_accuracy"] for group in series.groups]
        assert lines[series.condition.where]["y"] == [100.0 * value.mean for value in values]


def test_a_single_shot_count_has_its_interval(table: Rows) -> None:
    own = [row for row in table if row["kind"] == "noiseless" or row["shots"] == 64]
    plots = plots_of(summarise(own))
    plot = next(plot for plot in plots if plot.name == "accuracy-evaluate")
    lines = [trace for trace in plot.traces if trace.get("mode") == "lines+markers"]
    assert lines and all(line["error_y"]["array"][0] > 0.0 for line in lines)


def test_gradients_of_several_bases_are_told_apart(table: Rows) -> None:
    own = [row for row in table if row["kind"] == "gradient" and row["qubits"] == 2]
    other = [row | {"base": "other", "cell": f"other-{row['cell']}"} for row in own]
    made = gradients_table(summarise(own + other))
    assert made is not None
    shown = [tuple(cell.shown for cell in row[:7]) for row in made.rows]
    assert len(shown) == len(set(shown)) == 8


def test_hardly_any_data_and_hardly_any_info(tmp_path: Path) -> None:
    own = [row for row in rows((1,)) if row["kind"] == "noiseless"]
    for table in ([], own):
        write_report(tmp_path / "small.html", summarise(table), table, {})
        page = Page((tmp_path / "small.html").read_text("utf-8"))
        assert page.of("figure") == []


def test_without_plotly(
    tmp_path: Path, summary: Summary, table: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.offline", None)
    with pytest.raises(MissingExtra, match=r"the report needs the extra 'study'"):
        write_report(tmp_path / "report.html", summary, table, INFO)
    assert not (tmp_path / "report.html").exists()
