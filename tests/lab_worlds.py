"""What lab tests share: skipping where there is no lab, and what clients do inside a world.

The functions that act as a client run in a process of their own inside: `inside(world, client,
function, ...)` calls one there and returns what it returned. They use nothing of Sitewatch.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import socket
import ssl
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lab.network import World

SHORT = 0.6  # seconds of patience where silence is expected; a busy machine can be slower

_PATIENCE = 10.0  # seconds after which a client inside gives up


def require_lab() -> None:
    """Skip the test where the lab cannot start, with the one-line reason; with CI=true fail."""
    import pytest

    reason = _missing()
    if reason and os.environ.get("CI") == "true":
        pytest.fail(reason, pytrace=False)
    if reason:
        pytest.skip(reason)


@functools.cache
def _missing() -> str:
    from lab.network import LabUnavailable, check_available

    try:
        check_available()
    except LabUnavailable as error:
        return str(error)
    return ""


def inside(
    world: World,
    client: str,
    function: Callable[..., Any],
    *arguments: object,
    patience: float = _PATIENCE,
) -> Any:
    """Call a function of a module of clients with plain values on a machine in a world."""
    module = function.__code__.co_filename
    argv = [sys.executable, module, function.__name__, json.dumps(arguments), str(patience)]
    with world.popen(client, argv, stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0
    return json.loads(output)


# --- what a client does -------------------------------------------------------------------------


def system_lookup(name: str) -> list[str] | str:
    """Ask the system's resolver: addresses, or the error's word."""
    try:
        found = socket.getaddrinfo(name, 443, type=socket.SOCK_STREAM)
    except socket.gaierror as error:
        return {socket.EAI_NONAME: "no such name", socket.EAI_AGAIN: "no answer"}.get(
            error.errno or 0, str(error)
        )
    return sorted(str(one[4][0]) for one in found)


def lookup(name: str, server: str) -> list[list[str]]:
    """Ask a server over UDP: per reply its code and addresses, in the order of arrival."""
    import dns.message
    import dns.rcode

    replies = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        udp.settimeout(_PATIENCE)
        udp.sendto(dns.message.make_query(name, "A").to_wire(), (server, 53))
        with contextlib.suppress(TimeoutError):
            while True:
                reply = dns.message.from_wire(udp.recv(4096))
                addresses = [record.to_text() for rrset in reply.answer for record in rrset]
                replies.append([dns.rcode.to_text(reply.rcode()), *addresses])
                udp.settimeout(0.3)  # for a second one
    return replies


def lookup_over_tcp(name: str, server: str) -> list[str]:
    """Ask a server over TCP: the reply's addresses."""
    import dns.message
    import dns.query

    reply = dns.query.tcp(dns.message.make_query(name, "A"), server, timeout=_PATIENCE)
    return [record.to_text() for rrset in reply.answer for record in rrset]


def connect(address: str, port: int) -> str:
    """Connect: "ok", "timeout", "reset" or "refused"."""
    try:
        socket.create_connection((address, port), _PATIENCE).close()
    except OSError as error:
        return _word(error)
    return "ok"


def shake(address: str, name: str, pieces: int = 1, source_port: int = 0) -> str:
    """Shake hands with TLS, the ClientHello cut into segments: "ok" or what went wrong."""
    try:
        with socket.socket() as tcp:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            tcp.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            tcp.bind(("", source_port))
            tcp.settimeout(_PATIENCE)
            tcp.connect((address, 443))
            _shake(tcp, name, pieces)
    except (OSError, EOFError) as error:
        return _word(error)
    return "ok"


def _shake(tcp: socket.socket, name: str, pieces: int) -> None:
    """Complete a handshake by hand, so that the segments are ours to cut."""
    received, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(received, sent, server_hostname=name)
    while True:
        try:
            tls.do_handshake()
            return
        except ssl.SSLWantReadError:
            flight = sent.read()
            size = -(-len(flight) // pieces) or 1
            for start in range(0, len(flight), size):
                tcp.sendall(flight[start : start + size])
                time.sleep(0.002 if pieces > 1 else 0)
            data = tcp.recv(65536)
            if not data:
                raise EOFError from None
            received.write(data)


def shake_twice_from_one_port(address: str, names: list[str]) -> list[str]:
    """Shake hands with one name after the other from the same port; say how each went."""
    return [shake(address, name, source_port=40123) for name in names]


def fetch(url: str) -> dict[str, Any]:
    """GET a URL with redirects: status, final URL, Date, text; or the failure's word."""
    try:
        with urllib.request.urlopen(url, timeout=_PATIENCE) as response:
            return _page(response.status, response.url, response.headers, response.read())
    except urllib.error.HTTPError as error:
        with error:
            return _page(error.code, error.url, error.headers, error.read())
    except urllib.error.URLError as error:
        return {"failure": _word(error.reason)}
    except OSError as error:
        return {"failure": _word(error)}


def _page(status: int, url: str, headers: Any, body: bytes) -> dict[str, Any]:
    return {"status": status, "url": url, "date": headers["Date"], "text": body.decode()}


def ask_helper(helper: str, question: dict[str, Any]) -> dict[str, Any]:
    """POST a question to a test helper and return its answer."""
    headers = {"Content-Type": "application/json"}
    request = urllib.request.Request(helper, json.dumps(question).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        answer: dict[str, Any] = json.load(response)
        return answer


def ask_doh(url: str, name: str) -> dict[str, list[str]]:
    """Ask an encrypted resolver by POST and by GET: the addresses of either answer."""
    import base64

    import dns.message

    query = dns.message.make_query(name, "A").to_wire()
    kind = {"Content-Type": "application/dns-message", "Accept": "application/dns-message"}
    encoded = base64.urlsafe_b64encode(query).rstrip(b"=").decode()
    found = {}
    for method, request in (
        ("POST", urllib.request.Request(url, query, kind)),
        ("GET", urllib.request.Request(f"{url}?dns={encoded}", headers=kind)),
    ):
        with urllib.request.urlopen(request, timeout=_PATIENCE) as response:
            reply = dns.message.from_wire(response.read())
        found[method] = [record.to_text() for rrset in reply.answer for record in rrset]
    return found


def walk(address: str, most_hops: int) -> list[str]:
    """Connect with growing TTL: the router that answers each, "ok" where the server did."""
    met = []
    for ttl in range(1, most_hops + 1):
        with socket.socket() as tcp:
            tcp.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            tcp.setsockopt(socket.IPPROTO_IP, 11, 1)  # IP_RECVERR
            tcp.settimeout(_PATIENCE)
            try:
                tcp.connect((address, 443))
                met.append("ok")
            except TimeoutError:
                met.append("timeout")
            except OSError:
                _, control, _, _ = tcp.recvmsg(512, 512, socket.MSG_ERRQUEUE)
                # A struct sock_extended_err, and behind it the address of who complained.
                met.append(socket.inet_ntoa(control[0][2][20:24]))
    return met


def _word(error: object) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    kinds = {TimeoutError: "timeout", ConnectionResetError: "reset", EOFError: "closed"}
    kinds[ConnectionRefusedError] = "refused"
    return next((word for kind, word in kinds.items() if isinstance(error, kind)), repr(error))


if __name__ == "__main__":
    _PATIENCE = float(sys.argv[3])
    print(json.dumps(globals()[sys.argv[1]](*json.loads(sys.argv[2]))))
