"""Rules about what is cut off or changed inside an answer, by path, or after so many bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from reports.verdicts import judge
from storage.records import Arm, Connect, Exchange, HelperAnswer, Step, Verdict
from tests.answer_cases import WHOLE, begun, names, transfers, turns
from tests.cases import (
    NAME,
    NEIGHBOUR,
    SITE,
    TIMEOUT,
    case,
    connection,
    essence,
    helper,
    lookup,
    measurement,
)
from tests.experiment_cases import ARMS, NAMED, PLAIN, answer, clear_loads

RESET = "connection_reset"
NEVER: list[Arm] = []


def verdict(
    failure: str, contrast: Sequence[Step], helpers: Sequence[HelperAnswer] = WHOLE
) -> Verdict:
    record = measurement(clear_loads(failure=failure), url=PLAIN, helpers=helpers)
    return judge(case(record, contrast=contrast))


# --- a word in the answer -------------------------------------------------------------------------


@pytest.mark.parametrize(("failure", "technique"), [(RESET, "reset"), (TIMEOUT, "timeout")])
def test_a_page_that_dies_while_its_head_comes_is_likely_blocked(
    failure: str, technique: str
) -> None:
    found = verdict(failure, [*names(["name@site"], failure), *turns(failure=failure)])
    assert essence(found) == ("blocked", "http", technique, "likely")
    assert found.rules[0] == "http.answer-cut"


@pytest.mark.parametrize(
    ("contrast", "helpers"),
    [
        (turns(failure=RESET), []),  # nobody saw the page
        (turns(failure=RESET, head=300), WHOLE),  # the server says another length
        (turns(failure=RESET)[:3], WHOLE),  # once only
        (turns(), WHOLE),  # in short segments it came: a link swallows long ones
        ([step for step in turns(failure=RESET) if isinstance(step, Connect)], WHOLE),
    ],
)
def test_a_page_that_dies_is_only_suspected_where_the_server_or_a_link_may_end_it(
    contrast: list[Step], helpers: list[HelperAnswer]
) -> None:
    found = verdict(RESET, [*names(["name@site"], RESET), *contrast], helpers)
    assert essence(found) == ("inconclusive", "http", "reset", "suspected")


def test_a_server_that_is_slow_with_the_page_is_no_censor() -> None:
    slow = msgspec.structs.replace(WHOLE[0], duration_us=2_500_000)  # of the 4 s that we waited
    contrast = [*names(["name@site"], TIMEOUT), *turns(failure=TIMEOUT)]
    assert verdict(TIMEOUT, contrast, [slow]).status == "inconclusive"
    quick = msgspec.structs.replace(WHOLE[0], duration_us=1_900_000)
    assert verdict(TIMEOUT, contrast, [quick]).status == "blocked"


# --- a page that is changed -----------------------------------------------------------------------


def shown(
    contrast: Sequence[Step],
    *,
    title: str = "All is well.",
    length: int = 19_900,
    helpers: Sequence[HelperAnswer] = WHOLE,
) -> Verdict:
    loads = [
        msgspec.structs.replace(step, body_bytes=length) if isinstance(step, Exchange) else step
        for step in clear_loads(title=title)
    ]
    record = measurement(loads, url=PLAIN, helpers=helpers)
    return judge(case(record, contrast=contrast))


def test_a_page_of_another_length_than_its_head_says_is_altered() -> None:
    found = shown([*names(NEVER, RESET), *turns(length=19_900)])
    assert essence(found) == ("blocked", "http", "altered", "likely")
    assert found.rules[0] == "http.answer-altered"
    assert "19900" in found.reasons[0]


def test_a_page_with_the_right_title_but_little_else_is_altered() -> None:
    cut = {"title": "News", "length": 400}
    assert essence(shown([], **cut)) == ("inconclusive", "http", "altered", "suspected")  # type: ignore[arg-type]
    found = shown([*names(NEVER, RESET), *turns(length=400)], **cut)  # type: ignore[arg-type]
    assert essence(found) == ("blocked", "http", "altered", "likely")
    assert shown([], title="News", length=7_000).status == "accessible"


@pytest.mark.parametrize(
    "contrast",
    [
        turns(length=19_900, head=19_900),  # the server's own: it shows this country another page
        turns(length=19_900, head=15_000),  # abroad got another length: the page changes
        [*turns(length=19_900)[:3], *turns(length=19_800)[3:]],  # it changes from load to load
        turns(length=19_900)[:3],
        turns(failure=RESET),
    ],
)
def test_a_page_that_differs_is_only_suspected_where_its_server_may_have_sent_it(
    contrast: list[Step],
) -> None:
    assert essence(shown([*names(NEVER, RESET), *contrast])) == (
        "inconclusive",
        "http",
        "altered",
        "suspected",
    )


def test_helpers_alone_never_make_a_page_altered() -> None:
    more = [helper(title="News"), helper(title="News", url="https://helper-two.example/")]
    assert shown([], helpers=more).status == "inconclusive"


# --- paths ----------------------------------------------------------------------------------------

ARTICLE = f"http://{NAME}/banned/article"


def by_path(front: str | None, failing: Sequence[Arm] = NAMED) -> Verdict:
    """Return the verdict where the article failed; `front`: how the front page did."""
    loads, arms = clear_loads(failure=TIMEOUT), names(failing, TIMEOUT)
    moved = [
        msgspec.structs.replace(step, url=step.url + "banned/article")
        if isinstance(step, Exchange)
        else step
        for step in [*loads, *arms]
    ]
    beside = answer("name@site", NAME, SITE, number=70, failure=front)
    record = measurement(moved[: len(loads)], url=ARTICLE, helpers=WHOLE)
    return judge(case(record, contrast=[*moved[len(loads) :], beside]))


@pytest.mark.parametrize(("front", "part"), [(None, True), (TIMEOUT, False)])
def test_a_blocked_path_is_confirmed_and_the_front_page_tells_that_it_is_a_part(
    front: str | None, part: bool
) -> None:
    found = by_path(front)
    assert essence(found) == ("blocked", "http", "timeout", "confirmed")
    assert found.rules[0] == "http.name-blocked"
    assert ("http.path-alone" in found.rules) is part


def test_a_path_that_fails_at_the_site_alone_may_be_the_servers_own_doing() -> None:
    found = by_path(None, ["name@site"])
    assert essence(found) == ("inconclusive", "http", "timeout", "suspected")
    assert "http.path-alone" in found.rules


# --- after so many bytes --------------------------------------------------------------------------


def stopped(contrast: Sequence[Step]) -> Verdict:
    return judge(case(measurement(begun(), url=PLAIN, helpers=WHOLE), contrast=contrast))


def test_long_transfers_that_stop_for_the_name_alone_are_confirmed() -> None:
    assert essence(stopped(transfers(NAMED))) == ("blocked", "http", "stalled", "confirmed")


@pytest.mark.parametrize(
    ("failing", "failure"),
    [
        (NAMED, None),  # too little was asked for
        (NAMED, "eof_error"),  # servers that end connections after some answers
        (["name@site"], TIMEOUT),
        ([arm for arm, _, _ in ARMS], TIMEOUT),  # the line stops every long transfer
    ],
)
def test_long_transfers_that_end_otherwise_show_nothing(
    failing: Sequence[Arm], failure: str | None
) -> None:
    found = stopped(transfers(failing, failure))
    assert essence(found) == ("inconclusive", "http", "stalled", "suspected")


def test_a_page_that_stops_while_its_head_comes_needs_a_long_transfer_beside_it() -> None:
    cut = [
        msgspec.structs.replace(step, status=200) if isinstance(step, Exchange) else step
        for step in turns(failure=TIMEOUT)
    ]
    assert stopped(cut).status == "inconclusive"
    beside = [*transfers(["name@site"]), *cut]
    assert essence(stopped(beside)) == ("blocked", "http", "stalled", "likely")


# --- what another network of the country got ----------------------------------------------------


def one_load(attempt: int = 0, **how: Any) -> list[Step]:
    given: dict[str, Any] = {"title": "Notice", "body_bytes": 900, **how}
    return [
        lookup(attempt=attempt),
        *connection(secure=False, attempt=attempt, number=attempt + 1, **given),
    ]


GOT = measurement(one_load(title="Foreign Policy", body_bytes=20_000), url=PLAIN, vantage=NEIGHBOUR)


def seen(*shown: dict[str, Any]) -> Verdict:
    steps = [step for attempt, how in enumerate(shown) for step in one_load(attempt, **how)]
    return judge(case(measurement(steps, url=PLAIN, helpers=[helper()]), witnesses=[GOT]))


def test_a_page_that_another_network_got_whole_was_changed_on_the_way() -> None:
    assert seen({}, {}, {}).rules[0] == "http.altered-here"


@pytest.mark.parametrize(
    "shown",
    [
        [{"status": 403}] * 3,  # the server refuses this address alone
        [{"status": 429}] * 3,
        [{"status": 503}] * 3,
        [{"status": 503, "headers": [("cf-mitigated", "challenge")]}] * 3,
        [{}, {"title": "Foreign Policy", "body_bytes": 20_000}],  # a moment's
    ],
)
def test_a_refusal_or_what_came_once_was_not_changed_on_the_way(
    shown: list[dict[str, Any]],
) -> None:
    assert seen(*shown).status != "blocked"


def test_a_notice_in_place_of_every_page_is_about_no_name() -> None:
    record = measurement(clear_loads(title="Pay"), url=PLAIN, helpers=WHOLE)
    changed = [
        msgspec.structs.replace(step, title="Pay") if isinstance(step, Exchange) else step
        for step in turns(length=900)
    ]
    other = [answer(arm, name, address, title=arm) for arm, name, address in ARMS]
    every = [answer(arm, name, address, title="Pay") for arm, name, address in ARMS]
    assert judge(case(record, contrast=[*other, *changed])).rules[0] == "http.answer-altered"
    assert judge(case(record, contrast=[*every, *changed])).status != "blocked"
