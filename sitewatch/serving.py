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

from probes.helper_limits import client_key
from probes.helper_server import HelperServer

_MOST_CONNECTIONS = 256
_MOST_OF_ONE = 64  # connections of one asker; a proxy is no asker
_PATIENCE_SECONDS = 15  # for a whole head to come


class _ImpatientProtocol(H11Protocol):
    """Closes connections that send no whole request in time, and those of one asker too many."""

    proxies: frozenset[str] = frozenset()
    _open: Counter[str] = Counter()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._key = client_key(self.client[0]) if self.client else ""
        self._open[self._key] += 1
        self._look_again = self.loop.call_later(_PATIENCE_SECONDS, self._look)
        if self._open[self._key] > _MOST_OF_ONE and (self.client or ("",))[0] not in self.proxies:
            transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_again.cancel()
        self._open[self._key] -= 1
        if self._open[self._key] <= 0:
            del self._open[self._key]
        super().connection_lost(exc)

    def _look(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()  # what is idle for so long was closed before: this one dawdles
        else:
            self._look_again = self.loop.call_later(_PATIENCE_SECONDS, self._look)


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
    patient = {"proxies": frozenset({proxy} if proxy else ())}
    options: dict[str, Any] = {
        "http": type("_Protocol", (_ImpatientProtocol,), patient),
        "limit_concurrency": _MOST_CONNECTIONS,
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
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with socket.create_server((address, port), family=family) as listening:
        started()
        uvicorn.Server(config).run(sockets=[listening])
