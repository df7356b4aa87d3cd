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


class _Door(asyncio.Protocol):
    """Takes a connection: counts it before anything is said, and lets TLS come to an end in time.

    What is served behind it, `_ImpatientProtocol`, hears of a connection when it can be spoken on.
    """

    limits = HelperLimits()
    proxies: frozenset[str] = frozenset()
    tls: Any = None  # the context; None: plain HTTP
    by_asker: Counter[str] = Counter()
    # Tasks are kept: the loop itself would let them vanish.
    shaking: set[asyncio.Task[None]] = set()

    def __init__(self, **options: Any) -> None:
        self._inner = _ImpatientProtocol(self.limits.head_seconds, **options)
        self._open = False  # has `_inner` heard of the connection
        self._early = bytearray()  # what came between the handshake's end and that
        self._key: str | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        address = (transport.get_extra_info("peername") or ("",))[0]
        self._key = client_key(address) if address else ""
        self.by_asker[self._key] += 1
        of_one = 0 if address in self.proxies else self.by_asker[self._key]  # a proxy is no asker
        too_many = of_one > self.limits.connections_of_one or (
            self.by_asker.total() > self.limits.connections
        )
        if too_many:
            transport.abort()
        elif self.tls is None:
            self._let_in(transport)
        else:
            task = asyncio.get_running_loop().create_task(self._shake_hands(transport))
            self.shaking.add(task)
            task.add_done_callback(self.shaking.discard)

    def data_received(self, data: bytes) -> None:
        if self._open:
            self._inner.data_received(data)
        else:
            self._early += data

    def eof_received(self) -> None:
        if self._open:
            self._inner.eof_received()

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget()
        if self._open:
            self._inner.connection_lost(exc)

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        loop, limit = asyncio.get_running_loop(), self.limits.tls_seconds
        try:
            spoken = await loop.start_tls(
                transport, self, self.tls, server_side=True, ssl_handshake_timeout=limit
            )
        except OSError:  # TLS's errors and time-outs are some
            spoken = None
        if spoken is None:
            transport.abort()
            self._forget()
        else:
            self._let_in(spoken)

    def _let_in(self, transport: asyncio.Transport) -> None:
        if self._key is None:  # it was lost in the meantime
            transport.abort()
            return
        self._open = True
        self._inner.connection_made(transport)
        if self._early:
            self._inner.data_received(bytes(self._early))
            self._early.clear()

    def _forget(self) -> None:
        """Count the connection no more; once."""
        if self._key is not None:
            self.by_asker[self._key] -= 1
            if self.by_asker[self._key] <= 0:
                del self.by_asker[self._key]
            self._key = None


class _ImpatientProtocol(H11Protocol):
    """Closes connections that send no whole head in time."""

    def __init__(self, head_seconds: float, **options: Any) -> None:
        super().__init__(**options)
        self._head_seconds = head_seconds

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._look_again = self.loop.call_later(self._head_seconds, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        self._look_again.cancel()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        # The next head has its whole time, not what is left of the last one's.
        self._look_again.cancel()
        self._look_again = self.loop.call_later(self._head_seconds, self._look)
        super().on_response_complete()

    def _look(self) -> None:
        if self.cycle is None or self.cycle.response_complete:
            self.transport.abort()
        else:
            self._look_again = self.loop.call_later(self._head_seconds, self._look)


def configured(
    helper: HelperServer,
    certificate: Path | None = None,
    key: Path | None = None,
    proxy: str | None = None,
) -> uvicorn.Config:
    """Return how a helper is served, within its limits.

    Raises OSError where certificate or key cannot be read.
    """

    class Door(_Door):
        limits = helper.limits
        proxies = frozenset({proxy} if proxy else ())
        by_asker = Counter[str]()
        shaking = set[asyncio.Task[None]]()

    options: dict[str, Any] = {
        "http": Door,
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
    Door.tls, config.ssl = config.ssl, None  # uvicorn would count nothing before TLS is done
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
