"""Trains the dictionary that records are compressed with, on invented records.

``python -m storage.train_dictionary FILE`` writes a new one. It says nothing about real sites or
networks: names are invented and addresses come from the documentation ranges. The result depends
on the version of zstandard, so a shipped dictionary is data, not something to build again.
"""

from __future__ import annotations

import random
import sys
from pathlib import Path

import zstandard

from storage.failures import Failure
from storage.records import (
    Certificate,
    Connect,
    Exchange,
    Handshake,
    HelperAnswer,
    HelperEndpoint,
    HelperExchange,
    Line,
    Lookup,
    Measurement,
    Record,
    Reply,
    Round,
    Step,
    Vantage,
    canonical,
    utc_text,
)

_BYTES = 24 << 10
_WORDS = ("daily", "herald", "news", "rights", "watch", "steppe", "wiki", "voice", "mail", "chat")
_ENDINGS = ("com", "org", "net", "kz", "kg", "info")
_HEADERS = (
    ("Server", "nginx"),
    ("Server", "cloudflare"),
    ("Content-Type", "text/html; charset=UTF-8"),
    ("Content-Encoding", "gzip"),
    ("Transfer-Encoding", "chunked"),
    ("Connection", "keep-alive"),
    ("Cache-Control", "max-age=0, private, must-revalidate"),
    ("Strict-Transport-Security", "max-age=31536000; includeSubDomains; preload"),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "SAMEORIGIN"),
    ("Referrer-Policy", "strict-origin-when-cross-origin"),
    ("Vary", "Accept-Encoding"),
    ("Content-Security-Policy", "default-src 'self' https: data: 'unsafe-inline'"),
    ("Set-Cookie", "session=; Path=/; Secure; HttpOnly; SameSite=Lax"),
    ("Alt-Svc", 'h3=":443"; ma=86400'),
)
_ISSUERS = (
    "CN=R11,O=Let's Encrypt,C=US",
    "CN=WE1,O=Google Trust Services,C=US",
    "CN=DigiCert Global G2 TLS RSA SHA256 2020 CA1,O=DigiCert Inc,C=US",
    "CN=GTS Root R4,O=Google Trust Services LLC,C=US",
    "CN=ISRG Root X1,O=Internet Security Research Group,C=US",
)
_RESOLVERS = (
    ("system", None),
    ("udp", "8.8.8.8"),
    ("udp", "9.9.9.9"),
    ("https://dns.google/dns-query", "8.8.8.8"),
    ("https://dns.quad9.net/dns-query", "9.9.9.9"),
)


