"""What a visit to a neutral host shows: that the line works, what opens TLS up, the clock."""

from __future__ import annotations

import pytest

from probes.neutral import Neutral, clock_offset, intercepting_issuer
from storage.records import Certificate, Exchange, Handshake
from tests.loopback import trace

NOW = "2026-11-20T12:00:00.000000Z"
FENCE = "CN=Fence Web Shield Root"
UNKNOWN, DATES, NAME = "ssl_unknown_authority", "ssl_invalid_certificate", "ssl_invalid_hostname"


def visited(
    host: str = "www.example.com",
    *,
    failure: str | None = None,
    issuer: str = "CN=Trusted CA",
    names: tuple[str, ...] | None = None,
    date: str | None = None,
    ends_at: str | None = None,
    answered: bool = True,
) -> Neutral:
    """Return a neutral host visited over https, whose visit may end elsewhere in clear."""
    found = trace()
    chain = [Certificate(sha256="ab" * 32, issuer=issuer, names=[*(names or (host,))])]
    shared = {"purpose": "main", "address": "192.0.2.1", "start": NOW, "duration_us": 0}
    found.steps.append(
        Handshake(
            **shared,  # type: ignore[arg-type]
            connection=1,
            port=443,
            server_name=host,
            chain=chain,
            valid=failure is None,
            failure=failure,
        )
    )
    if answered:
        headers = [("Date", date)] if date else []
        found.steps.append(
            Exchange(
                **shared,  # type: ignore[arg-type]
                connection=1,
                url=f"https://{host}/",
                status=302 if ends_at else 200,
                headers=headers,
            )
        )
    if ends_at:
        found.steps.append(
            Exchange(**shared, hop=1, connection=2, url=ends_at, status=200)  # type: ignore[arg-type]
        )
    return Neutral(f"https://{host}/", found)


# --- whether the line works -----------------------------------------------------------------------


def test_a_host_that_answers_in_valid_tls_passed_wherever_it_sends_us() -> None:
    assert visited().passed()
    assert visited(ends_at="http://elsewhere.example/").passed()


def test_a_portal_that_answers_tls_in_a_hosts_name_has_not_passed() -> None:
    portal = visited(failure=NAME, names=("portal.example",), ends_at="http://portal.example/")
    assert not portal.passed()
    assert not visited(answered=False).passed()


def test_a_program_that_opens_up_all_tls_lets_the_hosts_own_page_pass() -> None:
    hosts = [visited(failure=UNKNOWN, issuer=FENCE), visited("b.example", failure=UNKNOWN)]
    assert intercepting_issuer(hosts) is None  # two authorities: of one site each
    hosts.append(visited("c.example", failure=UNKNOWN, issuer=FENCE))
    issuer = intercepting_issuer(hosts)
    assert issuer == FENCE
    assert [host.passed_through(issuer) for host in hosts] == [True, False, True]
    assert not any(host.passed() for host in hosts)


@pytest.mark.parametrize(
    "portal",
    [
        visited(failure=UNKNOWN, issuer=FENCE, names=("portal.example",)),
        visited(failure=UNKNOWN, issuer=FENCE, ends_at="http://portal.example/"),
        visited(failure=UNKNOWN, issuer=FENCE, answered=False),
        visited(failure=NAME, issuer=FENCE),
    ],
    ids=["one certificate for all", "sends away", "silent", "another failure"],
)
def test_a_portal_with_an_authority_of_its_own_does_not(portal: Neutral) -> None:
    assert not portal.passed_through(FENCE)


# --- the clock ------------------------------------------------------------------------------------

LATER = "Mon, 30 Nov 2026 12:00:00 GMT"  # ten days after NOW
TEN_DAYS = 864_000.5


def test_the_clock_is_corrected_by_hosts_in_valid_tls() -> None:
    assert clock_offset([visited(date=LATER)]) == TEN_DAYS
    stale = visited("b.example", failure=DATES, date="Fri, 20 Nov 2026 12:00:00 GMT")
    assert clock_offset([visited(date=LATER), stale, stale]) == TEN_DAYS


def test_two_hosts_that_their_dates_refuse_correct_it_if_they_agree() -> None:
    refused = visited(failure=DATES, date=LATER)
    second = visited("b.example", failure=DATES, date="Mon, 30 Nov 2026 12:00:05 GMT")
    assert clock_offset([refused, second]) == TEN_DAYS + 2.5


def test_a_single_host_with_a_certificate_that_ran_out_corrects_nothing() -> None:
    refused = visited(failure=DATES, date=LATER)
    assert clock_offset([refused]) is None
    assert clock_offset([refused, visited("b.example", failure=UNKNOWN, date=LATER)]) is None
    year = visited("b.example", failure=DATES, date="Tue, 30 Nov 2027 12:00:00 GMT")
    assert clock_offset([refused, year]) is None


def test_a_foolish_date_corrects_nothing() -> None:
    assert clock_offset([visited(date="soon")]) is None
    assert clock_offset([visited()]) is None
