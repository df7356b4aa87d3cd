"""Read what helpers answer: checked field by field, capped, kept as that helper's word.

The protocol is that of OONI's test helpers; what only ours say stands under `x_sitewatch`. An
answer that does not fit the protocol is none. Inside one that does, whatever names nothing that
was asked, or contradicts itself, is left out.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import msgspec

from probes.addresses import endpoint, is_address
from probes.trace import Trace
from storage.records import HelperAnswer, HelperEndpoint, HelperExchange

_MOST_ENTRIES = 50
_LONGEST_TEXT = 512
_WORD = re.compile(r"[a-z0-9_]{1,64}")
_UNKNOWN = "unknown_error"  # OONI's word; said for a failure in no word of its own
_LANGUAGE = re.compile(r"[a-z0-9-]{2,35}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SIMHASH = re.compile(r"[0-9a-f]{16}")
_PORTS = range(1, 65536)


class _Endpoint(msgspec.Struct):
    status: bool
    failure: str | None = None


class _Page(msgspec.Struct):
    body_length: int = -1
    failure: str | None = None
    title: str = ""
    headers: dict[str, str] | None = None
    status_code: int = -1


class _Dns(msgspec.Struct):
    failure: str | None = None
    addrs: list[str] | None = None


class _Extra(msgspec.Struct):
    """What only our helpers say (`probes/helper_protocol.py`)."""

    tool: str = ""
    simhash: str | None = None
    body_sha256: str | None = None
    language: str | None = None
    truncated: bool = False
    spki: dict[str, str] = {}


class Response(msgspec.Struct):
    """What a helper sends, as far as it is read here. Go writes an empty map as null."""

    tcp_connect: dict[str, _Endpoint] | None
    http_request: _Page
    dns: _Dns
    tls_handshake: dict[str, _Endpoint] | None = None
    x_sitewatch: _Extra | None = None


_DECODER = msgspec.json.Decoder(Response)


def read_response(data: bytes) -> Response | None:
    """Return the answer that `data` holds, None where it is not one of the protocol."""
    try:
        return _DECODER.decode(data)
    except (msgspec.MsgspecError, RecursionError, UnicodeDecodeError):
        return None


def answer_of(
    trace: Trace,
    helper: str,
    response: Response,
    asked: Collection[str],
    start: str,
    duration_us: int,
) -> HelperAnswer:
    """Return what is kept of an answer to a question about the endpoints `asked`."""
    dns, page, extra = response.dns, response.http_request, response.x_sitewatch or _Extra()
    found = [each for each in dns.addrs or () if is_address(each)][:_MOST_ENTRIES]
    known = _Endpoints(asked, found)
    return HelperAnswer(
        helper=helper,
        answered=True,
        tool=_text(trace, extra.tool) or None,
        dns=found,
        dns_failure=_word(dns.failure),
        connect=known.read(response.tcp_connect),
        handshake=known.read(response.tls_handshake),
        keys=known.keys(extra.spki),
        exchange=_exchange(trace, page, extra),
        start=start,
        duration_us=duration_us,
    )


class _Endpoints:
    """The endpoints that an answer may speak of: those asked for, and the addresses it found."""

    def __init__(self, asked: Collection[str], found: Collection[str]) -> None:
        self._asked = frozenset(asked)
        self._found = frozenset(found)

    def read(self, entries: Mapping[str, _Endpoint] | None) -> dict[str, HelperEndpoint]:
        """Return what was met at each; one that worked and failed at once says nothing."""
        return {
            where: HelperEndpoint(status=each.status, failure=_word(each.failure))
            for where, each in list((entries or {}).items())[:_MOST_ENTRIES]
            if self._knows(where) and each.status is (each.failure is None)
        }

    def keys(self, entries: Mapping[str, str]) -> dict[str, str]:
        """Return the hashes of leaf keys."""
        return {
            where: key
            for where, key in list(entries.items())[:_MOST_ENTRIES]
            if self._knows(where) and _SHA256.fullmatch(key)
        }

    def _knows(self, where: str) -> bool:
        if where in self._asked:
            return True
        address, _, port = where.rpartition(":")
        address = address.removeprefix("[").removesuffix("]")
        if address not in self._found or not (port.isascii() and port.isdigit()):
            return False
        return int(port[:6]) in _PORTS and where == endpoint(address, int(port))


def _exchange(trace: Trace, page: _Page, extra: _Extra) -> HelperExchange:
    if page.failure is not None:  # then whatever else it says of the page was never there
        return HelperExchange(failure=_word(page.failure))
    return HelperExchange(
        status=page.status_code if 100 <= page.status_code <= 999 else None,
        body_length=page.body_length if 0 <= page.body_length < 2**53 else None,
        title=_text(trace, page.title) or None,
        headers={
            trace.own.scrub(name[:_LONGEST_TEXT]): _text(trace, value) or ""
            for name, value in list((page.headers or {}).items())[:_MOST_ENTRIES]
            if name.isascii() and name.lower() != "set-cookie"
        },
        simhash=_fitting(_SIMHASH, extra.simhash),
        body_sha256=_fitting(_SHA256, extra.body_sha256),
        language=_fitting(_LANGUAGE, extra.language),
        truncated=extra.truncated if extra.tool else None,
    )


def _word(failure: str | None) -> str | None:
    return _fitting(_WORD, failure) or (None if failure is None else _UNKNOWN)


def _fitting(pattern: re.Pattern[str], text: str | None) -> str | None:
    return text if text is not None and pattern.fullmatch(text) else None


def _text(trace: Trace, text: str) -> str:
    return trace.own.scrub(text[:_LONGEST_TEXT])
