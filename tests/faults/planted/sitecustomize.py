"""Bugs to plant: on the path of a server's processes, it breaks the one promise that PLANTED_BUG names.

The kill suite must notice each. Without the name nothing happens.
"""

import os
import threading
import time
from dataclasses import replace

_BUG = os.environ.get("PLANTED_BUG")

if _BUG == "old_points_kept":
    from ingest.janitor import Janitor
    from ingest.upkeep import Upkeep

    Upkeep._delete = lambda self, claim, selection: {"erased": 0}  # type: ignore[method-assign]
    Janitor._remove_orphans = lambda self, stored: 0  # type: ignore[method-assign]

if _BUG == "acknowledged_too_early":
    from retrieval.sql_catalogue.documents import SqlDocuments

    _accept = SqlDocuments.accept

    def _promise_now_write_later(self, submissions):  # type: ignore[no-untyped-def]
        """Answers from a rolled-back try, and commits a little later, if it still lives."""
        from retrieval.sql_catalogue.acceptance import Acceptance

        with self._database.engine.connect() as connection:
            transaction = connection.begin()
            acceptance = Acceptance(connection, submissions, now=time.time())
            answers = [acceptance.accept(submission) for submission in submissions]
            acceptance.flush()
            found = self._by_ids(connection, [answer for answer in answers if isinstance(answer, str)])
            transaction.rollback()

        def write() -> None:
            time.sleep(0.7)
            _accept(self, [replace(submission) for submission in submissions])

        threading.Thread(target=write, daemon=True).start()
        return [found[answer] if isinstance(answer, str) else answer for answer in answers]

    SqlDocuments.accept = _promise_now_write_later  # type: ignore[method-assign]
