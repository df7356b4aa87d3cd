"""In how many ways an address can be written: dotted, hex, decimal, mapped, encoded, in base64."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import unquote_to_bytes

_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
_ENTITY = re.compile(rb"&#(?:x0*([0-9a-f]{1,4})|0*([0-9]{1,5}));?", re.IGNORECASE)
_JSON_ESCAPE = re.compile(rb"\\+(?:u00|x)([0-9a-f]{2})", re.IGNORECASE)
_IPV6_TOKEN = re.compile(rb"[0-9a-f]{0,4}(?::[0-9a-f]{0,4}){2,7}(?:[0-9.]{4,13})?")


def texts_of(address: IPv4Address | IPv6Address) -> list[bytes]:
    """Return the lower-case texts that stand for an address, each once, the longest first."""
    forms = _ipv4_texts(address) if isinstance(address, IPv4Address) else _ipv6_texts(address)
    return sorted({form.lower().encode() for form in forms}, key=lambda form: (-len(form), form))


def _ipv4_texts(address: IPv4Address) -> Iterator[str]:
    octets, number = list(address.packed), int(address)
    for order in (octets, octets[::-1]):
        for joint in (".", "-", "_"):  # names of dial-up pools carry the address like that
            yield joint.join(map(str, order))
            yield joint.join(f"{octet:03d}" for octet in order)
        yield "".join(f"{octet:02x}" for octet in order)
        for joint in (":", "-", ".", " "):
            yield joint.join(f"{octet:02x}" for octet in order)
    yield str(number)
    yield f"0{number:o}"
    yield ".".join(f"0x{octet:x}" for octet in octets)
    yield ".".join(f"0{octet:o}" for octet in octets)
    yield ".".join(f"0{octet:03o}" for octet in octets)
    yield ".".join(f"0{octet:o}" if octet else "0" for octet in octets)
    yield f"{octets[0]}.{octets[1]}.{number & 0xFFFF}"  # inet_aton reads these too
    yield f"{octets[0]}.{number & 0xFFFFFF}"
    high, low = number >> 16, number & 0xFFFF  # mapped, translated and 6to4 addresses
    yield f"{high:x}:{low:x}"
    yield f"{high:04x}:{low:04x}"


def _ipv6_texts(address: IPv6Address) -> Iterator[str]:
    exploded = address.exploded
    groups = [f"{int(group, 16):x}" for group in exploded.split(":")]
    for text in (exploded, str(address), ":".join(groups)):
        yield text
        yield text.replace(":", "-")
    yield exploded.replace(":", "")
    yield exploded.replace(":", "")[:16]  # the network alone names the line
    yield ".".join(reversed(exploded.replace(":", "")))
    yield str(int(address))


def base64_cores(data: bytes) -> Iterator[bytes]:
    """Yield the part of `data` in base64 that does not depend on what stands around it.

    Once for each of the three places in a group at which it may begin, in both alphabets.
    """
    for offset in range(3):
        encoded = base64.b64encode(b"\0" * offset + data)
        start = (offset * 8 + 5) // 6
        core = encoded[start : (offset + len(data)) * 8 // 6]
        yield core
        if core != (other := core.replace(b"+", b"-").replace(b"/", b"_")):
            yield other


def base64_pattern(data: bytes) -> Iterator[bytes]:
    """Yield regular expressions that also match the characters at the edges of the cores."""
    bits_total = len(data) * 8
    number = int.from_bytes(data)
    for offset in range(3):
        first, last = offset * 8, offset * 8 + bits_total
        signs = []
        for start in range(first // 6 * 6, last, 6):
            known = range(max(start, first), min(start + 6, last))
            signs.append(_signs(number, bits_total, first, start, known))
        yield b"".join(signs)


def _signs(number: int, bits: int, first: int, start: int, known: range) -> bytes:
    """Return the class of base64 characters whose known bits are those of the data."""
    wanted = {bit - start: number >> (bits - 1 - (bit - first)) & 1 for bit in known}
    fitting = [
        sign
        for value, sign in enumerate(_BASE64)
        if all(value >> (5 - place) & 1 == bit for place, bit in wanted.items())
    ]
    text = re.escape(bytes(fitting))
    extra = (b"\\-" if b"+"[0] in fitting else b"") + (b"_" if b"/"[0] in fitting else b"")
    return b"[" + text + extra + b"]"


def encoded_pattern(text: bytes) -> bytes:
    """Return a regular expression for `text`, each sign plain, percent-encoded or an entity."""
    return b"".join(_sign_pattern(sign) for sign in text)


def _sign_pattern(sign: int) -> bytes:
    codes = dict.fromkeys([sign, ord(chr(sign).upper())])
    either = [re.escape(bytes([sign]))]
    for code in codes:
        either += [b"%%(?:25)*%02x" % code, rb"&#0*%d;?" % code, rb"&#x0*%x;?" % code]
        either += [rb"\\+(?:u00|x)%02x" % code]
    return b"(?:" + b"|".join(either) + b")"


def readings(data: bytes) -> Iterator[bytes]:
    """Yield `data` and what it says with its encodings undone; only those that it uses."""
    yield data
    plain = data
    for _ in range(2):  # percent-encoded twice is met in URLs inside URLs
        if b"%" not in plain:
            break
        plain = unquote_to_bytes(plain)
    if b"&#" in plain:
        plain = _ENTITY.sub(_entity, plain)
    if b"\\" in plain:
        plain = _JSON_ESCAPE.sub(lambda found: bytes([int(found[1], 16)]), plain)
    if plain is not data and plain != data:
        yield plain
    if b"\0" in plain:  # UTF-16
        yield plain.replace(b"\0", b"")


def _entity(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16) if found[1] else int(found[2])
    return bytes([code]) if code < 128 else found[0]


def ipv6_tokens(lower: bytes) -> Iterable[IPv6Address]:
    """Yield the IPv6 addresses that stand in lower-case data, however they are shortened."""
    for found in _IPV6_TOKEN.finditer(lower):
        try:
            yield IPv6Address(found[0].decode().rstrip("."))
        except ValueError:
            continue  # looks like one and is none: a time, a MAC address
