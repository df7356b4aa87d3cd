"""A test helper abroad: looks at a URL for somebody and says what it saw, as OONI's do.

It speaks the protocol of OONI's test helpers: a POST of JSON with `http_request`,
`http_request_headers` and `tcp_connect`, answered with `dns`, `tcp_connect`, `tls_handshake`,
`http_request` and `ip_info`. Everything in the answer was really tried from abroad.
"""

from __future__ import annotations

import asyncio
import ipaddress
import json
import re
import ssl
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import SplitResult, urljoin, urlsplit

import dns.exception
import dns.message
import dns.rcode
import dns.rdatatype
import h11

from lab.described import HelperServer
from lab.dns_client import ask
from lab.helper_troubles import twisted
from lab.http_client import Headers, get
from lab.messages import Request, Respond, Response
from lab.plan import Plan

_RESOLVER = "8.8.8.8"
_MOST_REDIRECTS = 10
_MOST_ENDPOINTS = 8
_TITLE = re.compile(rb"<title[^>]*>(.*?)</title>", re.IGNORECASE | re.DOTALL)
_FROM_PROBE, _FROM_HELPER, _BOGON, _VALID_TLS = 1, 2, 4, 8
_PASSED_ON = ("user-agent", "accept", "accept-language")

_Json: TypeAlias = dict[str, Any]


class _PageError(Exception):
    """A page could not be fetched; the message is OONI's word for why."""


