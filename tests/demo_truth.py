"""What the demonstration must find, held against its script."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from lab.scenario import load_scenario
from reports.cases import gather
from reports.verdicts import judge
from storage.records import Measurement, corrected_seconds, utc_seconds
from storage.store import Store, Stored

SCENARIO = load_scenario("kazakhstan-2017")
URL = "https://foreignpolicy.com/"


def check_demo(folder: Path, *, ended: bool) -> None:
    """Check a folder that the demo wrote; `ended` tells whether the block's end was played."""
    found = json.loads((folder / "episodes.json").read_text("utf-8"))
    [censor] = SCENARIO.censors
    assert censor.since is not None
    assert censor.until is not None
    cut = {network.asn for network in SCENARIO.networks if network.name in censor.networks}
    assert sorted((each["url"], each["asn"]) for each in found["episodes"]) == sorted(
        (URL, asn) for asn in cut
    )
    assert found["simulated"] is True
    with Store(folder / "sitewatch.db", create=False) as store:
        assert store.check() == []
        measurements = list(store.measurements())
    for episode in found["episodes"]:
        assert (episode["status"], episode["certainty"]) == (
            "ended" if ended else "ongoing",
            "confirmed",
        )
        assert list(episode["techniques"]) == ["tls.timeout"]
        _check_bracket(episode, "onset", censor.since, measurements)
        if ended:
            _check_bracket(episode, "end", censor.until, measurements)
        else:
            assert episode["end_earliest"] is episode["end_latest"] is None
    _check_statuses(measurements)
    for name in ("report.html", "report.md"):
        text = (folder / name).read_text("utf-8")
        assert "a minister denies that the ministry had any part in it" in text
        assert "steppe-herald.example/2017/06/20/minister-denies" in text


def _check_bracket(
    episode: dict[str, Any],
    which: str,
    truth: datetime,
    measurements: Sequence[Stored[Measurement]],
) -> None:
    """Check that a bracket holds the scripted time and is as narrow as the rounds allow."""
    earliest = datetime.fromisoformat(episode[f"{which}_earliest"])
    latest = datetime.fromisoformat(episode[f"{which}_latest"])
    assert earliest <= truth <= latest
    mine = [stored.record for stored in measurements if stored.record.vantage.asn == episode["asn"]]
    rounds: dict[str, list[Measurement]] = {}
    for record in mine:
        rounds.setdefault(record.round, []).append(record)
    spans = sorted(
        (min(map(corrected_seconds, records)), max(map(_end, records)))
        for records in rounds.values()
    )
    before = max(span for span in spans if span[0] <= truth.timestamp())
    after = min(span for span in spans if span[0] > truth.timestamp())
    longest = max(end - start for start, end in (before, after))
    assert (latest - earliest).total_seconds() <= after[0] - before[0] + longest


def _end(record: Measurement) -> float:
    return max(utc_seconds(step.start) + step.duration_us / 1e6 for step in record.steps)


def _check_statuses(measurements: Sequence[Stored[Measurement]]) -> None:
    """Check that nothing innocent is called blocked and each trouble has its own status."""
    [down] = SCENARIO.downs
    refusing = {site.host for site in SCENARIO.sites if site.refuse_countries}
    seen: set[str] = set()
    for case in gather(measurements):
        record, verdict = case.measurement, judge(case)
        seen.add(verdict.status)
        host = record.url.split("/")[2]
        if host in down.hosts and down.active(corrected_seconds(record)):
            assert verdict.status == "down", verdict
        elif host in refusing:
            assert verdict.status == "restricted", verdict
        elif record.url != URL:
            assert verdict.status == "accessible", verdict
        assert not (verdict.status == "blocked" and record.url != URL)
    assert {"accessible", "blocked", "restricted"} <= seen
