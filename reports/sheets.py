"""Evidence sheets: representative measurements of an episode, step by step, for people."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from reports.cases import Case
from reports.catalogue import N_
from reports.contrast import ArmResult
from reports.evidence import Evidence
from reports.locating import located
from reports.outside import network_name
from reports.readings import Reading
from reports.stored_cases import StoredCases
from reports.techniques import FAILURES_IN_WORDS
from reports.text import plain
from reports.wording import ENGLISH, Words
from storage.failures import Failure
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    HelperAnswer,
    HelperEndpoint,
    Lookup,
    Quic,
    Step,
    Verdict,
    Walk,
    corrected_seconds,
)

MOST_STEPS = 40
MOST_OF_AN_EPISODE = 3  # representative measurements of one episode
_STRENGTH = {"confirmed": 2, "likely": 1}
_WHOSE = {"system": N_("the system's resolver"), "udp": N_("a public resolver")}
_ARMS = {
    "neutral@site": (N_("a neutral name"), N_("the site's address")),
    "none@site": (N_("no name"), N_("the site's address")),
    "name@site": (N_("the site's name"), N_("the site's address")),
    "neutral@neutral": (N_("a neutral name"), N_("an unrelated address")),
    "foreign@neutral": (N_("a foreign, harmless name"), N_("an unrelated address")),
    "name@neutral": (N_("the site's name"), N_("an unrelated address")),
}
_OUTCOMES = {True: N_("answered"), False: N_("cut off"), None: N_("says nothing")}


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a sheet. `ok` None: it neither worked nor failed."""

    what: str
    where: str
    result: str
    ok: bool | None
    took: str = ""


class Sheet(msgspec.Struct, frozen=True, kw_only=True):
    """One measurement laid out: its steps, its helpers, its contrast experiment, its hop."""

    id: str
    follow_ups: tuple[str, ...]
    seconds: float
    network: str
    path: str | None  # its technique
    certainty: str | None
    rules: tuple[str, ...]
    reasons: tuple[str, ...]  # as they are kept with the verdict, in English
    steps: tuple[Row, ...]
    left_out: int
    arms: tuple[Row, ...]
    helpers: tuple[Row, ...]
    hop: str | None  # where on the way it happens, if a walk told


def representatives(
    failing: Sequence[Reading], cases: StoredCases, most: int = MOST_OF_AN_EPISODE
) -> list[Reading]:
    """Return the failing readings to show: for each technique, the most frequent first, one.

    Of one technique that of the strongest certainty, with an experiment, the earliest.
    """
    by_path: dict[str, list[Reading]] = {}
    for reading in failing:
        if reading.id in cases:
            by_path.setdefault(reading.path or "", []).append(reading)
    groups = sorted(by_path.values(), key=len, reverse=True)
    return [min(group, key=lambda r: _worth(r, cases)) for group in groups[:most]]


def _worth(reading: Reading, cases: StoredCases) -> tuple[int, bool, float, str]:
    strength = _STRENGTH.get(reading.certainty or "", 0)
    return -strength, not cases.follow_ups(reading.id), reading.seconds, reading.id


def sheet_of(case: Case, verdict: Verdict, words: Words = ENGLISH) -> Sheet:
    """Lay out one judged case."""
    evidence = Evidence(case)
    said = _Said(words)
    plain_steps = sorted(
        (s for s in case.measurement.steps if s.arm is None and not isinstance(s, Walk)),
        key=lambda step: (step.attempt, step.hop, step.start),
    )
    hop = located(evidence.walks, words)
    known = hop is not None and hop.what != "unknown"
    path = f"{verdict.layer}.{verdict.technique}" if verdict.layer else None
    return Sheet(
        id=case.id,
        follow_ups=tuple(stored.id for stored in case.follow_ups),
        seconds=corrected_seconds(case.measurement),
        network=plain(network_name(case.measurement.vantage)),
        path=path,
        certainty=verdict.certainty,
        rules=tuple(verdict.rules),
        reasons=tuple(plain(reason, 500) for reason in verdict.reasons),
        steps=tuple(said.step(step) for step in plain_steps[:MOST_STEPS]),
        left_out=max(0, len(plain_steps) - MOST_STEPS),
        arms=tuple(said.arm(result) for result in evidence.contrast.results),
        helpers=tuple(said.helper(answer) for answer in case.measurement.helpers),
        hop=plain(hop.sentence, 300) if hop is not None and known else None,
    )


def took(microseconds: int) -> str:
    """Return a duration such as "9 ms" or "2.0 s"."""
    milliseconds = microseconds / 1000
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


