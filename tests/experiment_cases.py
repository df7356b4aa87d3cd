"""Steps of experiments and walks as a prober records them, for tests of rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from storage.records import (
    Arm,
    Exchange,
    Instrument,
    Line,
    Purpose,
    Round,
    Step,
)
from tests.cases import (
    AWAY,
    DOH,
    FIELD,
    NAME,
    NEUTRAL,
    SITE,
    START,
    STRANGERS,
    chain,
    connection,
    loads,
    lookup,
    walk,
)

NEXT = "192.0.66.89"  # the address beside the site's


ARMS: list[tuple[Arm, str, str]] = [
    ("neutral@neutral", "www.example.com", NEUTRAL),
    ("neutral@site", "www.example.com", SITE),
    ("foreign@neutral", "www.iana.org", NEUTRAL),
    ("name@neutral", NAME, NEUTRAL),
    ("name@site", NAME, SITE),
]


NAMED: list[Arm] = ["name@site", "name@neutral"]


PLAIN = f"http://{NAME}/"


def answer(
    arm: Arm | None,
    name: str,
    address: str,
    *,
    number: int = 1,
    attempt: int = 0,
    failure: str | None = None,
    title: str = "",
    status: int = 200,
    location: str | None = None,
) -> Exchange:
    """Return an answer over plain HTTP, of a contrast's arm, a reload or the first load."""
    purpose: Purpose = "contrast" if arm else "repeat" if attempt else "main"
    return Exchange(
        purpose=purpose,
        attempt=attempt,
        arm=arm,
        connection=number,
        url=f"http://{name}/",
        address=address,
        status=None if failure else status,
        headers=[("Location", location)] if location else [],
        title=title or None,
        body_sha256=f"{title}{location}".encode().hex(),
        body_bytes=900,
        failure=failure,
        start=START,
        duration_us=50_000,
    )


def clear_loads(**how: object) -> list[Step]:
    steps: list[Step] = [lookup()]
    for attempt in range(3):
        opened = connection(secure=False, attempt=attempt, number=attempt + 1)[0]
        shown = answer(None, NAME, SITE, number=attempt + 1, attempt=attempt, **how)  # type: ignore[arg-type]
        steps += [opened, shown]
    return steps


def requests(forged: Sequence[Arm], **how: object) -> list[Step]:
    """Return the arms; `forged` ones end as `how` says, others with their server's own page."""
    return [
        answer(arm, name, address, number=n, **how)  # type: ignore[arg-type]
        if arm in forged
        else answer(arm, name, address, number=n, title=f"{name} at {address}")
        for n, (arm, name, address) in enumerate(ARMS, start=20)
    ]


def hellos(failing: Sequence[Arm], **how: object) -> list[Step]:
    steps: list[Step] = []
    for number, (arm, name, address) in enumerate(ARMS, start=20):
        given: dict[str, Any] = STRANGERS if arm in AWAY else {}
        if arm in failing:
            given = how
        steps += connection(arm=arm, name=name, address=address, number=number, **given)
    return steps


FALSE = chain(NAME, issuer="CN=Gateway")


STRANGE = {"tls": "ssl_unknown_authority", "certificates": FALSE, "valid": False}


def strange_loads() -> list[Step]:
    return [*loads(3, **STRANGE), lookup(resolver=DOH)]


def round_with(*steps: Step, age: int | None = 30) -> Round:
    return Round(
        simulated=True,
        tool="sitewatch 0.1.0",
        time=START,
        vantage=FIELD,
        line=Line(state="up", ipv4=True),
        steps=list(steps),
        targets=1,
        instrument=Instrument(roots_age_days=age),
    )


def neutral_site(**how: object) -> list[Step]:
    return connection(name="www.example.com", address=NEUTRAL, **how)  # type: ignore[arg-type]


def paired(slow: int, fair: int) -> list[Step]:
    steps: list[Step] = []
    pairs: list[tuple[Arm, str]] = [("name@site", NAME), ("neutral@site", "www.example.com")]
    for attempt in range(slow + fair):
        for number, (arm, name) in enumerate(pairs):
            n = 100 + 2 * attempt + number
            held = attempt < slow and arm == "name@site"
            shaken = connection(arm=arm, name=name, number=n, attempt=attempt)
            load = answer(arm, NAME, SITE, number=n, attempt=attempt, title="x")
            rate = {"received_bytes": 90_000, "last_byte_us": 9_000_000 if held else 100_000}
            steps += [*shaken, msgspec.structs.replace(load, **rate)]
    return steps


# Nobody is at the address beside the site's: packets to it pass eight routers and are lost.
BESIDE = walk(NEXT, last_router=8)


HERE: dict[str, dict[str, object]] = {
    "silence": {"last_router": 3},
    "reset": {"answered_at": 4, "answer": "reset"},
    "unreachable": {"answered_at": 4, "answer": "unreachable", "last_router": 3},
}


def stopped(how: str = "silence", pairs: int = 2, **facts: object) -> list[Step]:
    """Return pairs of walks: to the site, which end at the fourth hop, and beside it."""
    return [walk(SITE, **{**HERE[how], **facts}), BESIDE] * pairs
