"""Clients that look closer than those of lab_worlds: at versions, bodies, timing and addresses.

Each function runs in a process of its own inside a world, by lab_worlds.inside(world, client,
function, ...). They use nothing of Sitewatch.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import ssl
import sys
import time
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 10.0


def ask(name: str, kind: str, server: str) -> dict[str, Any]:
    """Ask a resolver once over UDP: code, records by type, and whether the answer is cut off."""
    import dns.exception
    import dns.flags
    import dns.message
    import dns.query
    import dns.rcode
    import dns.rdatatype

    query = dns.message.make_query(name, kind)
    try:
        reply = dns.query.udp(query, server, timeout=PATIENCE)
    except dns.exception.Timeout:
        return {"failure": "timeout"}
    records: dict[str, list[str]] = {}
    for rrset in reply.answer:
        found = records.setdefault(dns.rdatatype.to_text(rrset.rdtype), [])
        found += [record.to_text() for record in rrset]
    cut_off = bool(reply.flags & dns.flags.TC)
    return {"code": dns.rcode.to_text(reply.rcode()), "cut off": cut_off, **records}


def answered(name: str, server: str, questions: int) -> int:
    """Send questions over UDP, one after the other; count the answers within the patience."""
    import dns.message

    count = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        for _ in range(questions):
            udp.sendto(dns.message.make_query(name, "A").to_wire(), (server, 53))
        udp.settimeout(PATIENCE)
        with contextlib.suppress(TimeoutError):
            while count < questions:
                udp.recv(4096)
                count += 1
    return count


def connect_seconds(address: str, port: int) -> float:
    """Return how long a connection takes to be made."""
    begun = time.monotonic()
    socket.create_connection((address, port), PATIENCE).close()
    return time.monotonic() - begun


def local_address(address: str, port: int) -> str:
    """Return the address that this machine uses for a connection."""
    with socket.create_connection((address, port), PATIENCE) as connection:
        return str(connection.getsockname()[0])


def late_request(address: str, host: str, pause: float) -> str:
    """Connect to port 80, wait, then ask for a page: its first line, or the failure's word."""
    with socket.create_connection((address, 80), PATIENCE) as connection:
        time.sleep(pause)
        try:
            connection.sendall(f"GET / HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
            return connection.recv(4096).split(b"\r\n")[0].decode()
        except OSError as error:
            return word(error)


def raw_https(url: str, most: int = 1 << 20) -> dict[str, Any]:
    """GET a URL by hand: status line, headers, bytes of the body, how it ended."""
    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    try:
        connection = socket.create_connection((host, parts.port or (443 if secure else 80)), 5)
        connection.settimeout(PATIENCE)
        if secure:
            context = ssl.create_default_context()
            connection = context.wrap_socket(connection, server_hostname=host)
        with connection:
            request = (
                f"GET {parts.path or '/'} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
            )
            connection.sendall(request.encode())
            return _received(connection, most)
    except OSError as error:
        return {"failure": word(error)}


def _received(connection: socket.socket, most: int) -> dict[str, Any]:
    data, ended = b"", "closed"
    try:
        while len(data) < most:
            piece = connection.recv(65536)
            if not piece:
                break
            data += piece
        else:
            ended = "goes on"
    except OSError as error:
        ended = word(error)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    headers = dict(line.split(": ", 1) for line in lines[1:] if ": " in line)
    return {
        "line": lines[0],
        "headers": headers,
        "bytes": len(body),
        "ended": ended,
        "text": body[:20000].decode("latin-1"),
    }


def fetch2(url: str) -> dict[str, Any]:
    """GET a URL with a client that speaks HTTP/2: version, status, size."""
    import httpx

    context = ssl.create_default_context()
    with httpx.Client(http2=True, verify=context, timeout=PATIENCE, trust_env=False) as client:
        answer = client.get(url)
    return {
        "version": answer.http_version,
        "status": answer.status_code,
        "bytes": len(answer.content),
        "headers": dict(answer.headers),
    }


def fetch3(address: str, name: str) -> dict[str, Any]:
    """GET a page over QUIC: status and size."""
    return asyncio.run(_fetch3(address, name))


async def _fetch3(address: str, name: str) -> dict[str, Any]:
    import os

    from aioquic.asyncio.client import connect
    from aioquic.asyncio.protocol import QuicConnectionProtocol
    from aioquic.h3.connection import H3Connection
    from aioquic.h3.events import DataReceived, HeadersReceived
    from aioquic.quic.configuration import QuicConfiguration

    done: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
    seen: dict[str, Any] = {"bytes": 0}

    class Client(QuicConnectionProtocol):
        http: Any = None

        def quic_event_received(self, event: Any) -> None:
            for found in self.http.handle_event(event) if self.http else ():
                if isinstance(found, HeadersReceived):
                    seen["status"] = int(dict(found.headers)[b":status"])
                elif isinstance(found, DataReceived):
                    seen["bytes"] += len(found.data)
                if found.stream_ended and not done.done():
                    done.set_result(seen)

    configuration = QuicConfiguration(is_client=True, alpn_protocols=["h3"], server_name=name)
    configuration.load_verify_locations(os.environ["SSL_CERT_FILE"])
    async with connect(address, 443, configuration=configuration, create_protocol=Client) as client:
        http: Any = H3Connection(client._quic)
        client.http = http  # type: ignore[attr-defined]
        stream = client._quic.get_next_available_stream_id()
        head = [(":method", "GET"), (":scheme", "https"), (":authority", name), (":path", "/")]
        encoded = [(key.encode(), value.encode()) for key, value in head]
        http.send_headers(stream, encoded, end_stream=True)
        client.transmit()
        return await asyncio.wait_for(done, PATIENCE)


def issuer(address: str, name: str) -> dict[str, Any]:
    """Shake hands; return the issuer's common name as the machine's store verifies it."""
    context = ssl.create_default_context()
    try:
        with (
            socket.create_connection((address, 443), PATIENCE) as connection,
            context.wrap_socket(connection, server_hostname=name) as tls,
        ):
            certificate: Any = tls.getpeercert()
    except OSError as error:
        return {"failure": word(error)}
    names = {key: value for part in certificate["issuer"] for key, value in part}
    return {"issuer": names["commonName"]}


def several(calls: list[tuple[str, list[Any], float]]) -> list[Any]:
    """Call functions of this module by name, one after the other: a process for all of them."""
    global PATIENCE
    results = []
    for name, arguments, patience in calls:
        PATIENCE = patience
        results.append(globals()[name](*arguments))
    return results


def word(error: object) -> str:
    """Return a failure in a word."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, ssl.SSLError):
        return str(error.reason or "tls")
    kinds = {
        TimeoutError: "timeout",
        ConnectionResetError: "reset",
        ConnectionRefusedError: "refused",
    }
    return next((said for kind, said in kinds.items() if isinstance(error, kind)), repr(error))


if __name__ == "__main__":
    PATIENCE = float(sys.argv[3])
    print(json.dumps(globals()[sys.argv[1]](*json.loads(sys.argv[2]))))
