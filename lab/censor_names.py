"""Censors of names in TLS, HTTP and QUIC: what they do once a name or a word has been read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

from lab.censor_parts import (
    DROP,
    PASS,
    CutTuples,
    Decision,
    Judge,
    Rule,
    resets,
    told,
)
from lab.dpi import Seen
from lab.readable import matches
from lab.wire import ACK, FIN, PSH, TCP, UDP, Packet

# Acts on the packet that gave a connection away; the flag tells whether it is the client's.
_Act: TypeAlias = Callable[[Packet, bool], Decision]
_Wanted: TypeAlias = Callable[[Seen], bool]

_DROPPED_SECONDS = 120.0  # as measured in Kazakhstan, see docs/zoo.md
_TAKEN_OVER_SECONDS = 15.0  # for which a box speaks in a server's name
_ALERT = bytes((21, 3, 3, 0, 2, 2, 40))  # fatal: handshake_failure
_BLOCK_PAGE = "<html><head><title>Blocked</title></head><body>This page is blocked.</body></html>"
_REALISTIC = {
    "Server": "nginx/1.18.0",
    "Date": "Mon, 19 Jun 2017 15:25:00 GMT",
    "Cache-Control": "no-cache, no-store",
    "X-Frame-Options": "SAMEORIGIN",
}


# --- which connections --------------------------------------------------------------------------


def _by_server_name(rule: Rule) -> _Wanted:
    names = rule.names
    return lambda seen: matches(seen.server_name, names)


def _by_host(rule: Rule) -> _Wanted:
    names, paths, words = rule.names, rule.censor.paths, rule.censor.words

    def wanted(seen: Seen) -> bool:
        if words or not matches(seen.host, names):
            return False
        return not paths or seen.path.startswith(paths)

    return wanted


def either_name(rule: Rule) -> _Wanted:
    """Return a test for the name in TLS or in HTTP."""
    names = rule.names
    return lambda seen: matches(seen.server_name or seen.host, names)


# --- the kinds ----------------------------------------------------------------------------------


def tls_drop(rule: Rule) -> Judge:
    """Swallow the segment that completes a forbidden server name and all later ones."""
    return _then_cut(rule, _by_server_name(rule), lambda _packet, _outward: _swallow(rule))


def http_drop(rule: Rule) -> Judge:
    """Swallow a forbidden request or answer and all later segments."""
    return _then_cut(rule, _by_host(rule), lambda _packet, _outward: _swallow(rule))


def _swallow(rule: Rule) -> Decision:
    return PASS if rule.censor.on_path else DROP


def tls_reset(rule: Rule) -> Judge:
    """Answer a forbidden server name with resets."""
    return _then_reset(rule, _by_server_name(rule))


def http_reset(rule: Rule) -> Judge:
    """Answer a forbidden request, or a word in the answer, with resets."""
    return _then_reset(rule, _by_host(rule))


def tls_close(rule: Rule) -> Judge:
    """Close the connection in the server's name once a forbidden server name came."""
    return _then_say(rule, _by_server_name(rule), b"")


def http_close(rule: Rule) -> Judge:
    """Close the connection in the server's name instead of an answer."""
    return _then_say(rule, _by_host(rule), b"")


def tls_alert(rule: Rule) -> Judge:
    """Refuse the handshake in the server's name."""
    return _then_say(rule, _by_server_name(rule), _ALERT)


def tls_http(rule: Rule) -> Judge:
    """Answer a ClientHello with plain HTTP."""
    return _then_say(rule, _by_server_name(rule), block_page(rule))


def http_page(rule: Rule) -> Judge:
    """Answer in the server's name with a block page."""
    return _then_say(rule, _by_host(rule), block_page(rule))


def http_redirect(rule: Rule) -> Judge:
    """Send the client elsewhere in the server's name."""
    head = f"HTTP/1.1 302 Found\r\nLocation: {rule.censor.location}\r\n"
    answer = f"{head}Content-Length: 0\r\nConnection: close\r\n\r\n"
    return _then_say(rule, _by_host(rule), answer.encode())


def block_page(rule: Rule) -> bytes:
    """Return the page as bytes, with the headers that the rule wants."""
    page = (rule.censor.page or _BLOCK_PAGE).encode()
    if rule.censor.headers == "none":
        return page
    more = _REALISTIC if rule.censor.headers == "realistic" else {}
    headers = {"Content-Type": "text/html", "Content-Length": str(len(page)), **more}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 200 OK\r\n{lines}Connection: close\r\n\r\n".encode() + page


def quic_drop(rule: Rule) -> Judge:
    """Swallow an Initial with a forbidden name, and the flow after it."""
    names, cut = rule.names, _cut(rule, _DROPPED_SECONDS)

    def judge(seen: Seen | None, packet: Packet, now: float) -> Decision:
        if packet.protocol != UDP:
            return PASS
        if cut.holds(packet, now, outward=seen is not None):
            return DROP
        if seen is not None and matches(seen.quic_name, names):
            cut.cut(packet, now)
            return DROP
        return PASS

    return judge


# --- how they work ------------------------------------------------------------------------------


def _cut(rule: Rule, usual: float) -> CutTuples:
    seconds = usual if rule.censor.residual is None else rule.censor.residual
    return CutTuples(seconds, rule.censor.residual_by)


def _then_cut(rule: Rule, wanted: _Wanted, act: _Act) -> Judge:
    """Act once, and swallow the connection afterwards."""
    return _once(rule, wanted, act, _cut(rule, _DROPPED_SECONDS), lambda _packet, _outward: DROP)


def _then_reset(rule: Rule, wanted: _Wanted) -> Judge:
    def act(packet: Packet, outward: bool) -> Decision:
        return resets(rule, packet, outward=outward)

    return _once(rule, wanted, act, _cut(rule, 0.0), act)


def _then_say(rule: Rule, wanted: _Wanted, payload: bytes) -> Judge:
    """Say something in the server's name and close; the true server is sent off with a reset."""
    flags = FIN | ACK | (PSH if payload else 0)

    def act(packet: Packet, outward: bool) -> Decision:
        to_client, to_server = told(rule, packet, flags, payload, outward=outward)
        tell_server = rule.censor.side == "both" and not rule.censor.on_path
        sent = (to_server,) if tell_server else ()
        return Decision(rule.censor.on_path, (to_client,), sent, rule.late)

    # Where the box only injects, nothing keeps the server's own words from arriving as well.
    cut = _cut(rule, 0.0 if rule.censor.on_path else _TAKEN_OVER_SECONDS)
    return _once(rule, wanted, act, cut, lambda _packet, _outward: DROP)


def _once(rule: Rule, wanted: _Wanted, act: _Act, cut: CutTuples, after: _Act) -> Judge:
    """Act on what gives a connection away, and deal with its later packets while it is cut."""
    words = tuple(word.encode() for word in rule.censor.words)

    def judge(seen: Seen | None, packet: Packet, now: float) -> Decision:
        if packet.protocol != TCP:
            return PASS
        outward = seen is not None
        if cut.holds(packet, now, outward=outward):
            return after(packet, outward)
        gives_away = (
            wanted(seen) if seen is not None else any(word in packet.payload for word in words)
        )
        if not gives_away:
            return PASS
        cut.cut(packet, now, outward=outward)
        return act(packet, outward)

    return judge
