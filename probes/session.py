"""An HTTPS connection to a service that the prober itself uses: a helper or an encrypted resolver.

Its steps are not the watched site's and are not recorded; only what the service said, or the
failure that kept it from answering.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import httpx

from probes.certificates import CertificateJudge
from probes.http import ByteStream, SingleConnection
from probes.settings import Limits
from probes.tcp import connect
from probes.tls import handshake
from probes.trace import Stage, Trace
from storage.failures import Failure


async def open_session(
    trace: Trace,
    url: str,
    addresses: Sequence[str],
    limits: Limits,
    judge: CertificateJudge,
    clock_offset: float,
) -> tuple[httpx.AsyncClient, str] | Failure:
    """Connect to the first address that works; return a client for this one connection.

    Over https only a chain that is valid for the name will do. The address used comes along.
    """
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    own = Trace(trace.clock, trace.own)
    for address in addresses:
        connection = await connect(own, Stage(), address, port, limits.connect_timeout)
        if connection is None:
            continue
        stream: ByteStream = connection
        if parts.scheme == "https":
            secured = await handshake(
                own, Stage(), connection, parts.hostname, limits.tls_timeout, judge, clock_offset
            )
            if secured is None:
                continue
            if not secured.valid:
                secured.close()
                continue
            stream = secured
        client = httpx.AsyncClient(transport=SingleConnection(url, stream), trust_env=False)
        return client, address
    last = own.steps[-1].failure if own.steps else Failure.DNS_NO_ANSWER
    return Failure(last or Failure.UNKNOWN)
