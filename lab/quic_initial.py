"""Reading the server name in QUIC's first packets, whose keys hang on nothing secret (RFC 9001)."""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from lab.readable import hello_name

_SALTS = {
    1: bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"),
    0x6B3343CF: bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"),
}
_LABELS = {1: "quic", 0x6B3343CF: "quicv2"}
_INITIAL_TYPE = {1: 0, 0x6B3343CF: 1}
_MOST_BYTES = 16384
_PING, _PADDING, _CRYPTO = 1, 0, 6
_ACKS = (2, 3)


class Initials:
    """Collects the CRYPTO frames of one client's flow until they say a name."""

    def __init__(self) -> None:
        self._pieces: dict[int, bytes] = {}
        self._keys: dict[bytes, _Keys] = {}
        self.done = False

    def name(self, datagram: bytes) -> str:
        """Return the server name that became readable with a datagram, "" where none did."""
        if self.done:
            return ""
        for plain in self._opened(datagram):
            for offset, data in _crypto_frames(plain):
                self._pieces[offset] = data
        joined = self._joined()
        name = hello_name(joined) if joined else None
        self.done = name is not None or len(joined) > _MOST_BYTES
        return name or ""

    def _joined(self) -> bytes:
        joined = b""
        for offset in sorted(self._pieces):
            if offset > len(joined):
                break
            joined += self._pieces[offset][len(joined) - offset :]
        return joined

    def _opened(self, datagram: bytes) -> list[bytes]:
        """Return the payloads of the Initial packets in a datagram that can be opened."""
        opened, at = [], 0
        while at < len(datagram):
            try:
                packet = _parse(datagram, at)
            except (IndexError, struct.error, KeyError):
                break
            if packet is None:
                break
            version, destination, number_at, end = packet
            # The keys stay those of the client's first choice of an identifier.
            keys = next(iter(self._keys.values()), None) or _keys(version, destination)
            plain = keys.open(datagram[at:end], number_at - at)
            if plain is not None:
                self._keys.setdefault(destination, keys)
                opened.append(plain)
            at = end
        return opened


def _parse(data: bytes, at: int) -> tuple[int, bytes, int, int] | None:
    """Return version, destination, where the packet number stands, and the end of an Initial."""
    first = data[at]
    (version,) = struct.unpack_from("!I", data, at + 1)
    if not first & 0x80 or (first >> 4) & 3 != _INITIAL_TYPE[version]:
        return None
    where = at + 5
    destination = data[where + 1 : where + 1 + data[where]]
    where += 1 + data[where]
    where += 1 + data[where]
    token, where = _number(data, where)
    length, where = _number(data, where + token)
    return version, destination, where, where + length


def _number(data: bytes, at: int) -> tuple[int, int]:
    """Return a variable-length integer and where it ends."""
    size = 1 << (data[at] >> 6)
    if at + size > len(data):
        raise IndexError
    value = int.from_bytes(data[at : at + size], "big") & ((1 << (8 * size - 2)) - 1)
    return value, at + size


class _Keys:
    """The client's keys for Initial packets."""

    def __init__(self, key: bytes, nonce: bytes, header: bytes) -> None:
        self._open = AESGCM(key)
        self._nonce = nonce
        self._mask = Cipher(algorithms.AES(header), modes.ECB()).encryptor()

    def open(self, packet: bytes, number_at: int) -> bytes | None:
        """Return a packet's payload; None where it does not open."""
        sample = packet[number_at + 4 : number_at + 20]
        if len(sample) < 16:
            return None
        mask = self._mask.update(sample)
        head = bytearray(packet[: number_at + 4])
        head[0] ^= mask[0] & 0x0F
        size = (head[0] & 3) + 1
        for index in range(size):
            head[number_at + index] ^= mask[1 + index]
        number = bytes(head[number_at : number_at + size])
        padded = number.rjust(len(self._nonce), b"\0")
        nonce = bytes(one ^ other for one, other in zip(self._nonce, padded, strict=True))
        try:
            sealed = packet[number_at + size :]
            return self._open.decrypt(nonce, sealed, bytes(head[: number_at + size]))
        except InvalidTag:
            return None


def _keys(version: int, destination: bytes) -> _Keys:
    label = _LABELS[version]
    extract = hmac.HMAC(_SALTS[version], hashes.SHA256())
    extract.update(destination)
    client = _expand(extract.finalize(), "client in", 32)
    return _Keys(
        _expand(client, f"{label} key", 16),
        _expand(client, f"{label} iv", 12),
        _expand(client, f"{label} hp", 16),
    )


def _expand(secret: bytes, label: str, length: int) -> bytes:
    full = b"tls13 " + label.encode()
    info = struct.pack("!HB", length, len(full)) + full + b"\0"
    return HKDFExpand(hashes.SHA256(), length, info).derive(secret)


def _crypto_frames(plain: bytes) -> list[tuple[int, bytes]]:
    """Return offset and data of the CRYPTO frames among those that an Initial may hold."""
    found, at = [], 0
    try:
        while at < len(plain):
            kind, at = _number(plain, at)
            if kind in (_PADDING, _PING):
                continue
            if kind in _ACKS:
                at = _after_ack(plain, at)
            elif kind == _CRYPTO:
                offset, at = _number(plain, at)
                length, at = _number(plain, at)
                found.append((offset, plain[at : at + length]))
                at += length
            else:
                break
    except IndexError:
        pass  # cut off: what was read stands
    return found


def _after_ack(plain: bytes, at: int) -> int:
    _, at = _number(plain, at)
    _, at = _number(plain, at)
    ranges, at = _number(plain, at)
    for _ in range(2 * ranges + 1):
        _, at = _number(plain, at)
    return at
