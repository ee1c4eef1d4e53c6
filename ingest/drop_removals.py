"""Removals: what becomes of the document of a file that is gone from the drop folder.

It is deleted after a grace time; but where much is gone at once, a share of a collection or all there was, the
deletions are held until somebody decides. What was decided is done, whatever else is missing by then.
"""

from __future__ import annotations

import logging
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from retrieval.catalogue import CONFIRMED, Catalogue, DropFile
from retrieval.errors import Conflict, NotFound
from retrieval.principal import Principal

log = logging.getLogger(__name__)

# A guard for one or two files would only teach people to confirm without looking.
HOLD_AT_LEAST = 2
_PORTION = 500  # documents asked for at once: a whole folder may be gone


class Removals:
    """`owner` deletes the documents; `hold_share` is the share of a collection that may go unasked."""

    def __init__(self, *, catalogue: Catalogue, owner: Principal, grace_s: float, hold_share: float) -> None:
        self._catalogue = catalogue
        self._owner = owner
        self._grace_s = grace_s
        self._hold_share = hold_share

    def settle(self, known: Iterable[DropFile], missing: Sequence[DropFile], *, nothing_left: bool) -> None:
        """Brings the missing ones of the known files a step further; `nothing_left`: the whole folder is empty."""
        if not missing:
            return
        owing = self._with_documents(missing)
        self._catalogue.drop_files.forget([file.path for file in missing if file.path not in owing])
        self._delete([file for file in owing.values() if file.missing_since == CONFIRMED])
        counts: dict[str, int] = defaultdict(int)
        undecided: dict[str, list[DropFile]] = defaultdict(list)
        for file in known:
            counts[file.collection] += 1
        for file in owing.values():
            if file.missing_since != CONFIRMED:
                undecided[file.collection].append(file)
        for collection, files in undecided.items():
            self._wait(files, hold=nothing_left or self._is_much(len(files), of=counts[collection]))

    def _is_much(self, gone: int, *, of: int) -> bool:
        return gone >= HOLD_AT_LEAST and gone > self._hold_share * of

    def _wait(self, files: Sequence[DropFile], *, hold: bool) -> None:
        """Starts the grace time of those that are newly gone; holds or deletes those for which it is over."""
        now = time.time()
        fresh = [replace(file, missing_since=now) for file in files if file.missing_since is None]
        due = [
            file
            for file in files
            if not file.held and file.missing_since is not None and now - file.missing_since >= self._grace_s
        ]
        if hold:
            self._catalogue.drop_files.remember([*fresh, *(replace(file, held=True) for file in due)])
        else:
            self._catalogue.drop_files.remember(fresh)
            self._delete(due)

    def _with_documents(self, files: Sequence[DropFile]) -> Mapping[str, DropFile]:
        """Those, by path, that have a document to lose; the others are only forgotten."""
        ids = [file.document_id for file in files if file.document_id]
        alive: set[str] = set()
        for start in range(0, len(ids), _PORTION):
            states = self._catalogue.documents.states(ids[start : start + _PORTION])
            alive |= {key for key, (_, state) in states.items() if not state.is_gone}
        return {file.path: file for file in files if file.document_id in alive}

    def _delete(self, files: Sequence[DropFile]) -> None:
        for file in files:
            try:
                self._catalogue.documents.delete(self._owner, file.document_id)
            except (NotFound, Conflict):
                log.info("drop folder: the document of %s is gone already", file.path)
        self._catalogue.drop_files.forget([file.path for file in files])
