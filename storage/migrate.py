"""Brings a database to the newest schema, or says in one line why it cannot."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import Connection, inspect, text

from storage.errors import StoreError
from storage.schema import REVISION

_FOLDER = Path(__file__).parent / "migrations"


def revision_of(connection: Connection) -> str | None:
    """Return the migration the database stands at; None if it has no tables at all.

    StoreError (without the file's name) if the tables are not Sitewatch's.
    """
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if "alembic_version" not in tables or "database_kind" not in tables:
        raise StoreError("not a Sitewatch database")
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one())


def upgrade(connection: Connection, name: str) -> None:
    """Apply the migrations that are missing, inside the connection's transaction.

    Raises StoreError for another program's tables and for a revision from a newer Sitewatch.
    """
    revision = _revision_of(connection, name)
    if revision == REVISION:
        return
    # Alembic takes longer to import than an up-to-date database takes to open.
    from alembic import command
    from alembic.config import Config

    if revision is not None and revision not in _known_revisions():
        raise _newer(name, revision)
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def require_known_revision(connection: Connection, name: str) -> None:
    """Raise StoreError unless this version can read the database as it stands."""
    revision = _revision_of(connection, name)
    if revision is None:
        raise StoreError(f"{name}: not a Sitewatch database (it is empty)")
    if revision != REVISION and revision not in _known_revisions():
        raise _newer(name, revision)


def _revision_of(connection: Connection, name: str) -> str | None:
    """Return the migration the database stands at; None if it has no tables at all."""
    tables = inspect(connection).get_table_names()
    if not tables:
        return None
    if "alembic_version" not in tables or "database_kind" not in tables:
        raise StoreError(f"{name}: not a Sitewatch database (it has other tables)")
    version = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return str(version)


def _known_revisions() -> set[str]:
    from alembic.script import ScriptDirectory

    return {script.revision for script in ScriptDirectory(str(_FOLDER)).walk_revisions()}


def _newer(name: str, revision: str) -> StoreError:
    return StoreError(
        f"{name}: written by a newer Sitewatch (schema {revision[:40]}, here {REVISION}); "
        "install that version to open it"
    )
