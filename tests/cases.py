"""Builders of records for the tests of reports: plain functions that lay steps together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from reports.cases import Case
from storage.reading import Stored
from storage.records import (
    Arm,
    Certificate,
    Connect,
    Exchange,
    Handshake,
    HelperAnswer,
    HelperEndpoint,
    HelperExchange,
    Line,
    Lookup,
    Measurement,
    Purpose,
    Reply,
    Step,
    Vantage,
    Verdict,
    Walk,
    record_id,
    utc_seconds,
    utc_text,
)

NAME = "foreignpolicy.com"
SITE = "192.0.66.88"  # the site's address
NEUTRAL = "93.184.215.14"  # a neutral site's, of another operator
FORGED = "5.61.33.7"  # somebody else's
START = "2017-06-20T05:00:00.000000Z"
UP = Line(state="up", ipv4=True, ipv6=False, resolver_at_home=False)
DOH = "https://dns.google/dns-query"
TIMEOUT = "generic_timeout_error"
RESET = "connection_reset"

FIELD = Vantage(id="aaaa", kind="field", country="KZ", asn=64496, network="Altyn Telecom")
NEIGHBOUR = Vantage(id="bbbb", kind="field", country="KZ", asn=64498, network="Ulytau Mobile")
REFERENCE = Vantage(id="cccc", kind="reference", country="SE", asn=64510, network="Reference")


def later(start: str, seconds: float) -> str:
    """Return the time `seconds` after `start`."""
    return utc_text(utc_seconds(start) + seconds)


def chain(*names: str, issuer: str = "CN=Trusted CA") -> list[Certificate]:
    """Return a chain of one certificate for `names`."""
    return [Certificate(sha256="ab" * 32, subject=f"CN={names[0]}", issuer=issuer, names=[*names])]


# Arms that send a name to a server which does not know it: it shows the certificate it has.
AWAY: tuple[Arm, ...] = ("neutral@site", "none@site", "foreign@neutral", "name@neutral")
STRANGERS: dict[str, Any] = {
    "tls": "ssl_invalid_hostname",
    "certificates": chain("default.example"),
    "valid": False,
}


def lookup(
    answers: Sequence[str] = (SITE,),
    *,
    resolver: str = "system",
    failure: str | None = None,
    name: str = NAME,
    replies: Sequence[Sequence[str]] = (),
    attempt: int = 0,
    hop: int = 0,
    type: str = "A",
    rcode: int | None = None,
) -> Lookup:
    """Return one lookup; `replies` are the answers of datagrams that arrived."""
    return Lookup(
        purpose="repeat" if attempt else "main",
        attempt=attempt,
        hop=hop,
        name=name,
        type=type,
        resolver=resolver,
        answers=list(answers),
        rcode=rcode,
        replies=[Reply(after_us=1000 * i, rcode=0, answers=list(r)) for i, r in enumerate(replies)],
        failure=failure,
        start=START,
        duration_us=9_000,
    )


def connection(
    *,
    address: str = SITE,
    name: str | None = NAME,
    tls: str | None = None,
    tcp: str | None = None,
    http: str | None = None,
    status: int | None = 200,
    title: str | None = "Foreign Policy",
    attempt: int = 0,
    hop: int = 0,
    number: int = 1,
    arm: Arm | None = None,
    certificates: Sequence[Certificate] | None = None,
    valid: bool | None = None,
    headers: Sequence[tuple[str, str]] = (),
    secure: bool = True,
    body_bytes: int = 20_000,
    bytes_received: int | None = None,
) -> list[Step]:
    """Return the steps of one connection: it ends at the first of `tcp`, `tls`, `http` given."""
    purpose: Purpose = "contrast" if arm else "repeat" if attempt else "main"
    port = 443 if secure else 80
    shared = {
        "purpose": purpose,
        "hop": hop,
        "attempt": attempt,
        "arm": arm,
        "connection": number,
        "address": address,
        "start": START,
    }
    steps: list[Step] = [
        Connect(**shared, port=port, failure=tcp, duration_us=41_000)  # type: ignore[arg-type]
    ]
    if tcp is None and secure:
        held = [] if tls else chain(name or "default.example")
        received = certificates if certificates is not None else held
        steps.append(
            Handshake(
                **shared,  # type: ignore[arg-type]
                port=port,
                server_name=name,
                version=None if tls and not received else "TLSv1.3",
                chain=list(received),
                valid=(tls is None) if valid is None and (received or not tls) else valid,
                hello_bytes=517,
                bytes_received=bytes_received,
                failure=tls,
                duration_us=10_000_000 if tls == TIMEOUT else 60_000,
            )
        )
    if tcp is None and (tls is None or not secure) and arm is None:
        steps.append(
            Exchange(
                **shared,  # type: ignore[arg-type]
                url=f"{'https' if secure else 'http'}://{name}/",
                status=None if http else status,
                headers=list(headers),
                title=None if http else title,
                body_bytes=None if http else body_bytes,
                failure=http,
                duration_us=120_000,
            )
        )
    return steps


def loads(attempts: int = 3, **how: object) -> list[Step]:
    """Return the steps of a load and its reloads that all went the same way."""
    steps: list[Step] = []
    for attempt in range(attempts):
        steps += [lookup(attempt=attempt), *connection(attempt=attempt, number=attempt + 1, **how)]  # type: ignore[arg-type]
    return steps


def helper(
    reached: bool = True,
    *,
    answered: bool = True,
    failure: str = TIMEOUT,
    layer: str = "tcp",
    status: int = 200,
    title: str = "Foreign Policy",
    dns: Sequence[str] = (SITE,),
    url: str = "https://helper-one.example/",
) -> HelperAnswer:
    """Return a helper's view: it reached the site, or failed at `layer`."""
    endpoint = f"{SITE}:443"
    blank = HelperAnswer(helper=url, answered=answered, start=START, duration_us=400_000)
    if not answered:
        return _with(blank, failure=failure)
    if layer == "dns" and not reached:
        return _with(blank, dns_failure=failure, exchange=HelperExchange(failure=failure))
    connected = HelperEndpoint(
        status=reached or layer != "tcp", failure=_unless(reached or layer != "tcp", failure)
    )
    shaken = HelperEndpoint(status=reached, failure=_unless(reached, failure))
    page = HelperExchange(status=status, title=title, body_length=20_000)
    return _with(
        blank,
        dns=list(dns),
        connect={endpoint: connected},
        handshake={endpoint: shaken} if connected.status else {},
        exchange=page if reached else HelperExchange(failure=failure),
    )


