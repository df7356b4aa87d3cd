"""The ground of every test: no traffic beyond loopback, a clean environment, own folders."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_SENDING = {"socket.connect", "socket.sendto", "socket.sendmsg"}
_attempts: list[str] = []


class OutsideTraffic(Exception):
    """A test tried to reach something beyond loopback."""


def _is_loopback(address: object) -> bool:
    if not isinstance(address, tuple) or not isinstance(address[0], str):
        return True  # Unix, netlink and packet sockets reach no network by a name or address
    return address[0] in ("", "localhost") or _is_loopback_number(address[0])


def _is_loopback_number(text: str) -> bool:
    try:
        number = ipaddress.ip_address(text)
    except ValueError:
        return False
    return number.is_loopback or number.is_unspecified


def _refuse_outside_traffic(event: str, arguments: tuple[object, ...]) -> None:
    """Stop connections and look-ups of this process; the lab's children have their own networks."""
    if event in _SENDING:
        sock, address = arguments[:2]
        inside = not _is_internet(sock) or _is_loopback(address)
    elif event == "socket.getaddrinfo":
        # A number is not looked up by asking anyone, and a number may be looked at.
        address = arguments[0]
        inside = address in (None, "", "localhost", b"localhost") or _is_number(address)
    else:
        return
    if not inside and os.getpid() == _own_process:
        _attempts.append(f"{event} {address!r}")
        raise OutsideTraffic(_attempts[-1])


def _is_internet(sock: object) -> bool:
    return getattr(sock, "family", None) in (socket.AF_INET, socket.AF_INET6)


def _is_number(text: object) -> bool:
    try:
        ipaddress.ip_address(text.decode() if isinstance(text, bytes) else str(text))
    except ValueError:
        return False
    return True


_own_process = os.getpid()
sys.addaudithook(_refuse_outside_traffic)  # cannot be taken away again, by nobody


@pytest.fixture(autouse=True)
def outside_attempts() -> Iterator[list[str]]:
    """Fail the test that tried to send beyond loopback, even where the refusal was swallowed."""
    _attempts.clear()
    yield _attempts
    assert not _attempts, f"traffic beyond loopback: {_attempts}"


@pytest.fixture(autouse=True)
def clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide this user's configuration and proxies; point the platform's folders into tmp_path."""
    for name in list(os.environ):
        if name.startswith("SITEWATCH_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    for name in ("CONFIG", "DATA", "STATE", "CACHE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / "home" / name.lower()))


@pytest.fixture
def config_folder(tmp_path: Path) -> Path:
    """An empty folder for a sitewatch.toml and what stands beside it."""
    folder = tmp_path / "configuration"
    folder.mkdir()
    return folder
