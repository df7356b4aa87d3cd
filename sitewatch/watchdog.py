"""Tell systemd how the daemon is: ready, alive, reloading, stopping (the sd_notify protocol)."""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Mapping

_log = logging.getLogger(__name__)


class Notifier:
    """Sends datagrams to the socket that systemd names; without one it does nothing."""

    def __init__(self, address: str | None) -> None:
        # An address that begins with @ is an abstract one.
        self._address = "\0" + address[1:] if address and address[0] == "@" else address

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Notifier:
        """Return the notifier for this process; children are not to speak for it."""
        watched = environment.get("WATCHDOG_PID")
        address = environment.get("NOTIFY_SOCKET")
        return cls(address if watched in (None, str(os.getpid())) else None)

    def ready(self) -> None:
        self._send("READY=1")

    def alive(self) -> None:
        """Say that the event loop turns; when this stays away for too long systemd restarts us."""
        self._send("WATCHDOG=1")

    def reloading(self) -> None:
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        self._send("STOPPING=1")

    def status(self, text: str) -> None:
        """Show one line in `systemctl status`; never the name of a site."""
        self._send("STATUS=" + " ".join(text.split()))

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
                sock.setblocking(False)
                sock.sendto(message.encode(), self._address)
        except OSError as error:  # work goes on; systemd decides what silence means
            _log.warning("systemd could not be told: %s", error.strerror)
