"""The page in a real browser: no request, no console line, readable at every width, printable."""

import json
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from reports.catalogue import LANGUAGES
from reports.report import write_report
from storage.store import Store
from tests.month import NETWORKS, SITES, write_month

pytestmark = pytest.mark.browser
EVIL = "</title><script>document.title='run'</script><img src=x onerror=document.title='run'>"

# Texts whose colour is too near to that of what lies behind them (WCAG: 4.5 to 1).
CONTRASTS = """() => {
  const parse = c => c.match(/[\\d.]+/g).map(Number);
  const light = c => c.slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = e => {
    for (; e; e = e.parentElement) {
      const c = parse(getComputedStyle(e).backgroundColor);
      if (c.length < 4 || c[3] > 0) return c;
    }
    return [255, 255, 255];
  };
  return [...document.querySelectorAll('main *, header *, footer')].filter(e =>
    !(e instanceof SVGElement) && e.checkVisibility() && !e.matches('option') &&
    [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())
  ).filter(e => {
    const both = [light(parse(getComputedStyle(e).color)), light(behind(e))];
    const [a, b] = both.sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05) < 4.5;
  }).map(e => e.textContent.slice(0, 60));
}"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return written(tmp_path_factory.mktemp("page"), "Foreign Policy")


def written(
    folder: Path,
    title: str,
    network: str = "Altyn Telecom",
    sites: Sequence[str] = SITES,
    **how: Any,
) -> Path:
    path = write_month(
        folder / "m.db",
        first="2017-06-18",
        last="2017-06-21",
        title=title,
        sites=sites,
        networks=[(64496, network), *NETWORKS[1:]],
    )
    with Store(path) as store:
        summary = write_report(
            store,
            since="2017-06-18",
            until="2017-06-21",
            country="KZ",
            output=folder,
            generated="2017-07-11T00:00:00Z",
            tool="sitewatch 0.1.0",
            **how,
        )
    return summary.files[0]


def incident_of(report: Path) -> str:
    episodes = json.loads((report.parent / "episodes.json").read_bytes())["episodes"]
    return str(episodes[0]["incident"])


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


def test_a_filter_hides_what_it_does_not_ask_for_and_says_so(opened: Page, report: Path) -> None:
    show(opened, report)
    note = opened.locator(".filtered")
    assert note.inner_text() == ""
    assert not opened.locator("select[name=country]").is_visible()  # there is but one
    opened.locator("select[name=network]").select_option("KZ-64497")
    rows = opened.locator(".matrix tbody tr")
    assert [rows.nth(n).is_visible() for n in range(rows.count())] == [False, True, False]
    assert opened.locator("section.episode:visible").count() == 1
    lanes = opened.locator("figure .wide svg").first.locator(".lane")
    dim = [".dim" if "dim" in (lanes.nth(n).get_attribute("class") or "") else "" for n in range(3)]
    assert dim == [".dim", "", ".dim"]
    assert "Saryarka Online (AS64497)" in note.inner_text()
    opened.locator("select[name=target]").select_option("aral-notes.example")
    assert opened.locator("section.incident:visible").count() == 0
    assert opened.locator(".targets tbody tr:visible").count() == 1
    opened.get_by_role("button", name="Show everything").click()
    opened.wait_for_function("!document.querySelector('.filtered').textContent")
    assert opened.locator("section.episode:visible").count() == 2


def test_countries_can_be_told_apart(opened: Page, tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    for country, networks in (("KZ", NETWORKS), ("KG", NETWORKS[:1])):
        write_month(path, first="2017-06-19", last="2017-06-19", country=country, networks=networks)
    with Store(path) as store:
        write_report(
            store,
            since="2017-06-19",
            until="2017-06-19",
            output=tmp_path,
            generated="2017-07-11T00:00:00Z",
            tool="sitewatch 0.1.0",
        )
    show(opened, tmp_path / "report.html")
    assert opened.locator("section.incident:visible").count() == 2
    choice = opened.locator("select[name=country]")
    assert choice.locator("option").all_inner_texts() == ["all", "Kyrgyzstan", "Kazakhstan"]
    choice.select_option("KG")
    assert opened.locator("section.incident:visible").count() == 1
    assert "in Kyrgyzstan" in opened.locator("section.incident:visible h2").inner_text()
    assert opened.locator(".incidents tbody tr:visible").count() == 1
    assert opened.locator(".grid thead th:visible").count() == 2


def test_the_keyboard_goes_through_a_lane(opened: Page, report: Path) -> None:
    show(opened, report)
    lane = opened.locator("figure .wide svg .lane").first
    opened.get_by_role("button", name="Show everything").focus()
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.classList.contains('lane')")
    tip = opened.locator(".tip")
    assert "18 of 18 failed" in tip.inner_text()
    opened.keyboard.press("Home")
    assert "18 June 00:00 UTC: open" in tip.inner_text()
    opened.keyboard.press("End")
    assert "blocked, tls.timeout" in tip.inner_text()
    assert lane.locator(".cursor").get_attribute("d") != ""
    opened.keyboard.press("Escape")
    assert tip.is_hidden()


def test_the_mouse_shows_a_measurement_and_what_it_lies_in(opened: Page, report: Path) -> None:
    show(opened, report)
    band = opened.locator("figure .wide svg").first.locator("rect.blocked").first
    band.hover()
    tip = opened.locator(".tip")
    assert "blocked from 19 June" in tip.inner_text()
    box = tip.bounding_box()
    assert box is not None
    assert box["x"] >= 0
    opened.mouse.move(2, 2)
    assert tip.is_hidden()


def test_a_finger_shows_a_measurement(browser: Browser, report: Path) -> None:
    context = browser.new_context(viewport={"width": 390, "height": 800}, has_touch=True)
    page = context.new_page()
    show(page, report)
    page.locator("figure .narrow svg rect.blocked").first.tap()
    assert "blocked from 19 June" in page.locator(".tip").inner_text()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    context.close()


def test_without_script_everything_can_be_read(browser: Browser, report: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    show(page, report)
    assert page.locator(".filter").is_hidden()
    assert page.locator("h2").count() == 11
    assert page.get_by_text("The experiment that decides").first.is_visible()
    context.close()


def test_headings_never_skip_a_level_and_names_are_unique(opened: Page, report: Path) -> None:
    show(opened, report)
    levels = [
        int(name[1])
        for name in opened.eval_on_selector_all(
            "h1,h2,h3,h4,h5,h6", "all => all.map(h => h.tagName)"
        )
    ]
    assert levels[0] == 1
    assert all(b <= a + 1 for a, b in pairwise(levels))
    ids = opened.eval_on_selector_all("[id]", "all => all.map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(browser: Browser, report: Path, scheme: Any) -> None:
    page = browser.new_page(color_scheme=scheme)
    show(page, report)
    assert page.evaluate(CONTRASTS) == []
    page.close()


def test_every_printed_page_is_marked_as_simulated(
    opened: Page, report: Path, tmp_path: Path
) -> None:
    show(opened, report)
    assert opened.locator(".watermark").inner_text() == "SIMULATED"
    opened.emulate_media(media="print")
    assert opened.locator(".watermark").is_visible()
    position = opened.eval_on_selector(".watermark", "w => getComputedStyle(w).position")
    assert position == "fixed"  # browsers repeat what is fixed on every printed page
    assert opened.locator(".filter, .tip, .skip").filter(visible=True).count() == 0


def test_printing_opens_what_is_closed_and_makes_a_pdf(opened: Page, report: Path) -> None:
    show(opened, report)
    opened.evaluate("document.querySelector('details').open = false")
    opened.evaluate(
        "addEventListener('beforeprint', () => document.title = String("
        "document.querySelectorAll('details:not([open])').length))"
    )
    data = opened.pdf(prefer_css_page_size=True)
    assert data.startswith(b"%PDF")
    assert data.count(b"/Type /Page\n") > 3
    assert opened.title() == "0"
    assert opened.locator("details:not([open])").count() == 1


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_report_on_one_incident_is_one_printed_page(
    opened: Page, report: Path, tmp_path: Path, language: str
) -> None:
    incident = incident_of(report)
    show(opened, written(tmp_path, "Foreign Policy", incident=incident, language=language))
    assert incident in opened.locator(".cite").inner_text()
    opened.locator("figure .wide svg .lane").first.focus()
    opened.keyboard.press("End")
    assert "tls.timeout" in opened.locator(".tip").inner_text()
    assert opened.pdf(prefer_css_page_size=True).count(b"/Type /Page\n") == 1
    opened.set_viewport_size({"width": 390, "height": 900})
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390


def test_nothing_but_its_own_script_can_run(browser: Browser, report: Path) -> None:
    page = browser.new_page()
    refused: list[str] = []
    page.on("console", lambda message: refused.append(message.text))
    show(page, report)
    page.evaluate(
        """() => {
          document.body.insertAdjacentHTML('beforeend', '<img src=x onerror="document.title=1">');
          const script = document.createElement('script');
          script.textContent = 'document.title = 2';
          document.body.append(script);
        }"""
    )
    page.wait_for_timeout(200)
    assert page.title().endswith("– Sitewatch")
    assert any("Content Security Policy" in line for line in refused)
    page.close()


def test_hostile_text_neither_runs_nor_breaks_the_layout(opened: Page, tmp_path: Path) -> None:
    opened.set_viewport_size({"width": 390, "height": 900})
    show(opened, written(tmp_path, EVIL + "W" * 500, EVIL + "M" * 500, SITES[:2]))
    assert opened.title().endswith("– Sitewatch")
    assert opened.locator("img").count() == 0
    assert opened.locator("script").count() == 1
    assert opened.get_by_text("onerror").count() > 0
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
    opened.locator("select[name=network]").select_option("KZ-64496")
    assert "</title><script>" in opened.locator(".filtered").inner_text()
    opened.locator("figure .narrow svg .lane").first.focus()
    opened.keyboard.press("End")
    assert opened.title().endswith("– Sitewatch")
    assert opened.evaluate("document.documentElement.scrollWidth") <= 390
