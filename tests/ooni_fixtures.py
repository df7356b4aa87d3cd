"""OONI measurements written by hand from the format's description, for the tests of reading."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from functools import cache
from typing import Any

import trustme
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import load_pem_x509_certificate

SITE, OTHER, V6 = "93.184.216.34", "93.184.216.35", "2606:2800:220:1::1"
PAGE = "<html><head><title>A page of news</title></head><body>words</body></html>"
START = "2024-01-23 14:32:07"

Event = dict[str, Any]


@cache
def certificate() -> bytes:
    """A certificate in DER, made once."""
    pem = trustme.CA().issue_cert("site.org").cert_chain_pems[0].bytes()
    return load_pem_x509_certificate(pem).public_bytes(Encoding.DER)


def measurement(test_keys: Event, **changes: Any) -> Event:
    """The top level as df-000 describes it."""
    return {
        "annotations": {"engine_name": "ooniprobe-engine", "platform": "linux"},
        "data_format_version": "0.2.0",
        "input": "https://site.org/",
        "measurement_start_time": START,
        "measurement_uid": "20240123143207.000001_KZ_webconnectivity_0123456789abcdef",
        "probe_asn": "AS9198",
        "probe_cc": "KZ",
        "probe_ip": "127.0.0.1",
        "probe_network_name": "Invented Telecom",
        "report_id": "20240123T143157Z_webconnectivity_KZ_9198_n1_AAAAAAAAAAAAAAAA",
        "resolver_asn": "AS9198",
        "resolver_ip": "192.0.2.53",
        "resolver_network_name": "Invented Telecom",
        "software_name": "miniooni",
        "software_version": "3.21.0",
        "test_helpers": {"backend": {"address": "https://2.th.ooni.org", "type": "https"}},
        "test_keys": test_keys,
        "test_name": "web_connectivity",
        "test_runtime": 2.5,
        "test_start_time": "2024-01-23 14:31:57",
        "test_version": "0.5.28",
        **changes,
    }


def line(document: Event) -> bytes:
    return json.dumps(document).encode() + b"\n"


# --- events (df-001, df-002, df-005, df-006) -------------------------------------------------


def answers(*addresses: str) -> list[Event]:
    found: list[Event] = [{"answer_type": "CNAME", "hostname": "edge.site.org.", "ttl": None}]
    for one in addresses:
        kind = (
            {"answer_type": "AAAA", "ipv6": one}
            if ":" in one
            else {"answer_type": "A", "ipv4": one}
        )
        found.append({**kind, "asn": 15133, "as_org_name": "Invented", "ttl": None})
    return found


def query(*addresses: str, **changes: Any) -> Event:
    return {
        "answers": answers(*addresses) if addresses else None,
        "engine": "getaddrinfo",
        "failure": None,
        "hostname": "site.org",
        "query_type": "ANY",
        "resolver_hostname": None,
        "resolver_port": None,
        "resolver_address": "",
        "t0": 0.001,
        "t": 0.021,
        "tags": ["depth=0"],
        "transaction_id": 10001,
        **changes,
    }


def connect(ip: str = SITE, failure: str | None = None, **changes: Any) -> Event:
    return {
        "ip": ip,
        "port": 443,
        "status": {"failure": failure, "success": failure is None},
        "t0": 0.1,
        "t": 0.15,
        "tags": ["depth=0", "fetch_body=true"],
        "transaction_id": 50001,
        **changes,
    }


def handshake(failure: str | None = None, **changes: Any) -> Event:
    chain = [{"data": base64.b64encode(certificate()).decode(), "format": "base64"}]
    return {
        "network": "tcp",
        "address": f"{SITE}:443",
        "cipher_suite": "TLS_AES_128_GCM_SHA256" if failure is None else "",
        "failure": failure,
        "negotiated_protocol": "h2" if failure is None else "",
        "no_tls_verify": False,
        "peer_certificates": chain if failure is None else [],
        "server_name": "site.org",
        "t0": 0.15,
        "t": 0.25,
        "tags": ["depth=0", "fetch_body=true"],
        "tls_version": "TLSv1.3" if failure is None else "",
        "transaction_id": 50001,
        **changes,
    }


def request(url: str = "https://site.org/", code: int = 200, **changes: Any) -> Event:
    """A request with its response; `headers` and `body` among the changes are the response's."""
    body, headers = changes.pop("body", PAGE), changes.pop("headers", [["Server", "invented"]])
    return {
        "network": "tcp",
        "address": f"{SITE}:443",
        "alpn": "h2",
        "failure": None,
        "request": {
            "body": "",
            "body_is_truncated": False,
            "headers_list": [["Host", "site.org"]],
            "headers": {"Host": "site.org"},
            "method": "GET",
            "tor": {"exit_ip": None, "exit_name": None, "is_tor": False},
            "x_transport": "tcp",
            "url": url,
        },
        "response": {
            "body": body,
            "body_is_truncated": False,
            "code": code,
            "headers_list": headers,
            "headers": {},
        },
        "t0": 0.25,
        "t": 0.45,
        "tags": ["depth=0", "fetch_body=true"],
        "transaction_id": 50001,
        **changes,
    }


