"""``report.html`` in a browser: drawn, silent, offline, sortable, legible on a phone."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qt_hw.study.report import write_report
from qt_hw.study.summary import summarise
from tests.study.rows import INFO, rows

pytest.importorskip("selenium", reason="selenium drives the browser")
BROWSER, DRIVER = shutil.which("chromium"), shutil.which("chromedriver")
pytestmark = pytest.mark.skipif(
    not (BROWSER and DRIVER), reason="needs chromium and chromedriver on the PATH"
)

SWITCHES = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
DRAWN = """
return [...document.querySelectorAll(".plot")].map((plot) => ({
  id: plot.id,
  marks: plot.querySelectorAll("svg path.point, svg path.js-line, svg .points path, canvas, \
svg .hm image").length,
  width: plot.querySelector("svg.main-svg").getBoundingClientRect().width,
  room: plot.clientWidth,
}));
"""
SMALLEST = """
const shown = [...document.querySelectorAll("body *")].filter((element) =>
  [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim())
  && element.getClientRects().length && !element.closest("script"));
return Math.min(...shown.map((element) => parseFloat(getComputedStyle(element).fontSize)));
"""
FIRST_COLUMN = """
const [name, column] = arguments;
return [...document.getElementById(name).tBodies[0].rows].map(
  (row) => Number(row.cells[column].dataset.value));
"""
SHOWN = """
return [...document.querySelectorAll("#groups tbody tr")].filter(
  (row) => row.getClientRects().length).map((row) => row.textContent);
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    table = rows()
    write_report(path, summarise(table), table, INFO)
    return path


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER or ""
    profile = tmp_path_factory.mktemp("profile")
    for switch in (*SWITCHES, f"--user-data-dir={profile}"):
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
    try:
        driver.execute_cdp_cmd("Network.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
        driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
        yield driver
    finally:
        driver.quit()


def opened(browser: Any, page: Path, width: int) -> None:
    """Show the page in a window as wide as ``width`` pixels; open it if it is not."""
    size = {"width": width, "height": 812, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    if browser.current_url != page.as_uri():
        browser.get(page.as_uri())


@pytest.mark.parametrize("width", [1280, 375])
def test_opens_offline_and_draws_every_plot(browser: Any, page: Path, width: int) -> None:
    browser.get("about:blank")
    browser.get_log("performance")
    opened(browser, page, width)
    assert browser.get_log("browser") == []
    plots = browser.execute_script(DRAWN)
    assert len(plots) > 10
    assert [plot["id"] for plot in plots if plot["marks"] == 0] == []
    assert all(0 < plot["width"] <= plot["room"] + 0.5 for plot in plots)
    assert browser.execute_script("return document.documentElement.scrollWidth") <= width
    assert browser.execute_script(SMALLEST) >= 12.0
    requests = [
        message["params"]["request"]["url"]
        for entry in browser.get_log("performance")
        if (message := json.loads(entry["message"])["message"])["method"]
        == "Network.requestWillBeSent"
    ]
    assert [url for url in requests if not url.startswith(("file:", "data:", "blob:"))] == []
    assert page.as_uri() in requests


def test_plots_follow_the_width(browser: Any, page: Path) -> None:
    opened(browser, page, 1280)
    opened(browser, page, 375)
    fits = """
    const done = arguments[0];
    const look = () => {
      const all = [...document.querySelectorAll(".plot")].every((plot) =>
        plot.querySelector("svg.main-svg").getBoundingClientRect().width <= plot.clientWidth + 1);
      all ? done(true) : requestAnimationFrame(look);
    };
    look();
    """
    browser.set_script_timeout(60)
    assert browser.execute_async_script(fits)


def test_a_turned_heat_map_keeps_its_unit(browser: Any, page: Path, tmp_path: Path) -> None:
    told = """
    const [trace] = document.getElementById("heat-evaluate").data;
    return [trace.x.length, trace.hovertemplate];
    """
    other = tmp_path / "other.html"  # the same numbers in kilometres
    text, unit = page.read_text("utf-8"), "%{z:.2f} %\\u003cextra"
    assert unit in text
    other.write_text(text.replace(unit, "%{z:.1f} km\\u003cextra"), "utf-8")
    opened(browser, other, 1280)
    wide = browser.execute_script(told)
    browser.get("about:blank")
    opened(browser, other, 375)
    narrow = browser.execute_script(told)
    assert wide == [5, "%{y}<br>%{x} shots: %{z:.1f} km<extra></extra>"]
    assert narrow == [4, "%{x}<br>%{y} shots: %{z:.1f} km<extra></extra>"]


def test_a_click_on_a_header_sorts(browser: Any, page: Path) -> None:
    opened(browser, page, 1280)
    heads = browser.find_elements("css selector", "#groups th")
    at = next(i for i, head in enumerate(heads) if head.text.startswith("test accuracy"))
    before = browser.execute_script(FIRST_COLUMN, "groups", at)
    assert before != sorted(before)
    for order, reverse in (("ascending", False), ("descending", True)):
        heads[at].find_element("css selector", "button").click()
        assert heads[at].get_attribute("aria-sort") == order
        after = browser.execute_script(FIRST_COLUMN, "groups", at)
        assert after == sorted(before, reverse=reverse)
    heads[0].find_element("css selector", "button").click()
    assert heads[at].get_attribute("aria-sort") == "none"


def test_the_filter_leaves_rows_that_hold_all_words(browser: Any, page: Path) -> None:
    opened(browser, page, 375)
    field = browser.find_element("css selector", "input[data-table=groups]")
    field.send_keys("fake_torino READOUT")
    texts = browser.execute_script(SHOWN)
    assert len(texts) == 5
    assert all("fake_torino" in text and "readout" in text for text in texts)
    assert browser.find_element("css selector", "output[data-count=groups]").text == "5 rows"
    assert browser.get_log("browser") == []