class Invention:
    """Invented records from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._start = utc_text(self._random.uniform(1.4e9, 1.9e9))

    def record(self) -> Record:
        """Return a measurement, or now and then a round."""
        return self.round() if self._random.random() < 0.1 else self.measurement()

    def round(self) -> Round:
        """Return a round on a line that is up."""
        return Round(
            simulated=False,
            tool="sitewatch 0.1.0",
            time=self._start,
            vantage=self._vantage(),
            line=self._line(),
            steps=self._steps("www.example.com"),
            targets=80,
        )

    def measurement(self) -> Measurement:
        """Return a measurement of an invented site, some of its steps failed."""
        host = self._host()
        return Measurement(
            simulated=False,
            tool="sitewatch 0.1.0",
            url=f"https://{host}/",
            time=self._start,
            round=f"sha256:{self._hash()}",
            tier="probing",
            vantage=self._vantage(),
            line=self._line(),
            steps=self._steps(host),
            helpers=[self._helper(host) for _ in range(2)],
        )

    def _vantage(self) -> Vantage:
        return Vantage(id=self._hash()[:32], country="KZ", asn=64500, network="Invented Telecom")

    def _line(self) -> Line:
        offset = self._random.randrange(9999)
        return Line(state="up", clock_offset_us=offset, ipv4=True, ipv6=False)

    def _steps(self, host: str) -> list[Step]:
        steps: list[Step] = [
            self._lookup(host, type, resolver, address)
            for resolver, address in _RESOLVERS
            for type in ("A", "AAAA")
        ]
        for connection in range(1, 4):
            address, failure = self._address(), self._failure()
            steps.append(
                Connect(
                    connection=connection,
                    address=address,
                    port=443,
                    start=self._start,
                    duration_us=self._duration(),
                )
            )
            steps.append(self._handshake(host, address, connection, failure))
            if failure is None:
                steps.append(self._exchange(host, address, connection))
        return steps

    def _lookup(self, host: str, type: str, resolver: str, address: str | None) -> Lookup:
        answers = [self._address() for _ in range(2)] if type == "A" else []
        raw = f"sha256:{self._hash()}"
        reply = Reply(after_us=self._duration(), ip_ttl=57, rcode=0, answers=answers, raw=raw)
        return Lookup(
            name=host,
            type=type,
            resolver=resolver,
            address=address,
            answers=answers,
            rcode=0,
            replies=[reply],
            failure=None if answers else Failure.DNS_NO_ANSWER,
            start=self._start,
            duration_us=self._duration(),
        )

    def _handshake(
        self, host: str, address: str, connection: int, failure: Failure | None
    ) -> Handshake:
        if failure:
            return Handshake(
                connection=connection,
                address=address,
                port=443,
                server_name=host,
                hello_bytes=517,
                acknowledged=True,
                retransmissions=3,
                failure=failure,
                start=self._start,
                duration_us=10_000_000,
            )
        return Handshake(
            connection=connection,
            address=address,
            port=443,
            server_name=host,
            version="TLSv1.3",
            alpn="h2",
            chain=[self._certificate(host, i) for i in _ISSUERS[:2]],
            valid=True,
            hello_bytes=517,
            acknowledged=True,
            retransmissions=0,
            bytes_received=4096,
            start=self._start,
            duration_us=self._duration(),
        )

    def _certificate(self, host: str, issuer: str) -> Certificate:
        return Certificate(
            sha256=self._hash(),
            spki_sha256=self._hash(),
            subject=f"CN={host}",
            issuer=issuer,
            names=[host, f"*.{host}"],
            not_before=self._start,
            not_after=self._start,
        )

    def _exchange(self, host: str, address: str, connection: int) -> Exchange:
        size = self._random.randrange(400_000)
        return Exchange(
            connection=connection,
            url=f"https://{host}/",
            address=address,
            status=200,
            headers=self._random.sample(_HEADERS, 9),
            title=f"{host}: the latest news",
            body=f"sha256:{self._hash()}",
            body_sha256=self._hash(),
            body_bytes=size,
            declared_bytes=size,
            truncated=False,
            protocol="h2",
            received_bytes=size // 3,
            first_byte_us=self._duration(),
            last_byte_us=self._duration(),
            language="en-us",
            simhash=self._hash()[:16],
            start=self._start,
            duration_us=self._duration(),
        )

    def _helper(self, host: str) -> HelperAnswer:
        addresses = [self._address() for _ in range(2)]
        endpoints = {f"{address}:443": HelperEndpoint(status=True) for address in addresses}
        return HelperAnswer(
            helper="https://helper.example/",
            answered=True,
            dns=addresses,
            connect=endpoints,
            handshake=endpoints,
            start=self._start,
            duration_us=self._duration(),
            exchange=HelperExchange(
                status=200,
                body_length=self._random.randrange(400_000),
                title=f"{host}: the latest news",
                headers=dict(self._random.sample(_HEADERS, 6)),
            ),
        )

    def _host(self) -> str:
        words = "-".join(self._random.sample(_WORDS, 2))
        return f"www.{words}.{self._random.choice(_ENDINGS)}"

    def _address(self) -> str:
        block = self._random.choice(("192.0.2", "198.51.100", "203.0.113"))
        return f"{block}.{self._random.randrange(1, 255)}"

    def _failure(self) -> Failure | None:
        return self._random.choice(list(Failure)) if self._random.random() < 0.3 else None

    def _duration(self) -> int:
        return self._random.randrange(5_000, 900_000)

    def _hash(self) -> str:
        return self._random.randbytes(32).hex()


def train() -> bytes:
    """Return a dictionary trained on a thousand invented records."""
    samples: list[bytes | bytearray | memoryview] = [
        canonical(Invention(seed).record()) for seed in range(1000)
    ]
    return zstandard.train_dictionary(_BYTES, samples).as_bytes()


if __name__ == "__main__":
    Path(sys.argv[1]).write_bytes(train())
