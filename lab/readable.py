"""Names that can be read in bytes in passing: in TLS, HTTP and DNS. Pure functions."""

from __future__ import annotations

import struct


def _handshake_bytes(data: bytes) -> bytes | None:
    """Join the fragments of leading handshake records; None where others come first."""
    joined, at = b"", 0
    while at + 5 <= len(data):
        kind, _, length = struct.unpack_from("!BHH", data, at)
        if kind != 22:
            return joined or None
        joined += data[at + 5 : at + 5 + length]
        at += 5 + length
    return joined


def server_name(data: bytes) -> str | None:
    """Return the server name in the ClientHello with which `data` begins, in lower case.

    "" means that there is none, None that more bytes are needed.
    """
    hello = _handshake_bytes(data)
    return "" if hello is None else hello_name(hello)


def hello_name(hello: bytes) -> str | None:
    """Return the server name in a ClientHello without records; "" and None as above."""
    if hello and hello[0] != 1:
        return ""
    try:
        at = 38  # type, length, version, random
        at += 1 + hello[at]  # session id
        at += 2 + struct.unpack_from("!H", hello, at)[0]  # cipher suites
        at += 1 + hello[at]  # compression methods
        end = at + 2 + struct.unpack_from("!H", hello, at)[0]
        at += 2
        while at < end:
            kind, length = struct.unpack_from("!HH", hello, at)
            if kind == 0:
                (size,) = struct.unpack_from("!H", hello, at + 7)
                name = hello[at + 9 : at + 9 + size]
                return name.decode("latin-1").lower() if len(name) == size else None
            at += 4 + length
    except (IndexError, struct.error):
        return None  # cut off: more is to come
    return ""


def host_header(data: bytes) -> str | None:
    """Return the Host of the HTTP request with which `data` begins; "" and None as above."""
    head, ended, _ = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    for line in lines[1:] if ended else lines[1:-1]:
        key, _, value = line.partition(b":")
        if key.strip().lower() == b"host":
            return value.strip().decode("latin-1").lower().partition(":")[0]
    return "" if ended or not data[:1].isalpha() else None


def request_path(data: bytes) -> str:
    """Return the path of the HTTP request with which `data` begins."""
    parts = data.partition(b"\r\n")[0].split(b" ")
    return parts[1].decode("latin-1") if len(parts) > 1 else ""


def question_name(query: bytes) -> str:
    """Return the name that a DNS query asks for in lower case, "" where it does not parse."""
    labels, at = [], 12
    while at < len(query) and (length := query[at]):
        labels.append(query[at + 1 : at + 1 + length].decode("latin-1").lower())
        at += 1 + length
        if length > 63:
            return ""
    return ".".join(labels) if at < len(query) else ""


def matches(name: str, patterns: tuple[str, ...]) -> bool:
    """Tell whether a name is one of the patterns or below one; case does not matter."""
    name = name.rstrip(".").lower()
    return bool(name) and any(name == one or name.endswith("." + one) for one in patterns)
