"""Rules that ask first: what cannot be judged, and pages that came from the site itself."""

from __future__ import annotations

from reports import conditions, page_conditions
from reports.rule import Rule

# Weights: see `reports.rules`.
ACCESS: tuple[Rule, ...] = (
    Rule(
        id="record.incomplete",
        status="inconclusive",
        needs="The measurement was stopped before its end.",
        reason="The measurement was stopped before its end.",
        condition=conditions.incomplete,
    ),
    Rule(
        id="line.not-up",
        status="offline",
        needs="The vantage's own line was not up.",
        reason="The vantage's own line was {state}.",
        condition=conditions.line_not_up,
    ),
    Rule(
        id="record.empty",
        status="inconclusive",
        needs="Nothing was tried.",
        reason="Nothing was tried.",
        condition=conditions.nothing_tried,
    ),
    Rule(
        id="site.refused",
        status="restricted",
        weight=-1.08,
        needs="A refusal (403, 429, 451 or a challenge) inside TLS that is valid for the name.",
        reason="The server of {name} itself refused this visitor with status {status}, inside "
        "TLS that is valid for its name.",
        condition=page_conditions.refused_by_site,
    ),
    Rule(
        id="site.error",
        status="down",
        weight=-1.08,
        needs="A server error (5xx) inside TLS that is valid for the name.",
        reason="The server of {name} itself answered with error {status}, inside TLS that is "
        "valid for its name.",
        condition=page_conditions.broken_by_site,
    ),
    Rule(
        id="site.reached",
        status="accessible",
        weight=-1.08,
        needs="The final page inside TLS that is valid for the name, at an address from the "
        "system's resolver.",
        reason="The page of {name} came with status {status} inside TLS that is valid for its "
        "name.",
        condition=page_conditions.reached_verified,
    ),
    Rule(
        id="http.refused-everywhere",
        status="restricted",
        needs="A refusal over plain HTTP that a helper met as well.",
        reason="{name} refused with status {status}, and did so to a helper as well.",
        condition=page_conditions.same_refusal_plain,
    ),
    Rule(
        id="http.error-everywhere",
        status="down",
        needs="A server error over plain HTTP that a helper met as well.",
        reason="{name} answered with error {status}, and did so to a helper as well.",
        condition=page_conditions.same_error_plain,
    ),
    Rule(
        id="http.agrees",
        status="accessible",
        weight=-0.98,  # as an answer that agrees with the control
        needs="A page over plain HTTP that agrees with a helper's in status and title or length.",
        reason="The page of {name} came with status {status} and agrees with a helper's.",
        condition=page_conditions.reached_plain,
    ),
    Rule(
        id="http.unremarkable",
        status="accessible",
        weight=-0.24,  # as a bare TCP connection that worked
        needs="A page over plain HTTP; no helper answered and nothing looks wrong.",
        reason="The page of {name} came with status {status}; no helper could be compared and "
        "nothing in it points to interference.",
        condition=page_conditions.unremarkable_plain,
    ),
)
