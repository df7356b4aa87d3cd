"""Outcomes: narrow rows of what was measured and concluded, to read millions at once."""

from typing import Any

import msgspec
import sqlalchemy as sa
from alembic import op

from storage.digits import HASH_PREFIX, Digits, hash_digits
from storage.outcomes import short
from storage.records import utc_seconds

revision = "0006"
down_revision = "0005"

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_PAGE = 5000
_SERIES = ("url", "vantage", "vantage_kind", "country", "asn", "network")


def upgrade() -> None:
    """Add the tables and a row for each measurement; what is not fixed is looked at once more."""
    _create_series()
    _create_conclusions()
    _create_outcomes()
    _fill(op.get_bind())


def _create_series() -> None:
    op.create_table(
        "series",
        sa.Column(
            "number", _NUMBER, nullable=False, comment="Local number; means nothing elsewhere."
        ),
        sa.Column("url", sa.Text(), nullable=False, comment="The target."),
        sa.Column("vantage", Digits(16), nullable=False, comment="Who measured it."),
        sa.Column("vantage_kind", sa.String(length=16), comment="field or reference."),
        sa.Column(
            "country", sa.String(length=2), comment="Where the vantage stands; null: unknown."
        ),
        sa.Column("asn", sa.BigInteger(), comment="Number of its network; null: unknown."),
        sa.Column("network", sa.Text(), comment="Name of its network; null: unknown."),
        sa.PrimaryKeyConstraint("number", name="pk_series"),
        comment="Targets as each vantage measured them; derived from the records.",
    )
    op.create_index("ix_series_url_vantage", "series", ["url", "vantage"])


def _create_conclusions() -> None:
    op.create_table(
        "conclusions",
        sa.Column(
            "number", _NUMBER, nullable=False, comment="Local number; means nothing elsewhere."
        ),
        sa.Column(
            "rules_version", sa.String(length=32), nullable=False, comment="Version of the rules."
        ),
        sa.Column(
            "fixed", sa.Boolean(), nullable=False, comment="True: whatever the rules, it stays."
        ),
        sa.Column(
            "status", sa.String(length=16), nullable=False, comment="accessible, blocked, down, …"
        ),
        sa.Column("layer", sa.String(length=8), comment="Where the interference was seen."),
        sa.Column("technique", sa.String(length=32), comment="What it was."),
        sa.Column("certainty", sa.String(length=16), comment="suspected, likely or confirmed."),
        sa.Column(
            "blocked_name", sa.Text(), comment="The name that is blocked, also behind redirects."
        ),
        sa.PrimaryKeyConstraint("number", name="pk_conclusions"),
        comment="The different conclusions that `outcomes` refers to; derived from the verdicts.",
    )
    op.create_index(
        "ix_conclusions_status_rules_version", "conclusions", ["status", "rules_version"]
    )


def _create_outcomes() -> None:
    op.create_table(
        "outcomes",
        sa.Column("series", _NUMBER, nullable=False, comment="Of what."),
        sa.Column(
            "seconds", sa.Double(), nullable=False, comment="Corrected time, since the epoch."
        ),
        sa.Column("id", hash_digits(), nullable=False, comment="Id of the measurement."),
        sa.Column("round", sa.BigInteger(), nullable=False, comment="Short number of its round."),
        sa.Column(
            "conclusion",
            _NUMBER,
            comment="Null: to be judged, or judged before something came in beside it.",
        ),
        sa.ForeignKeyConstraint(["series"], ["series.number"], name="fk_outcomes_series"),
        sa.ForeignKeyConstraint(
            ["conclusion"], ["conclusions.number"], name="fk_outcomes_conclusion"
        ),
        sa.PrimaryKeyConstraint("series", "seconds", "id", name="pk_outcomes"),
        comment="One narrow row for each measurement that follows none, to read millions at once.",
        sqlite_with_rowid=False,
    )


def _fill(connection: sa.Connection) -> None:
    names = ", ".join(f"records.{name}" for name in _SERIES)
    query = sa.text(
        f"SELECT records.number, records.id, records.time, clock_offset_us, round, {names}, "
        "CASE WHEN verdicts.fixed THEN verdicts.verdict END AS verdict "
        "FROM records LEFT JOIN verdicts ON verdicts.record = records.number "
        "WHERE kind = 'measurement' AND follows IS NULL AND records.number > :last "
        "ORDER BY records.number LIMIT :page"
    )
    columns = (*_SERIES,)
    add = sa.text(
        "INSERT INTO outcomes (series, seconds, id, round, conclusion) "
        "VALUES (:series, :seconds, :id, :round, :conclusion)"
    )
    series, conclusions = _Numbers(connection, "series"), _Numbers(connection, "conclusions")
    last = 0
    while rows := connection.execute(query, {"last": last, "page": _PAGE}).mappings().all():
        made = [
            {
                "series": series.of({name: row[name] for name in columns}),
                "seconds": utc_seconds(row["time"]) + (row["clock_offset_us"] or 0) / 1e6,
                "id": row["id"],
                "round": short(HASH_PREFIX + row["round"].hex()),
                "conclusion": _fixed(conclusions, row["verdict"]),
            }
            for row in rows
        ]
        connection.execute(add, made)
        last = rows[-1]["number"]


def _fixed(conclusions: "_Numbers", verdict: str | None) -> int | None:
    """The number of a verdict that is fixed; others may have changed and are judged again."""
    if verdict is None:
        return None
    try:
        told = msgspec.json.decode(verdict)
        names = ("rules_version", "status")
        values = {name: told[name] for name in names} | {"fixed": True}
        optional = ("layer", "technique", "certainty", "blocked_name")
        return conclusions.of(values | {name: told.get(name) for name in optional})
    except (msgspec.MsgspecError, LookupError, TypeError, AttributeError):
        return None  # a cache: one that cannot be read is as good as none


class _Numbers:
    """Numbers of rows of a small table, which are made as they come up."""

    def __init__(self, connection: sa.Connection, table: str) -> None:
        self._connection, self._table = connection, table
        self._known: dict[tuple[Any, ...], int] = {}

    def of(self, values: dict[str, Any]) -> int:
        """Return the number of the row with these values."""
        key = tuple(values.values())
        if key not in self._known:
            number = self._known[key] = len(self._known) + 1
            names = ["number", *values]
            places = ", ".join(f":{name}" for name in names)
            sql = f"INSERT INTO {self._table} ({', '.join(names)}) VALUES ({places})"
            self._connection.execute(sa.text(sql), {"number": number, **values})
        return self._known[key]
