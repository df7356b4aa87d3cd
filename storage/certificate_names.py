"""Which host names a certificate is for."""

from __future__ import annotations

import ipaddress


def covers(pattern: str, name: str) -> bool:
    """Tell whether a certificate name covers a host name: a wildcard stands for one label."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    try:
        return ipaddress.ip_address(pattern) == ipaddress.ip_address(name)
    except ValueError:
        pass  # at least one of them is a host name
    if pattern.startswith("*."):
        _, _, parent = name.partition(".")
        return "." in parent and parent == pattern[2:]
    return pattern == name
