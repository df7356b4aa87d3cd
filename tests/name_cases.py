"""Steps of lookups that fail, lie or race, for tests of rules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from storage.records import Arm, Line, Lookup, Measurement, Reply, Step
from tests.cases import (
    DOH,
    FIELD,
    FORGED,
    NAME,
    NEUTRAL,
    RESET,
    SITE,
    START,
    TIMEOUT,
    UP,
    chain,
    connection,
    helper,
    lookup,
    measurement,
)
from tests.experiment_cases import ARMS


def denied(line: Line, public: Sequence[str] = (SITE,)) -> list[Step]:
    steps: list[Step] = [lookup(public, resolver="udp")]
    for attempt in range(3):
        steps += [lookup([], failure="dns_nxdomain_error", attempt=attempt)]
        steps += [lookup(resolver=DOH, attempt=attempt), *connection(attempt=attempt)]
    return steps


AT_HOME = Line(state="up", ipv4=True, resolver_at_home=True)


def questions(answered: Sequence[Arm]) -> list[Step]:
    return [
        Lookup(
            purpose="contrast",
            arm=arm,
            name=name,
            type="A",
            resolver="udp",
            address="8.8.8.8" if arm.endswith("site") else NEUTRAL,
            answers=[FORGED] if arm in answered else [],
            replies=[Reply(after_us=9000, rcode=0, answers=[FORGED])] if arm in answered else [],
            failure=None if arm in answered else TIMEOUT,
            start=START,
            duration_us=9000,
        )
        for arm, name, _ in ARMS
    ]


def twice_blocked(*, line: Line | None = None) -> Measurement:
    """Return loads led to a reserved address; the true one, tried as well, cuts the name off."""
    steps: list[Step] = [lookup(resolver="udp"), lookup(resolver=DOH)]
    steps += connection(tls=TIMEOUT, number=9)
    for attempt in range(3):
        steps += [lookup(["10.10.34.35"], attempt=attempt)]
        steps += connection(address="10.10.34.35", tcp=TIMEOUT, attempt=attempt)
    return measurement(steps, helpers=[helper()], line=line or UP)


FOREIGN: dict[str, Any] = {"tls": "ssl_invalid_hostname", "certificates": chain("other.example")}


def at_edge(*edge: Step) -> list[Step]:
    """Return loads led to an edge that only the operator's resolver gives; another one works."""
    steps: list[Step] = []
    for attempt in range(3):
        steps += [lookup([FORGED], attempt=attempt), lookup(resolver=DOH, attempt=attempt)]
        steps += [msgspec.structs.replace(step, attempt=attempt) for step in edge]
        steps += connection(attempt=attempt, number=9)
    return steps


STRANGER = connection(address=FORGED, number=8, **FOREIGN)


IN_CLEAR = f"http://{NAME}/"


POOL = ("31.13.94.37", "162.125.2.5", "104.244.46.85")


ENDINGS: tuple[dict[str, Any], ...] = ({"tcp": TIMEOUT}, FOREIGN, {"tls": RESET})


def rotated(addresses: Sequence[str], *, racing: bool = True) -> list[Step]:
    """Return loads that each meet another answer and end in another way; the true one works."""
    steps: list[Step] = [lookup(resolver=DOH), *connection(number=9)]
    for attempt, (address, ending) in enumerate(zip(addresses, ENDINGS, strict=True)):
        replies = [(address,), (SITE,)] if racing else [(address,)]
        steps.append(lookup([address], attempt=attempt, replies=replies))
        steps += connection(address=address, attempt=attempt, number=attempt + 1, **ending)
    return steps


def led_to(
    address: str, *, country: str = "KZ", title: str = "Notice", known: Sequence[str] = (SITE,)
) -> Measurement:
    """Return three loads in clear of a page from where the resolver led."""
    steps: list[Step] = [lookup(known, resolver=DOH, rcode=0)]
    for attempt in range(3):
        steps += [lookup([address], attempt=attempt)]
        steps += connection(
            address=address, secure=False, attempt=attempt, number=attempt + 1, title=title
        )
    vantage = msgspec.structs.replace(FIELD, country=country)
    views = [helper(), helper(url="https://helper-two.example/")]
    return measurement(steps, url=IN_CLEAR, helpers=views, vantage=vantage)
