"""The page in a real browser: no request, no console line, readable at every width, printable."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from reports.report import write_report
from storage.store import Store
from tests.month import write_month

pytestmark = pytest.mark.browser
EVIL = "</title><script>document.title='run'</script><img src=x onerror=document.title='run'>"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        arguments = ["--headless", "--no-sandbox", "--disable-gpu"]
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"), "Foreign Policy")


def written(folder: Path, title: str) -> Path:
    path = write_month(folder / "m.db", first="2017-06-18", last="2017-06-21", title=title)
    with Store(path) as store:
        summary = write_report(
            store,
            since="2017-06-18",
            until="2017-06-21",
            country="KZ",
            output=folder,
            generated="2017-07-11T00:00:00Z",
            tool="sitewatch 0.1.0",
        )
    return summary.files[0]


@pytest.fixture
def opened(browser: Browser) -> Iterator[Page]:
    """A page whose console lines, errors and requests fail the test."""
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: complaints.append(request.url))
    yield page
    page.close()
    assert {line for line in complaints if line != page_url(complaints)} == set()


def page_url(complaints: list[str]) -> str | None:
    """The one request that is allowed: for the file itself."""
    return next((line for line in complaints if line.endswith("/report.html")), None)


def show(page: Page, report: Path) -> None:
    page.goto(report.as_uri())


def test_the_page_asks_nobody_and_complains_of_nothing(opened: Page, report: Path) -> None:
    show(opened, report)
    assert opened.locator("h1").inner_text().startswith("foreignpolicy.com is blocked on 2 of 3")
    assert opened.locator("link, img, iframe, object").count() == 0
    assert opened.locator("script").count() == 1


def test_the_sections_stand_in_their_order(opened: Page, report: Path) -> None:
    show(opened, report)
    assert opened.locator("h2").all_inner_texts() == [
        "Key facts",
        "What we do not know",
        "Timeline",
        "Networks and techniques",
        "Evidence",
        "What stayed reachable",
        "Did the networks act together?",
        "All sites in the same time",
        "Method",
        "Limitations",
        "Annex: records",
    ]


@pytest.mark.parametrize("width", [320, 390, 768, 1280, 1920])
def test_no_width_scrolls_sideways_and_one_timeline_shows(
    opened: Page, report: Path, width: int
) -> None:
    opened.set_viewport_size({"width": width, "height": 900})
    show(opened, report)
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    visible = "wide" if width > 640 else "narrow"
    figures = opened.locator("figure")
    for number in range(figures.count()):
        figure = figures.nth(number)
        assert figure.locator("svg:visible").count() == 1
        assert figure.locator(f".{visible} svg:visible").count() == 1


def test_bands_are_hatched_and_no_svg_text_leaves_its_frame(opened: Page, report: Path) -> None:
    for width in (390, 1280):
        opened.set_viewport_size({"width": width, "height": 900})
        show(opened, report)
        fills = opened.eval_on_selector_all(
            "figure rect.blocked", "bands => bands.map(b => b.getAttribute('fill'))"
        )
        assert fills
        assert all(fill.startswith("url(#") for fill in fills)
        outside = opened.evaluate(
            """() => [...document.querySelectorAll('figure svg')].filter(s => s.checkVisibility())
            .flatMap(s => [...s.querySelectorAll('text')].filter(t => {
              const a = t.getBoundingClientRect(), b = s.getBoundingClientRect();
              return a.left < b.left - 1 || a.right > b.right + 1 || a.bottom > b.bottom + 1;
            }).map(t => t.textContent))"""
        )
        assert outside == []


def test_every_printed_page_is_marked_as_simulated(
    opened: Page, report: Path, tmp_path: Path
) -> None:
    show(opened, report)
    assert opened.locator(".watermark").inner_text() == "SIMULATED"
    opened.emulate_media(media="print")
    assert opened.locator(".watermark").is_visible()
    position = opened.eval_on_selector(".watermark", "w => getComputedStyle(w).position")
    assert position == "fixed"  # browsers repeat what is fixed on every printed page
    data = opened.pdf(prefer_css_page_size=True)
    assert data.startswith(b"%PDF")


def test_a_hostile_title_does_not_run(opened: Page, tmp_path: Path) -> None:
    show(opened, written(tmp_path, EVIL))
    assert opened.title().endswith("– Sitewatch")
    assert opened.locator("img").count() == 0
    assert opened.locator("script").count() == 1
    assert opened.get_by_text("onerror").count() > 0
