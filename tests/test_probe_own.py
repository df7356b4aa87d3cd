"""Own addresses are found in every spelling, and nothing else is taken for them."""

from __future__ import annotations

import base64
import html
import json
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import quote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probes.own import MARK, OwnAddresses
from probes.own_words import is_ours
from probes.told import learn_from_page
from storage.intake import accept_made
from storage.records import Exchange, Line, Lookup, Measurement, Vantage, canonical
from tests.cases import loads, measurement

V4, V6 = "203.0.113.77", "2001:db8:12:34:5:6:7:8"
NUMBER = int(IPv4Address(V4))
NOW = "2026-11-23T12:00:00.000000Z"


@pytest.fixture
def own() -> OwnAddresses:
    known = OwnAddresses()
    assert known.learn_told(V4)
    assert known.learn_told(V6)
    return known


def percent(text: str) -> str:
    return "".join(f"%{ord(sign):02X}" for sign in text)


def entities(text: str) -> str:
    return "".join(f"&#{ord(sign)};" for sign in text)


SPELLINGS = {
    "dotted": V4,
    "hex": f"{NUMBER:08x}",
    "hex in capitals": f"0x{NUMBER:08X}",
    "hex octets": "0xcb.0x0.0x71.0x4d",
    "decimal": str(NUMBER),
    "octal": f"0{NUMBER:o}",
    "octal octets": "0313.0.0161.0115",
    "padded": "203.000.113.077",
    "short": f"203.0.{NUMBER & 0xFFFF}",
    "reversed": "77.113.0.203.in-addr.arpa",
    "in a name": "host-203-0-113-77.pool.example",
    "mapped": f"::ffff:{V4}",
    "mapped in hex": "::ffff:cb00:714d",
    "translated": "64:ff9b::cb00:714d",
    "6to4": "2002:cb00:714d::1",
    "percent": percent(V4),
    "percent, some": "203%2E0%2e113%2E77",
    "percent twice": quote(percent(V4)),
    "entities": entities(V4),
    "hex entities": "&#x32;03.0.113.77",
    "escaped": json.dumps({"a": "x"})[:1] + "\\u0032\\u0030\\u0033.0.113.77",
    "v6": V6,
    "v6 in capitals": V6.upper(),
    "v6 in full": IPv6Address(V6).exploded,
    "v6 of tomorrow": "2001:db8:12:34::1",  # another address of the same line
    "v6 oddly": "2001:0DB8:12:034:5:6:7.7.0.8".replace("7.7.0.8", "7:8"),
    "v6 with zeros": "2001:db8:0012:34:0005:6:0007:8",
    "v6 in hex": IPv6Address(V6).exploded.replace(":", ""),
    "v6 in a name": V6.replace(":", "-"),
    "v6 percent": V6.replace(":", "%3A"),
    "v6 reversed": IPv6Address(V6).reverse_pointer,
    "v6 decimal": str(int(IPv6Address(V6))),
    "base64": base64.b64encode(V4.encode()).decode(),
    "base64, one in": base64.b64encode(b"x" + V4.encode() + b"y").decode(),
    "base64, two in": base64.b64encode(b"xx" + V4.encode() + b"yy").decode(),
    "base64 of bytes": base64.b64encode(b"ab" + IPv4Address(V4).packed + b"cd").decode(),
    "base64 for URLs": base64.urlsafe_b64encode(b"??>" + V6.encode() + b">?").decode(),
    "base64 of v6 bytes": base64.b64encode(b"z" + IPv6Address(V6).packed).decode(),
    "UTF-16": V4.encode("utf-16-le").decode("latin-1"),
}


@pytest.mark.parametrize("spelling", SPELLINGS.values(), ids=SPELLINGS.keys())
def test_every_spelling_is_found_and_replaced(own: OwnAddresses, spelling: str) -> None:
    text = f"<p>You are {spelling} today</p>"
    assert own.found_in(text.encode())
    scrubbed = own.scrub(text)
    assert MARK in scrubbed
    assert spelling not in scrubbed
    assert not own.found_in(scrubbed.encode())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "203.0.113.78 and 2001:db8:12:35::1",
        "12:30:59 00:1a:2b:3c:4d:5e ::: a::b",
        "&#x110000; %zz \\u12 %",
        "\0" * 100,
        "🦊 ünï",
    ],
)
def test_what_is_not_own_stays_byte_for_byte(own: OwnAddresses, text: str) -> None:
    assert own.scrub(text) is text
    data = text.encode()
    assert own.scrub_bytes(data) is data


