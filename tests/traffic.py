"""The guard that keeps this process from sending anything beyond loopback."""

from __future__ import annotations

import ipaddress
import os
import socket

_SENDING = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_OWN_PROCESS = os.getpid()

attempts: list[str] = []  # what was refused, also where the refusal was swallowed


class OutsideTraffic(Exception):
    """A test tried to reach something beyond loopback."""


def refuse_outside_traffic(event: str, arguments: tuple[object, ...]) -> None:
    """Stop connections and look-ups of this process, as an audit hook.

    The lab's child processes have networks of their own and are left alone.
    """
    if event in _SENDING:
        inside = _stays_inside(*arguments[:2])
        what = arguments[1]
    elif event == "socket.getaddrinfo":
        what = arguments[0]
        # A number is not looked up by asking anyone.
        inside = what in (None, "", "localhost", b"localhost") or _number(what) is not None
    else:
        return
    if not inside and os.getpid() == _OWN_PROCESS:
        attempts.append(f"{event} {what!r}")
        raise OutsideTraffic(attempts[-1])


def _stays_inside(sock: object, address: object) -> bool:
    if getattr(sock, "family", None) not in (socket.AF_INET, socket.AF_INET6):
        return True  # Unix, netlink and packet sockets
    if not isinstance(address, tuple) or address[0] in ("", "localhost"):
        return True
    number = _number(address[0])
    return number is not None and (number.is_loopback or number.is_unspecified)


def _number(text: object) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(text.decode() if isinstance(text, bytes) else str(text))
    except ValueError:
        return None
