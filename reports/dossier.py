"""The dossier: report, cited records and a script in one ZIP, which a stranger verifies offline."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

import msgspec

from reports import dossier_verify
from reports.analysis import Analysis
from reports.content import Content
from reports.episodes import Episode
from reports.errors import ReportError
from reports.history import series_name
from storage.evidence import Evidence, with_evidence
from storage.records import canonical
from storage.store import Store

FORMAT = "sitewatch-dossier/1"
NAME = "dossier.zip"
# The same files give the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_README = """The evidence for a report about blocked web sites, made by Sitewatch.

report/          the report: read report.html first
records/         the records that the report cites, each named by its SHA-256
envelopes.jsonl  what signs them
keys.jsonl       the keys of the vantages, in exact dossiers
blobs/           bodies, certificates and DNS replies that records name, in exact dossiers
citations.json   which records each episode of report/episodes.json rests on
manifest.json    the SHA-256 of every file here, and whether it is exact, and whether simulated
seal.json        the signature over manifest.json
verify.py        checks all of this, offline, with Python alone:

    python -I verify.py

A script can be exchanged like everything else. Compare its SHA-256 with the one that is published
in Sitewatch's docs/formats.md, and the key of the seal with one that you know from elsewhere.

Unless a dossier is exact its records are derived ones: their times are rounded and much is left
out, so that they harm no volunteer.
"""


def verifier() -> bytes:
    """Return verify.py."""
    return Path(dossier_verify.__file__).read_bytes()


def verifier_hash() -> str:
    """Return the SHA-256 of verify.py, 64 hex digits."""
    return hashlib.sha256(verifier()).hexdigest()


def dossier(content: Content, report: Mapping[str, bytes], store: Store) -> Writing:
    """Return who writes the dossier of a report, whose files are handed in, into a file.

    In a report with exact times it holds the originals of the records, else derived ones.
    """
    return lambda file: _Dossier(content, report, store).write(file)


Writing = Callable[[BinaryIO], None]


class _Dossier:
    """One dossier while it is written."""

    def __init__(self, content: Content, report: Mapping[str, bytes], store: Store) -> None:
        self._content = content
        self._report = report
        self._store = store
        self._files: dict[str, dict[str, Any]] = {}

    def write(self, file: BinaryIO) -> None:
        with ZipFile(file, "w", ZIP_DEFLATED, compresslevel=6) as archive:
            self._archive = archive
            with_evidence(self._store, self._put, self._all)

    def _all(self, evidence: Evidence) -> None:
        exact = self._content.exact
        for name, data in self._report.items():
            self._put(f"report/{name}", data)
        cited = citations(self._content)
        self._put("citations.json", _json(cited))
        ids = {id for episode in cited["episodes"] for id in _ids(episode)}
        (evidence.exact if exact else evidence.public)(ids)
        self._put("verify.py", verifier())
        self._put("README.txt", _README.encode())
        manifest = canonical(
            {
                "format": FORMAT,
                "generated": self._content.generated,
                "tool": self._content.tool,
                "simulated": self._content.simulated,
                "exact": exact,
                "files": self._files,
                "absent": evidence.absent,
            }
        )
        self._put("manifest.json", manifest)
        self._put("seal.json", evidence.seal(hashlib.sha256(manifest).hexdigest()))

    def _put(self, name: str, data: bytes) -> None:
        self._files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
        info = ZipInfo(dossier_verify.TOP + name, _DATE)
        info.create_system, info.external_attr, info.compress_type = 3, _MODE, ZIP_DEFLATED
        try:
            self._archive.writestr(info, data)
        except OSError as error:
            raise ReportError(f"{NAME}: {error.strerror or 'cannot be written'}") from error


def citations(content: Content) -> dict[str, Any]:
    """Return citations.json: the records of each episode, in the order of their ids.

    `measured` are all measurements between the first and the last failing one, `bounds` the open
    ones that bound it, `follow_ups` the experiments after failing ones.
    """
    episodes = [e for section in content.sections for e in section.incident.episodes]
    return {
        "format": "sitewatch-citations/1",
        "rules_version": content.rules_version,
        "episodes": [_citation(episode, content.analysis) for episode in episodes],
    }


def _citation(episode: Episode, analysis: Analysis) -> dict[str, Any]:
    readings = analysis.readings.named(
        series_name(episode.url, episode.network_key, field=True)
    ).between_failing(episode.readings)
    failing = set(episode.readings)
    inside = {reading.id: reading for reading in readings}
    follow_ups = {one for id in failing for one in analysis.cases.follow_ups(id)}
    paths = {id: reading.path for id, reading in inside.items() if id in failing}
    return {
        "episode": episode.id,
        "measured": [
            {"id": id, "failing": id in failing, "technique": paths.get(id)}
            for id in sorted(inside)
        ],
        "bounds": sorted(episode.bounds),
        "follow_ups": sorted(follow_ups),
    }


def _ids(citation: Mapping[str, Any]) -> list[str]:
    measured = [one["id"] for one in citation["measured"]]
    return [*measured, *citation["bounds"], *citation["follow_ups"]]


def _json(value: object) -> bytes:
    return msgspec.json.format(msgspec.json.encode(value), indent=1) + b"\n"
