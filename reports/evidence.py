"""Evidence: the facts of one case in the shape in which the rules ask for them."""

from __future__ import annotations

from functools import cached_property

from reports.attempts import Outcome, host_of, outcomes, same_failure, standing_failure
from reports.cases import Case
from reports.contrast import ArmResult, Carrier, Contrast, Pairs, contrast_of, merged, pairs_of
from reports.fingerprints import Table, own_table
from reports.outside import View, completed_tls, failed_like, of_helper, of_vantage
from reports.page_contrast import PageContrast, page_contrast_of
from reports.techniques import is_special
from storage.failures import Failure
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    Lookup,
    Measurement,
    Quic,
    Step,
    Walk,
)


class Evidence:
    """A case, asked. Nothing here concludes; every property states what was seen."""

    def __init__(self, case: Case, fingerprints: Table | None = None) -> None:
        self.case = case
        self.fingerprints = own_table() if fingerprints is None else fingerprints
        self.measurement: Measurement = case.measurement

    @cached_property
    def attempts(self) -> list[Outcome]:
        return outcomes(self.measurement)

    @cached_property
    def outcome(self) -> Outcome | None:
        """What the page came to: the failure that stands for most attempts, else a page.

        None where nothing was tried.
        """
        if not self.attempts:
            return None
        pages = [attempt for attempt in self.attempts if attempt.page is not None]
        if self.attempts[0].page is None and 2 * len(pages) < len(self.attempts):
            return standing_failure([each for each in self.attempts if each.page is None])
        return pages[0]

    @cached_property
    def failed(self) -> Outcome | None:
        """The outcome, if it is a failure."""
        outcome = self.outcome
        return outcome if outcome is not None and outcome.page is None else None

    @cached_property
    def repeated(self) -> bool:
        """Did at least two attempts fail in the same way?"""
        failed = self.failed
        if failed is None or failed.technique is None:
            return False
        same = [a for a in self.attempts if a.page is None and same_failure(a, failed)]
        return len(same) >= 2

    @cached_property
    def name(self) -> str:
        return self.outcome.name if self.outcome is not None else ""

    @cached_property
    def site(self) -> str:
        """The name that was asked for, whatever redirects led to."""
        return host_of(self.measurement.url)

    @cached_property
    def unproven_pages(self) -> list[Exchange]:
        """What came of loads in clear, or in TLS that is not valid for the name, in their order."""
        verified = {step.connection for step in self._handshakes if step.valid}
        steps = (s for s in self.measurement.steps if isinstance(s, Exchange))
        return [
            s
            for s in steps
            if s.purpose in ("main", "repeat")
            and s.status is not None
            and (s.url.startswith("http:") or s.connection not in verified)
        ]

    # --- addresses -------------------------------------------------------------------------

    @cached_property
    def steps(self) -> list[Step]:
        """The steps of the measurement and of its follow-ups."""
        followed = [step for stored in self.case.follow_ups for step in stored.record.steps]
        return [*self.measurement.steps, *followed]

    @cached_property
    def _handshakes(self) -> list[Handshake]:
        """The handshakes made for the name."""
        steps = (step for step in self.steps if isinstance(step, Handshake))
        return [step for step in steps if (step.server_name or "").lower() == self.name]

    @cached_property
    def validated(self) -> set[str]:
        """Addresses that completed a TLS handshake valid for the name."""
        return {step.address for step in self._handshakes if step.valid}

    @cached_property
    def lookups(self) -> list[Lookup]:
        """The lookups of the name."""
        steps = (step for step in self.steps if isinstance(step, Lookup) and step.arm is None)
        return [step for step in steps if step.name.lower().rstrip(".") == self.name]

    def answers(self, resolver: str) -> set[str]:
        """Addresses given by resolvers of one kind: "system", "udp" or "encrypted"."""
        return {
            address
            for lookup in self.lookups
            if _resolver_kind(lookup) == resolver
            for address in lookup.answers
        }

    @cached_property
    def further_names(self) -> set[str]:
        """Names to which the system's resolver led (CNAMEs), and no encrypted one did."""
        names: dict[str, set[str]] = {"system": set(), "encrypted": set()}
        for lookup in self.lookups:
            names.setdefault(_resolver_kind(lookup), set()).update(lookup.cnames)
        return names["system"] - names["encrypted"]

    @cached_property
    def proven(self) -> set[str]:
        """Addresses that others than the system's resolver gave, and that completed valid TLS.

        Who gave them makes no difference: the handshake proves them. None where an encrypted
        resolver denies the name too: then it may be gone, or gone for this country.
        """
        if self._encrypted_denies:
            return set()
        return (self.named_elsewhere | self.answers("udp")) & self.validated

    @property
    def _encrypted_denies(self) -> bool:
        asked = [x for x in self.lookups if _resolver_kind(x) == "encrypted" and x.type == "A"]
        return any(x.rcode is not None for x in asked) and not self.answers("encrypted")

    @cached_property
    def who_proved(self) -> str:
        """Who gave the proven address, in words; the best one where several did."""
        if self.answers("encrypted") & self.validated:
            return "an encrypted resolver"
        return "a public resolver" if self.answers("udp") & self.validated else "helpers abroad"

    @cached_property
    def named_elsewhere(self) -> set[str]:
        """Addresses of the name that helpers or encrypted resolvers know.

        Helpers try those that the system's resolver gave, too: where one completes valid TLS for
        the name it is the site's, whatever they were told themselves.
        """
        helped = {address for view in self.helpers for address in view.addresses}
        if self.name == self.site:
            helped |= completed_tls(self.measurement.helpers)
        return helped | self.answers("encrypted")

    @cached_property
    def false_answers(self) -> set[str]:
        """Addresses from the system's resolver that are not the site's.

        They complete no valid TLS for the name and nobody else knows them, while an address
        that others gave does complete it.
        """
        if not self.proven:
            return set()
        tried = {step.address for step in self.steps if isinstance(step, Connect)}
        return {
            address
            for address in self.answers("system") - self.validated - self.named_elsewhere
            if address in tried or is_special(address)
        }

    @cached_property
    def led_astray_again(self) -> bool:
        """Did two loads or more end at a false answer, each in its own way?

        Forged addresses are often drawn from a pool, whose hosts fail differently.
        """
        loads = [each for each in self.attempts if each.page is None]
        return sum(a.layer == "dns" or a.address in self.false_answers for a in loads) > 1

    @cached_property
    def racing(self) -> bool:
        """Did one query for the name get two answers, one with the site's address, one without?"""
        genuine = self.validated | self.named_elsewhere
        return any(_raced(lookup, genuine) for lookup in self.lookups)

    # --- other eyes ------------------------------------------------------------------------

    @cached_property
    def helpers(self) -> list[View]:
        """What helpers saw; those that did not answer are not here."""
        outcome = self.outcome
        # A helper that only shook hands says nothing of a page that began and did not end here.
        page_alone = outcome is not None and outcome.page is None and outcome.layer == "http"
        secure = outcome is not None and outcome.secure and not page_alone
        views = [of_helper(answer, secure) for answer in self.measurement.helpers]
        return [view for view in views if view is not None]

    @cached_property
    def abroad(self) -> list[View]:
        """Helpers and reference vantages: one kind of evidence, however many."""
        witnesses = [w.record for w in self.case.witnesses if w.record.vantage.kind == "reference"]
        views = [of_vantage(record) for record in witnesses]
        return [*self.helpers, *(view for view in views if view is not None)]

    @cached_property
    def reached_abroad(self) -> list[View]:
        return [view for view in self.abroad if view.reached]

    @cached_property
    def failed_abroad(self) -> list[View]:
        """Views from abroad that failed in the same way as this measurement."""
        failed = self.failed
        return [view for view in self.abroad if failed is not None and failed_like(view, failed)]

    @cached_property
    def reached_inside(self) -> list[View]:
        """Vantages on other networks of the same country that reached the site."""
        not_another = {None, self.measurement.vantage.asn}
        met = (one for one in self.met_inside if one.vantage.asn not in not_another)
        views = [of_vantage(one) for one in met]
        return [view for view in views if view is not None and view.reached]

    @cached_property
    def met_inside(self) -> list[Measurement]:
        """What other field vantages of the same country measured at the time."""
        country = self.measurement.vantage.country
        field = [w.record for w in self.case.witnesses if w.record.vantage.kind == "field"]
        return [one for one in field if country is not None and one.vantage.country == country]

    # --- experiments -----------------------------------------------------------------------

    def contrasts(self, carrier: Carrier) -> Contrast:
        """Return the arms of all follow-ups in which the name was carried in this way."""
        records = [self.measurement, *(stored.record for stored in self.case.follow_ups)]
        return merged(contrast_of(record.steps, carrier) for record in records)

    @cached_property
    def contrast(self) -> Contrast:
        """The contrast by what failed; an arm fails in it that ended as the site's name did."""
        failed = self.failed
        if failed is not None and failed.layer == "http" and not failed.secure:
            begun = failed.technique in ("stalled", "truncated")
            return self.contrasts("transfer" if begun else "request")
        hello = self.contrasts("hello")
        if failed is None or failed.layer != "tls":
            return hello
        if failed.technique == "alert":
            return hello.read_by(lambda arm: _by_chain(arm, arm.failure == Failure.TLS_ALERT))
        if failed.technique == "not-tls":
            return hello.read_by(lambda arm: _by_chain(arm, arm.failure == Failure.TLS_NOT_TLS))
        if failed.technique == "mitm":
            issuer = self.foreign_issuer
            return hello.read_by(lambda arm: _by_issuer(arm, issuer))
        return hello

    @cached_property
    def foreign_chain(self) -> Handshake | None:
        """The invalid chain that was shown at the address that failed."""
        failed = self.failed
        if failed is None or failed.kind != ("tls", "mitm"):
            return None
        shown = [s for s in self._handshakes if s.valid is False and s.chain]
        return next((s for s in shown if s.address == failed.address), None)

    @property
    def strange_chains(self) -> list[Handshake]:
        """Invalid chains shown for the name in any load, at addresses that others know."""
        shown = [step for step in self._handshakes if step.valid is False and step.chain]
        return [step for step in shown if step.address in self.named_elsewhere]

    @cached_property
    def foreign_issuer(self) -> str | None:
        """Who stands at the top of that chain."""
        return self.foreign_chain.chain[-1].issuer if self.foreign_chain is not None else None

    @cached_property
    def pairs(self) -> Pairs:
        """The paired downloads of the name and a neutral one."""
        found = [pairs_of(stored.record.steps, self.name) for stored in self.case.follow_ups]
        return max(found, key=lambda pairs: pairs.slower + pairs.fair, default=Pairs())

    @cached_property
    def page_contrast(self) -> PageContrast:
        """The head of the page and the page, asked for in turns."""
        found = [page_contrast_of(stored.record.steps) for stored in self.case.follow_ups]
        return max(
            found,
            key=lambda each: len(each.heads) + (each.front is not None),
            default=PageContrast(),
        )

    @cached_property
    def pages(self) -> list[Exchange]:
        """The pages that loads ended with."""
        return [attempt.page for attempt in self.attempts if attempt.page is not None]

    @cached_property
    def walks(self) -> list[Walk]:
        return [step for step in self.steps if isinstance(step, Walk)]

    @cached_property
    def quic(self) -> list[Quic]:
        return [step for step in self.steps if isinstance(step, Quic)]

    @cached_property
    def connects(self) -> list[Connect]:
        """The connections that loads of the page opened or tried to open."""
        steps = (step for step in self.measurement.steps if isinstance(step, Connect))
        return [step for step in steps if step.purpose in ("main", "repeat")]

    @cached_property
    def blocked_elsewhere(self) -> bool:
        """Is the name cut off at a stranger's address where another foreign name passes?"""
        return self.contrast.name_blocked_elsewhere(self.name)

    def opened_abroad(self, address: str, port: int) -> bool:
        """Did any helper open a connection to this address and port?"""
        shown = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
        return any(
            answer.answered and shown in answer.connect and bool(answer.connect[shown].status)
            for answer in self.measurement.helpers
        )


def _by_chain(arm: ArmResult, ended_so: bool) -> bool | None:
    """Read an arm by whether it ended in the suspected way, or with a server's own chain."""
    if not isinstance(arm.step, Handshake):
        return None
    if arm.step.chain:
        return True
    return False if ended_so else None


def _by_issuer(arm: ArmResult, issuer: str | None) -> bool | None:
    """Read an arm by whether the suspected authority issued the chain that was shown."""
    if not isinstance(arm.step, Handshake) or not arm.step.chain or issuer is None:
        return None
    return arm.step.valid is not False or arm.step.chain[-1].issuer != issuer


def _resolver_kind(lookup: Lookup) -> str:
    return "encrypted" if lookup.resolver.startswith("https:") else lookup.resolver


def _raced(lookup: Lookup, genuine: set[str]) -> bool:
    # A server that repeats itself sends the same answer twice; only differing ones race.
    sets = [set(reply.answers) for reply in lookup.replies if reply.answers or reply.rcode == 3]
    return any(answers & genuine for answers in sets) and any(
        not answers & genuine for answers in sets
    )
