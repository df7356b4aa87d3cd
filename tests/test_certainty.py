"""The table of docs/certainty.md: how sure a verdict can be, by tier and helpers."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest

from reports.verdicts import judge
from storage.records import HelperAnswer, Line, Step
from tests.answer_cases import begun, names, transfers, turns
from tests.cases import (
    DOH,
    FIELD,
    FORGED,
    RESET,
    SITE,
    TIMEOUT,
    arms,
    case,
    chain,
    connection,
    helper,
    loads,
    lookup,
    measurement,
)
from tests.experiment_cases import (
    NAMED,
    PLAIN,
    STRANGE,
    clear_loads,
    hellos,
    neutral_site,
    paired,
    requests,
    round_with,
    stopped,
    strange_loads,
)
from tests.name_cases import led_to, questions, twice_blocked

HELPERS = [helper(title="News"), helper(title="News", url="https://helper-two.example/")]
NOT_HOME = Line(state="up", ipv4=True, resolver_at_home=False)
STATE = {
    **STRANGE,
    "certificates": chain("a.example", issuer="CN=Information Security Certification Authority"),
}


def named(address: str, *more: Step, tls: str = "ssl_invalid_hostname") -> list[Step]:
    steps: list[Step] = list(more)
    for attempt in range(3):
        steps += [lookup([address], attempt=attempt, replies=[[address]])]
        steps += [lookup(resolver=DOH, attempt=attempt), *connection(number=9, attempt=attempt)]
        steps += connection(
            address=address, tls=tls, number=8, attempt=attempt, certificates=chain("other.example")
        )
    return steps


def raced() -> list[Step]:
    raced = lookup([FORGED], replies=[[FORGED], [SITE]])
    return [raced, *named(FORGED)]


PAGE = {"title": "Blocked"}
# What happens, at which URL, what probing adds; and the certainty without and with helpers at
# tier browser-like, without and with them at tier probing.
ROWS: list[tuple[str, list[Step], str, list[Step], Sequence[str | None]]] = [
    ("tls", loads(3, tls=TIMEOUT), "", arms(),
     ("suspected", "suspected", "confirmed", "confirmed")),
    ("answered in TLS", loads(3, tls="ssl_not_tls"), "", arms(failure="ssl_not_tls"),
     ("suspected", "suspected", "confirmed", "confirmed")),
    ("clear", clear_loads(failure=TIMEOUT), PLAIN, requests(NAMED, failure=TIMEOUT),
     ("suspected", "suspected", "confirmed", "confirmed")),
    ("page", clear_loads(**PAGE), PLAIN, requests(NAMED, **PAGE),
     (None, "suspected", "confirmed", "confirmed")),
    ("race", raced(), "", questions(NAMED), ("likely", "likely", "confirmed", "confirmed")),
    ("reserved", named("10.1.1.1", lookup(["10.1.1.1"], resolver="udp")), "", [],
     ("suspected", "confirmed", "suspected", "confirmed")),
    ("false", named(FORGED), "", [], ("suspected", "likely", "suspected", "likely")),
    ("state", [*loads(3, **STATE), lookup(resolver=DOH)], "", hellos(NAMED, **STATE),
     ("suspected", "confirmed", "confirmed", "confirmed")),
    ("unknown", strange_loads(), "", hellos(NAMED, **STRANGE),
     ("suspected", "suspected", "confirmed", "confirmed")),
    ("address", loads(3, tcp=TIMEOUT), "", stopped(),
     ("suspected", "suspected", "suspected", "likely")),
    ("lie and cut", twice_blocked().steps, "", arms(),
     ("suspected", "suspected", "confirmed", "confirmed")),
    ("known page", led_to("195.175.254.2").steps, PLAIN, [], ("confirmed",) * 4),
    ("reserved page", led_to("10.99.1.1").steps, PLAIN, [], (None, "likely", None, "likely")),
    ("cut", clear_loads(failure=RESET), PLAIN,
     [*names(["name@site"], RESET), *turns(failure=RESET)],
     ("suspected", "suspected", "suspected", "likely")),
    ("changed", clear_loads(**PAGE), PLAIN, [*names([], RESET), *turns(length=19_900)],
     (None, "suspected", None, "likely")),
    ("stops", begun(), PLAIN, transfers(NAMED),
     ("suspected", "suspected", "confirmed", "confirmed")),
    ("transfer", loads(3, http=TIMEOUT), "", paired(3, 0),
     ("suspected", "suspected", "suspected", "likely")),
]  # fmt: skip


@pytest.mark.parametrize("row", ROWS, ids=[row[0] for row in ROWS])
@pytest.mark.parametrize("column", range(4))
def test_no_tier_is_surer_or_less_sure_than_documented(
    row: tuple[str, list[Step], str, list[Step], Sequence[str | None]], column: int
) -> None:
    name, steps, url, follow_up, expected = row
    helpers: list[HelperAnswer] = HELPERS if column % 2 else []
    record = measurement(
        steps,
        url=url or "https://foreignpolicy.com/",
        line=NOT_HOME,
        helpers=helpers,
        vantage=msgspec.structs.replace(FIELD, country="TR") if name == "known page" else FIELD,
    )
    found = case(record, contrast=follow_up if column > 1 else [])
    found = msgspec.structs.replace(found, round=round_with(*neutral_site()))
    verdict = judge(found)
    assert verdict.certainty == expected[column]
    assert (verdict.status == "blocked") is (expected[column] in ("likely", "confirmed"))
