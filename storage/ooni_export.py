"""Our measurements as OONI web_connectivity measurements: one line of JSON each.

The keys are those of data format 0.2.0 and of the test keys 0.5; what they have no place for stands
beside them (see `storage.ooni_own`), so that reading the line back gives the same steps. Follow-ups
stand inside the line of the measurement that they follow.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeAlias, TypeVar

import msgspec

from storage.ooni_failures import theirs
from storage.ooni_own import BESIDE, EXPRESSED, State, beside
from storage.ooni_steps import endpoint_of
from storage.reading import Stored
from storage.records import (
    Connect,
    Exchange,
    Handshake,
    HelperAnswer,
    HelperEndpoint,
    Lookup,
    Measurement,
    Reply,
    Step,
    Verdict,
    utc_seconds,
    utc_text,
)

BlobOf: TypeAlias = Callable[[str], bytes | None]  # blob id -> content, None if it is not kept

_T = TypeVar("_T", HelperAnswer, Step)

FORMAT_VERSION = "0.2.0"
TEST_VERSION = "0.5.0"  # the generation of test keys that this follows
_TO_HELPERS_WORDS = {
    "dns_nxdomain_error": "dns_name_error",
    "dns_servfail_error": "dns_server_failure",
    "connection_refused": "connection_refused_error",
}


def ooni_measurement(
    stored: Stored[Measurement],
    follow_ups: Sequence[Stored[Measurement]],
    blob_of: BlobOf,
    verdict: Verdict | None = None,
) -> bytes:
    """Return the line, with its line end, for a measurement and its follow-ups.

    Without a verdict `blocking` and `accessible` are null. Times are corrected by the clock's
    measured offset. The volunteer's address and resolver are not in it: we do not keep them.
    """
    record = stored.record
    offset = (record.line.clock_offset_us or 0) / 1e6
    writer = _Writer(int(utc_seconds(record.time) + offset), offset, blob_of)
    for number, one in enumerate([stored, *follow_ups]):
        writer.add_all(one.record.steps, number)
    line = _top(record, writer)
    line["test_keys"] = {
        **writer.keys,
        **_control(record.helpers),
        **_conclusion(verdict),
        **_experiment_failures(record.steps),
        BESIDE: _state(stored, [one.record for one in follow_ups], offset),
    }
    return msgspec.json.encode(line) + b"\n"


class _Writer:
    """The events of the test keys, filled step by step."""

    def __init__(self, base: int, offset: float, blob_of: BlobOf) -> None:
        self.base = base  # whole seconds since the epoch: the format's start has no fractions
        self.runtime = 0.0
        self.keys: dict[str, Any] = {
            "agent": "redirect",
            "client_resolver": "",
            "retries": None,
            "socksproxy": None,
            "network_events": [],
            "queries": [],
            "tcp_connect": [],
            "tls_handshakes": [],
            "requests": [],
            "x_dns_duplicate_responses": [],
        }
        self._offset = offset
        self._blob_of = blob_of

    def add_all(self, steps: Sequence[Step], measurement: int) -> None:
        """Add the steps of the measurement with that place among itself and its follow-ups."""
        for step in steps:
            if type(step) in EXPRESSED:
                self._add(step, measurement)

    def _add(self, step: Step, measurement: int) -> None:
        match step:
            case Lookup():
                event = self._event(step, measurement) | _query(step)
                first, *late = step.replies or [Reply(after_us=0)]
                self.keys["queries"].append(event | self._raw(first))
                self.keys["x_dns_duplicate_responses"] += [event | self._raw(r) for r in late]
            case Connect():
                self.keys["tcp_connect"].append(self._event(step, measurement) | _connect(step))
            case Handshake():
                event = self._event(step, measurement) | self._handshake(step)
                self.keys["tls_handshakes"].append(event)
            case Exchange():
                event = self._event(step, measurement) | self._request(step)
                self.keys["requests"].insert(0, event)  # the format has the newest first

    def _event(self, step: Step, measurement: int) -> dict[str, Any]:
        """Return what all events have. Connections of follow-ups get numbers of their own."""
        began = utc_seconds(step.start) + self._offset - self.base
        ended = began + step.duration_us / 1e6
        self.runtime = max(self.runtime, ended)
        number = getattr(step, "connection", 0)
        extra = beside(step)
        if number:
            extra["connection"] = 1000 * measurement + number
        tags = [f"depth={step.hop}", f"attempt={step.attempt}", f"purpose={step.purpose}"]
        return {
            "t0": round(began, 6),
            "t": round(ended, 6),
            "tags": [*tags, f"arm={step.arm}"] if step.arm else tags,
            "transaction_id": 1000 * measurement + number,
            BESIDE: extra,
        }

    def _raw(self, reply: Reply) -> dict[str, Any]:
        data = self._blob_of(reply.raw) if reply.raw else None
        return {} if data is None else {"raw_response": base64.b64encode(data).decode()}

    def _handshake(self, step: Handshake) -> dict[str, Any]:
        chain = [self._blob_of(f"sha256:{certificate.sha256}") for certificate in step.chain]
        return {
            "network": "tcp",
            "address": _endpoint(step.address, step.port),
            "cipher_suite": "",
            "failure": theirs(step.failure, step.alert),
            "negotiated_protocol": step.alpn or "",
            "no_tls_verify": False,
            "peer_certificates": [_binary(der) for der in chain if der is not None],
            "server_name": step.server_name or "",
            "tls_version": step.version or "",
        }

    def _request(self, step: Exchange) -> dict[str, Any]:
        body = self._blob_of(step.body) if step.body else None
        listed = [
            [key, _maybe_binary(value.encode("latin-1", "replace"))] for key, value in step.headers
        ]
        return {
            "network": "tcp",
            "address": _endpoint(step.address, endpoint_of(step.url)[1]) if step.address else "",
            "failure": theirs(step.failure),
            "request": {
                "body": "",
                "headers_list": [],
                "headers": {},
                "method": step.method or "GET",
                "tor": {"exit_ip": None, "exit_name": None, "is_tor": False},
                "x_transport": "tcp",
                "url": step.url,
            },
            "response": {
                "body": _maybe_binary(body or b""),
                "body_is_truncated": bool(step.truncated),
                "code": step.status or 0,
                "headers_list": listed,
                "headers": {key: value for key, value in step.headers},
            },
        }


def _query(step: Lookup) -> dict[str, Any]:
    engine = {"system": "getaddrinfo", "udp": "udp"}.get(step.resolver, "doh")
    server = step.resolver if engine == "doh" else step.address or ""
    return {
        "answers": [
            {"answer_type": "AAAA" if ":" in one else "A", "ttl": None}
            | ({"ipv6": one} if ":" in one else {"ipv4": one})
            for one in step.answers
        ],
        "engine": engine,
        "failure": theirs(step.failure),
        "hostname": step.name,
        "query_type": step.type,
        "rcode": step.rcode,
        "resolver_hostname": None,
        "resolver_port": None,
        "resolver_address": _endpoint(server, 53) if engine == "udp" and server else server,
    }


def _connect(step: Connect) -> dict[str, Any]:
    failure = theirs(step.failure)
    status = {"failure": failure, "success": failure is None}
    return {"ip": step.address, "port": step.port, "status": status}


# --- around the events ----------------------------------------------------------------------------


def _top(record: Measurement, writer: _Writer) -> dict[str, Any]:
    """Return the keys of the top level (df-000)."""
    vantage = record.vantage
    name, _, version = record.tool.partition(" ")
    start = datetime.fromtimestamp(writer.base, UTC).strftime("%Y-%m-%d %H:%M:%S")
    ours = {"sitewatch_vantage": vantage.id, "sitewatch_simulated": str(record.simulated).lower()}
    return {
        "annotations": {"engine_name": name, "engine_version": version, **ours},
        "data_format_version": FORMAT_VERSION,
        "extensions": {"dnst": 0, "httpt": 0, "netevents": 0, "tcpconnect": 0, "tlshandshake": 0},
        "input": record.url,
        "measurement_start_time": start,
        "probe_asn": f"AS{vantage.asn or 0}",
        "probe_cc": vantage.country or "ZZ",
        "probe_ip": "127.0.0.1",
        "probe_network_name": vantage.network or "",
        # No collector gave it a report: the round stands for one.
        "report_id": record.round,
        "resolver_asn": f"AS{record.line.resolver_asn or 0}",
        "resolver_ip": "127.0.0.2",  # OONI's own word for an address that is not told
        "resolver_network_name": "",
        "software_name": name,
        "software_version": version,
        "test_helpers": _test_helpers(record.helpers),
        "test_name": "web_connectivity",
        "test_runtime": round(writer.runtime, 6),
        "test_start_time": start,
        "test_version": TEST_VERSION,
    }


def _test_helpers(answers: Sequence[HelperAnswer]) -> dict[str, Any]:
    chosen = _first(answers)
    return {"backend": {"address": chosen.helper, "type": "https"}} if chosen else {}


def _first(answers: Sequence[HelperAnswer]) -> HelperAnswer | None:
    """Return the answer for the format's one place: the first helper that gave one."""
    given = [answer for answer in answers if answer.answered]
    return next(iter([*given, *answers]), None)


