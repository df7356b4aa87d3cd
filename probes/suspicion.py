"""Which facts call for a second look. Pure functions over steps; they conclude nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from probes.addresses import endpoint, is_public
from storage.failures import Failure
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    HelperAnswer,
    Lookup,
    Quic,
    Step,
)


@dataclass(frozen=True)
class Endpoint:
    """An address and a port of it."""

    address: str
    port: int


@dataclass(frozen=True)
class Suspect:
    """A name that may be what fails, and the address and port at which it was sent."""

    name: str
    address: str
    port: int
    path: str = "/"  # of the request, with its query
    began: bool = False  # did the answer begin to come, and stop


def looks_wrong(steps: Sequence[Step], helpers: Sequence[HelperAnswer], attempt: int) -> bool:
    """Tell whether anything in one attempt (0 is the first visit) is not as it should be."""
    mine = [step for step in steps if step.attempt == attempt and step.purpose != "contrast"]
    return (
        not _ended_with_a_page(mine)
        or any(_failed(step) for step in _of_the_system(mine))
        or any(_replies_differ(step) for step in mine if isinstance(step, Lookup))
        or _page_differs(mine, helpers)
    )


def silent_for_all(steps: Sequence[Step], helpers: Sequence[HelperAnswer]) -> bool:
    """Tell whether two helpers met, at each address, the silence that was met here.

    No chance on this line explains what three met at once, and a second look from here could not
    tell it from a site that is down. Not so where any helper got further at any address.
    """
    reached = max((step.hop for step in steps), default=0)
    tried = [
        step for step in _of_the_system(steps) if isinstance(step, Connect) and step.hop == reached
    ]
    if not tried or any(step.failure != Failure.TIMEOUT for step in tried):
        return False
    places = {endpoint(step.address, step.port) for step in tried}
    met = {helper.helper: helper.connect for helper in helpers if helper.answered}
    if any(each.status for connects in met.values() for each in connects.values()):
        return False
    silent = [
        connects
        for connects in met.values()
        if places <= connects.keys()
        and all(connects[place].failure == Failure.TIMEOUT for place in places)
    ]
    return len(silent) >= _WITNESSES


_WITNESSES = 2  # one helper may lie, or be as unlucky as we were


def failed_handshake(steps: Sequence[Step], attempt: int) -> Suspect | None:
    """Return the last failed handshake up to an attempt, of the system's addresses if any.

    One that failed once, and has gone well since, is none.
    """
    for each in range(attempt, -1, -1):
        mine = [step for step in steps if step.attempt == each]
        for step in [*_of_the_system(mine), *mine]:
            if not isinstance(step, Handshake) or not _failed(step) or not step.server_name:
                continue
            latest = _is_latest(steps, each, attempt, step.address, step.port)
            if latest or _failed_twice(steps, each, step.address):
                return Suspect(step.server_name, step.address, step.port)
    return None


def failed_beside(steps: Sequence[Step]) -> Suspect | None:
    """Return the handshake that failed at an address which the system's resolver did not give.

    Where that resolver lies, what else is done to the name shows only there. None where the name
    was cut off at one of the system's own addresses, or completed TLS anywhere.
    """
    last = max((step.hop for step in steps), default=0)
    here = [step for step in steps if step.hop == last and step.purpose != "contrast"]
    own = _of_the_system(here)
    shaken = [step for step in here if isinstance(step, Handshake) and step.server_name]
    if any(step.valid or (step in own and not step.chain) for step in shaken):
        return None
    lookups = [step for step in here if isinstance(step, Lookup)]
    trusted = {each for step in lookups if _is_encrypted(step) for each in step.answers}
    others = [step for step in shaken if step not in own]
    best = min(others, key=lambda step: step.address not in trusted, default=None)
    return None if best is None else Suspect(best.server_name or "", best.address, best.port)


def unknown_addresses(steps: Sequence[Step], helpers: Iterable[HelperAnswer]) -> list[str]:
    """Return the addresses of the first name that two helpers gave, and nobody here.

    Empty where an encrypted resolver answered, or an address completed TLS: then enough is known.
    One helper alone is not followed to an address of its choice.
    """
    first = [step for step in steps if step.hop == 0]
    lookups = [step for step in first if isinstance(step, Lookup)]
    if _encrypted_answered(lookups):
        return []
    if any(isinstance(step, Handshake) and step.valid for step in first):
        return []
    known = {address for step in lookups for address in step.answers}
    return [address for address in _agreed(helpers) if address not in known]


def _agreed(helpers: Iterable[HelperAnswer]) -> list[str]:
    """Return the public addresses that two helpers or more gave for the first name.

    No word from abroad leads into the volunteer's own network.
    """
    said = Counter(address for helper in helpers for address in dict.fromkeys(helper.dns))
    return [each for each, times in said.items() if times >= _WITNESSES and is_public(each)]


def failed_request(
    steps: Sequence[Step], helpers: Sequence[HelperAnswer], attempt: int
) -> Suspect | None:
    """Return the last request in clear up to an attempt that got no page, or another one."""
    for each in range(attempt, -1, -1):
        for step in _of_the_system([step for step in steps if step.attempt == each]):
            if not isinstance(step, Exchange) or not step.url.startswith("http:"):
                continue
            parts = urlsplit(step.url)
            wrong = _failed(step) or _page_differs([step], helpers)
            port = parts.port or 80
            if parts.hostname and wrong and _is_latest(steps, each, attempt, step.address, port):
                began = step.status is not None and _failed(step)
                return Suspect(parts.hostname, step.address, port, _path(step.url), began)
    return None


def unopened_endpoint(
    steps: Sequence[Step], helpers: Sequence[HelperAnswer], attempt: int
) -> Endpoint | None:
    """Return the first of the system's addresses that never opened, while a helper opens it.

    None where any other of them did.
    """
    last = max((step.hop for step in steps), default=0)
    tried = [
        step
        for step in _of_the_system(steps)
        if isinstance(step, Connect) and step.hop == last and step.port
    ]
    if any(not _failed(step) for step in tried):
        return None
    latest = (step for step in tried if step.attempt == attempt)
    endpoints = [Endpoint(step.address, step.port) for step in latest]
    return next((each for each in endpoints if is_opened_outside(each, helpers)), None)


def is_opened_outside(place: Endpoint, helpers: Iterable[HelperAnswer]) -> bool:
    """Tell whether any helper opened a connection to it."""
    shown = endpoint(place.address, place.port)
    return any(
        shown in helper.connect and bool(helper.connect[shown].status)
        for helper in helpers
        if helper.answered
    )


def no_name_passed(steps: Sequence[Step], place: Endpoint) -> bool:
    """Tell whether contrasts were run at an address and no arm got anything from there."""
    sent = [
        step
        for step in steps
        if isinstance(step, Handshake | Exchange | Connect)
        and step.purpose == "contrast"
        and step.address == place.address
    ]
    answers = [step for step in sent if isinstance(step, Handshake) and step.bytes_received]
    pages = [step for step in sent if isinstance(step, Exchange) and step.status is not None]
    return bool(sent) and not answers and not pages


def _is_latest(steps: Sequence[Step], attempt: int, last: int, address: str, port: int) -> bool:
    """Tell whether an attempt is the last one, or the last in which an endpoint opened.

    After a name was cut off nothing at all may pass to its address for minutes: a penalty.
    """
    later = [
        step
        for step in steps
        if isinstance(step, Connect)
        and attempt < step.attempt <= last
        and (step.address, step.port) == (address, port)
    ]
    return attempt == last or (bool(later) and all(map(_failed, later)))


def _failed_twice(steps: Sequence[Step], attempt: int, address: str) -> bool:
    """Tell whether handshakes failed in two attempts, whatever passed since.

    Where packets with a name are lost, but not every one, a handshake passes now and then.
    """
    shaken = (s for s in steps if isinstance(s, Handshake) and s.address == address)
    return len({step.attempt for step in shaken if _failed(step) and step.attempt <= attempt}) > 1


def doubted_lookup(steps: Sequence[Step], helpers: Iterable[HelperAnswer]) -> Suspect | None:
    """Return the first name whose plain answers failed, raced or differ from trusted ones.

    Those are what encrypted resolvers answer, and what two helpers agree on where none does. The
    suspect's address is a public resolver that was asked, its port 53.
    """
    lookups = [step for step in steps if isinstance(step, Lookup) and step.type == "A"]
    plain = [step for step in lookups if step.arm is None and not _is_encrypted(step)]
    trusted: dict[str, set[str]] = {}
    for step in lookups:
        if _is_encrypted(step):
            trusted.setdefault(step.name, set()).update(step.answers)
    if plain and not _encrypted_answered(lookups):
        trusted[plain[0].name] = set(_agreed(helpers))  # they speak of the first name alone
    asked = next((step.address for step in plain if step.address), None)
    for step in plain:
        known = trusted.get(step.name, set())
        differs = bool(known) and not known & set(step.answers)
        if asked and (_replies_differ(step) or differs):
            return Suspect(step.name, asked, 53)
    return None


def stalled_exchange(steps: Sequence[Step], attempt: int) -> Suspect | None:
    """Return the name whose page inside valid TLS began and then stopped."""
    for shaken, step in _inside_tls(steps, attempt):
        # A record of TLS holds up to 16 KB: what froze inside the first one was never read.
        began = step.status is not None or (step.wire_bytes or 0) >= _A_PAGE_BEGAN
        if began and step.failure == Failure.TIMEOUT:
            return _inside(shaken, step)
    return None


def slow_exchange(
    steps: Sequence[Step], attempt: int, pace_of_others: float | None
) -> Suspect | None:
    """Return the name whose page inside valid TLS came, but so slowly as throttled pages do.

    Where others are known to come no faster on this line (bytes per second), nothing is.
    """
    for shaken, step in _inside_tls(steps, attempt):
        found = pace(step)
        if found is None or found >= _SLOW:
            continue
        if pace_of_others is None or found < pace_of_others / _MUCH_SLOWER:
            return _inside(shaken, step)
    return None


def silent_quic(steps: Sequence[Step]) -> Suspect | None:
    """Return the name to whose QUIC handshake nothing at all came back."""
    for step in steps:
        if isinstance(step, Quic) and step.failure is not None and not step.datagrams_received:
            return Suspect(step.server_name, step.address, step.port)
    return None


def pace(step: Exchange) -> float | None:
    """Return the bytes per second at which a body came, None of one too short to tell."""
    received, end = step.received_bytes or 0, step.last_byte_us or 0
    return received / (end / 1e6) if received >= _TELLING and end > 0 else None


_A_PAGE_BEGAN = 2048  # bytes: more than the tickets that follow a handshake
_TELLING = 16_384  # bytes, below which a handful of round trips decide
_SLOW = 25_000  # bytes per second; throttling was measured at 16,000
_MUCH_SLOWER = 3.0  # times


def _inside_tls(steps: Sequence[Step], attempt: int) -> list[tuple[Handshake, Exchange]]:
    """Return the exchanges of one attempt inside TLS that is valid for the name."""
    mine = [step for step in steps if step.attempt == attempt]
    shaken = {step.connection: step for step in mine if isinstance(step, Handshake) and step.valid}
    return [
        (shaken[step.connection], step)
        for step in mine
        if isinstance(step, Exchange) and step.connection in shaken
    ]


def _inside(shaken: Handshake, step: Exchange) -> Suspect:
    name = shaken.server_name or shaken.address
    return Suspect(name, shaken.address, shaken.port, _path(step.url))


def _path(url: str) -> str:
    return urlsplit(url)._replace(scheme="", netloc="", fragment="").geturl() or "/"


def _is_encrypted(lookup: Lookup) -> bool:
    return lookup.resolver.startswith("https:")


def _encrypted_answered(lookups: Iterable[Lookup]) -> bool:
    return any(_is_encrypted(lookup) and lookup.rcode is not None for lookup in lookups)


def _of_the_system(steps: Sequence[Step]) -> list[Step]:
    """Return what a browser would meet: the system's answers and the steps at its addresses."""
    lookups = [step for step in steps if isinstance(step, Lookup) and step.resolver == "system"]
    known: dict[int, set[str]] = {}
    for lookup in lookups:
        known.setdefault(lookup.hop, set()).update(lookup.answers)
    chosen: list[Step] = []
    for hop, addresses in known.items():
        if not addresses:  # one family without an answer is ordinary, both are not
            chosen += [lookup for lookup in lookups if lookup.hop == hop]
    for step in steps:
        if isinstance(step, Lookup | Quic):  # without QUIC a browser goes on over TCP
            continue
        addresses = known.get(step.hop, set())
        if not known or step.hop not in known or step.address in addresses:
            chosen.append(step)
    return chosen


