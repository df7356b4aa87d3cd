"""OONI's measurement as it stands in a line: the keys that are read, and what they mean to us."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from ipaddress import ip_address
from typing import Any

import msgspec

from storage.ooni_values import mapping, moment, seconds, text
from storage.records import Certificate, utc_text

TEST = "web_connectivity"
_ASN = re.compile(r"AS([0-9]{1,10})", re.ASCII)
_COUNTRY = re.compile(r"[A-Z]{2}", re.ASCII)
_SCRUBBED = b"[scrubbed]"
_CERTIFICATES = 2048  # kept described; the same few stand in thousands of measurements


class NotOursError(Exception):
    """A sound line of another test; `test` is its name."""

    def __init__(self, test: str) -> None:
        super().__init__(test)
        self.test = test


class BrokenError(Exception):
    """A line that is no measurement; the message says why in a few words."""


class _Top(msgspec.Struct):
    """The top level (df-000). Every value is taken as it comes and looked at when it is used."""

    test_name: Any = None
    test_version: Any = None
    input: Any = None
    measurement_start_time: Any = None
    test_start_time: Any = None
    measurement_uid: Any = None
    report_id: Any = None
    probe_asn: Any = None
    probe_cc: Any = None
    probe_ip: Any = None
    probe_network_name: Any = None
    resolver_asn: Any = None
    software_name: Any = None
    software_version: Any = None
    annotations: Any = None
    test_helpers: Any = None
    test_keys: msgspec.Raw = msgspec.Raw(b"null")


class Keys(msgspec.Struct):
    """The test keys that are read; the others are passed over without being built."""

    queries: Any = None
    tcp_connect: Any = None
    tls_handshakes: Any = None
    requests: Any = None
    control: Any = None
    control_failure: Any = None
    x_dns_duplicate_responses: Any = None
    x_status: Any = None
    x_th_runtime: Any = None
    x_sitewatch: Any = None


_top = msgspec.json.Decoder(_Top)
_keys = msgspec.json.Decoder(Keys)


class Tools:
    """What the reading needs from elsewhere.

    `normal_form` returns a URL in the targets' normal form or raises ValueError; `describe`
    returns what a record keeps of a certificate (DER).
    """

    def __init__(
        self, normal_form: Callable[[str], str], describe: Callable[[bytes], Certificate]
    ) -> None:
        self.normal_form = normal_form
        self._describe = describe
        self._described: dict[bytes, Certificate] = {}

    def certificate(self, der: bytes) -> Certificate:
        """Return the description of a certificate, once made for the many that show it."""
        found = self._described.get(der)
        if found is None:
            if len(self._described) >= _CERTIFICATES:
                self._described.clear()
            found = self._described[der] = self._describe(der)
        return found


class Document:
    """One web_connectivity measurement, asked for what a record needs."""

    def __init__(self, top: _Top, keys: Keys, url: str, start: float) -> None:
        self.keys = keys
        self.url = url
        self.start = start  # seconds since the epoch
        self._top = top

    @cached_property
    def software(self) -> str:
        return text(self._top.software_name, 100) or "ooniprobe"

    @property
    def tool(self) -> str:
        return f"{self.software} {text(self._top.software_version, 60) or '?'}"

    @property
    def source_id(self) -> str | None:
        """The project's own name for the measurement; older files leave it to the report."""
        return text(self._top.measurement_uid, 200) or self.report

    @property
    def report(self) -> str | None:
        return text(self._top.report_id, 200)

    @property
    def report_start(self) -> float:
        started = moment(self._top.test_start_time)
        return self.start if started is None else started

    @property
    def country(self) -> str | None:
        code = text(self._top.probe_cc, 8) or ""
        return code if _COUNTRY.fullmatch(code) and code != "ZZ" else None

    @property
    def asn(self) -> int | None:
        return _number(self._top.probe_asn)

    @property
    def resolver_asn(self) -> int | None:
        return _number(self._top.resolver_asn)

    @property
    def network(self) -> str | None:
        if self.asn is None:  # such vantages are never pooled, so each report is its own
            return f"report {self.report}" if self.report else None
        return text(self._top.probe_network_name, 200)

    @property
    def helper(self) -> str:
        backend = mapping(self._top.test_helpers).get("backend")
        named = mapping(backend).get("address") if isinstance(backend, dict) else backend
        return text(named, 200) or "an unnamed test helper"

    @property
    def is_ours(self) -> bool:
        """Was it exported by Sitewatch, with what this format has no place for beside it?"""
        return self.software == "sitewatch"

    @property
    def simulated(self) -> bool:
        return mapping(self._top.annotations).get("sitewatch_simulated") == "true"

    @property
    def verifies(self) -> bool:
        """Does this probe's HTTP client refuse invalid certificates? The one in Python did not."""
        engine = mapping(self._top.annotations).get("engine_name")
        return engine in ("ooniprobe-engine", "libmeasurement_kit") or self.is_ours

    def when(self, entry: dict[str, Any]) -> tuple[str, int]:
        """Return start and duration in microseconds of an event.

        Where only its end is known it is taken for the start, and the duration as 0.
        """
        began, ended = seconds(entry.get("t0")), seconds(entry.get("t"))
        if began is None:
            return utc_text(self.start + (ended or 0.0)), 0
        duration = 0 if ended is None else max(0, round((ended - began) * 1e6))
        return utc_text(self.start + began), duration


def read_document(data: bytes, tools: Tools) -> Document:
    """Return the measurement in a line of JSON.

    Raises NotOursError for another test, BrokenError for what is no measurement.
    """
    try:
        top = _top.decode(data)
        test = text(top.test_name, 60)
        if test != TEST:
            raise NotOursError(test or "without a name")
        if own := _own_address(top.probe_ip):
            scrubbed = own.sub(_SCRUBBED, data)
            top = _top.decode(scrubbed)
        keys = _keys.decode(top.test_keys)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenError(f"not a measurement in JSON ({error})") from error
    if not isinstance(top.input, str):
        raise BrokenError("no input URL")
    try:
        url = tools.normal_form(top.input)
    except ValueError as error:
        raise BrokenError(f"input {top.input[:80]!r}: {error}") from error
    start = moment(top.measurement_start_time)
    if start is None:
        raise BrokenError("no start time that makes sense")
    return Document(top, keys, url, start)


def _number(value: object) -> int | None:
    found = _ASN.fullmatch(value) if isinstance(value, str) else None
    number = int(found[1]) if found else 0
    return number if 0 < number < 2**32 else None


def _own_address(value: object) -> re.Pattern[bytes] | None:
    """Return what finds the volunteer's own address, which the oldest files still hold."""
    if not isinstance(value, str):
        return None
    try:
        if ip_address(value).is_loopback:
            return None
    except ValueError:
        return None
    return re.compile(
        rb"(?<![0-9A-Fa-f.:])" + re.escape(value.encode()) + rb"(?![0-9A-Fa-f:]|\.[0-9])"
    )
