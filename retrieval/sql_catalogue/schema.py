"""The schema of a database: brought to this program's, or refused with the remedy."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.util import CommandError
from sqlalchemy import Connection

from retrieval.errors import Conflict
from retrieval.sql_catalogue.database import Database

_MIGRATIONS = Path(__file__).parent / "migrations"
# Any number that nobody else takes: who migrates holds this advisory lock, and who comes second finds it done.
_LOCK = 0x7261_6773_746F_6E65


def migrate(database: Database) -> str:
    """Brings the schema to this version's, in one transaction; refuses one that is newer. The revision it has now."""
    config = _config()
    with database.write() as connection:
        if not database.is_sqlite:
            # However long the first one takes; and its tables are locked from their first change on.
            connection.exec_driver_sql("SET LOCAL lock_timeout = 0")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_LOCK})")
        found, head = _revisions(connection, config)
        if found != head:
            _refuse_newer(config, found)
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return head


def check(database: Database) -> None:
    """Raises `Conflict` where the schema is not this program's: older, newer or none at all."""
    config = _config()
    with database.snapshot() as connection:
        found, head = _revisions(connection, config)
    if found == head:
        return
    _refuse_newer(config, found)
    has = "has no tables of ragstone's" if found is None else f"has schema {found}, and this ragstone needs {head}"
    raise Conflict(f"The database {has}: run `python -m services migrate`.")


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    return config


def _revisions(connection: Connection, config: Config) -> tuple[str | None, str]:
    """What the database has and what this program needs."""
    head = ScriptDirectory.from_config(config).get_current_head()
    assert head is not None
    return MigrationContext.configure(connection).get_current_revision(), head


def _refuse_newer(config: Config, found: str | None) -> None:
    if found is None:
        return
    try:
        ScriptDirectory.from_config(config).get_revision(found)
    except CommandError as error:
        raise Conflict(
            f"The data was written by a newer ragstone (schema {found}): start that, or restore a backup."
        ) from error
