"""Episodes: brackets, gaps, pooling over vantages, and readings out of CSV files."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from reports.csv_readings import readings_from_csv
from reports.episodes import Episode, find_episodes, public
from reports.errors import ReportError
from reports.lines import RoundMark
from reports.readings import Reading
from tests.histories import HOUR, T0, bracket, history, hours, reading


def only(readings: list[Reading]) -> Episode:
    (episode,) = find_episodes(readings)
    return episode


def onset(episode: Episode) -> object:
    return bracket(episode.onset_earliest, episode.onset_latest)


def end(episode: Episode) -> object:
    return bracket(episode.end_earliest, episode.end_latest)


def test_an_episode_lies_between_the_open_readings_around_it() -> None:
    episode = only(history("oobbboo"))
    assert (onset(episode), end(episode), episode.status) == ((2, 4), (8, 10), "ended")
    assert (episode.measurements, episode.failing) == (3, 3)
    assert episode.techniques == {"tls.timeout": 3}
    assert episode.certainty == "confirmed"


def test_a_block_that_still_holds_is_ongoing() -> None:
    episode = only(history("oobbb"))
    assert (end(episode), episode.status) == ((None, None), "ongoing")


def test_without_an_earlier_open_reading_the_onset_has_no_earliest_time() -> None:
    assert onset(only(history("bboo"))) == (None, 0)


def test_down_and_inconclusive_readings_bound_nothing() -> None:
    episode = only(history("odibsio"))
    assert (onset(episode), end(episode)) == ((0, 6), (6, 12))


def test_a_restricted_reading_is_an_open_one() -> None:
    assert onset(only(history("rbbr"))) == (0, 2)


def test_a_single_open_reading_does_not_end_an_episode_but_is_counted() -> None:
    episode = only(history("obbobbo"))
    assert (episode.measurements, episode.failing, episode.strays) == (5, 4, 1)
    assert any("1 of 5" in reason for reason in episode.reasons)


def test_a_few_open_readings_in_between_are_a_leak_and_many_end_an_episode() -> None:
    assert only(history("obboobbo")).strays == 2
    assert len(find_episodes(history("oobbbb" + 10 * "o" + "bbbboo"))) == 2


def test_a_single_open_reading_ends_an_episode_where_readings_are_sparse() -> None:
    assert len(find_episodes(history("obbobbo", step=48))) == 2


def test_one_likely_reading_is_enough_for_an_episode() -> None:
    assert only([reading("o", 0), reading("b", 2, certainty="likely")]).certainty == "likely"


def test_suspicions_alone_are_possible_and_never_more() -> None:
    episode = only(history("osssso"))
    assert (episode.status, episode.certainty) == ("possible", "suspected")


def test_a_lone_suspicion_is_not_even_possible() -> None:
    assert find_episodes(history("osoosso")) == []


def test_suspicions_beside_a_block_make_no_episode_of_their_own() -> None:
    assert [e.status for e in find_episodes(history("ossssbbo"))] == ["ended"]


def test_a_site_that_is_down_or_refuses_has_no_episode() -> None:
    assert find_episodes(history("odddrrrriiiddo")) == []


def test_vantages_of_one_network_tighten_each_others_bracket() -> None:
    readings = history("obbo", step=4) + history("obbo", start=1, step=4, vantage="bbbb")
    episode = only(readings)
    assert (onset(episode), end(episode)) == ((1, 4), (9, 12))
    assert (episode.vantages, episode.disagreement) == (2, False)


def test_disagreeing_vantages_widen_the_bracket_to_hold_all_their_readings() -> None:
    a = [reading("o", 0), reading("b", 2), reading("b", 6), reading("b", 8), reading("o", 20)]
    b = [reading(x, h, vantage="bbbb") for x, h in (("o", 1), ("o", 3), ("b", 5), ("o", 19))]
    episode = only(a + b)
    assert onset(episode) == (1, 5)
    assert episode.disagreement


def test_a_vantage_that_never_saw_the_block_is_counted_and_bounds_nothing() -> None:
    readings = history("obbbo", step=4) + history("ooooo", start=1, step=4, vantage="bbbb")
    episode = only(readings)
    assert (onset(episode), end(episode)) == ((0, 4), (12, 16))
    assert (episode.failing, episode.measurements, episode.disagreement) == (3, 5, True)


def test_a_vantage_that_begins_blocked_carries_on_one_that_fell_silent() -> None:
    readings = history("obb") + history("bbo", start=300, vantage="bbbb")
    episode = only(readings)
    assert (onset(episode), end(episode)) == ((0, 2), (302, 304))
    assert [bracket(*gap) for gap in episode.gaps] == [(4, 300)]


def test_networks_are_not_pooled_nor_are_vantages_without_a_number() -> None:
    known = history("obbo") + history("obbo", asn=64497, vantage="bbbb")
    unknown = history("obbo", asn=None) + history("obbo", asn=None, vantage="bbbb")
    assert len(find_episodes(known)) == 2
    assert len(find_episodes(unknown)) == 2


def test_reference_vantages_have_no_episodes() -> None:
    assert find_episodes(history("obbo", kind="reference")) == []


def test_a_gap_inside_an_episode_is_listed() -> None:
    episode = only(history("oobb............bboo"))
    assert [bracket(*gap) for gap in episode.gaps] == [(6, 32)]


def test_coverage_is_the_share_of_rounds_with_a_measurement() -> None:
    rounds = [
        RoundMark(
            id=f"r{n}",
            seconds=T0 + (2 * n - 0.1) * HOUR,
            vantage="aaaa",
            country="KZ",
            asn=64496,
            state="up",
        )
        for n in range(6)
    ]
    readings = [reading(x, 2 * n, round=f"r{n}") for n, x in enumerate("obb.bo") if x != "."]
    (episode,) = find_episodes(readings, rounds)
    assert episode.coverage == 0.75
    assert only(readings).coverage is None


def test_public_times_are_rounded_outward_to_ten_minutes() -> None:
    readings = [reading(x, h) for x, h in (("o", 1.01), ("b", 2.01), ("b", 3.01), ("o", 4.01))]
    episode = only(readings)
    rounded = public(episode)
    assert rounded.id == episode.id
    assert onset(rounded) == (1, 2 + 1 / 6)
    assert end(rounded) == (3, 4 + 1 / 6)


SERIES = st.lists(
    st.tuples(
        st.sampled_from("orbbsid"),
        st.integers(0, 60),
        st.sampled_from(["aaaa", "bbbb"]),
        st.sampled_from([64496, 64497, None]),
    ),
    max_size=40,
    unique_by=lambda row: (row[1], row[2], row[3]),
)


@settings(deadline=None)  # a busy machine is no defect
@given(SERIES, st.randoms(use_true_random=False))
def test_the_order_of_arrival_makes_no_difference(rows: list[tuple], random: object) -> None:  # type: ignore[type-arg]
    readings = [reading(x, h, vantage=v, asn=a) for x, h, v, a in rows]
    shuffled = [*readings, *readings[:5]]
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert find_episodes(shuffled) == find_episodes(readings)


@settings(deadline=None)  # a busy machine is no defect
@given(SERIES)
def test_brackets_are_ordered_and_episodes_hold_every_blocked_reading(
    rows: list[tuple],  # type: ignore[type-arg]
) -> None:
    readings = [reading(x, h, vantage=v, asn=a) for x, h, v, a in rows]
    episodes = find_episodes(readings)
    for episode in episodes:
        times = [episode.onset_earliest, episode.onset_latest]
        known = [time for time in times if time is not None]
        assert known == sorted(known)
        assert (episode.end_earliest is None) == (episode.end_latest is None)
        if episode.end_earliest is not None and episode.end_latest is not None:
            assert episode.end_earliest < episode.end_latest
        assert 0 < episode.failing <= episode.measurements
    blocked = sorted(r.id for r in readings if r.is_blocked)
    held = sorted(id for e in episodes if e.status != "possible" for id in e.readings)
    assert held == blocked


# --- CSV ---------------------------------------------------------------------------------------

HEADER = "time,url,country,asn,status,layer,technique"
ROWS = [
    "2017-06-19T00:00:00Z,https://foreignpolicy.com/,KZ,9198,accessible,,",
    "2017-06-19T12:00:00Z,https://foreignpolicy.com/,kz,AS9198,blocked,tls,timeout",
    "2017-06-20T00:00:00+06:00,https://foreignpolicy.com/,KZ,9198,blocked,tls,timeout",
]


def written(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "series.csv"
    path.write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return path


def test_a_csv_of_another_tool_gives_an_episode(tmp_path: Path) -> None:
    episode = only(readings_from_csv(written(tmp_path, *ROWS)))
    assert (onset(episode), episode.certainty) == ((0, 12), "likely")
    assert hours(episode.last_failing) == 18


def test_certainty_vantage_and_further_columns_are_read_in_any_order(tmp_path: Path) -> None:
    header = "note,vantage,certainty," + HEADER
    (reading,) = readings_from_csv(written(tmp_path, f"x,v1,confirmed,{ROWS[1]}", header=header))
    assert (reading.vantage, reading.certainty, reading.asn) == ("v1", "confirmed", 9198)


@pytest.mark.parametrize(
    ("row", "where"),
    [
        ("yesterday,https://a.b/,KZ,1,accessible,,", "line 2, column time"),
        ("2017-06-19T00:00:00,https://a.b/,KZ,1,accessible,,", "line 2, column time"),
        ("2017-06-19T00:00:00Z,a.b,KZ,1,accessible,,", "line 2, column url"),
        ("2017-06-19T00:00:00Z,https://[/,KZ,1,accessible,,", "line 2, column url"),
        ("2017-06-19T00:00:00Z,https://a.b/,KAZ,1,accessible,,", "line 2, column country"),
        ("2017-06-19T00:00:00Z,https://a.b/,KZ,many,accessible,,", "line 2, column asn"),
        ("2017-06-19T00:00:00Z,https://a.b/,KZ,1,open,,", "line 2, column status"),
        ("2017-06-19T00:00:00Z,https://a.b/,KZ,1,blocked,ip,timeout", "line 2, column layer"),
        ("2017-06-19T00:00:00Z,https://a.b/,KZ,1,accessible,", "line 2: 7 columns"),
        ('2017-06-19T00:00:00Z,"https://a.b/,KZ,1,accessible,,', "line 2"),
        ("2017-06-19T00:00:00Z,https://a.b/\0,KZ,1,accessible,,", "line 2"),
    ],
)
def test_a_bad_row_is_named_by_file_line_and_column(tmp_path: Path, row: str, where: str) -> None:
    path = written(tmp_path, row)
    with pytest.raises(ReportError) as caught:
        readings_from_csv(path)
    message = str(caught.value)
    assert message.startswith(f"{path}, {where}")
    assert "\n" not in message


def test_the_line_of_a_bad_row_counts_line_breaks_inside_quotes(tmp_path: Path) -> None:
    header = HEADER + ",note"
    path = written(tmp_path, f'{ROWS[0]},"two\nlines"', "bad,,,,,,,", header=header)
    with pytest.raises(ReportError, match="line 4, column"):
        readings_from_csv(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: the column time is missing"),
        (b"time,url\n", "line 1: the column country is missing"),
        (HEADER.encode() + b",url\n", "line 1: the column 'url' stands there twice"),
        (HEADER.encode() + b"\n\xff\n", "line 2: not UTF-8 text"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "series.csv"
    path.write_bytes(content)
    with pytest.raises(ReportError, match=message):
        readings_from_csv(path)


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="No such file"):
        readings_from_csv(tmp_path / "none.csv")
