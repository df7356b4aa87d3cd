"""A month of records in a store: three networks, eight sites, one of them blocked for a time."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from storage.records import (
    HelperAnswer,
    Line,
    LineState,
    Measurement,
    Round,
    Step,
    Vantage,
    record_id,
    utc_seconds,
    utc_text,
)
from storage.store import Store
from tests.cases import NAME, TIMEOUT, UP, arms, helper, loads, measurement

HOUR = 3600.0
BLOCK = (
    utc_seconds("2017-06-19T15:25:00.000000Z"),
    utc_seconds("2017-07-05T06:40:00.000000Z"),
)
DOWN = (
    utc_seconds("2017-06-24T00:00:00.000000Z"),
    utc_seconds("2017-06-25T00:00:00.000000Z"),
)
DARK = (
    utc_seconds("2017-06-27T15:00:00.000000Z"),
    utc_seconds("2017-06-28T02:00:00.000000Z"),
)
NETWORKS = (
    (64496, "Altyn Telecom"),
    (64497, "Saryarka Online"),
    (64498, "Ulytau Mobile"),
)
SITES = (
    NAME,
    "steppe-times.example",
    "karatau-review.example",
    "visitors-from-elsewhere.example",
    "many-places.example",
    "old-pages.example",
    "moved-house.example",
    "aral-notes.example",
)


def round_times(first: str, last: str) -> list[float]:
    """Return the starts of rounds: every 12 hours, every 2 on 19–20 June and 5 July."""
    dense = ("2017-06-19", "2017-06-20", "2017-07-05")
    start, end = utc_seconds(f"{first}T00:00:00.000000Z"), utc_seconds(f"{last}T23:59:59.000000Z")
    times = []
    moment = start
    while moment < end:
        hour = round((moment - start) / HOUR) % 24
        if utc_text(moment)[:10] in dense or hour % 12 == 0:
            times.append(moment + 300)
        moment += 2 * HOUR
    return times


def write_month(
    path: Path,
    *,
    first: str = "2017-06-12",
    last: str = "2017-07-10",
    networks: Sequence[tuple[int, str]] = NETWORKS,
    sites: Sequence[str] = SITES,
    title: str = "Foreign Policy",
    states: Sequence[LineState] = (),
    country: str = "KZ",
) -> Path:
    """Write the month into a database; `states` overrides the lines of the first rounds."""
    with Store(path) as store:
        futures = []
        for asn, network in networks:
            vantage = store.own_vantage(country=country, asn=asn, network=network)
            for number, moment in enumerate(round_times(first, last)):
                forced = states[number] if number < len(states) else None
                for record in _round(vantage, moment, sites, title, forced):
                    futures.append(store.add(record))
        for future in futures:
            future.result()
    return path


def _round(
    vantage: Vantage,
    moment: float,
    sites: Sequence[str],
    title: str,
    forced: LineState | None,
) -> Iterable[Round | Measurement]:
    dark = vantage.asn == 64498 and DARK[0] <= moment < DARK[1]
    state: LineState = forced or ("down" if dark else "up")
    head = Round(
        simulated=True,
        tool="sitewatch 0.1.0",
        time=utc_text(moment),
        vantage=vantage,
        line=Line(state=state) if state != "up" else UP,
        targets=len(sites),
    )
    yield head
    if state != "up":
        return
    for position, host in enumerate(sites):
        time = moment + 5 * position + (vantage.asn or 0) % 8
        steps, helpers, follow = _site(vantage, host, time, title)
        main = measurement(
            steps,
            url=f"https://{host}/",
            time=utc_text(time),
            vantage=vantage,
            helpers=helpers,
            round=record_id(head),
        )
        yield main
        if follow:
            yield measurement(
                arms(),
                url=main.url,
                time=utc_text(time + 20),
                vantage=vantage,
                follows=record_id(main),
                round=main.round,
            )


def _site(
    vantage: Vantage, host: str, moment: float, title: str
) -> tuple[list[Step], list[HelperAnswer], bool]:
    """The steps and the helpers' views of one site at one moment, and whether arms follow."""
    second = "https://helper-two.example/"
    fine = [helper(title=title), helper(url=second, title=title)]
    if host == NAME and vantage.asn != 64498 and BLOCK[0] <= moment < BLOCK[1]:
        return loads(3, tls=TIMEOUT), fine, True
    if host == "karatau-review.example" and DOWN[0] <= moment < DOWN[1]:
        return loads(3, tcp=TIMEOUT, name=host), [helper(False), helper(False, url=second)], False
    status = 403 if host == "visitors-from-elsewhere.example" else 200
    return loads(1, name=host, status=status, title=title), fine, False