@dataclass(frozen=True)
class Helper:
    """One helper: the address it works from, its trusted roots, its patience in seconds."""

    described: HelperServer
    address: str
    tls: ssl.SSLContext
    timeout: float
    plan: Plan
    address6: str = ""

    def responder(self) -> Respond:
        """Return the function that answers its HTTP requests."""

        async def respond(request: Request) -> Response:
            await asyncio.sleep(self.described.delay_ms / 1000)
            if "all" in self.described.fails:
                return Response(500, b"")
            if request.method == "GET":
                return _json({"message": "Hello OONItarian!"})
            try:
                wanted = json.loads(request.body)
                url = urlsplit(wanted["http_request"])
                headers = [
                    (name, values[0])
                    for name, values in (wanted.get("http_request_headers") or {}).items()
                    if name.lower() in _PASSED_ON and values
                ]
                endpoints = [str(endpoint) for endpoint in wanted.get("tcp_connect") or []]
            except (ValueError, KeyError, TypeError, AttributeError, IndexError):
                return Response(400, b"")
            if url.scheme not in ("http", "https") or not url.hostname:
                return Response(400, b"")
            seen = await self.look(url, headers, endpoints)
            return _json(twisted(seen, url.geturl(), self.described))

        return respond

    async def look(self, url: SplitResult, headers: Headers, endpoints: list[str]) -> _Json:
        """Look at a URL and at a probe's endpoints ("address:port")."""
        addresses, failure = await self._resolve(url.hostname or "")
        wanted = _endpoints(url, addresses, endpoints)
        tried, exchange = await asyncio.gather(
            asyncio.gather(*(self._try(endpoint, url.hostname or "") for endpoint in wanted)),
            self._exchange(url, headers),
        )
        valid = {str(one["endpoint"]) for one in tried if one["tls"] and one["tls"]["status"]}
        return {
            "dns": {"failure": failure, "addrs": addresses},
            "tcp_connect": {one["endpoint"]: one["tcp"] for one in tried},
            "tls_handshake": {one["endpoint"]: one["tls"] for one in tried if one["tls"]},
            "quic_handshake": {},
            "http_request": exchange,
            "http3_request": None,
            "ip_info": self._ip_info(addresses, endpoints, valid),
        }

    def _ip_info(self, addresses: list[str], endpoints: list[str], valid: set[str]) -> _Json:
        from_probe = {endpoint.rpartition(":")[0].strip("[]") for endpoint in endpoints}
        with_tls = {endpoint.rpartition(":")[0].strip("[]") for endpoint in valid}
        info = {}
        for address in {*addresses, *from_probe}:
            flags = _FROM_PROBE if address in from_probe else 0
            flags |= _FROM_HELPER if address in addresses else 0
            flags |= 0 if _is_global(address) else _BOGON
            flags |= _VALID_TLS if address in with_tls else 0
            info[address] = {"asn": self.plan.asn(address), "flags": flags}
        return info

    async def _resolve(self, host: str) -> tuple[list[str], str | None]:
        """Return the addresses of a host and the failure in the words of OONI's helpers."""
        if _is_address(host):
            return [host], None
        addresses: list[str] = []
        for kind in ("A", "AAAA") if self.address6 else ("A",):
            try:
                query = dns.message.make_query(host, kind)
                reply = await ask(query, _RESOLVER, source=self.address, timeout=self.timeout)
            except (dns.exception.DNSException, OSError):
                return [], "dns_server_failure"
            if reply.rcode() == dns.rcode.NXDOMAIN:
                return [], "dns_name_error"
            if reply.rcode() != dns.rcode.NOERROR:
                return [], "dns_server_failure"
            wanted = dns.rdatatype.from_text(kind)
            found = (rrset for rrset in reply.answer if rrset.rdtype == wanted)
            addresses += [record.to_text() for rrset in found for record in rrset]
        return addresses, None

    async def _try(self, endpoint: str, host: str) -> _Json:
        """Connect to an endpoint, and shake hands where its port is 443."""
        address, _, port = endpoint.rpartition(":")
        address = address.strip("[]")
        result: _Json = {
            "endpoint": endpoint,
            "tcp": {"status": True, "failure": None},
            "tls": None,
        }
        try:
            _, writer = await self._connect(address, int(port))
        except (OSError, ValueError) as error:
            result["tcp"] = {"status": False, "failure": _connect_failure(error)}
            return result
        if port == "443":
            result["tls"] = await self._handshake(writer, host)
        writer.transport.abort()
        return result

    async def _connect(
        self, address: str, port: int
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        async with asyncio.timeout(self.timeout):
            local = self.address6 if ":" in address else self.address
            if not local:
                raise OSError("this helper has no IPv6")
            return await asyncio.open_connection(address, port, local_addr=(local, 0))

    async def _handshake(self, writer: asyncio.StreamWriter, host: str) -> _Json:
        failure = None
        try:
            async with asyncio.timeout(self.timeout):
                await writer.start_tls(self.tls, server_hostname=host)
        except (OSError, EOFError) as error:
            failure = _handshake_failure(error)
        return {"server_name": host, "status": failure is None, "failure": failure}

    # --- the page -------------------------------------------------------------------------------

    async def _exchange(self, url: SplitResult, headers: Headers) -> _Json:
        """Fetch a URL, following redirects, and describe what came."""
        try:
            status, received, body = await self._follow(url, headers)
        except _PageError as error:
            return _page(failure=str(error))
        title = _TITLE.search(body)
        text = title[1].decode("utf-8", "replace").strip() if title else ""
        return _page(status, len(body), text, dict(received))

    async def _follow(self, url: SplitResult, headers: Headers) -> tuple[int, Headers, bytes]:
        for _ in range(_MOST_REDIRECTS + 1):
            status, received, body = await self._fetch(url, headers)
            location = dict(received).get("Location")
            if status not in (301, 302, 303, 307, 308) or not location:
                return status, received, body
            try:
                url = urlsplit(urljoin(url.geturl(), location))
            except ValueError as error:  # servers may name anything
                raise _PageError("unknown_error") from error
            if url.scheme not in ("http", "https") or not url.hostname:
                break
        raise _PageError("unknown_error")

    async def _fetch(self, url: SplitResult, headers: Headers) -> tuple[int, Headers, bytes]:
        """Fetch one URL from the first of its addresses that accepts a connection."""
        host = url.hostname or ""
        secure = url.scheme == "https"
        addresses, failure = await self._resolve(host)
        if failure or not addresses:
            raise _PageError("dns_lookup_error")
        problem = "unknown_error"
        for address in filter(_is_global, addresses):
            try:
                reader, writer = await self._connect(address, url.port or (443 if secure else 80))
            except OSError as error:
                problem = _page_failure(error)
                continue
            try:
                async with asyncio.timeout(self.timeout):
                    if secure:
                        await writer.start_tls(self.tls, server_hostname=host)
                    return await get(reader, writer, url, headers)
            except (OSError, EOFError, h11.RemoteProtocolError) as error:
                raise _PageError(_page_failure(error)) from error
            finally:
                writer.transport.abort()
        raise _PageError(problem)


# --- words and small values ---------------------------------------------------------------------


def _json(value: object) -> Response:
    headers = {"Content-Type": "application/json"}
    return Response(200, json.dumps(value).encode(), headers)


def _page(
    status: int = -1,
    length: int = -1,
    title: str = "",
    headers: dict[str, str] | None = None,
    failure: str | None = None,
) -> _Json:
    return {
        "status_code": status,
        "body_length": length,
        "title": title,
        "headers": headers or {},
        "failure": failure,
        "discovered_h3_endpoint": "",
    }


def _endpoints(url: SplitResult, addresses: list[str], asked: list[str]) -> list[str]:
    """Return the endpoints to try: the probe's and the URL's at our own addresses."""
    ports = [url.port] if url.port else [443] if url.scheme == "https" else [80, 443]
    written = [f"[{one}]" if ":" in one else one for one in addresses]
    own = [f"{address}:{port}" for address in written for port in ports]
    all_of_them = dict.fromkeys([*asked, *own])
    return [one for one in all_of_them if _is_global(one.rpartition(":")[0].strip("[]"))][
        :_MOST_ENDPOINTS
    ]


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _is_global(address: str) -> bool:
    return _is_address(address) and ipaddress.ip_address(address).is_global


def _connect_failure(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "generic_timeout_error"
    return (
        "connection_refused_error" if isinstance(error, ConnectionRefusedError) else "connect_error"
    )


def _handshake_failure(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        names = {
            62: "ssl_invalid_hostname",
            19: "ssl_unknown_authority",
            20: "ssl_unknown_authority",
        }
        return names.get(error.verify_code, "ssl_invalid_certificate")
    if isinstance(error, ssl.SSLError):
        return "ssl_failed_handshake"
    if isinstance(error, TimeoutError):
        return "generic_timeout_error"
    return "connection_reset" if isinstance(error, ConnectionResetError) else "eof_error"


def _page_failure(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "generic_timeout_error"
    refused = isinstance(error, ConnectionRefusedError)
    return "connection_refused_error" if refused else "unknown_error"
