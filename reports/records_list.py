"""List of records: every id that the incidents of a report rest on, and the digest of the list."""

from __future__ import annotations

from reports.content import Content
from storage.records import digest


def ids_of(content: Content) -> list[str]:
    """Return the ids in the order of the incidents, each once."""
    ids = (id for section in content.sections for id in section.records)
    return list(dict.fromkeys(ids))


def records_txt(content: Content) -> str:
    """Return records.txt: the same ids sorted, one a line; empty where there are none."""
    return "".join(f"{id}\n" for id in sorted(ids_of(content)))


def digest_of(content: Content) -> str:
    """Return the SHA-256 of records.txt, as `sha256sum` prints it."""
    return digest(records_txt(content).encode()).removeprefix("sha256:")
