"""The instrument: what this installation's kernel, libraries and root store let it see."""

from __future__ import annotations

import platform
import socket
import ssl
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import certifi

from probes.sockets import IP_RECVERR, TCP_RTO_MAX_MS
from storage.records import Instrument

_ROUTES = Path("/proc/net/route")
_TUNNELS = ("tun", "tap", "wg", "ppp", "utun", "ipsec", "nordlynx", "proton")
# Words in the names of networks that rent servers or run VPNs: nobody lives there.
_HOSTING = (
    "hosting", "datacenter", "data center", "vps", "cloud", "colo", "server", "vpn", "m247",
    "digitalocean", "linode", "hetzner", "ovh", "vultr", "choopa", "leaseweb", "contabo",
    "amazon", "google", "microsoft", "datacamp", "cdn77", "zenlayer", "alibaba", "tencent",
)  # fmt: skip


def describe_instrument(at: float, networks_table: str | None, ca_bundle: str) -> Instrument:
    """Return what can be said of this installation at `at` (seconds since the epoch)."""
    return Instrument(
        roots_age_days=roots_age_days(at, ca_bundle),
        networks_table=networks_table,
        openssl=ssl.OPENSSL_VERSION,
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}".strip(),
        features=features(),
    )


def roots_age_days(at: float, ca_bundle: str) -> int | None:
    """Return the age of the judging roots: certifi's by its version, others by their file."""
    try:
        if ca_bundle:
            made = datetime.fromtimestamp(Path(ca_bundle).stat().st_mtime, UTC).date()
        else:
            year, month, day = (int(part) for part in certifi.__version__.split(".")[:3])
            made = date(year, month, day)
    except (OSError, ValueError):
        return None
    return max(0, (datetime.fromtimestamp(at, UTC).date() - made).days)


def features() -> list[str]:
    """Return which of the kernel's abilities that probes build on are there, by asking for each."""
    found = []
    if hasattr(socket, "TCP_INFO"):
        found.append("tcp-info")
    asked = [("icmp-errors", socket.IPPROTO_IP, IP_RECVERR, 1)]
    asked += [("ip-ttl", socket.IPPROTO_IP, socket.IP_TTL, 5)]
    asked += [("rto-max", socket.IPPROTO_TCP, TCP_RTO_MAX_MS, 1000)]
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as sock:
        for name, level, option, value in asked:
            try:
                sock.setsockopt(level, option, value)
            except OSError:
                continue  # this kernel has not got it
            found.append(name)
    return found if sys.platform == "linux" else [each for each in found if each == "ip-ttl"]


def leaves_by_tunnel() -> bool | None:
    """Tell whether the default route leads into a VPN's device; None where nobody can tell."""
    try:
        lines = _ROUTES.read_text("ascii").splitlines()[1:]
    except (OSError, UnicodeDecodeError):
        return None
    devices = [line.split()[0] for line in lines if line.split()[1:2] == ["00000000"]]
    return any(device.startswith(_TUNNELS) for device in devices) if devices else None


def is_hosting(network: str | None) -> bool:
    """Tell whether a network's name is that of a host of servers or of a VPN."""
    words = (network or "").lower()
    return any(word in words for word in _HOSTING)


def is_elsewhere(registered: str | None, told: str | None) -> bool:
    """Tell whether a network is registered in a country that is not the one told."""
    return registered is not None and told is not None and registered != told
