"""Announcing: whoever listens to the dead-letter topic hears of every dead letter.

The catalogue has them, with a mark on those that the brokers have; so a letter is told at least once, whatever crashes
in between, and a listener knows a repetition by its id. A record says what was put aside and why, and nothing of what
the document says. What is on the topic beside them, strange messages with their bytes, has no `ragstone-record` header.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from ingest.kafka_queue.messages import Message
from ingest.kafka_queue.sending import KafkaSender
from ingest.leasing import NamedLease
from retrieval.catalogue import DeadLetters
from retrieval.documents import DeadLetter
from retrieval.errors import Unavailable

log = logging.getLogger(__name__)

LEASE: Final = "announcer"
RECORD: Final = ("ragstone-record", b"dead-letter")
VERSION: Final = "1.0"
# A hundred records of half a kilobyte are one request.
PORTION: Final = 100
# Nobody waits for it; a second is a poll that costs one look at an index of what was not told yet.
POLL_S: Final = 1.0
# A sentence is never that long; what comes from a parser may be.
_REASON_CHARACTERS: Final = 2_000


def record(letter: DeadLetter) -> Message:
    said = {
        "id": letter.id,
        "tenant": letter.tenant,
        "document": letter.document_id,
        "version": letter.version,
        "stage": letter.stage.value,
        "code": letter.code,
        "reason": letter.reason[:_REASON_CHARACTERS],
        "attempts": letter.attempts,
        "sha256": letter.sha256,
        "at": datetime.fromtimestamp(letter.created_at, UTC).isoformat(),
    }
    value = json.dumps({"v": VERSION, "dead_letter": said}, separators=(",", ":"), ensure_ascii=False).encode()
    return Message(letter.document_id.encode(), value, [RECORD])


class Announcer:
    """For one thread; one of them works at a time (a lease), many may run. The sender is its own."""

    def __init__(
        self, letters: DeadLetters, sender: KafkaSender, *, topic: str, lease: NamedLease, poll_s: float = POLL_S
    ) -> None:
        self._letters = letters
        self._sender = sender
        self._topic = topic
        self._lease = lease
        self._poll_s = poll_s

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            try:
                busy = self._lease.held() and self.round()
            except Unavailable as error:
                log.warning("dead letters are not announced now: %s", error)
                busy = False
            if not busy:
                stop.wait(self._poll_s)
        self._lease.release()
        self._sender.close()

    def round(self) -> bool:
        """Announces the oldest ones; whether there may be more at once."""
        waiting = self._letters.unannounced(limit=PORTION)
        if waiting:
            self._announce(waiting)
        return len(waiting) == PORTION

    def _announce(self, letters: Sequence[DeadLetter]) -> None:
        self._sender.send([(self._topic, record(letter)) for letter in letters])
        self._letters.announced([letter.id for letter in letters])