class _Said:
    """Steps, arms and helpers' answers as rows, in one language."""

    def __init__(self, words: Words) -> None:
        self.words, self.text = words, words.text

    def failure(self, failure: str) -> str:
        """A stored failure with its meaning, "no answer in time (generic_timeout_error)"."""
        meaning = FAILURES_IN_WORDS.get(failure)
        return plain(failure) if meaning is None else f"{self.text(meaning)} ({failure})"

    def step(self, step: Step) -> Row:
        if isinstance(step, Lookup):
            what, where, result, ok = self._lookup(step)
        elif isinstance(step, Handshake):
            what, where, result, ok = self._handshake(step)
        elif isinstance(step, Exchange):
            what, where, result, ok = self._exchange(step)
        else:
            names = {Connect: self.text("connect"), Quic: "QUIC"}
            what = names.get(type(step), self.text("walk"))
            where, ok = _endpoint(step.address, step.port), step.failure is None
            result = self.failure(step.failure) if step.failure else self.text("connected")
        if step.attempt:
            what = self.text("reload {n}: {what}", n=step.attempt, what=what)
        if step.hop:
            what = self.text("{what} (redirect {n})", what=what, n=step.hop)
        return Row(
            what=what,
            where=plain(where),
            result=plain(result, 200),
            ok=ok,
            took=took(step.duration_us),
        )

    def _lookup(self, step: Lookup) -> tuple[str, str, str, bool | None]:
        whose = self.text(_WHOSE.get(step.resolver, N_("an encrypted resolver")))
        what = self.text("look up {name} {type}", name=plain(step.name), type=plain(step.type))
        # Most sites have no IPv6 address, and many no HTTPS record.
        none = step.failure in (None, Failure.DNS_NO_ANSWER) and not step.answers
        if step.type != "A" and none:
            return what, whose, self.text("none, as with many sites"), None
        if step.failure is not None:
            return what, whose, self.failure(step.failure), False
        found = self.words.listed([plain(answer) for answer in step.answers])
        return what, whose, found or self.text("no address"), bool(step.answers)

    def _handshake(self, step: Handshake) -> tuple[str, str, str, bool]:
        endpoint = _endpoint(step.address, step.port)
        where = self.text("{endpoint}, no name sent", endpoint=endpoint)
        if step.server_name:
            name = plain(step.server_name)
            where = self.text("{endpoint}, name {name} sent", endpoint=endpoint, name=name)
        if step.valid:
            version = step.version or "TLS"
            result = self.text("valid certificate, {version}", version=version)
            return "TLS", where, result, step.failure is None
        result = self.text("no valid certificate")
        if step.failure:
            result = self.failure(step.failure)
        if step.chain:
            issuer = plain(step.chain[0].issuer or "–")
            result = self.text("{result}; issued by {issuer}", result=result, issuer=issuer)
        elif step.bytes_received == 0:
            result = self.text("{result}; not one byte came back", result=result)
        return "TLS", where, result, False

    def _exchange(self, step: Exchange) -> tuple[str, str, str, bool]:
        what = self.text("request")
        if step.status is None:
            result = self.failure(step.failure) if step.failure else self.text("no answer")
            return what, step.url, result, False
        result = self._page(step.status, step.title)
        if step.failure:
            result += f", {self.failure(step.failure)}"
        return what, step.url, result, step.failure is None and step.status < 400

    def _page(self, status: int, title: str | None) -> str:
        if title:
            title = plain(title, 80)
            return self.text("status {status}, title “{title}”", status=status, title=title)
        return self.text("status {status}", status=status)

    def arm(self, result: ArmResult) -> Row:
        name, address = (self.text(part) for part in _ARMS[result.arm])
        outcome = self.text(_OUTCOMES[result.passed])
        if result.passed is False and result.failure:
            outcome += f": {self.failure(result.failure)}"
        sent = f"{name}, {plain(result.name)}" if result.name else name
        return Row(
            what=self.text("{what} (again)", what=sent) if result.attempt else sent,
            where=f"{address}, {plain(result.address)}",
            result=plain(outcome),
            ok=result.passed,
        )

    def helper(self, answer: HelperAnswer) -> Row:
        ok: bool | None
        if not answer.answered:
            why = plain(answer.failure or self.text("no reason given"))
            result, ok = self.text("did not answer ({why})", why=why), None
        elif answer.exchange.status is not None and answer.exchange.failure is None:
            page = self._page(answer.exchange.status, answer.exchange.title)
            result, ok = self.text("reached it: {page}", page=page), True
        else:
            why = self._first_failure(answer)
            result, ok = self.text("could not reach it: {why}", why=why), False
        return Row(
            what=self.text("helper abroad"),
            where=plain(answer.helper),
            result=plain(result, 200),
            ok=ok,
            took=took(answer.duration_us),
        )

    def _first_failure(self, answer: HelperAnswer) -> str:
        endpoints: list[HelperEndpoint] = [*answer.connect.values(), *answer.handshake.values()]
        failures = [endpoint.failure for endpoint in endpoints if endpoint.failure]
        known = (answer.dns_failure, *failures, answer.exchange.failure)
        found = next((failure for failure in known if failure), None)
        return self.failure(found) if found else self.text("no reason given")


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
