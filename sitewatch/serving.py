"""Serve a helper with uvicorn: nothing is logged, connections are few, short and never idle."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from probes.helper_limits import HelperLimits, client_key
from probes.helper_server import HelperServer


class _ImpatientProtocol(H11Protocol):
    """Closes connections that send no whole head in time, and those that are too many."""

    limits = HelperLimits()
    proxies: frozenset[str] = frozenset()
    by_asker: Counter[str] = Counter()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._key = client_key(self.client[0]) if self.client else ""
        self.by_asker[self._key] += 1
        self._look_again = self.loop.call_later(self.limits.head_seconds, self._look)
        of_proxy = (self.client or ("",))[0] in self.proxies  # a proxy is no asker
        of_one = 0 if of_proxy else self.by_asker[self._key]
        if of_one > self.limits.connections_of_one or (
            len(self.connections) > self.limits.connections
        ):
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_again.cancel()
        self.by_asker[self._key] -= 1
        if self.by_asker[self._key] <= 0:
            del self.by_asker[self._key]
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        # The next head has its whole time, not what is left of the last one's.
        self._look_again.cancel()
        self._look_again = self.loop.call_later(self.limits.head_seconds, self._look)
        super().on_response_complete()

    def _look(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            self._look_again = self.loop.call_later(self.limits.head_seconds, self._look)


def configured(
    helper: HelperServer,
    certificate: Path | None = None,
    key: Path | None = None,
    proxy: str | None = None,
) -> uvicorn.Config:
    """Return how a helper is served, within its limits.

    Raises OSError where certificate or key cannot be read.
    """
    own = {
        "limits": helper.limits,
        "proxies": frozenset({proxy} if proxy else ()),
        "by_asker": Counter[str](),
    }
    options: dict[str, Any] = {
        "http": type("_Protocol", (_ImpatientProtocol,), own),
        "timeout_keep_alive": 5,
        "timeout_graceful_shutdown": 5,
        "h11_max_incomplete_event_size": 16 * 1024,
        "proxy_headers": proxy is not None,
        "forwarded_allow_ips": proxy or "",
        "ssl_certfile": certificate,
        "ssl_keyfile": key,
    }
    config = uvicorn.Config(
        helper.application,
        access_log=False,
        log_config=None,
        server_header=False,
        lifespan="off",
        ws="none",
        loop="asyncio",
        **options,
    )
    config.load()  # reads the certificate
    return config


def serve(
    helper: HelperServer,
    address: str,
    port: int,
    certificate: Path | None,
    key: Path | None,
    proxy: str | None,
    started: Callable[[], None],
) -> None:
    """Serve until a signal comes; `started` is called once connections are taken.

    Raises OSError where it cannot listen there, or certificate or key cannot be read.
    """
    config = configured(helper, certificate, key, proxy)
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family) as listening:
        started()
        uvicorn.Server(config).run(sockets=[listening])
