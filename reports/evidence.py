"""Evidence: the facts of one case in the shape in which the rules ask for them."""

from __future__ import annotations

from functools import cached_property

from reports.attempts import Outcome, outcomes
from reports.cases import Case
from reports.contrast import Contrast, contrast_of
from reports.outside import View, failed_like, of_helper, of_vantage
from reports.techniques import is_special
from storage.records import Connect, Handshake, Lookup, Measurement, Step


class Evidence:
    """A case, asked. Nothing here concludes; every property states what was seen."""

    def __init__(self, case: Case) -> None:
        self.case = case
        self.measurement: Measurement = case.measurement

    @cached_property
    def attempts(self) -> list[Outcome]:
        return outcomes(self.measurement)

    @cached_property
    def outcome(self) -> Outcome | None:
        """What the page came to: the first load's failure if most attempts failed, else a page.

        None where nothing was tried.
        """
        if not self.attempts:
            return None
        first = self.attempts[0]
        pages = [attempt for attempt in self.attempts if attempt.page is not None]
        if first.page is None and 2 * len(pages) < len(self.attempts):
            return first
        return pages[0] if pages else first

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
        same = [a for a in self.attempts if a.page is None and a.kind == failed.kind]
        return len(same) >= 2

    @cached_property
    def name(self) -> str:
        return self.outcome.name if self.outcome is not None else ""

    # --- addresses -------------------------------------------------------------------------

    @cached_property
    def _steps(self) -> list[Step]:
        followed = [step for stored in self.case.follow_ups for step in stored.record.steps]
        return [*self.measurement.steps, *followed]

    @cached_property
    def _handshakes(self) -> list[Handshake]:
        """The handshakes made for the name."""
        steps = (step for step in self._steps if isinstance(step, Handshake))
        return [step for step in steps if (step.server_name or "").lower() == self.name]

    @cached_property
    def validated(self) -> set[str]:
        """Addresses that completed a TLS handshake valid for the name."""
        return {step.address for step in self._handshakes if step.valid}

    @cached_property
    def lookups(self) -> list[Lookup]:
        """The lookups of the name."""
        steps = (step for step in self._steps if isinstance(step, Lookup) and step.arm is None)
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
    def encrypted_works(self) -> bool:
        """Does an address from an encrypted resolver complete valid TLS for the name?"""
        return bool(self.answers("encrypted") & self.validated)

    @cached_property
    def named_elsewhere(self) -> set[str]:
        """Addresses of the name that helpers or encrypted resolvers know."""
        helped = {address for view in self.helpers for address in view.addresses}
        return helped | self.answers("encrypted")

    @cached_property
    def false_answers(self) -> set[str]:
        """Addresses from the system's resolver that are not the site's.

        They complete no valid TLS for the name and nobody else knows them, while an address
        from an encrypted resolver does complete it.
        """
        if not self.encrypted_works:
            return set()
        tried = {step.address for step in self._steps if isinstance(step, Connect)}
        return {
            address
            for address in self.answers("system") - self.validated - self.named_elsewhere
            if address in tried or is_special(address)
        }

    @cached_property
    def racing(self) -> bool:
        """Did one query for the name get two answers, one with the site's address, one without?"""
        genuine = self.validated | self.named_elsewhere
        return any(_raced(lookup, genuine) for lookup in self.lookups)

    # --- other eyes ------------------------------------------------------------------------

    @cached_property
    def helpers(self) -> list[View]:
        """What helpers saw; those that did not answer are not here."""
        secure = self.outcome.secure if self.outcome is not None else False
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
        own = self.measurement.vantage
        views = [
            of_vantage(witness.record)
            for witness in self.case.witnesses
            if witness.record.vantage.kind == "field"
            and own.country is not None
            and witness.record.vantage.country == own.country
            and witness.record.vantage.asn is not None
            and witness.record.vantage.asn != own.asn
        ]
        return [view for view in views if view is not None and view.reached]

    # --- experiments -----------------------------------------------------------------------

    @cached_property
    def contrast(self) -> Contrast:
        return contrast_of(self._steps)

    @cached_property
    def blocked_elsewhere(self) -> bool:
        """Is the name cut off at a stranger's address where another foreign name passes?"""
        return self.contrast.name_blocked_elsewhere(self.name)

    @cached_property
    def other_port_answers(self) -> bool:
        """Does another port of the address that failed accept connections?"""
        failed = self.failed
        if failed is None or failed.address is None:
            return False
        connects = [
            s for s in self._steps if isinstance(s, Connect) and s.address == failed.address
        ]
        dead = {step.port for step in connects if step.failure is not None}
        return any(step.failure is None and step.port not in dead for step in connects)


def _resolver_kind(lookup: Lookup) -> str:
    return "encrypted" if lookup.resolver.startswith("https:") else lookup.resolver


def _raced(lookup: Lookup, genuine: set[str]) -> bool:
    # A server that repeats itself sends the same answer twice; only differing ones race.
    sets = [set(reply.answers) for reply in lookup.replies if reply.answers or reply.rcode == 3]
    return any(answers & genuine for answers in sets) and any(
        not answers & genuine for answers in sets
    )
