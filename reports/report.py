"""Report: analyse a span of time and write every format of it, whole or not at all."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from difflib import get_close_matches
from pathlib import Path

import msgspec

from reports import dossier
from reports.analysis import Analysis, analyse
from reports.annotations import Note, notes_of
from reports.announced import as_announced
from reports.content import Content, Writer, content_of
from reports.errors import ReportError
from reports.folder import Content as Bytes
from reports.folder import write_together
from reports.incident_feed import incidents_atom
from reports.markdown import markdown
from reports.one_incident import find_incident, narrowed
from reports.page import WHOLE, html, one_page
from reports.records_list import digest_of, records_txt
from reports.spreadsheets import episodes_csv, stop_csv
from reports.tables import episodes_json
from reports.text import plain
from reports.wording import Words
from storage.announcements import AnnouncementLog
from storage.store import Store

WRITERS: Mapping[str, Writer] = {
    "report.html": html,
    "report.md": markdown,
    "episodes.json": episodes_json,
    "episodes.csv": episodes_csv,
    "stop.csv": stop_csv,
    "incidents.atom": incidents_atom,
    "records.txt": records_txt,
}
OF_ONE_INCIDENT: Mapping[str, Writer] = {**WRITERS, "report.html": one_page, WHOLE: html}


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """What was written: the headline and the files, the page first."""

    headline: str
    files: list[Path]


def write_report(
    store: Store,
    *,
    since: str,
    until: str,
    country: str | None = None,
    urls: Collection[str] | None = None,
    output: Path,
    generated: str,
    tool: str,
    exact: bool = False,
    language: str = "en",
    incident: str | None = None,
    with_dossier: bool = False,
) -> Summary:
    """Write the files of `WRITERS` into the folder `output`, all of them or none.

    `since` and `until` are UTC days such as 2017-06-12, both inclusive; `generated` is the time
    of the newest data, which the report names. Unless `exact`, times are rounded outward to ten
    minutes.
    `with_dossier` adds dossier.zip, the evidence for strangers to verify.
    With `incident`, an id or its beginning, the report is on that incident alone: its page is one
    to be cited, and what it rests on stands in another file beside it.
    `language` is a code of `reports.catalogue.LANGUAGES`.
    Raises ReportError (impossible days, a folder that cannot be written) and StoreError.
    """
    for url in urls or ():
        _require_measured(url, store)
    analysis = analyse(store, since=since, until=until, country=country, urls=urls, exact=exact)
    known = as_announced(analysis.incidents, AnnouncementLog(store).noted())
    analysis = msgspec.structs.replace(analysis, incidents=tuple(known))
    words = Words(language)
    if incident is not None:
        analysis = narrowed(analysis, find_incident(analysis.incidents, incident))
    notes = _notes(store, analysis)
    content = content_of(analysis, generated=generated, tool=tool, annotations=notes, words=words)
    if incident is not None:
        content = msgspec.structs.replace(content, targets=(), cite=_cite(content))
    writers = WRITERS if incident is None else OF_ONE_INCIDENT
    texts = {name: write(content).encode() for name, write in writers.items()}
    files: dict[str, Bytes] = dict(texts)
    if with_dossier:
        files[dossier.NAME] = dossier.dossier(content, texts, store)
    return Summary(headline=content.headline, files=write_together(output, files))


def _require_measured(url: str, store: Store) -> None:
    known = store.urls()
    if known and url not in known:
        like = get_close_matches(url, known, 3, cutoff=0.4)
        others = f"; there are {', '.join(plain(each) for each in like)}" if like else ""
        raise ReportError(f"{plain(url)} was never measured{others}")


def _cite(content: Content) -> str:
    """Return how a report on one incident is cited: by its id, and by the records it rests on."""
    (about,) = content.analysis.incidents
    return content.words.text(
        "How to cite: Sitewatch, “{title}”, incident {id}, data up to {time}, {tool}, rules "
        "{rules}; records.txt with the SHA-256 {digest}.",
        title=content.title if content.sections else content.possible[0].story.title,
        id=about.id,
        time=content.generated,
        tool=content.tool,
        rules=content.rules_version,
        digest=digest_of(content),
    )


def _notes(store: Store, analysis: Analysis) -> list[Note]:
    return notes_of(
        store.annotations(),
        since=analysis.since,
        until=analysis.until,
        country=analysis.country,
        urls=analysis.urls,
    )
