"""Hybrid search over HTTP against what it is made of: `python -m benchmarks.search_latency [--chunks N]`.

One client, one run, taken in turns: a search over HTTP, a query's embedding alone, the index's two arms alone. The
goal: p50 over HTTP ≤ p50 of the embedding + p50 of the index + 3 ms, at 100,000 chunks. The client is the standard
library's: others spend up to a millisecond of their own.
"""

from __future__ import annotations

import argparse
import http.client
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks import corpus
from benchmarks.served import served
from retrieval.edge_bm25 import Bm25Encoder
from retrieval.index import Arm, DenseArm, SearchScope, SparseArm
from retrieval.principal import Principal, Scope
from retrieval.search import ARM_LIMIT
from retrieval.socket_index import SocketIndex
from services.layout import Layout
from services.settings import read_settings
from services.wiring import open_catalogue, open_embedder, open_model

ALLOWED_MS = 3.0
QUERIES = 240  # a multiple of the steps, so that each of them comes first, second and last equally often
WARM_UP = 20
STEPS = ("http", "embed", "index")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--chunks", type=int, default=100_000)
    chunks = parser.parse_args().chunks
    settings = read_settings()
    prepared = open_model(settings)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        print(f"filling an index of {chunks} chunks …", flush=True)
        corpus.fill(data, prepared.spec, chunks=chunks)
        layout = Layout(data)
        with served(data, RAGSTONE_JANITOR__INTERVAL_S="3600") as url:
            embedder = open_embedder(prepared, threads=1)
            index, bm25 = SocketIndex(str(layout.index_socket)), Bm25Encoder()
            catalogue = open_catalogue(settings, layout)
            everything = Principal(corpus.TENANT, frozenset(), frozenset(Scope))
            ids = tuple(one.id for one in catalogue.collections.readable(everything))
            scope = SearchScope(corpus.TENANT, ids, None)
            spent: dict[str, list[float]] = {name: [] for name in STEPS}
            client = http.client.HTTPConnection(url.removeprefix("http://"))
            for number, queries in enumerate(_queries()):
                # A query's own terms are cold when they come first, so each step gets one of its own.
                arms: list[Arm] = [DenseArm(embedder.embed_query(queries[0])), SparseArm(bm25.query(queries[0]))]
                steps: dict[str, Callable[[], object]] = {
                    "http": partial(_search, client, queries[1]),
                    "embed": partial(embedder.embed_query, queries[2]),
                    "index": partial(index.search, scope, arms, limit=ARM_LIMIT),
                }
                for name in STEPS[number % 3 :] + STEPS[: number % 3]:
                    began = time.perf_counter()
                    steps[name]()
                    if number >= WARM_UP:
                        spent[name].append((time.perf_counter() - began) * 1000)
            client.close()
            index.close()
    p50 = {name: median(values) for name, values in spent.items()}
    p95 = {name: sorted(values)[int(0.95 * len(values))] for name, values in spent.items()}
    for name in spent:
        print(f"{name:6} p50 {p50[name]:6.2f} ms   p95 {p95[name]:6.2f} ms")
    beyond = p50["http"] - p50["embed"] - p50["index"]
    print(f"beyond embedding and index: {beyond:.2f} ms (allowed {ALLOWED_MS})")
    return 0 if beyond <= ALLOWED_MS else 1


def _search(client: http.client.HTTPConnection, query: str) -> object:
    client.request("POST", "/v1/search", json.dumps({"query": query}), {"Content-Type": "application/json"})
    return json.loads(client.getresponse().read())["hits"]


def _queries() -> list[list[str]]:
    """One for each step of each round."""
    chance, vocabulary = random.Random(9), corpus.words()
    return [[corpus.text(chance, vocabulary, chance.randint(4, 10)) for _ in STEPS] for _ in range(QUERIES + WARM_UP)]


if __name__ == "__main__":
    sys.exit(main())
