"""What several processes cost more than one install: `python -m benchmarks.distributed_cost [--documents N]`.

Processor seconds per document of ragstone's own processes, outside parsing and embedding: all roles as processes with
Kafka and PostgreSQL between them, against `python -m services all`. The goal: ≤ 1.5 ×.

Both wirings get the same texts of one page over the same HTTP call, a portion each. Counted is, by `/proc`, all that
the processes spend from the first request until the last document is searchable, what they would have spent idle
included: a consumer that waits polls, and one that works polls too, so the idle part cannot be told apart honestly. It
is measured before and printed beside. Left out are the brokers, the database, the parser children, and embedding: the
engine's own threads, and what the calling thread spends in `embed_passages` (see `embedding_meter`).

The wirings run one after the other in one run. Embedding costs the same in both, which shows that the meter is right.
Processor time is not free of neighbours: on a crowded machine every system call costs more, and several processes make
more of them, so the ratio is then worse.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.embedding_meter import Spent, planted, spent
from benchmarks.one_page import one_page_texts
from benchmarks.served import served
from benchmarks.several_processes import Sender, installed, kafka, postgresql
from tools.process_memory import below

ALLOWED = 1.5
WARM_UP = 40  # both stages and every partition have seen some


@dataclass(frozen=True, slots=True)
class Cost:
    """Of one wiring: what was spent on the documents, and idle for as many seconds as that took."""

    spent: Spent
    wall_s: float
    idle: float
    documents: int

    @property
    def ms(self) -> float:
        """Of processor time per document."""
        return 1000 * self.spent.own / self.documents

    def show(self, name: str) -> None:
        idle_ms = 1000 * self.idle / self.documents
        print(
            f"{name}: {self.ms:.1f} ms a document ({idle_ms:.1f} of it would have been spent idle), "
            f"embedding apart {1000 * self.spent.embedding / self.documents:.1f} ms, "
            f"{self.documents / self.wall_s:.1f} documents a second"
        )
        for process, seconds in sorted(self.spent.processes.items()):
            print(f"    {process:<28} {1000 * seconds / self.documents:6.1f} ms, embedding included")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=400)
    parser.add_argument("--idle-s", type=float, default=10.0)
    arguments = parser.parse_args()
    sizes = (arguments.documents, arguments.idle_s)
    with kafka() as broker, postgresql() as postgres:
        with folder() as meter, folder() as data, served(data, **planted(meter)) as url:
            embedded = measure(url, meter, *sizes)
        embedded.show("one install")
        with folder() as meter, installed(postgres, broker, planted(meter)) as install:
            distributed = measure(install.url, meter, *sizes)
        distributed.show("several processes")
    ratio = distributed.ms / embedded.ms
    print(f"outside parsing and embedding: {ratio:.2f} × (allowed {ALLOWED})")
    return 0 if ratio <= ALLOWED else 1


@contextmanager
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def measure(url: str, meter: Path, documents: int, idle_s: float) -> Cost:
    with Sender(url) as sender:
        sender.send(one_page_texts(WARM_UP, seed=1))
        sender.wait()
        before = spent(below(os.getpid()), meter)
        time.sleep(idle_s)
        idle_per_s = spent(below(os.getpid()), meter).since(before).own / idle_s
        before, began = spent(below(os.getpid()), meter), time.monotonic()
        sender.send(one_page_texts(documents, seed=2))
        sender.wait()
        wall_s = time.monotonic() - began
        return Cost(spent(below(os.getpid()), meter).since(before), wall_s, idle_per_s * wall_s, documents)


if __name__ == "__main__":
    sys.exit(main())
