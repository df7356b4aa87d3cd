"""Records in which every text from the network is an attack: nothing runs, breaks out or leaves."""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest
from click.testing import CliRunner
from playwright.sync_api import Browser

from sitewatch.cli import group
from storage.annotations import Annotation
from storage.records import Measurement, Record, Round, Step, Vantage, record_id, utc_text
from storage.records import utc_seconds as seconds
from storage.store import Store
from tests.cases import TIMEOUT, UP, arms, chain, helper, loads, lookup, measurement

ATTACKS = (
    "\"><img src=x onerror=\"document.title='run'\"><svg/onload=document.title='run'>",
    "</script><script>document.title='run'</script>",
    "</style><style>*{display:none!important}</style>",
    "{{7*7}}{% raw %}${7*7}",
    "\u202egnp.exe\u2066\u200f\u200b\u2028",
    "\x1b[31m\x07\x9b31m\x00\x08\r\n",
    '=HYPERLINK("http://x.example","y")',
    ";+cmd|' /C calc'!A0\t@SUM(1)",
    "\t=1+1",
    "W" * 400,
    "](javascript:alert(1))|`x`<b>",
    "Z" + "\u0336\u0351\u0489" * 80,
    "]]>&xxe;<!--",
)
ALL = " ".join(ATTACKS)
URLS = {
    "cut": f"https://{'x' * 60}.example/\u202egpj\x1b[31m{'a' + chr(0x336) * 60}",
    "mitm": f"https://mitm.example/?{ATTACKS[0]}{'W' * 300}",
    "page": f"http://page.example/{ATTACKS[1]}",
    "open": "https://open.example/",
}
FILES = ("episodes.csv", "episodes.json", "incidents.atom", "report.html", "report.md", "stop.csv")


def attack(number: int, limit: int = 900) -> str:
    return f"{ATTACKS[number % len(ATTACKS)]} {ALL}"[:limit]


def steps_of(kind: str, name: str, *, failing: bool) -> list[Step]:
    looked_up = lookup(["10.0.0.1", attack(1, 100)], resolver=attack(2, 100), name=attack(0, 200))
    if not failing or kind == "open":
        headers = [("Server", attack(5)), (f"X-{attack(6, 50)}", attack(7))]
        steps = loads(1, name=name, secure=kind != "page", title=attack(4), headers=headers)
        return [*steps, looked_up]
    if kind == "cut":
        return [*loads(3, name=name, tls=TIMEOUT), looked_up]
    if kind == "page":
        moved = [("Location", attack(10)), ("Server", attack(12))]
        return loads(3, name=name, secure=False, status=403, title=attack(11), headers=moved)
    (held, *_) = chain(name)
    forged = msgspec.structs.replace(
        held, subject=attack(8), issuer=f"CN={attack(9)}", names=[attack(0, 300)]
    )
    failure = "ssl_unknown_authority"
    return loads(3, name=name, tls=failure, certificates=[forged], valid=False)


def records(vantage: Vantage, begin: float, *, blocks: bool) -> Iterator[Record]:
    for step in range(12):
        moment = begin + 7200 * step
        head = Round(
            simulated=True,
            tool=f"sitewatch {attack(1, 80)}",
            time=utc_text(moment),
            vantage=vantage,
            line=UP,
            targets=len(URLS),
        )
        yield head
        for place, (kind, url) in enumerate(URLS.items()):
            name, failing = url.split("/")[2], blocks and 3 <= step < 9
            seen = [helper(title=attack(2), url=f"https://helper.example/{attack(0, 200)}")]
            seen += [helper(title=attack(3), url="https://helper-two.example/")]
            main: Measurement = measurement(
                steps_of(kind, name, failing=failing),
                url=url,
                time=utc_text(moment + 5 * place),
                vantage=vantage,
                helpers=seen,
                round=record_id(head),
            )
            yield main
            if failing and kind in ("cut", "mitm"):
                failure = TIMEOUT if kind == "cut" else "ssl_unknown_authority"
                yield measurement(
                    arms(name=name, failure=failure),
                    url=url,
                    time=utc_text(moment + 5 * place + 1),
                    vantage=vantage,
                    round=record_id(head),
                    follows=record_id(main),
                )