def _failed(step: Step) -> bool:
    return step.failure is not None


def _ended_with_a_page(steps: Iterable[Step]) -> bool:
    exchanges = [step for step in _of_the_system(list(steps)) if isinstance(step, Exchange)]
    if not exchanges:
        return False
    last = max(exchanges, key=lambda step: step.hop)
    reached = max((step.hop for step in steps if isinstance(step, Lookup)), default=0)
    return last.failure is None and last.status is not None and last.hop >= reached


def _replies_differ(lookup: Lookup) -> bool:
    """Tell whether a race left replies that say different things."""
    said = {(reply.rcode, tuple(sorted(reply.answers))) for reply in lookup.replies}
    return len(said) > 1


def _page_differs(steps: Iterable[Step], helpers: Iterable[HelperAnswer]) -> bool:
    """Tell whether a page that came without TLS is another than elsewhere.

    By its status, its title, or because most of it is missing.
    """
    pages = [
        step
        for step in steps
        if isinstance(step, Exchange) and step.url.startswith("http:") and step.status is not None
    ]
    if not pages:
        return False
    last = max(pages, key=lambda step: step.hop)
    seen = [
        helper.exchange
        for helper in helpers
        if helper.answered and helper.exchange.status is not None
    ]
    return bool(seen) and all(
        page.status != last.status
        or (page.title or "") != (last.title or "")
        or (not last.truncated and (last.body_bytes or 0) < _MOST_CUT_OUT * (page.body_length or 0))
        for page in seen
    )


_MOST_CUT_OUT = 0.3  # of a page with the right title: less of it than this is another page
