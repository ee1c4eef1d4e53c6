"""Search while documents are being ingested: `python -m benchmarks.ingest_interference [--seconds N]`.

At 20,000 chunks, 5 requests a second, open loop (a late reply does not delay the next request): first idle, then while
documents are sent and embedded all the time. The goals: p95 ≤ idle p95 + 60 ms, and the longest stall ≤ 500 ms.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx2

from benchmarks import corpus
from benchmarks.served import served
from services.settings import read_settings
from services.wiring import open_model

CHUNKS = 20_000
RATE = 5.0
ALLOWED_P95_MS = 60.0
ALLOWED_STALL_MS = 500.0
WARM_UP = 20


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    seconds = parser.parse_args().seconds
    prepared = open_model(read_settings())
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        print(f"filling an index of {CHUNKS} chunks …", flush=True)
        corpus.fill(data, prepared.spec, chunks=CHUNKS)
        with served(data, RAGSTONE_JANITOR__INTERVAL_S="3600") as url:
            _search(url, WARM_UP / RATE)
            idle = _search(url, seconds / 2)
            stop = threading.Event()
            ingesting = threading.Thread(target=_ingest, args=(url, stop))
            ingesting.start()
            time.sleep(3)
            before = _chunks(url)
            busy = _search(url, seconds)
            ingested = _chunks(url) - before
            stop.set()
            ingesting.join()
    idle_p95, busy_p95 = _p95(idle), _p95(busy)
    print(f"idle   p50 {_p50(idle):6.1f} ms  p95 {idle_p95:6.1f} ms  longest {max(idle):6.1f} ms")
    print(f"busy   p50 {_p50(busy):6.1f} ms  p95 {busy_p95:6.1f} ms  longest {max(busy):6.1f} ms")
    print(f"chunks ingested meanwhile: {ingested} in {seconds:.0f} s")
    print(f"p95 beyond idle {busy_p95 - idle_p95:.1f} ms (allowed {ALLOWED_P95_MS:.0f}), longest {max(busy):.0f} ms "
          f"(allowed {ALLOWED_STALL_MS:.0f})")  # fmt: skip
    good = busy_p95 - idle_p95 <= ALLOWED_P95_MS and max(busy) <= ALLOWED_STALL_MS and ingested > 0
    return 0 if good else 1


def _search(url: str, seconds: float) -> list[float]:
    """Milliseconds of each request, from the moment it was due."""
    chance, vocabulary = random.Random(4), corpus.words()
    began = time.perf_counter()

    def one(number: int, query: str) -> float:
        due = began + number / RATE
        time.sleep(max(0.0, due - time.perf_counter()))
        client.post("/v1/search", json={"query": query}).raise_for_status()
        return (time.perf_counter() - due) * 1000

    queries = [corpus.text(chance, vocabulary, chance.randint(4, 10)) for _ in range(int(seconds * RATE))]
    with httpx2.Client(base_url=url, timeout=60) as client, ThreadPoolExecutor(16) as pool:
        return list(pool.map(one, range(len(queries)), queries))


def _ingest(url: str, stop: threading.Event) -> None:
    """Keeps a backlog of documents of one to six chunks, of which every third is a new version of an earlier one."""
    chance, vocabulary = random.Random(5), corpus.words()
    with httpx2.Client(base_url=url, timeout=60) as client:
        number = 0
        while not stop.is_set():
            documents = []
            for _ in range(20):
                number += 1
                key = chance.randint(1, number) if chance.random() < 0.33 else number
                body = "\n\n".join(corpus.text(chance, vocabulary, 90) for _ in range(chance.randint(1, 6)))
                documents.append({"text": body, "external_id": f"new-{key}"})
            path = f"/v1/collections/{corpus.COLLECTION}/documents:batch"
            client.post(path, json={"documents": documents}).raise_for_status()
            while _waiting(client) > 40 and not stop.is_set():
                time.sleep(0.2)


def _waiting(client: httpx2.Client) -> int:
    states = client.get(f"/v1/collections/{corpus.COLLECTION}").json()["documents"]["by_state"]
    return sum(states.get(name, 0) for name in ("received", "parsing", "embedding"))


def _chunks(url: str) -> int:
    chunks: int = httpx2.get(f"{url}/v1/collections/{corpus.COLLECTION}", timeout=60).json()["chunks"]
    return chunks


def _p50(values: list[float]) -> float:
    return sorted(values)[len(values) // 2]


def _p95(values: list[float]) -> float:
    return sorted(values)[int(0.95 * len(values))]


if __name__ == "__main__":
    sys.exit(main())
