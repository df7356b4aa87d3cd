"""The page: the report as one self-contained HTML file, its timelines as inline SVG.

The page asks nobody for anything. Its one script and its styles are named to the browser by their
hashes, so that nothing else that might stand in the page can run.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined

from reports.alternatives import ANSWERS, left_open
from reports.annotations import NOT_EVIDENCE, Note
from reports.content import MOST_LISTED, Content
from reports.drawing import BAND_HEIGHT, Unit
from reports.narrative import CERTAINTIES
from reports.readings import Network
from reports.records_list import digest_of, ids_of
from reports.techniques import in_words
from reports.text import inert
from reports.timeline import BAND_TOP, LANE

WHOLE = "evidence.html"  # the whole report, where report.html is one page on one incident

# Everything is escaped, and without signs that turn text round, in every template: what a page says
# may come from the network.
_environment = Environment(
    loader=PackageLoader("reports", "templates"),
    autoescape=True,
    finalize=lambda value: inert(value) if type(value) is str else value,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def network_slug(network: Network) -> str:
    """Return what the filter calls a network: "KZ-9198", or a part of the vantage's pseudonym."""
    country, asn, vantage = network
    return f"{country or 'XX'}-{asn if asn is not None else vantage[:8]}"


def columns(units: Iterable[Unit], bottom: float, height: str) -> str:
    """Return the path of the columns of some units; neighbours of equal height are one."""
    found: list[list[float]] = []  # x, width, height
    for unit in units:
        tall = getattr(unit, height)
        if found and found[-1][2] == tall and abs(sum(found[-1][:2]) - unit.x) < 0.05:
            found[-1][1] += unit.width
        elif tall:
            found.append([unit.x, unit.width, tall])
    parts = [f"M{x:.1f} {bottom:g}v-{tall:g}h{width:.1f}v{tall:g}z" for x, width, tall in found]
    return "".join(parts)


def runs(units: Iterable[Unit]) -> str:
    """Return units for the script, "first,count,measured,failing;" for each run of equal ones."""
    found: list[list[int]] = []
    for unit in units:
        last = found[-1] if found else [0, 0, -1, -1]
        if last[0] + last[1] == unit.index and last[2:] == [unit.measured, unit.failing]:
            last[1] += 1
        else:
            found.append([unit.index, 1, unit.measured, unit.failing])
    return "".join(f"{','.join(map(str, run))};" for run in found)


_environment.globals.update(
    answers=ANSWERS,
    band_height=BAND_HEIGHT,
    band_top=BAND_TOP,
    certainties=CERTAINTIES,
    columns=columns,
    digest_of=digest_of,
    in_words=in_words,
    lane_height=LANE,
    left_open=left_open,
    most_listed=MOST_LISTED,
    runs=runs,
    whole=WHOLE,
    not_evidence=NOT_EVIDENCE,
    slug=network_slug,
)
_environment.filters["slug_of"] = network_slug


def html(content: Content) -> str:
    """Return the whole report: one file, no request to anywhere, everything escaped."""
    return _rendered(
        "report.html",
        content,
        title=content.title,
        lead=content.lead,
        countries=[(code or "XX", content.words.country(code)) for code in _countries(content)],
        hosts=sorted({row.host for row in content.targets}),
        ids=ids_of(content),
        numbered=_aside(content),
        possible=[row for section in content.possible for row in section.episodes],
    )


def one_page(content: Content) -> str:
    """Return what is to be known of the one incident of a report, on one page to be cited."""
    (section,) = content.sections or content.possible
    told = section.story
    return _rendered("one_page.html", content, title=told.title, lead=told.lead, section=section)


def _rendered(template: str, content: Content, **values: object) -> str:
    style, script = _read("report.css"), _read("report.js")
    if template == "one_page.html":
        style += _read("one_page.css")
    if content.simulated:
        style += _read("simulated.css")
    words = content.words
    return _environment.get_template(template).render(
        c=content,
        words=words,
        _=words.text,
        plural=words.plural,
        number=words.number,
        stamp=words.stamp,
        style=style,
        script=script,
        style_hash=_hash(style),
        script_hash=_hash(script),
        **values,
    )


def _aside(content: Content) -> list[tuple[int, Note]]:
    """The annotations that stand below no incident's timeline, with their numbers."""
    told = {number for section in content.full for number, _ in section.notes}
    numbered = enumerate(content.annotations, start=1)
    return [(number, note) for number, note in numbered if number not in told]


def _countries(content: Content) -> list[str | None]:
    return sorted({key[0] for key in content.networks}, key=lambda code: code or "")


def _read(name: str) -> str:
    return (resources.files("reports") / "templates" / name).read_text("utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
