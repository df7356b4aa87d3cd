"""The few netlink requests that a namespace needs: links, addresses, a default route.

Written here because a bare machine may have no `ip` program.
"""

from __future__ import annotations

import array
import fcntl
import os
import socket
import struct

_NEW_LINK, _NEW_ADDRESS, _NEW_ROUTE, _ERROR = 16, 20, 24, 2
_REQUEST, _ACKNOWLEDGE, _CREATE = 0x1, 0x4, 0x400
_UP, _NO_ARP = 0x1, 0x80
_HARDWARE_ADDRESS, _NAME, _LINK_INFO, _NAMESPACE = 1, 3, 18, 28  # attributes of a link
_INFO_KIND, _INFO_DATA, _VETH_PEER = 1, 2, 1
_ETHTOOL, _SET_SENDING_CHECKSUMS = 0x8946, 0x17
_ADDRESS, _LOCAL = 1, 2  # attributes of an address
_AT_ONCE = 0x02  # flag: do not look for duplicates
_ROUTE_DEVICE, _ROUTE_SOURCE = 4, 7  # attributes of a route
_MAIN_TABLE, _STATIC, _UNIVERSE, _LINK, _UNICAST = 254, 4, 0, 253, 1
_ALL_TABLE, _HOST, _LOCAL_ROUTE = 100, 254, 2
_NEW_RULE, _TO_TABLE, _RULE_DEVICE = 32, 1, 3
_HEADER = struct.Struct("=IHHII")


def set_up(device: str) -> None:
    """Bring a link up, without ARP: all links here have only two ends. Raises OSError, as all."""
    flags = _UP if device == "lo" else _UP | _NO_ARP
    index = socket.if_nametoindex(device)
    _request(_NEW_LINK, 0, struct.pack("=BxHiII", 0, 0, index, flags, flags))


def add_veth(near: tuple[str, bytes], far: tuple[str, bytes], namespace: int) -> None:
    """Make a pair of links by (name, hardware address), the far one in another namespace."""
    header = struct.pack("=BxHiII", 0, 0, 0, 0, 0)
    peer = header + _link(*far) + _attribute(_NAMESPACE, struct.pack("=I", namespace))
    data = _attribute(_INFO_DATA, _attribute(_VETH_PEER, peer))
    info = _attribute(_LINK_INFO, _attribute(_INFO_KIND, b"veth") + data)
    _request(_NEW_LINK, _CREATE, header + _link(*near) + info)


def _link(name: str, address: bytes) -> bytes:
    return _attribute(_NAME, name.encode() + b"\0") + _attribute(_HARDWARE_ADDRESS, address)


def send_checksums(device: str) -> None:
    """Have the kernel fill in the checksums of what it sends, and send no giant segments."""
    value = array.array("I", [_SET_SENDING_CHECKSUMS, 0])
    request = struct.pack("16sP16x", device.encode(), value.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, _ETHTOOL, request)


def add_address(device: str, address: str) -> None:
    """Give a device one address of either family that stands alone (/32, /128)."""
    family, packed = _packed(address)
    index = socket.if_nametoindex(device)
    # Nobody else is on the link, so that no IPv6 address need be tried out first.
    body = struct.pack("=BBBBi", family, 8 * len(packed), _AT_ONCE, _UNIVERSE, index)
    _request(
        _NEW_ADDRESS, _CREATE, body + _attribute(_LOCAL, packed) + _attribute(_ADDRESS, packed)
    )


def add_default_route(device: str, source: str) -> None:
    """Send everything of a family to a device, by default from the address `source`."""
    family, packed = _packed(source)
    body = struct.pack("=BBBBBBBBI", family, 0, 0, 0, _MAIN_TABLE, _STATIC, _LINK, _UNICAST, 0)
    body += _attribute(_ROUTE_DEVICE, struct.pack("=i", socket.if_nametoindex(device)))
    body += _attribute(_ROUTE_SOURCE, packed)
    _request(_NEW_ROUTE, _CREATE, body)


def add_local_everything(device: str) -> None:
    """Take every IPv4 packet that comes in by a device as meant for this namespace itself."""
    loopback = struct.pack("=i", socket.if_nametoindex("lo"))
    kind = (_ALL_TABLE, _STATIC, _HOST, _LOCAL_ROUTE)
    route = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, *kind, 0)
    _request(_NEW_ROUTE, _CREATE, route + _attribute(_ROUTE_DEVICE, loopback))
    rule = struct.pack("=BBBBBBBBI", socket.AF_INET, 0, 0, 0, _ALL_TABLE, 0, 0, _TO_TABLE, 0)
    rule += _attribute(_RULE_DEVICE, device.encode() + b"\0")
    _request(_NEW_RULE, _CREATE, rule)


def _packed(address: str) -> tuple[int, bytes]:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return family, socket.inet_pton(family, address)


def _attribute(kind: int, value: bytes) -> bytes:
    padding = b"\0" * (-len(value) % 4)
    return struct.pack("=HH", 4 + len(value), kind) + value + padding


def _request(kind: int, flags: int, body: bytes) -> None:
    """Send one request to the kernel and raise its refusal as OSError."""
    flags |= _REQUEST | _ACKNOWLEDGE
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
        kernel.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
        answer = kernel.recv(65536)
    _, answered, *_ = _HEADER.unpack_from(answer)
    (error,) = struct.unpack_from("=i", answer, _HEADER.size)
    if answered == _ERROR and error:
        raise OSError(-error, os.strerror(-error))
