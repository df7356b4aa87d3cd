"""The devices by which packets leave a namespace: TUN, or where that is forbidden a veth pair.

Either way the path reads and writes whole packets with the same two methods.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
from typing import Protocol

from lab import netlink
from lab.namespaces import NEW_NETWORK, Missing, enter, unshare
from lab.offload import HEADER, NOTHING, completed

_SET_TUN, _SET_OFFLOADS = 0x400454CA, 0x400454D0
_TUN_WITH_OFFLOAD_HEADER = 0x5001  # and without one that names the protocol
_CHECKSUMS, _GIANTS = 0x01, 0x06
_LARGEST_PACKET = 65535
_IPV4_FRAMES, _IPV6_FRAMES, _ALL_FRAMES = 0x0800, 0x86DD, 0x0003
_OUTER = "outer0"
_OUTGOING = 4  # kind of a packet socket's frame


class Device(Protocol):
    """One end of the path: packets that leave a namespace are read, those for it written."""

    def fileno(self) -> int: ...

    def read(self) -> tuple[bytes, bytes]:
        """Return the next packet and what is left undone on it (see lab.offload).

        Raises BlockingIOError when there is none.
        """

    def write(self, packet: bytes, offload: bytes = b"") -> None:
        """Hand a packet to the namespace's kernel. Raises BlockingIOError when it is full."""


class Tun:
    """A TUN device of the present network namespace. Raises Missing where it is forbidden.

    With `giants` the kernel may hand over TCP packets of up to 64 KB, to be cut up later or never.
    """

    def __init__(self, name: str, *, giants: bool = False) -> None:
        self._descriptor = _open_tun(name)
        fcntl.ioctl(self._descriptor, _SET_OFFLOADS, _CHECKSUMS | (_GIANTS if giants else 0))

    def fileno(self) -> int:
        return self._descriptor

    def read(self) -> tuple[bytes, bytes]:
        data = os.read(self._descriptor, HEADER.size + _LARGEST_PACKET)
        return data[HEADER.size :], data[: HEADER.size]

    def write(self, packet: bytes, offload: bytes = b"") -> None:
        os.writev(self._descriptor, (offload or NOTHING, packet))


def _open_tun(name: str) -> int:
    try:
        device = os.open("/dev/net/tun", os.O_RDWR | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError as error:
        raise Missing("there is no /dev/net/tun (kernel module tun)") from error
    except OSError as error:
        raise Missing(f"/dev/net/tun cannot be opened ({error.strerror})") from error
    try:
        fcntl.ioctl(
            device, _SET_TUN, struct.pack("16sH22x", name.encode(), _TUN_WITH_OFFLOAD_HEADER)
        )
    except OSError as error:
        os.close(device)
        raise Missing(f"no TUN device can be made ({error.strerror})") from error
    return device


class Veth:
    """A veth pair: one end in the present network namespace, the other on a packet socket.

    The other end lies in a namespace of its own. Raises Missing where such pairs are forbidden.
    """

    # Addresses may repeat: nobody else is on the wire.
    _INNER_ADDRESS, _OUTER_ADDRESS = b"\x02\0\0\0\0\x01", b"\x02\0\0\0\0\x02"
    _HEADER4 = _INNER_ADDRESS + _OUTER_ADDRESS + struct.pack("!H", _IPV4_FRAMES)
    _HEADER6 = _INNER_ADDRESS + _OUTER_ADDRESS + struct.pack("!H", _IPV6_FRAMES)

    def __init__(self, name: str) -> None:
        here = _network_namespace()
        try:
            unshare(NEW_NETWORK)
            outside = _network_namespace()
            enter(here)
            netlink.add_veth((name, self._INNER_ADDRESS), (_OUTER, self._OUTER_ADDRESS), outside)
            netlink.send_checksums(name)
            enter(outside)
            os.close(outside)
            netlink.set_up(_OUTER)
            self._socket = socket.socket(
                socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_NONBLOCK, socket.htons(_ALL_FRAMES)
            )
            self._socket.bind((_OUTER, _ALL_FRAMES))
        except OSError as error:
            raise Missing(f"no veth pair can be made ({error.strerror})") from error
        finally:
            enter(here)
            os.close(here)

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> tuple[bytes, bytes]:
        while True:
            frame, (_, _, kind, _, _) = self._socket.recvfrom(_LARGEST_PACKET)
            if kind != _OUTGOING:  # what was written here is seen again by sockets for all frames
                return frame[len(self._HEADER4) :], b""

    def write(self, packet: bytes, offload: bytes = b"") -> None:
        header = self._HEADER4 if packet[0] >> 4 == 4 else self._HEADER6
        self._socket.send(header + completed(packet, offload))


def _network_namespace() -> int:
    return os.open("/proc/self/ns/net", os.O_RDONLY)


def open_device(name: str, *, packet_sockets: bool, giants: bool = False) -> Device:
    """Make a device in this network namespace: TUN unless it is forbidden or not wanted."""
    if packet_sockets:
        return Veth(name)
    try:
        return Tun(name, giants=giants)
    except Missing as missing:
        try:
            return Veth(name)
        except Missing as missing_too:
            raise Missing(f"{missing}; {missing_too}") from missing_too
