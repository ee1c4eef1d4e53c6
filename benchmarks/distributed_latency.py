"""How long several processes keep a document: `python -m benchmarks.distributed_latency [--documents N] [--seconds N]`.

All roles as processes, with Kafka and PostgreSQL between them. First the sustained rate: several hundred texts of one
page are sent at once, and what counts is the time from the first parse to the last switch. Then, at half that rate,
open loop and evenly spaced (a late reply delays no other document), one request each: the time from the moment a
document was due to be sent until the commit that makes it searchable. The goal: at p95, all of it but the document's
own parse and embed attempts is ≤ 250 ms.

Where that time goes is printed from the same rows: until it is accepted, until its parse starts, from there until its
embedding starts, and until the switch is committed after the attempt's last look at the clock. An attempt's time is
its own: it includes the blob, the index, and the slice that a document shares with others.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from benchmarks.one_page import one_page_texts
from benchmarks.several_processes import Sender, installed, kafka, postgresql
from tests.postgres_server import PostgresServer

ALLOWED_MS = 250.0
WARM_UP = 40
_SENDERS = 16  # requests under way at once; a request takes some tens of milliseconds

# PostgreSQL remembers when the transaction that wrote a row was committed, which no clock within it can tell.
_ROWS = """
SELECT a.document_id, a.stage, d.created_at, a.started_at, a.ended_at, EXTRACT(EPOCH FROM
       pg_xact_commit_timestamp(a.xmin))::float
FROM attempts a JOIN documents d ON d.id = a.document_id
WHERE a.stage IN ('parse', 'embed') AND a.outcome = 'done'
"""


@dataclass(frozen=True, slots=True)
class Attempt:
    started: float
    ended: float
    committed: float

    @property
    def took(self) -> float:
        return self.ended - self.started


@dataclass(frozen=True, slots=True)
class Way:
    """Of one document, in seconds since the epoch; all clocks are this machine's."""

    accepted: float
    parse: Attempt
    embed: Attempt

    @property
    def own(self) -> float:
        return self.parse.took + self.embed.took

    def parts(self, due: float) -> dict[str, float]:
        """Seconds of each part from the moment it was due to be sent."""
        return {
            "sent until accepted": self.accepted - due,
            "accepted until parse starts": self.parse.started - self.accepted,
            "parse": self.parse.took,
            "parsed until committed": self.parse.committed - self.parse.ended,
            "committed until embed starts": self.embed.started - self.parse.committed,
            "embed": self.embed.took,
            "embedded until committed": self.embed.committed - self.embed.ended,
            "all": self.embed.committed - due,
            "all but parse and embed": self.embed.committed - due - self.own,
        }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0)
    arguments = parser.parse_args()
    with kafka() as broker, postgresql() as postgres:
        _remember_commits(postgres)
        with installed(postgres, broker, {}) as install, Sender(install.url) as sender:
            sender.send(one_page_texts(WARM_UP, seed=1))
            sender.wait()
            warm = ways(postgres, install.database)
            sender.send(one_page_texts(arguments.documents, seed=2))
            sender.wait()
            measured = [way for key, way in ways(postgres, install.database).items() if key not in warm]
            rate = sustained(measured)
            print(f"sustained: {rate:.1f} documents a second ({len(measured)} sent at once)", flush=True)
            due = open_loop(sender, rate / 2, arguments.seconds)
            sender.wait()
            found = ways(postgres, install.database)
    return report({key: found[key].parts(moment) for key, moment in due.items()})


def _remember_commits(postgres: PostgresServer) -> None:
    postgres.execute("ALTER SYSTEM SET track_commit_timestamp = on")
    postgres.stop()
    postgres.start()


def ways(postgres: PostgresServer, database: str) -> Mapping[str, Way]:
    """Of all documents that are searchable, by id."""
    accepted: dict[str, float] = {}
    attempts: dict[tuple[str, str], Attempt] = {}
    for document, stage, accepted_at, started, ended, committed in postgres.rows(_ROWS, database):
        accepted[document] = accepted_at
        attempts[document, stage] = Attempt(started, ended, committed)
    return {
        document: Way(accepted_at, attempts[document, "parse"], attempts[document, "embed"])
        for document, accepted_at in accepted.items()
        if (document, "embed") in attempts
    }


def sustained(measured: Sequence[Way]) -> float:
    """Documents a second, while there was always another one waiting."""
    began, ended = min(way.parse.started for way in measured), max(way.embed.committed for way in measured)
    return len(measured) / (ended - began)


def open_loop(sender: Sender, rate: float, seconds: float) -> dict[str, float]:
    """When each document was due, by id."""
    began = time.time() + 0.5

    def one(number: int, text: str) -> tuple[str, float]:
        due = began + number / rate
        time.sleep(max(0.0, due - time.time()))
        return sender.send_one(text), due

    texts = one_page_texts(int(rate * seconds), seed=3)
    with ThreadPoolExecutor(_SENDERS) as pool:
        return dict(pool.map(one, range(len(texts)), texts))


def report(parts: Mapping[str, Mapping[str, float]]) -> int:
    by_name: dict[str, list[float]] = {}
    for one in parts.values():
        for name, seconds in one.items():
            by_name.setdefault(name, []).append(1000 * seconds)
    for name, milliseconds in by_name.items():
        ordered = sorted(milliseconds)
        print(f"{name:<30} p50 {_at(ordered, 0.5):7.1f} ms   p95 {_at(ordered, 0.95):7.1f} ms")
    beyond = _at(sorted(by_name["all but parse and embed"]), 0.95)
    print(
        f"p95 beyond parse and embedding of {len(parts)} documents: {beyond:.0f} ms "
        f"(allowed {ALLOWED_MS:.0f}): {beyond / ALLOWED_MS:.2f} of the limit"
    )
    return 0 if beyond <= ALLOWED_MS else 1


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[int(share * len(ordered))]


if __name__ == "__main__":
    sys.exit(main())
