"""Reading and forging packets: names in the bytes of real clients, and sums that kernels accept."""

from __future__ import annotations

import ssl
import struct

import dns.message
import pytest

from lab.dpi import Reader
from lab.readable import host_header, matches, question_name, server_name
from lab.wire import (
    ACK,
    SYN,
    address_bytes,
    parse,
    tcp_segment,
    time_exceeded,
    udp_datagram,
    with_lower_ttl,
)

CLIENT, SERVER = (address_bytes("31.0.0.1"), 40000), (address_bytes("31.0.1.1"), 443)


def client_hello(name: str | None) -> bytes:
    """Return the first flight of a real TLS client."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    with pytest.raises(ssl.SSLWantReadError):
        context.wrap_bio(received, sent, server_hostname=name).do_handshake()
    return sent.read()


def ones_sum(data: bytes) -> int:
    """Return the Internet checksum over data that holds its own checksum: 0 if that is right."""
    data += bytes(len(data) % 2)
    total = sum(int.from_bytes(data[at : at + 2], "big") for at in range(0, len(data), 2))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return 0xFFFF - total


def test_the_server_name_of_a_real_client_is_read_in_lower_case() -> None:
    assert server_name(client_hello("Watched.Example")) == "watched.example"


def test_a_hello_without_a_name_says_so_and_a_short_one_asks_for_more() -> None:
    hello = client_hello("watched.example")
    assert server_name(client_hello(None)) == ""
    assert server_name(hello[:60]) is None
    assert server_name(b"GET / HTTP/1.1\r\n") == ""


def test_a_hello_in_many_tls_records_is_joined() -> None:
    body = client_hello("watched.example")[5:]
    records = [body[at : at + 40] for at in range(0, len(body), 40)]
    cut = b"".join(b"\x16\x03\x01" + len(one).to_bytes(2, "big") + one for one in records)
    assert server_name(cut) == "watched.example"


def test_no_prefix_of_a_hello_is_misread() -> None:
    hello = client_hello("watched.example")
    assert {server_name(hello[:size]) for size in range(1, len(hello))} <= {None, "watched.example"}


def test_the_host_header_is_read_without_its_port() -> None:
    request = b"GET / HTTP/1.1\r\nAccept: */*\r\nhost: Watched.example:80\r\n\r\n"
    assert host_header(request) == "watched.example"
    assert host_header(request[:40]) is None
    assert host_header(b"GET / HTTP/1.0\r\n\r\n") == ""


def test_the_name_in_a_dns_question_is_read() -> None:
    assert question_name(dns.message.make_query("Watched.Example", "A").to_wire()) == (
        "watched.example"
    )
    assert question_name(b"\0" * 11) == ""
    assert question_name(b"\0" * 12 + b"\x3fabc") == ""


@pytest.mark.parametrize(
    ("name", "found"),
    [("a.example", True), ("B.A.Example.", True), ("ba.example", False), ("", False)],
)
def test_a_pattern_covers_a_host_and_what_is_below_it(name: str, found: bool) -> None:
    assert matches(name, ("a.example",)) is found


def test_names_are_read_across_segments_in_any_overlap() -> None:
    hello = client_hello("watched.example")
    reader = Reader()
    names = []
    segments = [(0, 30), (20, 80), (80, len(hello)), (0, len(hello))]
    for sequence, flags, data in [
        (999, SYN, b""),
        *((1000 + start, ACK, hello[start:end]) for start, end in segments),
    ]:
        packet = parse(tcp_segment(CLIENT, SERVER, (sequence, 1), flags, 64, data))
        assert packet is not None
        names.append(reader.read(packet).server_name)
    assert names == ["", "", "", "watched.example", ""]


def test_forged_packets_carry_right_checksums() -> None:
    segment = tcp_segment(CLIENT, SERVER, (2**32 + 5, 7), ACK, 64, b"odd")
    datagram = udp_datagram(CLIENT, SERVER, 64, b"even")
    for data, protocol in ((segment, 6), (datagram, 17)):
        assert ones_sum(data[:20]) == 0
        body = data[20:]
        assert ones_sum(data[12:20] + struct.pack("!HH", protocol, len(body)) + body) == 0
    packet = parse(segment)
    assert packet is not None
    assert (packet.sequence, packet.acknowledgement, packet.payload) == (5, 7, b"odd")


def test_a_router_lowers_the_ttl_and_keeps_the_checksum_right() -> None:
    for hops in range(1, 64):
        lower = with_lower_ttl(tcp_segment(CLIENT, SERVER, (1, 1), ACK, 64), hops)
        assert lower[8] == 64 - hops
        assert ones_sum(lower[:20]) == 0


def test_a_router_quotes_the_packet_that_died_there() -> None:
    packet = parse(tcp_segment(CLIENT, SERVER, (77, 1), SYN, 3))
    assert packet is not None
    answer = time_exceeded(address_bytes("31.0.2.1"), packet, 250)
    assert ones_sum(answer[:20]) == ones_sum(answer[20:]) == 0
    assert answer[12:20] == address_bytes("31.0.2.1") + CLIENT[0]
    assert answer[28:48][12:20] == CLIENT[0] + SERVER[0]
    assert struct.unpack_from("!HHI", answer, 48) == (40000, 443, 77)


@pytest.mark.parametrize("data", [b"", b"\x60" + bytes(30), b"\x45" + bytes(10)])
def test_what_is_no_ipv4_packet_is_left_alone(data: bytes) -> None:
    assert parse(data) is None
