"""Report: analyse a span of time and write every format of it, whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Mapping
from pathlib import Path

import msgspec

from reports.analysis import Analysis, analyse
from reports.annotations import Note, notes_of
from reports.content import Writer, content_of
from reports.errors import ReportError
from reports.markdown import markdown
from reports.page import html
from reports.tables import episodes_json
from storage.store import Store

WRITERS: Mapping[str, Writer] = {
    "report.html": html,
    "report.md": markdown,
    "episodes.json": episodes_json,
}


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
) -> Summary:
    """Write report.html, report.md and episodes.json into the folder `output`.

    `since` and `until` are UTC days such as 2017-06-12, both inclusive; `generated` is the time
    that the report names as its own. Unless `exact`, times are rounded outward to ten minutes.
    Raises ReportError (impossible days, a folder that cannot be written) and StoreError.
    """
    analysis = analyse(store, since=since, until=until, country=country, urls=urls, exact=exact)
    notes = _notes(store, analysis)
    content = content_of(analysis, generated=generated, tool=tool, annotations=notes)
    texts = {name: write(content) for name, write in WRITERS.items()}
    try:
        output.mkdir(parents=True, exist_ok=True)
        files = [_replace(output / name, text) for name, text in texts.items()]
    except OSError as error:
        raise ReportError(f"{output}: {error.strerror or 'cannot be written'}") from error
    return Summary(headline=content.headline, files=files)


def _notes(store: Store, analysis: Analysis) -> list[Note]:
    return notes_of(
        store.annotations(),
        since=analysis.since,
        until=analysis.until,
        country=analysis.country,
        urls=analysis.urls,
    )


def _replace(path: Path, text: str) -> Path:
    """Write a file whole: a reader sees the old one or the new one."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return path