def control(**changes: Any) -> Event:
    """What a test helper answers that reached the site (facts: test helper protocol)."""
    return {
        "tcp_connect": {f"{SITE}:443": {"status": True, "failure": None}},
        "tls_handshake": {
            f"{SITE}:443": {"server_name": "site.org", "status": True, "failure": None}
        },
        "quic_handshake": {},
        "http_request": {
            "body_length": len(PAGE),
            "discovered_h3_endpoint": "",
            "failure": None,
            "title": "A page of news",
            "headers": {"Server": "invented", "Set-Cookie": "a=b"},
            "status_code": 200,
        },
        "http3_request": None,
        "dns": {"failure": None, "addrs": ["edge.site.org", SITE]},
        "ip_info": {SITE: {"asn": 15133, "flags": 11}},
        **changes,
    }


def modern(**changes: Any) -> Event:
    """Test keys 0.5 of a site that was reached."""
    return {
        "queries": [query(SITE, V6)],
        "tcp_connect": [connect()],
        "tls_handshakes": [handshake()],
        "requests": [request()],
        "control": control(),
        "control_failure": None,
        "x_dns_duplicate_responses": [],
        "network_events": [],
        "blocking": False,
        "accessible": True,
        **changes,
    }


def _without(event: Event, *keys: str) -> Event:
    return {key: value for key, value in event.items() if key not in keys}


def legacy(**changes: Any) -> Event:
    """Test keys 0.4 of a site that was reached: nothing says which events belong together."""
    untied = ("transaction_id", "t0", "tags")
    return {
        "queries": [_without(query(SITE, engine="system", query_type="A"), *untied)],
        "tcp_connect": [_without(connect(), *untied)],
        "tls_handshakes": [_without(handshake(), *untied, "address", "network")],
        "requests": [_without(request(), *untied, "address", "network", "alpn")],
        "control": control(),
        "control_failure": None,
        "x_status": 1,
        "x_th_runtime": 516838300,
        "blocking": False,
        "accessible": True,
        **changes,
    }


def untied(make: Callable[..., Event], *arguments: Any, **changes: Any) -> Event:
    """An event as an older probe writes it."""
    dropped = ("transaction_id", "t0", "tags", "address", "network", "alpn")
    return _without(make(*arguments, **changes), *dropped)


def redirected() -> dict[str, Any]:
    """Return older test keys of a page over http that led to one over https."""
    return legacy(
        tcp_connect=[untied(connect, port=80)],
        tls_handshakes=None,
        requests=[
            untied(request, "https://site.org/"),
            untied(
                request,
                "http://site.org/",
                301,
                body="",
                headers=[["Location", "https://site.org/"]],
            ),
        ],
    )
