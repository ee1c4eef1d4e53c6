"""What the watcher remembers of the drop folder, in SQL."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any
from uuid import uuid4

from sqlalchemy import Connection, Row, delete, select, update

from retrieval.catalogue import CONFIRMED, DropFile, DropReport
from retrieval.documents import DocumentState
from retrieval.sql_catalogue import ledger
from retrieval.sql_catalogue.database import Database, again_on_collision
from retrieval.sql_catalogue.tables import documents, drop_files, facts

_LAST_SCAN = "drop_folder.last_scan"
_WAITING = "drop_folder.waiting"
_REVISION = "drop_folder.revision"  # another one after every change of the files: what was read before is old


class SqlDropFiles:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._known: tuple[str, dict[str, DropFile]] = ("", {})

    def all(self) -> dict[str, DropFile]:
        """Of many thousand files that nobody touched, one row is read."""
        with self._database.snapshot() as connection:
            of_the_files = select(facts.c.value).where(facts.c.name == _REVISION)
            revision = connection.execute(of_the_files).scalar_one_or_none()
            if revision is None or revision != self._known[0]:
                files = {row.path: _as_file(row) for row in connection.execute(select(drop_files))}
                self._known = (revision or "", files)
        return dict(self._known[1])

    @again_on_collision
    def remember(self, files: Sequence[DropFile]) -> None:
        if not files:
            return
        with self._database.write() as connection:
            statement = ledger.upsert(connection, drop_files)
            columns = [column.name for column in drop_files.c if column.name not in {"key", "path"}]
            statement = statement.on_conflict_do_update(
                index_elements=["key"], set_={name: statement.excluded[name] for name in columns}
            )
            connection.execute(statement, [asdict(file) | {"key": _key(file.path)} for file in files])
            _moved(connection)

    @again_on_collision
    def forget(self, paths: Sequence[str]) -> None:
        if not paths:
            return
        with self._database.write() as connection:
            for start in range(0, len(paths), 500):
                keys = [_key(path) for path in paths[start : start + 500]]
                connection.execute(delete(drop_files).where(drop_files.c.key.in_(keys)))
            _moved(connection)

    @again_on_collision
    def scanned(self, at: float, *, waiting: str = "") -> None:
        with self._database.write() as connection:
            _say(connection, [{"name": _LAST_SCAN, "value": at}, {"name": _WAITING, "value": waiting}])

    def report(self) -> DropReport:
        gone = documents.c.state.in_([DocumentState.DELETING.value, DocumentState.DELETED.value])
        ignored = (
            select(drop_files.c.path)
            .join(documents, drop_files.c.document_id == documents.c.id)
            .where(gone, drop_files.c.missing_since.is_(None))
            .order_by(drop_files.c.path)
        )
        with self._database.snapshot() as connection:
            of_the_scan = select(facts.c.name, facts.c.value).where(facts.c.name.in_([_LAST_SCAN, _WAITING]))
            said = {row.name: row.value for row in connection.execute(of_the_scan)}
            held = connection.execute(select(drop_files).where(drop_files.c.held).order_by(drop_files.c.path)).all()
            refused = connection.execute(
                select(drop_files).where(drop_files.c.refused.is_not(None)).order_by(drop_files.c.path)
            ).all()
            return DropReport(
                last_scan=said.get(_LAST_SCAN),
                waiting=said.get(_WAITING, ""),
                held=[_as_file(row) for row in held],
                refused=[_as_file(row) for row in refused],
                ignored=[row.path for row in connection.execute(ignored)],
            )

    @again_on_collision
    def decide_held(self, *, delete: bool) -> int:
        """Confirmed files stay missing but are no longer held: the watcher deletes them on its next scan."""
        with self._database.write() as connection:
            _moved(connection)
            if delete:
                changed = connection.execute(
                    update(drop_files).where(drop_files.c.held).values(held=False, missing_since=CONFIRMED)
                )
                return int(changed.rowcount)
            removed = connection.execute(drop_files.delete().where(drop_files.c.held))
            return int(removed.rowcount)


def _moved(connection: Connection) -> None:
    _say(connection, [{"name": _REVISION, "value": uuid4().hex}])


def _say(connection: Connection, said: Sequence[Mapping[str, Any]]) -> None:
    statement = ledger.upsert(connection, facts)
    connection.execute(
        statement.on_conflict_do_update(index_elements=["name"], set_={"value": statement.excluded.value}), said
    )


def _key(path: str) -> str:
    """What stands for a path in an index: paths may be longer than an index takes."""
    return hashlib.sha256(path.encode()).hexdigest()


def _as_file(row: Row[Any]) -> DropFile:
    columns = {name: value for name, value in row._mapping.items() if name != "key"}
    return DropFile(**columns | {"described": tuple(row.described)})
