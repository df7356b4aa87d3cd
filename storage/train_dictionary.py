"""Trains the dictionary that records are compressed with, on invented records.

``python -m storage.train_dictionary FILE`` writes a new one. It says nothing about real sites or
networks: names are invented and addresses come from the documentation ranges. The result depends
on the version of zstandard, so a shipped dictionary is data, not something to build again.
"""

from __future__ import annotations

import random
import sys
from datetime import UTC, datetime
from pathlib import Path

import zstandard

from storage.failures import Failure
from storage.records import (
    Certificate,
    Connect,
    Exchange,
    Handshake,
    HelperAgreement,
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

_BYTES = 12 << 10  # a larger one makes longer references: ordinary records take more then
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
_DOH = ("https://dns.google/dns-query", "8.8.8.8")
_RESOLVERS = (("system", None), ("udp", "8.8.8.8"), ("udp", "9.9.9.9"))
_HELPERS = tuple(f"https://{number}.th.ooni.org/" for number in range(4))
_ALL_AGREE = HelperAgreement(
    asked=2,
    answered=2,
    names=True,
    addresses=True,
    connect=True,
    handshake=True,
    page=True,
    status=True,
    title=True,
)


class Invention:
    """Invented records from one seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._moment = float(self._random.randrange(1_400_000_000, 1_900_000_000))
        self._sites = [self._address() for _ in range(self._random.choice((1, 1, 2)))]

    def record(self) -> Record:
        """Return a measurement, or now and then a round."""
        return self.round() if self._random.random() < 0.1 else self.measurement()

    def round(self) -> Round:
        """Return a round on a line that is up."""
        return Round(
            simulated=False,
            tool="sitewatch 0.1.0",
            time=self._start(),
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
            time=self._start(),
            round=f"sha256:{self._hash()}",
            tier=self._random.choice(("browser-like", "probing")),
            vantage=self._vantage(),
            line=self._line(),
            steps=self._steps(host),
            helpers=[self._helper(host, url) for url in self._random.sample(_HELPERS, 2)],
            agreement=_ALL_AGREE,
        )

    def _vantage(self) -> Vantage:
        return Vantage(id=self._hash()[:32], country="KZ", asn=64500, network="Invented Telecom")

    def _line(self) -> Line:
        return Line(
            state="up",
            clock_offset_us=self._random.randrange(-99_999, 99_999),
            ipv4=True,
            ipv6=self._random.random() < 0.2,
            resolver_asn=64500,
            resolver_at_home=self._random.random() < 0.7,
            diverted=False,
            nat64=False,
            intercepted=False,
            tunnelled=False,
        )

    def _steps(self, host: str) -> list[Step]:
        """Return what a visit leaves: its own steps in order, then the look-ups beside it."""
        steps: list[Step] = [self._lookup(host, type, *_DOH) for type in ("A", "AAAA", "HTTPS")]
        for connection, address in enumerate(self._sites, 1):
            failure = self._failure()
            steps.append(
                Connect(
                    connection=connection,
                    address=address,
                    port=443,
                    start=self._start(),
                    duration_us=self._duration(),
                )
            )
            steps.append(self._handshake(host, address, connection, failure))
            if failure is None:
                steps.append(self._exchange(host, address, connection))
        beside = [(type, one) for type in ("A", "AAAA") for one in _RESOLVERS]
        return steps + [self._lookup(host, type, *resolver) for type, resolver in beside]

    def _lookup(self, host: str, type: str, resolver: str, address: str | None) -> Lookup:
        answers = self._sites if type == "A" else []
        reply = Reply(
            after_us=self._duration(),
            ip_ttl=self._random.choice((53, 55, 57, 61, 117)),
            rcode=0,
            answers=answers,
            raw=f"sha256:{self._hash()}",
        )
        return Lookup(
            name=host,
            type=type,
            resolver=resolver,
            address=address,
            answers=answers,
            rcode=0,
            replies=[] if resolver.startswith("https:") else [reply],
            failure=None if answers else Failure.DNS_NO_ANSWER,
            start=self._start(),
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
                start=self._start(),
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
            start=self._start(),
            duration_us=self._duration(),
        )

    def _certificate(self, host: str, issuer: str) -> Certificate:
        return Certificate(
            sha256=self._hash(),
            spki_sha256=self._hash(),
            subject=f"CN={host}",
            issuer=issuer,
            names=[host, f"*.{host}"],
            not_before=utc_text(self._moment - self._random.randrange(90) * 86400),
            not_after=utc_text(self._moment + self._random.randrange(90) * 86400),
        )

    def _exchange(self, host: str, address: str, connection: int) -> Exchange:
        size = self._random.randrange(400_000)
        return Exchange(
            connection=connection,
            url=f"https://{host}/",
            address=address,
            status=200,
            headers=self._headers(size),
            title=f"{host}: the latest news",
            body=f"sha256:{self._hash()}" if self._random.random() < 0.1 else None,
            body_sha256=self._hash(),
            body_bytes=size,
            declared_bytes=size,
            truncated=False,
            protocol="h2",
            received_bytes=size // 3,
            wire_bytes=size // 3 + 900,
            first_byte_us=self._duration(),
            last_byte_us=self._duration(),
            language="en-us",
            simhash=self._hash()[:16],
            start=self._start(),
            duration_us=self._duration(),
        )

    def _headers(self, size: int) -> list[tuple[str, str]]:
        date = datetime.fromtimestamp(self._moment, UTC).strftime("%a, %d %b %Y %H:%M:%S GMT")
        several = self._random.sample(_HEADERS, self._random.randrange(1, 9))
        return [several[0], ("Date", date), *several[1:], ("Content-Length", str(size))]

    def _helper(self, host: str, url: str) -> HelperAnswer:
        ends = [f"{address}:{port}" for address in self._sites for port in (443, 80)]
        size = self._random.randrange(400_000)
        return HelperAnswer(
            helper=url,
            answered=True,
            dns=self._sites,
            connect={end: HelperEndpoint(status=True) for end in ends},
            handshake={end: HelperEndpoint(status=True) for end in ends if end.endswith(":443")},
            start=self._start(),
            duration_us=self._duration(),
            exchange=HelperExchange(
                status=200,
                body_length=size,
                title=f"{host}: the latest news",
                headers=dict(self._headers(size)),
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

    def _start(self) -> str:
        """Return a time within the second or two that a visit takes."""
        return utc_text(self._moment + self._random.choice((0.0, 0.0, 1.0)) + self._random.random())

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
