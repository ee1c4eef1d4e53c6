"""Waiting for documents to reach a final state: one watcher for everybody who waits."""

from __future__ import annotations

import asyncio
from collections import Counter

from starlette.concurrency import run_in_threadpool

from retrieval.catalogue import Catalogue
from retrieval.documents import DocumentState
from retrieval.errors import Unavailable

# 30 ms: a tenth of what people notice, and one pragma a look while somebody waits and nothing changes.
_LOOK_S = 0.03


class Waiting:
    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._waited: Counter[str] = Counter()
        self._changed = asyncio.Condition()
        self._states: dict[str, DocumentState] = {}
        self._watcher: asyncio.Task[None] | None = None

    async def final(self, document_id: str, *, timeout_s: float) -> None:
        """Returns when the document's state is final, or when the time is over."""
        self._waited[document_id] += 1
        self._states.pop(document_id, None)
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        try:
            async with asyncio.timeout(timeout_s), self._changed:
                await self._changed.wait_for(lambda: self._is_final(document_id))
        except TimeoutError:
            pass
        finally:
            self._waited[document_id] -= 1
            if not self._waited[document_id]:
                del self._waited[document_id]

    def _is_final(self, document_id: str) -> bool:
        state = self._states.get(document_id)
        return state is not None and state.is_final

    async def _watch(self) -> None:
        """Runs while somebody waits; looks at the states whenever somebody may have committed."""
        seen = -1
        known: set[str] = set()
        while self._waited:
            try:
                changes = await run_in_threadpool(self._catalogue.changes)
                waited = set(self._waited)
                if changes != seen or not waited <= known:
                    states = await run_in_threadpool(self._catalogue.documents.states, sorted(waited))
                    seen, known = changes, waited
                    async with self._changed:
                        self._states |= {key: state for key, (_, state) in states.items()}
                        self._changed.notify_all()
            except Unavailable:
                seen = -1  # the waiters' own time-outs answer them
            await asyncio.sleep(_LOOK_S)
        self._states.clear()
