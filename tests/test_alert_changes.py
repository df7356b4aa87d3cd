"""What is announced of episodes, what is corrected, and in which words."""

from __future__ import annotations

import msgspec
import pytest

from reports.episodes import Episode, find_episodes
from reports.readings import Reading
from sitewatch.alert_changes import Change, Subject, changes, subjects_of
from sitewatch.alert_messages import body_of, id_of, text_of
from storage.announcements import Announcement
from tests.histories import T0, history

LONG_AGO = T0 - 10**7


def episodes(letters: str, **how: object) -> list[Episode]:
    return find_episodes(history(letters, **how))  # type: ignore[arg-type]


def noted(found: list[Change], before: list[Announcement] | None = None) -> list[Announcement]:
    """Return the log after `found` was noted, through JSON as in the database."""
    return [
        *(before or []),
        *(
            Announcement(
                subject=one.subject,
                turn=one.turn,
                kind=one.kind,
                noticed="2017-06-20T00:00:00.000000Z",
                episode=one.text(),
            )
            for one in found
        ),
    ]


def told(*histories: list[Episode]) -> list[str]:
    """Return the kinds announced as the data grow from one history to the next."""
    log: list[Announcement] = []
    kinds: list[str] = []
    for now in histories:
        found = changes(now, subjects_of(log), since=LONG_AGO)
        kinds += [one.kind for one in found]
        log = noted(found, log)
        assert changes(now, subjects_of(log), since=LONG_AGO) == []  # never twice
    return kinds


def test_an_episode_is_announced_when_it_opens_and_when_it_ends() -> None:
    assert told(episodes("oob"), episodes("oobb"), episodes("oobbbo"), episodes("oobbbooo")) == [
        "opened",
        "ended",
    ]


def test_confirmation_is_told_once_and_not_beside_the_opening() -> None:
    likely = episodes("oob", certainty="likely")
    assert told(likely, episodes("oobb"), episodes("oobbb")) == ["opened", "confirmed"]
    assert told(episodes("oob"), episodes("oobb")) == ["opened"]


def test_suspicions_alone_are_never_announced() -> None:
    possible = episodes("ossso")
    assert [one.status for one in possible] == ["possible"]
    assert told(possible) == []


def test_one_that_is_over_when_first_seen_is_told_with_its_end() -> None:
    assert told(episodes("oobboo")) == ["opened", "ended"]


def test_an_end_that_was_none_is_corrected_and_the_true_one_told() -> None:
    # One open reading ends it for the time being; a later failing one shows that it leaked.
    assert told(episodes("obbo"), episodes("obbob"), episodes("obbobb" + 9 * "o")) == [
        "opened",
        "ended",
        "reopened",
        "ended",
    ]


def test_what_later_data_do_not_bear_out_is_withdrawn() -> None:
    assert told(episodes("oob"), episodes("ooo"), episodes("oob")) == [
        "opened",
        "withdrawn",
        "reopened",
    ]


def test_a_bracket_that_lies_elsewhere_now_is_corrected_and_a_narrower_one_is_not() -> None:
    wide = episodes("o....b", step=2)
    narrower = find_episodes([*history("o....b"), *history("o", start=6)])
    assert told(wide, narrower) == ["opened"]
    assert told(episodes("ooob"), episodes("obbb")) == ["opened", "corrected"]
    ended = [episodes("obboooo"), episodes("obbbbbo")]
    assert told(*ended) == ["opened", "ended", "corrected"]


def test_what_began_before_the_data_at_hand_is_left_as_it_was_said() -> None:
    found = changes(episodes("oob"), [], since=LONG_AGO)
    subjects = subjects_of(noted(found))
    assert changes([], subjects, since=T0 + 10**6) == []
    assert [one.kind for one in changes([], subjects, since=LONG_AGO)] == ["withdrawn"]


