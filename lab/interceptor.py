"""A man in the middle of TLS: shows a forged copy of the true certificate and passes bytes on."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from typing import Protocol

from cryptography import x509

from lab.tls_front import Accept, Choose, Hello, Rudeness

_UPSTREAM_SECONDS = 10.0
_PIECE = 65536


class Forging(Protocol):
    """Copies true certificates."""

    def context(self, original: x509.Certificate) -> ssl.SSLContext:
        """Return a server's context with a copy of a true certificate."""


def intercept(forger: Forging, source: str) -> Choose:
    """Return the decision for each hello: shake hands with a copy of what the server shows.

    `source` is the address from which the server is asked. Where it cannot be reached, the
    client's connection is reset.
    """
    # Whatever the server shows is copied: who is deceived is the client.
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])

    async def choose(hello: Hello) -> Accept | Rudeness:
        try:
            async with asyncio.timeout(_UPSTREAM_SECONDS):
                reader, writer = await asyncio.open_connection(
                    hello.destination,
                    443,
                    ssl=context,
                    server_hostname=hello.name or None,
                    local_addr=(source, 0),
                    family=socket.AF_INET,
                )
        except (OSError, TimeoutError):
            return "reset"
        der = writer.get_extra_info("ssl_object").getpeercert(True)

        async def converse(near: asyncio.StreamReader, far: asyncio.StreamWriter) -> None:
            try:
                await asyncio.gather(_pass_on(near, writer), _pass_on(reader, far))
            finally:
                writer.close()

        return Accept(forger.context(x509.load_der_x509_certificate(der)), converse)

    return choose


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy one direction until its end, and end the other side too."""
    with contextlib.suppress(OSError):
        while data := await reader.read(_PIECE):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()
