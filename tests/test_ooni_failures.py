"""OONI's words for failures and ours: none is lost on the way in or out."""

from __future__ import annotations

import pytest

from storage.failures import Failure
from storage.ooni_failures import ours, theirs
from storage.ooni_own import EXPRESSED


@pytest.mark.parametrize(
    ("theirs_", "ours_"),
    [
        (None, None),
        (False, None),
        (True, "unknown_failure"),
        ("connection_reset", "connection_reset"),
        ("tcp_timed_out_error", "timed_out"),
        ("android_dns_cache_no_data", "dns_no_answer"),
        ("unknown_failure: stopped after 10 redirects", "http_too_many_redirects"),
        ("unknown_failure: something new", "unknown_failure"),
        (17, "unknown_failure"),
    ],
)
def test_every_failure_has_a_word_of_ours(theirs_: object, ours_: str | None) -> None:
    assert ours(theirs_) == ours_


def test_every_failure_of_ours_survives_their_format() -> None:
    for failure in Failure:
        word = theirs(failure)
        assert word is not None
        assert ours(word) == failure


def test_every_field_of_a_step_is_either_theirs_or_stands_beside() -> None:
    for kind, expressed in EXPRESSED.items():
        assert expressed <= set(kind.__struct_fields__)
