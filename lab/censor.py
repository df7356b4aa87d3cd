"""The censors: the table of their kinds, and the boxes on the path that apply them.

A kind is made once per rule of a scenario and then judges every packet of the client networks
that the rule names. To add one: a function in a module of its sort, its row here, its word in
censor_rule.CensorKind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random

from lab import censor_address, censor_divert, censor_dns, censor_names, censor_transfer
from lab.censor_dns import forged_reply as forged_reply
from lab.censor_gate import gated
from lab.censor_parts import Decision as Decision
from lab.censor_parts import Judge as Judge
from lab.censor_parts import Rule
from lab.censor_rule import Censor, CensorKind
from lab.dpi import Reader
from lab.plan import Plan

# "resolver-lie" is missing here: the operator's resolver itself tells it (see dns_server.py).
KINDS: dict[CensorKind, Callable[[Rule], Judge]] = {
    "dns-race": censor_dns.dns_race,
    "dns-forge": censor_dns.dns_forge,
    "dns-divert": censor_dns.dns_divert,
    "address-drop": censor_address.address_drop,
    "address-reset": censor_address.address_reset,
    "address-refuse": censor_address.address_refuse,
    "address-unreachable": censor_address.address_unreachable,
    "national-cut": censor_address.national_cut,
    "whitelist": censor_address.whitelist,
    "tls-drop": censor_names.tls_drop,
    "tls-reset": censor_names.tls_reset,
    "tls-close": censor_names.tls_close,
    "tls-alert": censor_names.tls_alert,
    "tls-http": censor_names.tls_http,
    "tls-intercept": censor_divert.tls_intercept,
    "http-drop": censor_names.http_drop,
    "http-reset": censor_names.http_reset,
    "http-close": censor_names.http_close,
    "http-page": censor_names.http_page,
    "http-redirect": censor_names.http_redirect,
    "http-alter": censor_divert.http_alter,
    "freeze": censor_transfer.freeze,
    "throttle": censor_transfer.throttle,
    "loss": censor_transfer.loss,
    "quic-drop": censor_names.quic_drop,
    "splice": censor_divert.splice,
}

# Kinds that must see each packet as it is on the wire: giant ones are cut up before them.
COUNTING_KINDS: frozenset[CensorKind] = frozenset(("freeze", "throttle", "loss"))


@dataclass(frozen=True)
class Box:
    """Where some rules stand on the way: what it reads, and who judges it."""

    hop: int  # the router before which it stands, from 1; 0: where the plan puts boxes
    judges: tuple[tuple[Censor, Judge], ...]
    reader: Reader = field(default_factory=Reader)


def boxes(plan: Plan, network: str) -> list[Box]:
    """Return the boxes on the ways of a client network, the nearest first."""
    at_hop: dict[int, list[tuple[Censor, Judge]]] = {}
    for number, censor in enumerate(plan.scenario.censors):
        if (not censor.networks or network in censor.networks) and censor.kind in KINDS:
            chance = Random(f"{plan.seed}/censor/{network}/{number}")
            rule = Rule(censor, plan, network, number, chance)
            judge = gated(rule, KINDS[censor.kind](rule))
            at_hop.setdefault(censor.hop, []).append((censor, judge))
    return [Box(hop, tuple(judges)) for hop, judges in sorted(at_hop.items())]