@settings(max_examples=150, deadline=None)
@given(
    number=st.integers(2**24, 2**32 - 1),
    before=st.binary(max_size=12),
    after=st.binary(max_size=12),
    form=st.sampled_from(["dotted", "hex", "decimal", "percent", "base64", "entities", "mapped"]),
)
def test_no_neighbour_hides_an_address(number: int, before: bytes, after: bytes, form: str) -> None:
    address = str(IPv4Address(number))
    known = OwnAddresses()
    if not known.learn_told(address):
        return  # loopback and multicast are nobody's
    spelled = {
        "dotted": address.encode(),
        "hex": f"{number:08x}".encode(),
        "decimal": str(number).encode(),
        "percent": percent(address).encode(),
        "base64": base64.b64encode(before + address.encode() + after),
        "entities": entities(address).encode(),
        "mapped": f"::ffff:{number >> 16:x}:{number & 0xFFFF:x}".encode(),
    }[form]
    data = spelled if form == "base64" else before + b" " + spelled + b" " + after
    assert not known.found_in(known.scrub_bytes(data))
    assert known.found_in(data)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_make_scrubbing_fail(data: bytes) -> None:
    known = OwnAddresses()
    known.learn_told(V4)
    known.learn_told(V6)
    known.scrub_bytes(data)
    known.scrub(data.decode("latin-1"))


@pytest.mark.parametrize("told", ["", "nobody", "127.0.0.1", "::1", "0.0.0.0", "224.0.0.1", "1.2"])
def test_what_can_be_nobodys_address_is_not_learnt(told: str) -> None:
    known = OwnAddresses()
    assert not known.learn_told(told)
    assert not known.found_in(f"x {told} y".encode())


def test_a_liar_cannot_fill_the_memory() -> None:
    known = OwnAddresses()
    taken = [known.learn_told(f"198.51.{high}.{low}") for high in range(4) for low in range(1, 200)]
    assert sum(taken) < 100


def test_own_addresses_are_known_as_such(own: OwnAddresses) -> None:
    assert own.is_own(V4)
    assert own.is_own(f"::ffff:{V4}")
    assert own.is_own("2001:db8:12:34::99")
    assert not own.is_own("2001:db8:12:35::99")
    assert not own.is_own("no address")


def record(**lookup: object) -> Measurement:
    step = Lookup(name="a.example", type="A", resolver="system", start=NOW, duration_us=1, **lookup)  # type: ignore[arg-type]
    return Measurement(
        simulated=True,
        tool="test",
        url=f"https://a.example/?{NUMBER}",
        time=NOW,
        round="sha256:" + f"{NUMBER:08x}" * 8,
        vantage=Vantage(id="0" * 32),
        line=Line(state="up"),
        steps=[step],
    )


def test_a_record_is_scrubbed_in_all_its_parts_but_hashes(own: OwnAddresses) -> None:
    dirty = record(answers=[V4, "192.0.2.1"], cnames=["203-0-113-77.example"])
    clean = own.scrub_record(dirty)
    text = canonical(clean).decode()
    assert V4 not in text
    assert clean.url == f"https://a.example/?{MARK}"
    assert clean.steps[0].answers == [MARK, "192.0.2.1"]  # type: ignore[union-attr]
    assert clean.steps[0].cnames == [f"{MARK}.example"]  # type: ignore[union-attr]
    assert clean.round == dirty.round


def test_blobs_with_own_addresses_are_not_kept(own: OwnAddresses) -> None:
    blobs = {
        "packed": b"\x30\x82" + IPv4Address(V4).packed,
        "packed6": b"\x30\x82" + IPv6Address(V6).packed,
        "text": b"<p>" + V4.encode(),
        "clean": b"\x30\x82 nothing",
    }
    assert own.scrub_blobs(blobs) == {"clean": b"\x30\x82 nothing"}


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ([(b"X-Client-IP", b"93.184.216.34")], b""),
        ([(b"X-Forwarded-For", b"93.184.216.34, 10.0.0.1")], b""),
        ([(b"Forwarded", b'for="[2606:2800:220:1::5]";proto=https, for=93.184.216.34')], b""),
        ([], b"<p>Your IP address is: 93.184.216.34</p>"),
        ([], html.escape("Client IP Address = 93.184.216.34").encode()),
        ([], b"93.184.216.34\n"),
    ],
)
def test_neutral_hosts_tell_whom_they_see(headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    known = OwnAddresses()
    learn_from_page(known, headers, body)
    assert known.is_own("93.184.216.34")
    assert not known.is_own("10.0.0.1")


def test_an_address_that_a_page_only_mentions_is_not_learnt() -> None:
    known = OwnAddresses()
    learn_from_page(
        known, [(b"Server", b"93.184.216.34")], b"the resolver 93.184.216.34 is old " * 9
    )
    assert known.public() == []


def test_what_an_address_leaves_in_base64_spoils_no_word_of_ours() -> None:
    """Four characters of it may end a time, begin a failure or stand in the name of a field."""
    known = OwnAddresses()
    assert known.learn_told("77.182.221.144")  # in base64, after two bytes: 223Z
    record = measurement(
        loads(1, title="a223Z"),
        time="2026-11-29T02:05:45.123223Z",
        vantage=Vantage(id="a" * 32),
    )
    scrubbed = known.scrub_record(record)
    assert scrubbed.time == record.time
    assert [step.title for step in scrubbed.steps if isinstance(step, Exchange)] == [MARK]
    assert accept_made(scrubbed).record == scrubbed
    for text in ("main", "repeat", "duration_us", "generic_timeout_error", "connection_reset"):
        assert is_ours(text)
    for text in ("77.182.221.144", "a223Z", "2026-11-29T02:05:45.123223Z 223Z", "[::1]:443"):
        assert not is_ours(text)
