"""Reports: every format of every span of time, whole or not at all, with hostile text inert."""

import json
from pathlib import Path

import jsonschema
import pytest

from reports.episodes import find_episodes
from reports.errors import ReportError
from reports.markdown import escaped
from reports.report import Summary, write_report
from reports.rules import RULES_VERSION
from reports.tables import document as document_of
from storage.records import LineState
from storage.store import Store
from tests.histories import history
from tests.month import NETWORKS, write_month

SCHEMA = json.loads(
    (Path(__file__).parent.parent / "docs" / "episodes.schema.json").read_text(encoding="utf-8")
)
FILES = [
    *("report.html", "report.md", "episodes.json", "episodes.csv", "stop.csv"),
    *("incidents.atom", "records.txt"),
]
EVIL = "<script>alert(1)</script>\x1b[31m=HYPERLINK(1)|[x](http://evil.example)\u202e`"


def report(path: Path, output: Path, since: str, until: str, **how: object) -> Summary:
    with Store(path) as store:
        return write_report(
            store,
            since=since,
            until=until,
            output=output,
            generated="2017-07-11T00:00:00Z",
            tool="sitewatch 0.1.0",
            **how,  # type: ignore[arg-type]
        )


def document(output: Path) -> dict:  # type: ignore[type-arg]
    value = json.loads((output / "episodes.json").read_text(encoding="utf-8"))
    jsonschema.validate(value, SCHEMA)
    return value  # type: ignore[no-any-return]


