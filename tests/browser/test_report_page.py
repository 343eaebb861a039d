"""The report in a real browser. Needs Chromium (or Chrome) on the path, else these tests are skipped."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from report_inputs import EMOTIONS, make_run

from fakeemo.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome found")

# Runs inside the wrapper page once the report has loaded in a frame of the wanted width; leaves what it saw as JSON.
PROBE = """
const view = frame.contentWindow, page = frame.contentDocument;
const all = (selector) => Array.from(page.querySelectorAll(selector));
const box = (element) => { const b = element.getBoundingClientRect(); return [b.width, b.height]; };
const rows = () => all("#videos tbody tr").filter((row) => !row.hidden);
const cells = (column) => rows().map((row) => row.cells[column].textContent.trim());
const heading = (title) => all("#videos thead button").find((button) => button.textContent === title);
const set = (name, value) => {
  const control = page.querySelector(`#videos [name=${name}]`);
  control.value = value;
  control.dispatchEvent(new view.Event("input", { bubbles: true }));
  const seen = { count: page.getElementById("shown").textContent, ids: cells(0) };
  control.value = "";
  control.dispatchEvent(new view.Event("input", { bubbles: true }));
  return seen;
};
const found = {};
found.figures = all("figure").map((figure) => ({
  id: figure.id,
  panels: Array.from(figure.querySelectorAll(".panel svg")).map((svg) => ({
    size: box(svg),
    // A drawn mark has an extent and a colour that is not the page's.
    marks: Array.from(svg.querySelectorAll("path, use")).filter((mark) => {
      const style = view.getComputedStyle(mark);
      return Math.max(...box(mark)) > 1 && (style.stroke !== "none" || style.fill !== "none");
    }).length,
    texts: Array.from(svg.querySelectorAll("text")).map((text) => text.textContent),
  })),
}));
found.page = { width: page.documentElement.scrollWidth, frame: view.innerWidth };
found.scripts = all("script").length;
found.order = [cells(0)];
found.controls = !page.querySelector("#videos .controls").hidden;
for (const title of ["Score", "Score", "Video", "Subject"]) {
  heading(title).click();
  found.order.push(cells(title === "Score" ? 5 : title === "Video" ? 0 : 1));
  found.sorted = (found.sorted || []).concat(heading(title).closest("th").getAttribute("aria-sort"));
}
found.all = page.getElementById("shown").textContent;
found.search = set("search", "script>");
found.emotion = set("emotion", "sadness");
found.outcome = set("outcome", "excluded");
found.colours = {
  ground: view.getComputedStyle(page.body).backgroundColor,
  text: view.getComputedStyle(page.body).color,
  figure: view.getComputedStyle(page.querySelector(".panel svg text")).fill,
};
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    write_report(folder / "index.html", folder / "figures", **make_run(folder, hostile=True, trees=10))
    return folder / "index.html"


def visit(report: Path, width: int, *flags: str) -> tuple[dict, list[str]]:
    """Open the page in a frame ``width`` pixels wide; give what the probe saw, and what went to the console."""
    wrapper = report.with_name(f"wrapper{width}{len(flags)}.html")
    wrapper.write_text(
        f"<!DOCTYPE html><body><iframe id=frame style='width:{width}px;height:900px'"
        f" srcdoc='{html.escape(report.read_text(), quote=True)}'></iframe><pre id=found></pre>"
        "<script>const frame = document.getElementById('frame'); frame.addEventListener('load', () => { try {"
        f"{PROBE} document.getElementById('found').textContent = JSON.stringify(found);"
        "} catch (error) { console.error(error.stack); } });</script></body>"
    )
    done = subprocess.run(
        [
            str(CHROMIUM),
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--enable-logging=stderr",
            f"--user-data-dir={report.parent / 'profile'}",
            "--window-size=1400,1000",
            "--virtual-time-budget=5000",
            *flags,
            "--dump-dom",
            wrapper.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    console = re.findall(r"CONSOLE.*", done.stderr)
    (text,) = re.findall(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert text, console
    return json.loads(html.unescape(text)), console


@pytest.fixture(scope="module")
def desktop(report):
    return visit(report, 1200)


def test_nothing_is_written_to_the_console(desktop):
    assert desktop[1] == []


def test_every_chart_is_drawn(desktop):
    panels = {figure["id"]: figure["panels"] for figure in desktop[0]["figures"]}
    assert {name: len(found) for name, found in panels.items()} == {
        "figure-accuracy": 1,
        "figure-roc": 6,
        "figure-reliability": 3,
        "figure-pb_space": 6,
        "figure-learning_curves": 6,
        "figure-boosting": 6,
    }
    for name, found in panels.items():
        for panel, emotion in zip(found, EMOTIONS, strict=False):
            assert min(panel["size"]) > 100
            assert panel["marks"] > 5
            assert emotion in panel["texts"] or name in ("figure-accuracy", "figure-reliability")
    for panel, title in zip(panels["figure-reliability"], ("training, held out", "validation", "test"), strict=True):
        assert title in panel["texts"]


def test_the_table_sorts(desktop):
    sheet, up, down, videos, subjects = desktop[0]["order"]
    assert desktop[0]["sorted"] == ["ascending", "descending", "ascending", "ascending"]
    assert up[-2:] == down[-2:] == ["–", "–"]  # what has no score stands last both ways
    scores = [float(score) for score in up[:-2]]
    assert len(scores) > 100
    assert scores == sorted(scores)
    assert len(set(scores)) > 5
    assert [float(score) for score in down[:-2]] == sorted(scores, reverse=True)
    assert videos == sorted(sheet)
    assert videos != sheet
    assert len(subjects) == len(sheet)


def test_the_table_filters(desktop):
    found = desktop[0]
    assert found["controls"]
    assert found["all"] == "144 of 144 videos"
    assert found["search"]["count"] == "12 of 144 videos"
    assert {name[:2] for name in found["search"]["ids"]} == {"11"}
    assert len(found["emotion"]["ids"]) == 24
    assert all("sadness" in name for name in found["emotion"]["ids"])
    assert sorted(found["outcome"]["ids"]) == ["00_contempt_fake", "11_surprise_fake"]


def test_text_from_data_made_no_elements(desktop):
    assert desktop[0]["scripts"] == 1


def test_a_phone_needs_no_sideways_scrolling_and_dark_is_readable(report):
    found, console = visit(report, 360, "--blink-settings=preferredColorScheme=0")
    assert console == []
    assert found["page"]["width"] <= found["page"]["frame"] == 360
    assert all(min(panel["size"]) > 100 for figure in found["figures"] for panel in figure["panels"])
    ground, text, figure = (luminance(found["colours"][name]) for name in ("ground", "text", "figure"))
    assert ground < 0.1
    for ink in (text, figure):
        assert (ink + 0.05) / (ground + 0.05) > 7


def test_light_is_readable(desktop):
    ground, text, figure = (luminance(desktop[0]["colours"][name]) for name in ("ground", "text", "figure"))
    assert ground > 0.9
    for ink in (text, figure):
        assert (ground + 0.05) / (ink + 0.05) > 7


def luminance(colour: str) -> float:
    """Give the relative luminance of ``rgb(r, g, b)`` as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
