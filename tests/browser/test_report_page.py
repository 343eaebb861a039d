"""The report in a real browser, from disk. Needs Chromium (or Chrome) on the path, else these tests are skipped."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from report_inputs import EMOTIONS, HOSTILE, make_run

from fakeemo.report import write_report

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome found")


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    arguments = make_run(folder, hostile=True, trees=10, tracks=True)
    write_report(folder / "report/index.html", folder / "report/figures", **arguments)
    return folder / "report/index.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def visiting(browser, report: Path, width: int = 1200, **settings):
    """Open the page from disk; afterwards nothing may have been written to the console, or asked of the network."""
    page = browser.new_page(viewport={"width": width, "height": 900}, **settings)
    said: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    yield page
    page.close()
    assert said == []
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []


@pytest.fixture
def page(browser, report):
    with visiting(browser, report) as page:
        yield page


def shown_cells(page, column: int) -> list[str]:
    script = "rows => rows.filter(row => !row.hidden).map(row => row.cells[%d].textContent.trim())"
    return page.locator("#videos tbody tr").evaluate_all(script % column)


def test_every_chart_is_drawn(page):
    found = page.locator("figure[id]").evaluate_all("""figures => figures.map((figure) => ({
      id: figure.id,
      panels: Array.from(figure.querySelectorAll(".panel svg")).map((svg) => ({
        size: [svg.getBoundingClientRect().width, svg.getBoundingClientRect().height],
        // A drawn mark has an extent and a colour that is not the page's.
        marks: Array.from(svg.querySelectorAll("path, use")).filter((mark) => {
          const box = mark.getBoundingClientRect(), style = getComputedStyle(mark);
          return Math.max(box.width, box.height) > 1 && (style.stroke !== "none" || style.fill !== "none");
        }).length,
        texts: Array.from(svg.querySelectorAll("text")).map((text) => text.textContent),
      })),
    }))""")
    panels = {figure["id"].removeprefix("figure-"): figure["panels"] for figure in found}
    counts = {"accuracy": 2, "reliability": 3}
    names = ("accuracy", "roc", "reliability", "pb_space", "generation", "learning_curves", "boosting")
    assert {name: len(drawn) for name, drawn in panels.items()} == {name: counts.get(name, 6) for name in names}
    titles = {
        "accuracy": ("Each video by itself", "By pairs: an easier question"),
        "reliability": ("training, held out", "validation", "test"),
    }
    for name, drawn in panels.items():
        for panel, title in zip(drawn, titles.get(name, EMOTIONS), strict=True):
            assert min(panel["size"]) > 100
            assert panel["marks"] > 5
            assert title in panel["texts"]


def test_the_table_sorts(page):
    def order(title: str, column: int) -> list[str]:
        page.locator("#videos thead button", has_text=re.compile(f"^{title}$")).click()
        return shown_cells(page, column)

    sheet = shown_cells(page, 0)
    up, down = order("Score", 5), order("Score", 5)
    assert up[-2:] == down[-2:] == ["–", "–"]  # what has no score stands last both ways
    scores = [float(score) for score in up[:-2]]
    assert len(scores) > 100
    assert len(set(scores)) > 5
    assert scores == sorted(scores)
    assert [float(score) for score in down[:-2]] == sorted(scores, reverse=True)
    assert page.locator("#videos th[aria-sort]").get_attribute("aria-sort") == "descending"
    assert order("Video", 0) == sorted(sheet) != sheet
    assert len(order("Subject", 1)) == len(sheet)


def test_the_table_filters(page):
    count = page.locator("#shown")
    assert count.inner_text() == "144 of 144 videos"
    page.get_by_label("Search").fill("script>")
    assert count.inner_text() == "12 of 144 videos"
    assert {name[:2] for name in shown_cells(page, 0)} == {"11"}
    page.get_by_label("Search").fill("")
    page.get_by_label("Emotion").select_option("sadness")
    assert len(shown_cells(page, 0)) == 24
    assert all("sadness" in name for name in shown_cells(page, 0))
    page.get_by_label("Emotion").select_option("")
    page.get_by_label("Outcome").select_option("excluded")
    assert sorted(shown_cells(page, 0)) == ["00_contempt_fake", "11_surprise_fake"]


def test_a_click_on_a_row_plays_its_landmarks(page):
    page.locator("#videos tbody tr", has_text="10_anger_fake").locator("td").nth(3).click()
    player = page.get_by_role("dialog", name="10_anger_fake")
    player.wait_for()
    lines = player.locator("svg.face .lines")
    moved = "first => document.querySelector('#player svg.face .lines').getAttribute('d') !== first"
    page.wait_for_function(moved, arg="")
    first = lines.get_attribute("d")
    page.wait_for_function(moved, arg=first)
    player.get_by_role("button", name="Pause").click()
    still = lines.get_attribute("d")
    page.wait_for_timeout(200)
    assert lines.get_attribute("d") == still
    # 68 landmarks are 68 corners of lines; of the network's 40 points each is a dot. Where it paused is chance.
    slider = player.get_by_role("slider", name="Frame")
    slider.fill("5")
    assert len(re.findall(r"[ML]", lines.get_attribute("d"))) == 68
    assert player.locator("svg.face .dots").get_attribute("d").count("h0") == 40
    verdict = player.locator(".verdict").inner_text()
    assert re.fullmatch(r"Score 0\.\d{3}, probability of fake: called \w+, \w+\.", verdict)
    assert player.locator(".states").inner_text() == "Frames: detected 1, tracked 33, lost 5, redetected 1."
    assert player.locator("svg.psr .curve").get_attribute("d").count("L") > 20
    assert player.locator("svg.psr rect").count() == 5
    assert player.locator(".sheet img").evaluate("image => image.decode().then(() => image.naturalWidth)") == 100

    # A lost face has neither landmarks nor a box, and the slider says so.
    slider.fill("22")
    assert slider.get_attribute("aria-valuetext").startswith("frame 22 of 39, 0.73 s: lost, PSR ")
    assert slider.get_attribute("aria-valuetext").endswith(", no landmarks")
    assert lines.get_attribute("d") == player.locator("svg.face .box").get_attribute("d") == ""


def test_the_player_by_keyboard(page):
    page.get_by_label("Split").select_option("test")
    names = shown_cells(page, 0)
    page.get_by_role("button", name=names[1], exact=True).focus()
    page.keyboard.press("Enter")
    page.get_by_role("dialog", name=names[1]).wait_for()
    page.get_by_role("button", name="Next").press("Enter")
    page.get_by_role("dialog", name=names[2]).wait_for()
    page.get_by_role("button", name="Previous").press("Enter")
    page.get_by_role("dialog", name=names[1]).wait_for()
    page.locator("#player").get_by_role("slider", name="Frame").press("Home")
    page.keyboard.press("ArrowRight")
    assert page.locator("#player .now").inner_text().startswith("frame 1 of 39")
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="hidden")
    assert page.evaluate("document.activeElement.textContent") == names[1]


def test_a_video_that_could_not_be_used_says_so(page):
    page.get_by_label("Outcome").select_option("excluded")
    page.get_by_role("button", name="11_surprise_fake", exact=True).click()
    page.get_by_text("No landmarks: no face was found in this video.").wait_for()
    assert page.locator("#player .verdict").inner_text() == "No score."
    assert HOSTILE in page.locator("#player .facts").inner_text()


def test_a_point_of_the_pb_space_plays_its_video(page):
    point = page.locator("#figure-pb_space [data-video]").first
    point.dispatch_event("click")
    page.get_by_role("dialog", name=point.get_attribute("data-video")).wait_for()
    assert page.locator("#figure-pb_space [data-video]").count() == 142  # all but the two that have no PB vector


def test_generated_expressions_play_beside_each_other(page):
    section = page.locator("#generated")
    mouth = "svg.%s .shut"
    moved = "rest => document.querySelector('#generated svg.genuine .shut').getAttribute('d') !== rest"
    panels = section.locator(".beside")
    assert panels.count() == len(EMOTIONS)
    genuine, fake = (panels.first.locator(mouth % label) for label in ("genuine", "fake"))
    slider = section.get_by_role("slider", name="Frame")
    slider.fill("0")
    rest = genuine.get_attribute("d")
    assert fake.get_attribute("d") == rest
    section.get_by_role("button", name="Play").click()
    page.wait_for_function(moved, arg=rest)
    section.get_by_role("button", name="Pause").click()
    slider.fill("15")
    opened = genuine.get_attribute("d")
    assert len({rest, opened, fake.get_attribute("d")}) == 3
    section.get_by_role("combobox", name="Movement").select_option("4")
    assert genuine.get_attribute("d") != opened
    assert section.locator(".now").inner_text().endswith("movement × 4, difference × 1")


def test_text_from_data_made_no_elements(page):
    assert page.locator("script:not([type])").count() == 1
    assert page.locator("#videos td", has_text=HOSTILE).count() == 12


def test_a_page_that_was_moved_says_what_is_not_beside_it(browser, report, tmp_path):
    alone = tmp_path / "index.html"
    alone.write_text(report.read_text())
    page = browser.new_page()
    page.goto(alone.as_uri())
    page.get_by_role("button", name="10_anger_fake", exact=True).click()
    page.get_by_text("Its landmarks are not beside this page (videos/10_anger_fake.js)").wait_for()
    page.locator("#player").get_by_text("The contact sheets are not beside this page.").wait_for()
    page.close()


@pytest.mark.parametrize(("width", "scheme"), [(360, "dark"), (1200, "light")])
def test_accessible_and_no_sideways_scrolling(browser, report, width, scheme):
    from axe_playwright_python.sync_playwright import Axe

    with visiting(browser, report, width, color_scheme=scheme) as page:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert all(
            min(size.values()) > 100
            for size in page.locator(".panel svg").evaluate_all(
                "all => all.map(svg => ({w: svg.getBoundingClientRect().width, h: svg.getBoundingClientRect().height}))"
            )
        )
        # axe-core checks contrast, names and roles, headings, keyboard access, among 90 rules.
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        page.get_by_role("button", name="10_anger_fake", exact=True).click()
        page.locator("svg.psr .cursor").wait_for(state="attached")
        found = Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
        assert page.locator("#player").evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")


def test_figures_follow_the_colour_scheme(browser, report):
    for scheme, ground in (("light", (0.9, 1)), ("dark", (0, 0.1))):
        with visiting(browser, report, color_scheme=scheme) as page:
            colours = page.evaluate("""[getComputedStyle(document.body).backgroundColor,
              getComputedStyle(document.querySelector(".panel svg text")).fill]""")
            dark, bright = sorted(luminance(colour) for colour in colours)
            assert ground[0] <= luminance(colours[0]) <= ground[1]
            assert (bright + 0.05) / (dark + 0.05) > 7


def test_on_paper_all_is_unfolded_and_nothing_is_cut(browser, report):
    with visiting(browser, report, 703) as page:  # A4 between margins of 12 mm, at 96 dpi
        page.evaluate("dispatchEvent(new Event('beforeprint'))")
        page.emulate_media(media="print")
        assert page.locator("details:not([open])").count() == 0
        assert not page.locator("nav").is_visible()
        assert not page.locator("#generated .transport").is_visible()
        assert page.locator("#generated svg.genuine").first.is_visible()
        heights = "all => all.map(box => getComputedStyle(box).maxHeight)"
        assert set(page.locator(".scroll").evaluate_all(heights)) == {"none"}
        assert page.evaluate("document.documentElement.scrollWidth") <= 703


def luminance(colour: str) -> float:
    """Give the relative luminance of ``rgb(r, g, b)`` as WCAG 2 defines it."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
