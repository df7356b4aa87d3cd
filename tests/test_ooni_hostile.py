"""Broken and hostile lines: refused with a reason, and never more than their own line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reports.cases import gather
from reports.verdicts import judge
from storage.errors import RefusedError
from storage.intake import accept_made
from storage.ooni_document import BrokenError, NotOursError
from storage.reading import Stored
from tests.ooni_fixtures import (
    SITE,
    legacy,
    line,
    measurement,
    modern,
    query,
    redirected,
)
from tests.ooni_reading import take


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"{", "not a measurement in JSON"),
        (b"[]", "not a measurement in JSON"),
        (b'{"test_name":"web_connectivity","test_keys":' + b"[" * 1_000_000, "not a measurement"),
        (b'{"x":' + b'{"x":' * 1_000_000, "not a measurement"),
        (line(measurement([])), "not a measurement in JSON"),  # type: ignore[arg-type]
        (line(measurement(modern(), input=None)), "no input URL"),
        (line(measurement(modern(), input=["a"])), "no input URL"),
        (line(measurement(modern(), input="ftp://a/")), "not a URL"),
        (line(measurement(modern(), measurement_start_time="today")), "no start time"),
        (line(measurement(modern(), measurement_start_time="0001-01-01 00:00:00")), "no start"),
        (line(measurement({"queries": 5})), "no event that can be read"),
        (line(measurement(modern(), software_name="sitewatch")), "x_sitewatch"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",  # certificates differ in each worker
)
def test_what_is_no_measurement_is_refused_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(BrokenError, match=why):
        take(data)


def test_another_test_is_named() -> None:
    with pytest.raises(NotOursError) as caught:
        take(line(measurement({}, test_name="ndt")))
    assert caught.value.test == "ndt"


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value inside."""
    inside = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [path, *(place for key, one in inside for place in places(one, (*path, key)))]


OWN = modern(x_sitewatch={"line": {"state": "up"}, "steps": [], "helpers": [], "tier": None})
OWN["tcp_connect"][0]["x_sitewatch"] = {"attempt": 1, "arm": "name@site", "connection": 7}
OWN["queries"][0]["x_sitewatch"] = {"replies": [{"after_us": 3, "answers": [SITE]}]}
GROUND = [
    measurement(OWN, software_name="sitewatch"),
    measurement(modern(x_dns_duplicate_responses=[query(SITE)])),
    measurement(legacy()),
    measurement(redirected()),
]
PLACES = [
    (number, place) for number, document in enumerate(GROUND) for place in places(document)[1:]
]
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.just("9" * 400),
    st.just([[]]),
    st.just({"format": "base64", "data": "%%%"}),
    st.just({"a": {"b": None}}),
    st.lists(st.integers(), max_size=3),
)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(PLACES), JUNK)
def test_no_odd_value_anywhere_does_more_than_spoil_its_line(
    place: tuple[int, tuple[Any, ...]], junk: Any
) -> None:
    document = json.loads(json.dumps(GROUND[place[0]]))
    target = document
    for key in place[1][:-1]:
        target = target[key]
    target[place[1][-1]] = junk
    try:
        found = take(line(document))
        accept_made(found.measurement)
    except (BrokenError, NotOursError):
        return
    except RefusedError:
        assert place[0] == 0  # what we say beside OONI's keys is checked on storing
        return
    judge(gather([Stored("sha256:" + "0" * 64, found.measurement)])[0])