def _control(answers: Sequence[HelperAnswer]) -> dict[str, Any]:
    chosen = _first(answers)
    if chosen is None or not chosen.answered:
        failure = "no helper was asked" if chosen is None else chosen.failure
        return {"control": None, "control_failure": theirs(failure)}
    page = chosen.exchange
    return {
        "control_failure": None,
        "control": {
            "tcp_connect": _endpoints(chosen.connect),
            "tls_handshake": _endpoints(chosen.handshake),
            "quic_handshake": {},
            "http_request": {
                "body_length": -1 if page.body_length is None else page.body_length,
                "discovered_h3_endpoint": "",
                "failure": _helpers_word(page.failure),
                "title": page.title or "",
                "headers": page.headers,
                "status_code": -1 if page.status is None else page.status,
            },
            "http3_request": None,
            "dns": {"failure": _helpers_word(chosen.dns_failure), "addrs": chosen.dns},
            "ip_info": {},
        },
    }


def _endpoints(met: dict[str, HelperEndpoint]) -> dict[str, Any]:
    return {
        where: {"status": one.status, "failure": _helpers_word(one.failure)}
        for where, one in met.items()
    }


def _helpers_word(failure: str | None) -> str | None:
    return None if failure is None else _TO_HELPERS_WORDS.get(failure, failure)


