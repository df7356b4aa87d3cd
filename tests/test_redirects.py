"""Where redirects lead, and which are not followed."""

from __future__ import annotations

import pytest

from probes.addresses import is_forbidden
from probes.redirects import MOST_HOPS, next_url, redirect_failure
from storage.failures import Failure


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/next", "https://site.example/next"),
        ("//Other.Example", "https://other.example/"),
        ("http://site.example:80/x#frag", "http://site.example/x"),
        ("https://site.example:8443/", "https://site.example:8443/"),
        ("https://bücher.example/", "https://xn--bcher-kva.example/"),
        ("http://[2001:db8::1]/", "http://[2001:db8::1]/"),
        ("file:///etc/passwd", None),
        ("javascript:alert(1)", None),
        ("http://", None),
        ("http://site.example:99999/", None),
        ("http://site.example:0/", None),
        ("http://a\x00b.example/", None),
        ("http://" + "a" * 70 + ".example/", None),
        ("/" + "a" * 5000, None),
        (None, None),
    ],
)
def test_a_location_is_read_as_a_browser_reads_it(
    location: str | None, expected: str | None
) -> None:
    assert next_url("https://site.example/start", location) == expected


def test_a_loop_ends() -> None:
    assert redirect_failure("https://a.example/", 302, "/", MOST_HOPS - 1) is None
    failure = redirect_failure("https://a.example/", 302, "/", MOST_HOPS)
    assert failure is Failure.HTTP_TOO_MANY_REDIRECTS


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.9.9.9", "0.0.0.0", "::1", "::ffff:127.0.0.1", "169.254.1.1"]
)
def test_this_machine_is_never_connected_to(address: str) -> None:
    assert is_forbidden(address)


@pytest.mark.parametrize("address", ["10.0.0.1", "192.168.1.1", "8.8.8.8", "2001:db8::1"])
def test_other_addresses_are(address: str) -> None:
    assert not is_forbidden(address)