def test_networks_and_sites_are_kept_apart() -> None:
    first = episodes("oob")
    both = find_episodes([*history("oob"), *history("oob", asn=64498)])
    other = find_episodes([*history("oob"), *history("oob", url="https://a.example/")])
    assert told(first, both) == ["opened", "opened"]
    assert told(first, other) == ["opened", "opened"]


def test_two_that_become_one_go_on_as_the_first() -> None:
    apart = find_episodes(history("obbbb" + 10 * "o" + "bb"))
    assert len(apart) == 2
    joined = find_episodes(history("obbbb" + 10 * "b" + "bb"))
    assert told(apart, joined) == ["opened", "ended", "opened", "reopened"]


def test_the_log_is_folded_to_the_last_state_said() -> None:
    log = noted(changes(episodes("oob", certainty="likely"), [], since=LONG_AGO))
    log = noted(changes(episodes("oobbo"), subjects_of(log), since=LONG_AGO), log)
    (subject,) = subjects_of(log)
    assert isinstance(subject, Subject)
    assert (subject.turns, subject.confirmed, subject.said.ended) == (3, True, True)


# --- words -------------------------------------------------------------------------------------


def opened(letters: str = "oob", **how: object) -> Change:
    return changes(episodes(letters, **how), [], since=LONG_AGO)[0]


def test_one_change_is_a_sentence_with_place_bracket_and_certainty() -> None:
    assert text_of([opened()]) == (
        "foreignpolicy.com on AS64496 (Network 64496) in Kazakhstan became unreachable between "
        "02:00 and 04:00 UTC on 19 June 2017 (tls.timeout, confirmed)."
    )


def test_without_an_earlier_open_reading_only_the_latest_onset_is_said() -> None:
    assert "became unreachable before 00:00 UTC on 19 June 2017" in text_of([opened("bb")])


def test_much_at_once_is_a_digest() -> None:
    many = [opened(url=f"https://site{n:02}.example/") for n in range(17)]
    assert text_of(many) == (
        "17 targets became unreachable between 02:00 and 04:00 UTC on 19 June 2017 on "
        "AS64496 (Network 64496) in Kazakhstan: site00.example, site01.example, site02.example, "
        "site03.example, site04.example and 12 others."
    )


def test_each_kind_has_words_alone_and_in_a_digest() -> None:
    for kind in ("opened", "confirmed", "ended", "reopened", "corrected", "withdrawn"):
        some = opened("obbo" if kind == "ended" else "oob")
        one = msgspec.structs.replace(some, kind=kind)
        assert "foreignpolicy.com" in text_of([one])
        assert text_of([one] * 4).startswith("1 target ")


def test_the_message_names_its_changes_and_keeps_its_id() -> None:
    body = msgspec.json.decode(body_of([opened()], "webhook", rules="2026.11", simulated=True))
    assert (body["text"][:11], body["rules"]) == ("SIMULATED: ", "2026.11")
    assert body["id"] == id_of([opened()], "webhook") != id_of([opened()], "atom")
    (change,) = body["changes"]
    assert (change["kind"], change["url"]) == ("opened", "https://foreignpolicy.com/")
    assert change["onset_latest"] == "2017-06-19T04:00:00.000000Z"


def test_text_from_the_network_cannot_break_out_of_its_line() -> None:
    hostile = msgspec.structs.replace(opened().said, network="a\x1b[2J\nb\u202e")
    text = text_of([msgspec.structs.replace(opened(), said=hostile)])
    assert text.isprintable()


@pytest.mark.parametrize("minutes", [1, 9])
def test_times_are_rounded_outward_to_ten_minutes(minutes: int) -> None:
    readings: list[Reading] = [
        msgspec.structs.replace(one, seconds=one.seconds + 60 * minutes) for one in history("oob")
    ]
    (change,) = changes(find_episodes(readings), [], since=LONG_AGO)
    assert "between 02:00 and 04:10 UTC" in text_of([change])
