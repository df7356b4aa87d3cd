"""What alerts say: one sentence for a change, a digest for many, and the JSON around it."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from reports.places import moment, place
from reports.text import plain
from reports.wording import clock, counted, day, listed
from sitewatch.alert_changes import Change, Kind, Said
from storage.records import canonical, digest, utc_text

FORMAT = "sitewatch-alert/1"

# So many changes are still told one by one; more become a digest.
_ONE_BY_ONE = 3
_VERBS: dict[Kind, str] = {
    "opened": "became unreachable",
    "confirmed": "are blocked, as is confirmed now",
    "ended": "can be reached again",
    "reopened": "are still blocked: what was said before is corrected",
    "corrected": "were blocked at other times than was said before",
    "withdrawn": "were not blocked after all: what was said before is withdrawn",
}


def id_of(changes: Sequence[Change], channel: str) -> str:
    """Return the id of a message: the hash of which changes it tells by which channel."""
    about = [{"subject": change.subject, "turn": change.turn} for change in changes]
    return digest(canonical({"channel": channel, "about": about}))


def body_of(changes: Sequence[Change], channel: str, *, rules: str, simulated: bool) -> str:
    """Return the message as JSON: its id, its text, and the changes as data.

    `rules` is the version of those by which measurements are judged now.
    """
    text = text_of(changes)
    document = {
        "format": FORMAT,
        "id": id_of(changes, channel),
        "simulated": simulated,
        "rules": rules,
        "text": f"SIMULATED: {text}" if simulated else text,
        "changes": [_data(change) for change in changes],
    }
    return msgspec.json.encode(document).decode()


def text_of(changes: Sequence[Change]) -> str:
    """Return what a person reads."""
    if len(changes) <= _ONE_BY_ONE:
        return " ".join(_sentence(change) for change in changes)
    kinds = list(dict.fromkeys(change.kind for change in changes))
    return " ".join(_digest(kind, [c for c in changes if c.kind == kind]) for kind in kinds)


def _sentence(change: Change) -> str:
    said = change.said
    who = f"{plain(said.host)} on {_network(said)}"
    how = ", ".join([*(said.techniques[:1]), said.certainty])
    match change.kind:
        case "opened":
            return f"{who} became unreachable {_onset([said])} ({how})."
        case "confirmed":
            return (
                f"{who} is blocked, which is confirmed now, since {_bare(_onset([said]))} ({how})."
            )
        case "ended":
            return f"{who} can be reached again; it was blocked until {_bare(_end([said]))}."
        case "reopened":
            return f"Correction: {who} is still blocked, since {_bare(_onset([said]))} ({how})."
        case "corrected":
            end = f" until {_bare(_end([said]))}" if said.ended else ""
            return f"Correction: {who} was blocked from {_bare(_onset([said]))}{end}."
        case "withdrawn":
            return f"Correction: {who} was not blocked after all; later data do not bear it out."


def _digest(kind: Kind, changes: Sequence[Change]) -> str:
    """Return "17 targets became unreachable at 04:10 UTC on 19 June: a.example, b.example …"."""
    said = [change.said for change in changes]
    hosts = sorted({plain(one.host) for one in said})
    networks = sorted({_network(one) for one in said})
    when = {"opened": _onset(said), "ended": _end(said)}.get(kind, "")
    return (
        f"{counted(len(hosts), 'target')} {_VERBS[kind]}{' ' if when else ''}{when} "
        f"on {listed(networks, most=3)}: {listed(hosts, most=5)}."
    )


def _network(said: Said) -> str:
    country = place(said.country).name
    if said.asn is None:
        return f"an unknown network in {country}"
    name = f" ({plain(said.network)})" if said.network else ""
    return f"AS{said.asn}{name} in {country}"


def _onset(said: Sequence[Said]) -> str:
    known = [one.onset_earliest for one in said if one.onset_earliest is not None]
    latest = max(one.onset_latest for one in said)
    return _when(min(known), latest) if len(known) == len(said) else f"before {_stamp(latest)}"


def _end(said: Sequence[Said]) -> str:
    earliest = min(
        one.last_failing if one.end_earliest is None else one.end_earliest for one in said
    )
    return _when(earliest, max(one.end_latest or one.last_failing for one in said))


def _when(earliest: float, latest: float) -> str:
    """Return "at 04:10 UTC on 19 June 2017" or "between 04:00 and 04:30 UTC on 19 June 2017"."""
    first, second = moment(earliest), moment(latest)
    if first == second:
        return f"at {_stamp(latest)}"
    if first.date() == second.date():
        return f"between {clock(first)} and {clock(second)} UTC on {day(second, year=True)}"
    return f"between {_stamp(earliest)} and {_stamp(latest)}"


def _stamp(seconds: float) -> str:
    when = moment(seconds)
    return f"{clock(when)} UTC on {day(when, year=True)}"


def _bare(when: str) -> str:
    """Return the words without the "at" that does not go with "since"."""
    return when.removeprefix("at ")


def _data(change: Change) -> dict[str, object]:
    said = change.said
    return {
        "subject": change.subject,
        "turn": change.turn,
        "kind": change.kind,
        "url": said.url,
        "country": said.country,
        "asn": said.asn,
        "network": said.network,
        "certainty": said.certainty,
        "techniques": said.techniques,
        **{
            name: None if seconds is None else utc_text(seconds)
            for name, seconds in (
                ("onset_earliest", said.onset_earliest),
                ("onset_latest", said.onset_latest),
                ("end_earliest", said.end_earliest),
                ("end_latest", said.end_latest),
            )
        },
    }