def _conclusion(verdict: Verdict | None) -> dict[str, Any]:
    """Return `blocking` and `accessible`: OONI has no value for TLS, and none for "suspected"."""
    status = verdict.status if verdict else None
    if status == "accessible":
        return {"blocking": False, "accessible": True}
    if status == "down":
        return {"blocking": False, "accessible": False}
    if verdict is None or status != "blocked":
        return {"blocking": None, "accessible": None}
    if verdict.layer == "http" and verdict.technique in ("block-page", "redirect", "altered"):
        return {"blocking": "http-diff", "accessible": False}
    blocking = {"dns": "dns", "tcp": "tcp_ip"}.get(verdict.layer or "", "http-failure")
    return {"blocking": blocking, "accessible": False}


def _experiment_failures(steps: Sequence[Step]) -> dict[str, Any]:
    first = [step for step in steps if step.purpose == "main"]
    lookups = [s for s in first if isinstance(s, Lookup) and s.resolver == "system"]
    asked = sorted(lookups, key=lambda lookup: lookup.type != "A")
    pages = [step for step in first if isinstance(step, Exchange)]
    return {
        "dns_experiment_failure": theirs(asked[0].failure) if asked else None,
        "http_experiment_failure": theirs(pages[-1].failure) if pages else None,
    }


def _state(
    stored: Stored[Measurement], follow_ups: Sequence[Measurement], offset: float
) -> dict[str, Any]:
    """Return what stands beside OONI's keys for the whole measurement, its times corrected too."""

    def corrected(timed: _T) -> _T:
        return msgspec.structs.replace(timed, start=utc_text(utc_seconds(timed.start) + offset))

    record = stored.record
    steps = [step for one in (record, *follow_ups) for step in one.steps]
    state = State(
        id=stored.id,
        complete=record.complete,
        tier=record.tier,
        line=msgspec.structs.replace(record.line, clock_offset_us=None),
        helpers=[corrected(answer) for answer in record.helpers],
        steps=[corrected(step) for step in steps if type(step) not in EXPRESSED],
    )
    plain: dict[str, Any] = msgspec.to_builtins(state)
    return plain


def _endpoint(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def _binary(data: bytes) -> dict[str, str]:
    return {"format": "base64", "data": base64.b64encode(data).decode()}


def _maybe_binary(data: bytes) -> str | dict[str, str]:
    """Return text where the bytes are UTF-8, as the format wants it, else base64."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return _binary(data)
