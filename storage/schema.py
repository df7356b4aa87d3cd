"""The tables of the database, with a comment on each of them and on each column.

This is the document of the schema. Databases are made and brought up to date by the migrations;
a test holds what they produce equal to what stands here. Nothing here is particular to SQLite
except the triggers, which the migrations add.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

from storage.digits import Digits, hash_digits

# Newest migration. A database at another revision is migrated, or refused if it is unknown.
REVISION = "0006"

# Tables in which a trigger forbids UPDATE and DELETE, but for what retention may drop: the bytes
# of a record whose verdict may be thinned, and blobs that no record uses any more.
APPEND_ONLY = ("announcements", "blobs", "certifications", "database_kind", "envelopes", "records")
# Tables that follow from the records: only a rebuild and retention may change them.
DERIVED = ("blob_uses", "steps")

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

# SQLite numbers rows by itself only in a column of type INTEGER.
_Number = BigInteger().with_variant(Integer, "sqlite")

database_kind = Table(
    "database_kind",
    metadata,
    Column("one", Integer, primary_key=True, autoincrement=False, comment="Always 1."),
    Column("simulated", Boolean, nullable=False, comment="Do all records say `simulated`?"),
    CheckConstraint("one = 1", name="ck_database_kind_single_row"),
    comment="Simulated or real: one row, written with the first record and never changed.",
)

records = Table(
    "records",
    metadata,
    Column("number", _Number, primary_key=True, comment="Local number; means nothing elsewhere."),
    Column(
        "id", hash_digits(), nullable=False, unique=True, comment="SHA-256 of the canonical form."
    ),
    Column("kind", String(16), nullable=False, comment="round or measurement."),
    Column("time", String(27), nullable=False, comment="Start, UTC, by the machine's clock."),
    Column("vantage", Digits(16), nullable=False, comment="Pseudonym of installation + network."),
    Column("country", String(2), comment="ISO 3166 code; null: unknown."),
    Column("asn", BigInteger, comment="Number of the network; null: unknown."),
    Column("vantage_kind", String(16), comment="field or reference."),
    Column("network", Text, comment="Name of the network; null: unknown."),
    Column("clock_offset_us", BigInteger, comment="To be added to `time`; null counts as 0."),
    Column("url", Text, comment="The target; null for rounds."),
    Column("round", hash_digits(), comment="Id of the round; null for rounds."),
    Column("follows", hash_digits(), comment="Id of the measurement that this one follows up."),
    Column("line", String(16), nullable=False, comment="State of the vantage's own line."),
    Column("complete", Boolean, nullable=False, comment="False: stopped before its end."),
    Column("codec", String(32), nullable=False, comment="How `canonical` is compressed."),
    Column("canonical", LargeBinary, comment="The bytes that were hashed; null: dropped, a stub."),
    Column("thinned", String(27), comment="When retention dropped `canonical`, UTC; null: kept."),
    Index(None, "kind", "time"),
    Index(None, "follows"),
    Index(None, "url", "time"),
    comment="Rounds and measurements: the canonical bytes and columns to find them by.",
)

envelopes = Table(
    "envelopes",
    metadata,
    Column("hash", hash_digits(), primary_key=True, comment="SHA-256 of the canonical envelope."),
    Column("vantage", Digits(16), nullable=False, comment="The vantage whose chain this is."),
    Column("sequence", BigInteger, nullable=False, comment="Place in the chain, from 1."),
    Column("previous", hash_digits(), comment="Hash of the envelope before; null for the first."),
    Column("id", hash_digits(), nullable=False, comment="Id of the record inside."),
    Column("time", String(27), nullable=False, comment="Time of the record inside."),
    Column("key", Digits(32), nullable=False, comment="Ed25519 public key that signed."),
    Column("signature", Digits(64), nullable=False, comment="Over the rest."),
    Index(None, "id"),
    Index(None, "vantage", "sequence"),
    comment="What signs each record and chains it to the one before of the same vantage.",
)

certifications = Table(
    "certifications",
    metadata,
    Column("vantage", Digits(16), primary_key=True, comment="Hash of its first key, cut."),
    Column("key", Digits(32), primary_key=True, comment="Ed25519 public key."),
    Column("previous", Digits(32), comment="Key that signed this one; null for the first."),
    Column("since", String(27), nullable=False, comment="Time of the first record it signed."),
    Column("signature", Digits(64), nullable=False, comment="By `previous`; the first by itself."),
    comment="Public keys of vantages, each signed by the one before.",
)

steps = Table(
    "steps",
    metadata,
    Column("record", _Number, ForeignKey(records.c.number), primary_key=True, comment="Whose."),
    Column(
        "position", Integer, primary_key=True, comment="Place among the record's steps, from 0."
    ),
    Column("kind", String(16), nullable=False, comment="lookup, connect, handshake or exchange."),
    Column("purpose", String(16), nullable=False, comment="main, repeat, contrast or ttl-walk."),
    Column("hop", Integer, nullable=False, comment="Redirects followed before it."),
    Column("attempt", Integer, nullable=False, comment="Reloads made before it."),
    Column("connection", Integer, comment="Ties connect, handshake and exchange."),
    Column("arm", String(32), comment="Arm of a contrast, as name@address."),
    Column("name", Text, comment="Name looked up, or server name sent in the handshake."),
    Column("resolver", Text, comment="Lookups: system, udp, or the URL of a DoH server."),
    Column("address", Text, comment="Peer; null: the system's resolver."),
    Column("port", Integer, comment="Port of the peer."),
    Column("url", Text, comment="Exchanges: what was asked for."),
    Column("status", SmallInteger, comment="Exchanges: HTTP status."),
    Column("rcode", SmallInteger, comment="Lookups: DNS response code."),
    Column("valid", Boolean, comment="Handshakes: does the chain verify for the name?"),
    Column("failure", Text, comment="Why it failed, in the closed vocabulary; null: it did not."),
    Column(
        "start_us", BigInteger, nullable=False, comment="Microseconds after the record's `time`."
    ),
    Column("duration_us", BigInteger, nullable=False, comment="Microseconds."),
    comment="One row for each step, derived from the records for people who ask by SQL.",
    sqlite_with_rowid=False,
)

blobs = Table(
    "blobs",
    metadata,
    Column("number", _Number, primary_key=True, comment="Local number; means nothing elsewhere."),
    Column("id", hash_digits(), nullable=False, unique=True, comment="SHA-256 of the content."),
    Column("codec", String(32), nullable=False, comment="How `content` is compressed."),
    Column("content", LargeBinary, nullable=False, comment="Body, certificate or DNS reply."),
    comment="Bulky content that records refer to by hash, stored once.",
)

blob_uses = Table(
    "blob_uses",
    metadata,
    Column("record", _Number, ForeignKey(records.c.number), primary_key=True, comment="Who."),
    Column("blob", _Number, ForeignKey(blobs.c.number), primary_key=True, comment="To what."),
    Index(None, "blob"),
    comment="Which record refers to which kept blob; derived from the records.",
    sqlite_with_rowid=False,
)

verdicts = Table(
    "verdicts",
    metadata,
    Column("record", _Number, ForeignKey(records.c.number), primary_key=True, comment="Judged."),
    Column("rules_version", String(32), nullable=False, comment="Version of the rules."),
    Column(
        "inputs", hash_digits(), nullable=False, comment="Hash of all that was judged together."
    ),
    Column("status", String(16), nullable=False, comment="accessible, blocked, down, …"),
    Column("layer", String(8), comment="Where the interference was seen."),
    Column("technique", String(32), comment="What it was."),
    Column("certainty", String(16), comment="suspected, likely or confirmed."),
    Column("verdict", Text, nullable=False, comment="The whole verdict as JSON."),
    Column(
        "fixed",
        Boolean,
        nullable=False,
        server_default=false(),
        comment="True: it, or what it was judged with, was thinned; it stays as it is.",
    ),
    comment="Cache of conclusions, never signed: may be dropped at any time unless fixed.",
)

series = Table(
    "series",
    metadata,
    Column("number", _Number, primary_key=True, comment="Local number; means nothing elsewhere."),
    Column("url", Text, nullable=False, comment="The target."),
    Column("vantage", Digits(16), nullable=False, comment="Who measured it."),
    Column("vantage_kind", String(16), comment="field or reference."),
    Column("country", String(2), comment="Where the vantage stands; null: unknown."),
    Column("asn", BigInteger, comment="Number of its network; null: unknown."),
    Column("network", Text, comment="Name of its network; null: unknown."),
    Index(None, "url", "vantage"),
    comment="Targets as each vantage measured them; derived from the records.",
)

conclusions = Table(
    "conclusions",
    metadata,
    Column("number", _Number, primary_key=True, comment="Local number; means nothing elsewhere."),
    Column("rules_version", String(32), nullable=False, comment="Version of the rules."),
    Column("fixed", Boolean, nullable=False, comment="True: whatever the rules, it stays."),
    Column("status", String(16), nullable=False, comment="accessible, blocked, down, …"),
    Column("layer", String(8), comment="Where the interference was seen."),
    Column("technique", String(32), comment="What it was."),
    Column("certainty", String(16), comment="suspected, likely or confirmed."),
    Column("blocked_name", Text, comment="The name that is blocked, also behind redirects."),
    Index(None, "status", "rules_version"),
    comment="The different conclusions that `outcomes` refers to; derived from the verdicts.",
)

outcomes = Table(
    "outcomes",
    metadata,
    Column("series", _Number, ForeignKey(series.c.number), primary_key=True, comment="Of what."),
    Column("seconds", Double, primary_key=True, comment="Corrected time, since the epoch."),
    Column("id", hash_digits(), primary_key=True, comment="Id of the measurement."),
    Column("round", BigInteger, nullable=False, comment="Short number of its round."),
    Column(
        "conclusion",
        _Number,
        ForeignKey(conclusions.c.number),
        comment="Null: to be judged, or judged before something came in beside it.",
    ),
    comment="One narrow row for each measurement that follows none, to read millions at once.",
    sqlite_with_rowid=False,
)

announcements = Table(
    "announcements",
    metadata,
    Column("number", _Number, primary_key=True, comment="Local number, in order of noticing."),
    Column("subject", String(71), nullable=False, comment="Id of the episode when first noticed."),
    Column("turn", Integer, nullable=False, comment="Which change of that subject, from 1."),
    Column("kind", String(16), nullable=False, comment="opened, confirmed, ended, reopened, …"),
    Column("noticed", String(27), nullable=False, comment="When, UTC, by the machine's clock."),
    Column("episode", Text, nullable=False, comment="The episode as it was then, as JSON."),
    UniqueConstraint("subject", "turn"),
    comment="Changes of episodes in the order in which they were noticed, corrections among them.",
)

messages = Table(
    "messages",
    metadata,
    Column("number", _Number, primary_key=True, comment="Local number."),
    Column("id", String(71), nullable=False, unique=True, comment="Hash; the same in each try."),
    Column("channel", String(16), nullable=False, comment="command, webhook or atom."),
    Column("body", Text, nullable=False, comment="What is delivered, as JSON."),
    Column("made", String(27), nullable=False, comment="When it was put together, UTC."),
    Column("tries", Integer, nullable=False, comment="Deliveries tried so far."),
    Column("due", String(27), nullable=False, comment="When the next try is due, UTC."),
    Column("delivered", String(27), comment="When it was taken, UTC; null: not yet."),
    Column("failure", Text, comment="Why the last try failed; null: it did not."),
    Index(None, "delivered", "due"),
    comment="Messages about announcements, each delivered until it is taken.",
)

deliveries = Table(
    "deliveries",
    metadata,
    Column(
        "announcement",
        _Number,
        ForeignKey(announcements.c.number),
        primary_key=True,
        comment="What is to be told.",
    ),
    Column("channel", String(16), primary_key=True, comment="By which channel."),
    Column("message", _Number, ForeignKey(messages.c.number), comment="In it; null: held back."),
    comment="Which announcement is told by which channel, in which message.",
)

annotations_table = Table(
    "annotations",
    metadata,
    Column("id", String(71), primary_key=True, comment="SHA-256 of the canonical form."),
    Column("content", Text, comment="The canonical form, JSON; null: removed, and to stay so."),
    comment="What people added as context: never evidence, never signed, may be removed.",
)
