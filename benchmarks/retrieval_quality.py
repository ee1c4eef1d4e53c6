"""Retrieval quality through the API: nDCG@10 on test collections in BEIR layout.

    python -m benchmarks.retrieval_quality FOLDER [--url http://…]

FOLDER holds one folder for each collection with corpus.jsonl, queries.jsonl and qrels/test.tsv. Without an address it
starts a server of its own. Prints a table and exits with 1 when the hybrid macro average is below the floor of .55.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from benchmarks.served import served

FLOOR = 0.55
TOP = 10
BATCH = 500
MODES = ("dense", "sparse", "hybrid")

Judgements = dict[str, dict[str, int]]


def main() -> int:
    arguments = _arguments()
    folders = sorted(path.parent for path in arguments.folder.glob("*/corpus.jsonl"))
    scores: dict[str, dict[str, float]] = {}
    with _address(arguments.url) as url, httpx2.Client(base_url=url, timeout=120) as client:
        for folder in folders:
            _fill(client, folder)
            scores[folder.name] = {mode: _score(client, folder, mode) for mode in MODES}
            print(folder.name, *(f"{mode} {scores[folder.name][mode]:.3f}" for mode in MODES), flush=True)
    macro = {mode: sum(one[mode] for one in scores.values()) / len(scores) for mode in MODES}
    print("macro", *(f"{mode} {macro[mode]:.3f}" for mode in MODES), f"(floor for hybrid {FLOOR})")
    return 0 if macro["hybrid"] >= FLOOR else 1


def ndcg(ranked: Sequence[str], relevant: dict[str, int], top: int = TOP) -> float:
    """Normalised discounted cumulative gain of the first `top` (Järvelin and Kekäläinen, 2002)."""
    gains = sum(relevant.get(key, 0) / math.log2(place + 2) for place, key in enumerate(ranked[:top]))
    ideal = sorted(relevant.values(), reverse=True)[:top]
    best = sum(gain / math.log2(place + 2) for place, gain in enumerate(ideal))
    return gains / best if best else 0.0


def _fill(client: httpx2.Client, folder: Path) -> None:
    client.post("/v1/collections", json={"name": folder.name})
    documents = [_document(line) for line in _lines(folder / "corpus.jsonl")]
    documents = [document for document in documents if document["text"].strip()]
    for start in range(0, len(documents), BATCH):
        body = {"documents": documents[start : start + BATCH]}
        client.post(f"/v1/collections/{folder.name}/documents:batch", json=body).raise_for_status()
    while True:
        states = client.get(f"/v1/collections/{folder.name}").json()["documents"]["by_state"]
        if set(states) <= {"searchable", "failed"}:
            return
        time.sleep(0.5)


def _document(line: dict[str, Any]) -> dict[str, Any]:
    document = {"text": line["text"], "external_id": line["_id"]}
    return document | ({"title": line["title"][:1000]} if line.get("title", "").strip() else {})


def _score(client: httpx2.Client, folder: Path, mode: str) -> float:
    judgements = _judgements(folder / "qrels" / "test.tsv")
    queries = {line["_id"]: line["text"] for line in _lines(folder / "queries.jsonl")}
    found = []
    for key, relevant in judgements.items():
        body = {
            "query": queries[key],
            "collections": [folder.name],
            "mode": mode,
            "top_k": TOP,
            "group_by": "document",
        }
        reply = client.post("/v1/search", json=body)
        reply.raise_for_status()
        found.append(ndcg([hit["external_id"] for hit in reply.json()["hits"]], relevant))
    return sum(found) / len(found)


def _judgements(path: Path) -> Judgements:
    judgements: Judgements = defaultdict(dict)
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            judgements[row["query-id"]][row["corpus-id"]] = int(row["score"])
    return judgements


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    with path.open(encoding="utf-8") as file:
        for line in file:
            yield json.loads(line)


@contextmanager
def _address(url: str | None) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as own:
        yield own


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--url")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
