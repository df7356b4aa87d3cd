"""A plain client inside a world: tries symptom lines with sockets, a resolver and a TLS library.

Told in JSON on its command line, it prints what came of each line as JSON. It knows nothing of
Sitewatch and of nothing else in the lab (QUIC has a module of its own).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import re
import socket
import ssl
import struct
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from http.client import RemoteDisconnected
from typing import Any

import dns.message
import dns.query
import dns.rcode
import dns.rdatatype

_PATIENCE = 6.0  # seconds; a busy machine is slow, and silence is as sure after six as after sixty
_SECOND_REPLY = 1.5  # seconds to wait for another reply to one question
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_SLOW_BYTES_A_SECOND = 50_000
_VERIFY_WORDS = {9: "not yet valid", 10: "expired", 18: "self-signed", 62: "wrong-name"}
_VERIFY_WORDS |= dict.fromkeys((19, 20, 21), "untrusted")


class Client:
    """Tries lines. `told` says where every host and resolver is."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._hosts: dict[str, list[str]] = told["hosts"]
        self._hosts6: dict[str, list[str]] = told["hosts6"]
        self._resolvers: dict[str, str] = told["resolvers"]
        self._helper: str = told["helper"]
        self._verbs: dict[str, Callable[..., str]] = {
            "dns": self.names,
            "tcp": self.tcp,
            "tcp6": self.tcp6,
            "tls": self.tls,
            "tls-pieces": self.tls_pieces,
            "tls-records": self.tls_records,
            "tls-upper": self.tls_upper,
            "twice": self.twice,
            "issuer": self.issuer,
            "get": self.get,
            "speed": self.speed,
            "helper": self.helper,
            "quic": self.quic,
        }

    def try_line(self, line: str) -> str:
        """Return what comes of a line in a few words."""
        words = line.split()
        if words[1] == "x":
            with ThreadPoolExecutor(int(words[0])) as pool:
                found = set(pool.map(self.try_line, [" ".join(words[2:])] * int(words[0])))
            return found.pop() if len(found) == 1 else "mixed"
        try:
            return self._verbs[words[0]](*(word for word in words[1:] if word not in ("at", "by")))
        except (OSError, EOFError) as error:
            return _word(error)

    # --- names ----------------------------------------------------------------------------------

    def names(self, name: str, resolver: str = "system") -> str:
        """Ask for a name's addresses: "true" are those that it has."""
        if resolver == "system":
            try:
                found = socket.getaddrinfo(name, 443, socket.AF_INET, socket.SOCK_STREAM)
            except socket.gaierror as error:
                words = {socket.EAI_NONAME: "nxdomain", socket.EAI_AGAIN: "no answer"}
                return words.get(error.errno or 0, "empty")
            return self._named(name, [str(one[4][0]) for one in found])
        query = dns.message.make_query(name, "A")
        if resolver == "doh":
            return self._reply(name, _over_https(query))
        if resolver == "tcp":
            reply = dns.query.tcp(query, self._resolvers["operator"], timeout=_PATIENCE)
            return self._reply(name, reply)
        address = self._resolvers.get(resolver) or self._hosts.get(resolver, [resolver])[0]
        replies = _ask(query, address)
        return " then ".join(self._reply(name, reply) for reply in replies) or "timeout"

    def _reply(self, name: str, reply: dns.message.Message) -> str:
        if reply.flags & dns.flags.TC:
            return "truncated"
        addresses = [
            record.to_text()
            for rrset in reply.answer
            if rrset.rdtype == dns.rdatatype.A
            for record in rrset
        ]
        code = dns.rcode.to_text(reply.rcode()).lower()
        return self._named(name, addresses) if code == "noerror" else code

    def _named(self, name: str, addresses: Sequence[str]) -> str:
        """Say whose addresses these are."""
        whose = []
        for address in dict.fromkeys(addresses):
            if address in self._hosts.get(name, ()):
                whose.append("true")
                continue
            hosts = [host for host, theirs in self._hosts.items() if address in theirs]
            whose.append(hosts[0] if hosts else address)
        return " ".join(dict.fromkeys(whose)) or "empty"

    # --- connections ----------------------------------------------------------------------------

    def _address(self, host: str) -> str:
        return self._hosts.get(host, [host])[0]

    def tcp(self, host: str, port: str = "443") -> str:
        """Connect, and see for a moment whether the connection lasts."""
        return _connect(self._address(host), int(port))

    def tcp6(self, host: str, port: str = "443") -> str:
        """Connect to a host's IPv6 address."""
        return _connect(self._hosts6[host][0], int(port))

    def tls(self, name: str, host: str = "") -> str:
        """Shake hands with a name, at its own address or at another host's."""
        return _shake(self._address(host or name), name)

    def tls_pieces(self, name: str, host: str = "") -> str:
        """Shake hands with the ClientHello cut into many segments."""
        return _shake(self._address(host or name), name, pieces=12)

    def tls_records(self, name: str, host: str = "") -> str:
        """Shake hands with the ClientHello cut into several TLS records."""
        return _shake(self._address(host or name), name, records=4)

    def tls_upper(self, name: str, host: str = "") -> str:
        """Shake hands with the name in capitals."""
        return _shake(self._address(host or name), name, upper=True)

    def twice(self, name: str, then: str, host: str = "") -> str:
        """Shake hands with one name and then with another from the same port to one address."""
        address = self._address(host or name)
        with socket.socket() as probe:
            probe.bind(("", 0))
            port = probe.getsockname()[1]
        _shake_or_word(address, name, port)
        return _shake_or_word(address, then, port)

    def issuer(self, name: str, host: str = "") -> str:
        """Return the issuer of the certificate that is shown."""
        from cryptography import x509

        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        address = self._address(host or name)
        with (
            socket.create_connection((address, 443), _PATIENCE) as tcp,
            context.wrap_socket(tcp, server_hostname=name) as tls,
        ):
            der = tls.getpeercert(True) or b""
        return x509.load_der_x509_certificate(der).issuer.rfc4514_string()

    # --- pages ----------------------------------------------------------------------------------

    def get(self, url: str) -> str:
        """GET a URL: status and title, status and Location, or how it failed."""
        status, headers, body, failure = _fetch(url)
        if failure:
            return failure
        if "Location" in headers:
            return f"{status} {headers['Location']}"
        title = _TITLE.search(body)
        return f"{status} {title[1].decode(errors='replace').strip()}" if title else str(status)

    def speed(self, url: str) -> str:
        """GET a URL: "fast" or "slow"."""
        began = time.monotonic()
        _, _, body, failure = _fetch(url, 60.0)
        slow = len(body) / max(time.monotonic() - began, 1e-3) < _SLOW_BYTES_A_SECOND
        return failure or ("slow" if slow else "fast")

    def helper(self, url: str) -> str:
        """Ask the first helper for a URL: the status it got, or its word for the failure."""
        question = {"http_request": url, "http_request_headers": {}, "tcp_connect": []}
        body = json.dumps(question).encode()
        request = urllib.request.Request(self._helper, body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                seen = json.load(response)["http_request"]
        except urllib.error.URLError as error:
            return f"no helper: {_word(error.reason)}"
        return str(seen["failure"] or seen["status_code"])

    def quic(self, name: str, host: str = "") -> str:
        """Shake hands over QUIC."""
        from lab.symptom_quic import shake_quic  # needs an extra

        return asyncio.run(shake_quic(self._address(host or name), name, _PATIENCE))


def _ask(query: dns.message.Message, address: str) -> list[dns.message.Message]:
    """Return all replies to one question over UDP, in the order of arrival."""
    replies = []
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as udp:
        udp.settimeout(_PATIENCE)
        udp.connect((address, 53))
        udp.send(query.to_wire())
        with contextlib.suppress(TimeoutError):
            while True:
                replies.append(dns.message.from_wire(udp.recv(4096)))
                udp.settimeout(_SECOND_REPLY)
    return replies


def _over_https(query: dns.message.Message) -> dns.message.Message:
    encoded = base64.urlsafe_b64encode(query.to_wire()).rstrip(b"=").decode()
    # Where the encrypted resolver is comes from no liar.
    context = ssl.create_default_context()
    with (
        socket.create_connection(("8.8.8.8", 443), _PATIENCE) as tcp,
        context.wrap_socket(tcp, server_hostname="dns.google") as tls,
    ):
        tls.sendall(
            f"GET /dns-query?dns={encoded} HTTP/1.1\r\nHost: dns.google\r\n"
            "Accept: application/dns-message\r\nConnection: close\r\n\r\n".encode()
        )
        answer = b""
        with contextlib.suppress(ssl.SSLEOFError):
            while data := tls.recv(65536):
                answer += data
    return dns.message.from_wire(answer.partition(b"\r\n\r\n")[2])


def _connect(address: str, port: int) -> str:
    with socket.create_connection((address, port), _PATIENCE) as tcp:
        tcp.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            if not tcp.recv(1):
                return "closed"
    return "ok"


def _shake_or_word(address: str, name: str, port: int) -> str:
    try:
        return _shake(address, name, source_port=port)
    except (OSError, EOFError) as error:
        return _word(error)


def _shake(
    address: str,
    name: str,
    *,
    pieces: int = 1,
    records: int = 1,
    upper: bool = False,
    source_port: int = 0,
) -> str:
    with socket.socket() as tcp:
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        tcp.bind(("", source_port))
        tcp.settimeout(_PATIENCE)
        tcp.connect((address, 443))
        received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
        context = ssl.create_default_context()
        tls = context.wrap_bio(received, sent, server_hostname=name)
        first = True
        while True:
            try:
                tls.do_handshake()
                return "ok"
            except ssl.SSLWantReadError:
                flight = sent.read()
                if first and upper:
                    flight = flight.replace(name.encode(), name.upper().encode())
                if first and records > 1:
                    flight = _in_records(flight, records)
                first = False
                _send(tcp, flight, pieces)
                data = tcp.recv(65536)
                if not data:
                    raise EOFError from None
                received.write(data)


def _in_records(flight: bytes, count: int) -> bytes:
    """Cut the one record of a ClientHello into several."""
    body, version = flight[5:], flight[1:3]
    size = -(-len(body) // count)
    parts = [body[at : at + size] for at in range(0, len(body), size)]
    return b"".join(b"\x16" + version + len(part).to_bytes(2, "big") + part for part in parts)


def _send(tcp: socket.socket, flight: bytes, pieces: int) -> None:
    size = -(-len(flight) // pieces) or 1
    for start in range(0, len(flight), size):
        tcp.sendall(flight[start : start + size])
        time.sleep(0.002 if pieces > 1 else 0)


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_arguments: Any) -> None:
        """Follow nothing."""
        return None


def _fetch(url: str, patience: float = _PATIENCE) -> tuple[int, Any, bytes, str]:
    """GET a URL without following: status, headers, body, and how it failed ("" if it did not)."""
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.ProxyHandler({}))
    body = b""
    try:
        try:
            response = opener.open(url, timeout=patience)
        except urllib.error.HTTPError as error:
            response = error
        with response:
            status, headers = response.status, response.headers
            while len(body) < 400_000 and (data := response.read1(65536)):
                body += data
    except urllib.error.URLError as error:
        return 0, {}, body, _word(error.reason)
    except OSError as error:
        word = _word(error)
        return 0, {}, body, f"stalled after {len(body)}" if word == "timeout" and body else word
    except Exception as error:  # http.client has many names for what is no HTTP
        return 0, {}, body, type(error).__name__
    declared = headers.get("Content-Length")
    if declared and len(body) < min(int(declared), 400_000):
        return status, headers, body, "truncated"
    return status, headers, body, ""


def _word(error: object) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _VERIFY_WORDS.get(error.verify_code, f"verify error {error.verify_code}")
    # http.client's name for an end without an answer calls itself a reset as well.
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | RemoteDisconnected):
        return "closed"
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if "ALERT" in reason or reason.startswith("TLSV1_"):
            return "alert"
        return "not-tls" if reason in _NOT_TLS else f"TLS: {reason}"
    if isinstance(error, OSError) and error.errno in _UNREACHABLE:
        return "unreachable"
    return next((word for kind, word in _WORDS.items() if isinstance(error, kind)), repr(error))


_NOT_TLS = {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"}
_NOT_TLS |= {"RECORD_LAYER_FAILURE"}
_UNREACHABLE = (101, 113, 92, 13)  # network, host, protocol, prohibited
_WORDS: dict[type[BaseException], str] = {
    TimeoutError: "timeout",
    ConnectionResetError: "reset",
    ConnectionRefusedError: "refused",
    EOFError: "closed",
    socket.gaierror: "no address",
}


def main() -> None:
    """Try the lines side by side and print what came of them."""
    told = json.loads(sys.argv[1])
    client = Client(told)
    with ThreadPoolExecutor(max(1, len(told["lines"]))) as pool:
        found = dict(zip(told["lines"], pool.map(client.try_line, told["lines"]), strict=True))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
