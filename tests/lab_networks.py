"""A table of networks by number for a world of the lab, built from its plan."""

from __future__ import annotations

from datetime import date
from ipaddress import IPv4Address, ip_address
from pathlib import Path

from lab.plan import Plan
from storage.networks import build

TABLE_OF = date(2026, 11, 1)


def write_networks(plan: Plan, path: Path, *, resolver: int | None = None) -> None:
    """Write a table that names every block of a world as the plan does.

    `resolver`: another network that is said to be that of the first client's resolver.
    """
    own = next(iter(plan.networks.values())).resolver if resolver else ""
    rows = []
    for block, asn in plan.asns.items():
        if ":" in block:
            rows.append((f"{block}::", f"{block}:{':'.join(['ffff'] * 6)}", asn))
        elif own.startswith(f"{block}."):
            address = IPv4Address(own)
            rows += [
                (f"{block}.0", str(address - 1), asn),
                (own, own, resolver or asn),
                (str(address + 1), f"{block}.255", asn),
            ]
        else:
            rows.append((f"{block}.0", f"{block}.255", asn))
    rows.sort(key=lambda row: (":" in row[0], int(ip_address(row[0]))))
    source = path.with_suffix(".tsv")
    source.write_text("".join(f"{a}\t{b}\t{asn}\tKZ\tAS{asn}\n" for a, b, asn in rows))
    build(source, path, TABLE_OF)