def told(database: Path, *arguments: str) -> str:
    result = CliRunner().invoke(group, [*arguments, "--database", str(database)])
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hostile") / "x.db"
    with Store(path) as store:
        for number, network in enumerate([attack(0), attack(7), "Ulytau Mobile"]):
            vantage = store.own_vantage(country="KZ", asn=64496 + number, network=network)
            begin = seconds("2017-06-19T00:00:00.000000Z")
            for record in records(vantage, begin, blocks=number < 2):
                store.add(record)
        allowed = [text for text in ATTACKS if not re.search("[\x00-\x1f\x80-\x9f\u2028]", text)]
        assert len(allowed) > 8
        store.annotate(
            [
                Annotation(
                    date="2017-06-19", text=text, source="https://news.example/'x" + "W" * 900
                )
                for text in allowed
            ]
        )
    return path


@pytest.fixture(scope="module")
def folders(database: Path) -> list[Path]:
    """The whole report, and one on the incident whose site is named longest."""
    whole, one = database.parent / "whole", database.parent / "one"
    told(database, "report", "--from", "2017-06-19", "--to", "2017-06-19", "--output", str(whole))
    episodes = json.loads((whole / "episodes.json").read_bytes())["episodes"]
    incident = next(e["incident"] for e in episodes if e["url"].startswith("https://xxx"))
    told(database, "report", "--incident", incident, "--output", str(one))
    return [whole, one]


def test_no_file_holds_a_sign_that_moves_or_turns_text(folders: list[Path]) -> None:
    for path in (folder / name for folder in folders for name in FILES):
        text = path.read_text("utf-8")
        signs = {sign for sign in text if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Co")}
        assert signs <= {"\n", "\u2060"}, path
        assert not re.search("[\u0300-\u036f\u0489]{5}", text), path


def test_tables_and_feed_are_whole_and_hold_no_formula(folders: list[Path]) -> None:
    for folder in folders:
        ElementTree.parse(folder / "incidents.atom")
        for name in ("episodes.csv", "stop.csv"):
            with (folder / name).open(encoding="utf-8", newline="") as file:
                rows = list(csv.DictReader(file))
            assert rows
            cells = [
                part for row in rows for cell in row.values() for part in re.split(r"[,;\t|]", cell)
            ]
            assert not [part for part in cells if part.strip()[:1] in {"=", "+", "-", "@"}]


def test_the_markdown_holds_no_link_and_no_html_but_sources(folders: list[Path]) -> None:
    for folder in folders:
        text = (folder / "report.md").read_text("utf-8")
        bare = re.sub(r"\\.", "", re.sub(r"<https://news\.example/[^>]*>", "", text))
        assert not re.search(r"<|\]\(|\]\[", bare)


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1280])
@pytest.mark.parametrize("page", ["whole/report.html", "one/report.html", "one/evidence.html"])
def test_nothing_runs_and_nothing_breaks_the_layout(
    browser: Browser, folders: list[Path], page: str, width: int
) -> None:
    opened = browser.new_page(viewport={"width": width, "height": 900})
    complaints: list[str] = []
    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("dialog", lambda dialog: complaints.append(dialog.message))
    opened.on("request", lambda request: complaints.append(request.url))
    file = folders[0].parent / page
    opened.goto(file.as_uri())
    assert complaints == [file.as_uri()]
    assert opened.title().endswith("– Sitewatch")
    assert opened.locator("h1").is_visible()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    counts = [
        opened.locator(name).count() for name in ("script", "style", "img", "svg svg", "iframe")
    ]
    assert counts == [1, 1, 0, 0, 0]
    lane = opened.locator("figure svg:visible .lane").first
    lane.focus()
    opened.keyboard.press("End")
    lane.hover()
    assert opened.locator(".tip").is_visible()
    assert opened.evaluate("document.documentElement.scrollWidth") <= width
    assert opened.title().endswith("– Sitewatch")
    assert complaints == [file.as_uri()]
    opened.close()


@pytest.mark.parametrize("command", [["episodes"], ["status"], ["annotate", "--list"]])
def test_no_terminal_is_told_more_than_text(database: Path, command: list[str]) -> None:
    result = CliRunner().invoke(group, [*command, "--database", str(database)])
    assert result.exit_code in (0, 3), result.output
    signs = {sign for sign in result.output if unicodedata.category(sign) in ("Cc", "Cf", "Cs")}
    assert signs <= {"\n"}