def page(output: Path) -> str:
    return (output / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def month(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_month(tmp_path_factory.mktemp("month") / "month.db")


def test_the_month_gives_exactly_the_two_episodes(month: Path, tmp_path: Path) -> None:
    summary = report(month, tmp_path / "new" / "out", "2017-06-12", "2017-07-10", exact=True)
    assert [file.name for file in summary.files] == FILES
    data = document(tmp_path / "new" / "out")
    assert data["simulated"] is True
    assert data["outages"] == []
    assert [(e["asn"], e["status"], e["certainty"]) for e in data["episodes"]] == [
        (64496, "ended", "confirmed"),
        (64497, "ended", "confirmed"),
    ]
    for episode in data["episodes"]:
        assert episode["url"] == "https://foreignpolicy.com/"
        assert episode["onset_earliest"] < "2017-06-19T15:25:00Z" < episode["onset_latest"]
        assert episode["end_earliest"] < "2017-07-05T06:40:00Z" < episode["end_latest"]
        assert episode["techniques"] == {"tls.timeout": episode["blocked"]}
        assert episode["coverage"] == 1.0
    assert "2 of 3 networks in Kazakhstan" in summary.headline


def test_a_report_is_the_same_from_kept_verdicts(month: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        report(month, tmp_path / name, "2017-06-12", "2017-07-10")
    for file in FILES:
        assert (tmp_path / "first" / file).read_bytes() == (tmp_path / "second" / file).read_bytes()


def test_sites_that_are_down_or_refuse_and_dead_lines_are_told_and_not_called_blocked(
    month: Path, tmp_path: Path
) -> None:
    report(month, tmp_path, "2017-06-12", "2017-07-10", exact=True)
    text = page(tmp_path)
    assert "down on 3 networks, seen from 24 June 00:05 UTC to 24 June 12:05 UTC" in text
    assert "Ulytau Mobile (AS64498): after 27 June 12:05 UTC, seen down" in text
    assert "karatau-review.example was" not in text


def test_every_file_that_concludes_names_the_rules(month: Path, tmp_path: Path) -> None:
    summary = report(month, tmp_path, "2017-06-12", "2017-07-10")
    assert document(tmp_path)["rules"] == [RULES_VERSION]
    without = {file.name for file in summary.files if RULES_VERSION not in file.read_text("utf-8")}
    assert without == {"records.txt"}  # which concludes nothing


def test_public_times_are_rounded_unless_exact(month: Path, tmp_path: Path) -> None:
    report(month, tmp_path, "2017-06-12", "2017-07-10")
    for episode in document(tmp_path)["episodes"]:
        assert episode["onset_earliest"].endswith("0:00Z")
        assert episode["end_latest"].endswith("0:00Z")


def test_episodes_without_incidents_get_them_in_the_document() -> None:
    readings = history("obbo") + history("obbo", asn=64497, vantage="bbbb")
    text = document_of(find_episodes(readings), generated="2017-07-11", simulated=None)
    value = json.loads(text)
    jsonschema.validate(value, SCHEMA)
    assert len({episode["incident"] for episode in value["episodes"]}) == 1


def test_rounding_changes_no_id(month: Path, tmp_path: Path) -> None:
    ids = []
    for exact in (True, False):
        report(month, tmp_path, "2017-06-12", "2017-07-10", exact=exact)
        ids.append([(e["id"], e["incident"]) for e in document(tmp_path)["episodes"]])
    assert ids[0] == ids[1]


def test_a_report_on_another_site_leaves_this_one_as_contrast(month: Path, tmp_path: Path) -> None:
    urls = ["https://steppe-times.example/"]
    summary = report(month, tmp_path, "2017-06-12", "2017-07-10", urls=urls)
    assert document(tmp_path)["episodes"] == []
    assert "https://foreignpolicy.com/" in page(tmp_path)
    assert summary.headline.endswith("What was not measured is not known.")


@pytest.mark.parametrize(
    ("since", "until", "country", "words"),
    [
        ("2016-01-01", "2016-01-31", None, "Nothing was measured"),
        ("2017-06-12", "2017-06-18", "KG", "Nothing was measured"),
        ("2017-06-12", "2017-06-18", "KZ", "No blocking was found"),
        ("2017-06-25", "2017-06-26", None, "is blocked on 2 of 3 networks"),
    ],
)
def test_any_range_gives_a_sensible_page(
    month: Path, tmp_path: Path, since: str, until: str, country: str | None, words: str
) -> None:
    report(month, tmp_path, since, until, country=country)
    document(tmp_path)
    assert words in page(tmp_path)
    assert words in (tmp_path / "report.md").read_text(encoding="utf-8")


def test_a_single_measurement_gives_a_sensible_page(tmp_path: Path) -> None:
    path = write_month(
        tmp_path / "one.db",
        first="2017-06-12",
        last="2017-06-12",
        networks=[(64496, "Altyn Telecom")],
        sites=["foreignpolicy.com"],
        states=["up", "down"],
    )
    report(path, tmp_path, "2017-06-12", "2017-06-12")
    assert "1 measurement (1 site, 1 network) gave no episode" in page(tmp_path)


@pytest.mark.parametrize(
    ("state", "networks", "outages"),
    [("down", NETWORKS[:1], 0), ("down", NETWORKS, 1), ("foreign-cut", NETWORKS[:1], 1)],
)
def test_only_rounds_without_a_line_give_a_sensible_page(
    tmp_path: Path, state: LineState, networks: list[tuple[int, str]], outages: int
) -> None:
    path = write_month(
        tmp_path / "off.db",
        first="2017-06-12",
        last="2017-06-12",
        networks=networks,
        states=[state] * 4,
    )
    report(path, tmp_path, "2017-06-12", "2017-06-12")
    assert "the line was never up" in page(tmp_path)
    assert len(document(tmp_path)["outages"]) == outages


@pytest.mark.parametrize(
    ("since", "until", "message"),
    [
        ("2017-06-31", "2017-07-01", "is no day"),
        ("yesterday\n", "2017-07-01", "is no day"),
        ("2017-07-02", "2017-07-01", "lies before"),
        ("0001-01-01", "2017-07-01", "outside the years"),
        ("2017-07-01", "9999-12-31", "outside the years"),
    ],
)
def test_impossible_days_are_one_line(
    month: Path, tmp_path: Path, since: str, until: str, message: str
) -> None:
    with pytest.raises(ReportError, match=message) as caught:
        report(month, tmp_path, since, until)
    assert "\n" not in str(caught.value)


def test_a_folder_that_cannot_be_made_is_one_line(month: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ReportError, match="file/out: "):
        report(month, tmp_path / "file" / "out", "2017-06-12", "2017-06-13")


def test_nothing_half_written_is_left(month: Path, tmp_path: Path) -> None:
    (tmp_path / "out" / "report.md").mkdir(parents=True)
    with pytest.raises(ReportError):
        report(month, tmp_path / "out", "2017-06-12", "2017-06-13")
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["report.md"]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report on records in which every text from the network is an attack."""
    folder = tmp_path_factory.mktemp("hostile")
    path = write_month(
        folder / "hostile.db",
        first="2017-06-19",
        last="2017-06-20",
        networks=[(64496, EVIL), (64497, "Saryarka Online"), (64498, "Ulytau Mobile")],
        title=EVIL,
    )
    report(path, folder, "2017-06-19", "2017-06-20")
    return folder


def test_hostile_text_is_inert_in_every_format(hostile: Path) -> None:
    assert page(hostile).count("<script") == 1  # the page's own
    assert "&lt;script&gt;" in page(hostile)
    text = (hostile / "report.md").read_text(encoding="utf-8")
    assert "<script" not in text.replace("\\<script", "")
    assert "\\[x\\](http" in text.replace("\u2060", "")
    assert "](http:" not in text
    assert "|\\[x" not in text.replace("\\|", "")
    for file in FILES:
        content = (hostile / file).read_text(encoding="utf-8")
        assert not any(c in content for c in "\x1b\u202e\x00"), file
    document(hostile)


@pytest.mark.parametrize(
    "text",
    [
        "# title",
        "a | b",
        "<b>",
        "`x`",
        "[x](y)",
        "*x*",
        "_x_",
        "&lt;",
        "https://a.example/",
        "x\ny",
    ],
)
def test_markdown_specials_are_escaped(text: str) -> None:
    result = escaped(text)
    for special in "#|<`[*_&":
        assert result.count(special) == result.count("\\" + special)
    assert "\n" not in result
    assert "https:" not in result
