"""What a bad helper makes of what it saw: parts that failed, or plain lies."""

from __future__ import annotations

from typing import Any, TypeAlias
from urllib.parse import urlsplit

from lab.described import HelperServer

_Json: TypeAlias = dict[str, Any]

_INVENTED_ADDRESS = "93.184.215.14"  # where a site is said to be that the helper never found
_INVENTED_PAGE = 4000  # bytes


def twisted(seen: _Json, url: str, helper: HelperServer) -> _Json:
    """Return a helper's answer as its troubles leave it."""
    if helper.lies == "accessible":
        seen = _all_well(seen, url)
    elif helper.lies == "down":
        seen = _nothing_works(seen)
    return _without(seen, helper.fails)


def _all_well(seen: _Json, url: str) -> _Json:
    """Say that everything works."""
    host = urlsplit(url).hostname or ""
    addresses = seen["dns"]["addrs"] or [_INVENTED_ADDRESS]
    endpoints = list(seen["tcp_connect"]) or [f"{address}:443" for address in addresses]
    secure = [endpoint for endpoint in endpoints if endpoint.endswith(":443")]
    page = seen["http_request"]
    if page["failure"] is not None or page["status_code"] != 200:
        page = page | {
            "status_code": 200,
            "body_length": _INVENTED_PAGE,
            "title": f"Welcome to {host}",
            "headers": {"Content-Type": "text/html"},
            "failure": None,
        }
    handshake = {"server_name": host, "status": True, "failure": None}
    return seen | {
        "dns": {"failure": None, "addrs": addresses},
        "tcp_connect": {key: {"status": True, "failure": None} for key in endpoints},
        "tls_handshake": dict.fromkeys(secure, handshake),
        "http_request": page,
    }


def _nothing_works(seen: _Json) -> _Json:
    """Say that the site is down, whatever was seen."""
    failure = "generic_timeout_error"
    silent = {"status": False, "failure": failure}
    page = {"status_code": -1, "body_length": -1, "title": "", "headers": {}, "failure": failure}
    return seen | {
        "tcp_connect": dict.fromkeys(seen["tcp_connect"], silent),
        "tls_handshake": {},
        "http_request": seen["http_request"] | page,
    }


def _without(seen: _Json, fails: tuple[str, ...]) -> _Json:
    """Leave out, or declare failed, what a helper cannot do."""
    changed = dict(seen)
    if "dns" in fails:
        changed["dns"] = {"failure": "dns_server_failure", "addrs": []}
    if "tcp" in fails:
        changed["tcp_connect"] = {}
    if "tcp" in fails or "tls" in fails:
        changed["tls_handshake"] = {}
    if "http" in fails:
        page = {"status_code": -1, "body_length": -1, "title": "", "headers": {}}
        changed["http_request"] = seen["http_request"] | page | {"failure": "unknown_error"}
    return changed
