"""What the SDK costs: `python -m benchmarks.sdk_overhead [--searches N]`.

A search through `ragstone.Client` against the same by bare httpx2, `post` and `json()`, on one server with the samples
in it, each on a connection of its own. Both take turns, search by search, so that whatever else the machine does meets
both. What counts is the processor time of this process, which is theirs alone; the clock is told beside it.

The goals: beyond httpx2, a search by the SDK takes ≤ 10 % of what the server takes for it (its `took_ms`), since ten
hits with their locators are checked and made objects; and `import ragstone` takes ≤ 0.5 s, in a process of its own.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx2

from benchmarks.served import ROOT, served
from ragstone import Client

ALLOWED_SHARE = 0.10
ALLOWED_IMPORT_S = 0.5
QUERIES = (
    "how do I keep barnacles off the sensor",
    "what happens when spray ice builds up on the lens",
    "which battery lot has to be returned",
    "where do we gather when the alarm sounds",
)
_WARM_UP = 20
_IMPORTS = 5


@dataclass(slots=True)
class Times:
    """Milliseconds of each search: of this process's processor, and by the clock."""

    processor: list[float] = field(default_factory=list)
    clock: list[float] = field(default_factory=list)

    def take(self, search: Callable[[str], None], query: str) -> None:
        processor, clock = time.process_time(), time.perf_counter()
        search(query)
        self.processor.append((time.process_time() - processor) * 1000)
        self.clock.append((time.perf_counter() - clock) * 1000)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--searches", type=int, default=400)
    searches: int = parser.parse_args().searches
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url, Client(url) as client:
        _fill(client)
        share = _measured(url, client, searches)
    imports = {what: _import_s(what) for what in ("import ragstone", "from ragstone import Client")}
    for what, seconds in imports.items():
        print(f"{what}: {seconds:.2f} s, goal ≤ {ALLOWED_IMPORT_S} s")
    return 0 if share <= ALLOWED_SHARE and max(imports.values()) <= ALLOWED_IMPORT_S else 1


def _fill(client: Client) -> None:
    client.collections.create("samples")
    sent = client.documents.upload_folder("samples", ROOT / "samples").documents
    for document in sent:
        client.documents.wait(document.id)


def _measured(url: str, client: Client, searches: int) -> float:
    """The share of the server's time that the SDK adds."""
    bare, ours = Times(), Times()
    server: list[float] = []
    with httpx2.Client(base_url=url) as http:

        def search_bare(query: str) -> None:
            http.post("/v1/search", json={"query": query}).json()

        def search(query: str) -> None:
            server.append(client.search(query).took_ms)

        for _ in range(_WARM_UP):
            search_bare(QUERIES[0])
            search(QUERIES[0])
        server.clear()
        for number in range(searches):
            query = QUERIES[number % len(QUERIES)]
            bare.take(search_bare, query)
            ours.take(search, query)
    extra = median(ours.processor) - median(bare.processor)
    share = extra / median(server)
    print(f"{searches} searches of each, p50; the server takes {median(server):.2f} ms for one")
    for name, times in (("httpx2", bare), ("SDK", ours)):
        print(
            f"{name:7} {median(times.processor):6.2f} ms of the processor, {median(times.clock):6.2f} ms by the clock"
        )
    print(f"the SDK adds {extra:.2f} ms: {share:.1%} of the server's time, goal ≤ {ALLOWED_SHARE:.0%}")
    return share


def _import_s(what: str) -> float:
    """Seconds beyond an empty process, the best of some."""

    def best(script: str) -> float:
        times = []
        for _ in range(_IMPORTS):
            began = time.perf_counter()
            subprocess.run([sys.executable, "-c", script], check=True)
            times.append(time.perf_counter() - began)
        return min(times)

    return best(what) - best("pass")


if __name__ == "__main__":
    sys.exit(main())