def _unless(fine: bool, failure: str) -> str | None:
    return None if fine else failure


def _with(answer: HelperAnswer, **changes: object) -> HelperAnswer:
    return msgspec.structs.replace(answer, **changes)


def arms(
    failing: Sequence[Arm] = ("name@site", "name@neutral"),
    *,
    failure: str = TIMEOUT,
    left_out: Sequence[Arm] = (),
    attempt: int = 0,
    name: str = NAME,
    neutral: str = NEUTRAL,
) -> list[Step]:
    """Return the contrast experiment's connections; `failing` arms are cut off."""
    plan: list[tuple[Arm, str | None, str]] = [
        ("neutral@site", "www.example.com", SITE),
        ("none@site", None, SITE),
        ("neutral@neutral", "www.example.com", neutral),
        ("foreign@neutral", "www.iana.org", neutral),
        ("name@neutral", name, neutral),
        ("name@site", name, SITE),
    ]
    steps: list[Step] = []
    for number, (arm, sent, address) in enumerate(plan, start=1):
        if arm in left_out:
            continue
        if arm in failing:
            how: dict[str, Any] = {"tls": failure, "bytes_received": 0}
        else:
            how = {"bytes_received": 3000, **(STRANGERS if arm in AWAY else {})}
        steps += connection(
            arm=arm, name=sent, address=address, number=number, attempt=attempt, **how
        )
    return steps


def walk(address: str = SITE, **facts: object) -> Walk:
    """Return one walk of SYNs to port 443 unless `facts` say otherwise; what is silent ends it."""
    fields: dict[str, object] = {
        "method": "syn",
        "address": address,
        "port": 443,
        "public_from": 2,
        "start": START,
        "duration_us": 1,
        **facts,
    }
    if "answered_at" not in fields:
        fields.setdefault("silent_from", int(str(fields.get("last_router", 0))) + 1)
    return msgspec.convert({"kind": "walk", **fields}, Walk)


def measurement(
    steps: Sequence[Step] = (),
    *,
    url: str = f"https://{NAME}/",
    time: str = START,
    vantage: Vantage = FIELD,
    line: Line = UP,
    helpers: Sequence[HelperAnswer] = (),
    follows: str | None = None,
    complete: bool = True,
    round: str = "sha256:" + "0" * 64,
) -> Measurement:
    """Return a simulated measurement."""
    return Measurement(
        simulated=True,
        tool="sitewatch 0.1.0",
        url=url,
        time=time,
        round=round,
        follows=follows,
        complete=complete,
        tier="probing",
        vantage=vantage,
        line=line,
        steps=list(steps),
        helpers=list(helpers),
    )


def stored(record: Measurement) -> Stored[Measurement]:
    """Return a record with its id."""
    return Stored(record_id(record), record)


def case(
    record: Measurement,
    *,
    contrast: Sequence[Step] = (),
    witnesses: Sequence[Measurement] = (),
) -> Case:
    """Return a case; `contrast` are the steps of a follow-up."""
    id = record_id(record)
    follow_ups: tuple[Stored[Measurement], ...] = ()
    if contrast:
        followed = measurement(contrast, url=record.url, follows=id, time=later(record.time, 30))
        follow_ups = (stored(followed),)
    return Case(
        id=id,
        measurement=record,
        follow_ups=follow_ups,
        witnesses=tuple(stored(witness) for witness in witnesses),
    )


def essence(verdict: Verdict) -> tuple[str, str | None, str | None, str | None]:
    """Return what a verdict says, without its reasons."""
    return verdict.status, verdict.layer, verdict.technique, verdict.certainty
