"""Memory of the whole install while the samples are ingested and asked: `python -m benchmarks.memory`.

Proportional set size over the process tree, so that shared pages count once, sampled twice a second. The limit: 1.5 GB.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
import threading
from pathlib import Path

from benchmarks.served import ROOT, served
from ragstone.client import Client
from tools.demo import COLLECTIONS, QUESTION, SEARCHES
from tools.process_memory import below, proportional_set_size

LIMIT_MB = 1_500
_SAMPLE_S = 0.5


def main() -> int:
    peak = 0
    done = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(_SAMPLE_S):
            peak = max(peak, proportional_set_size(below(own)))

    own = _self()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as url, Client(url) as client:
        watching = threading.Thread(target=watch)
        watching.start()
        for name in COLLECTIONS:
            shutil.copytree(ROOT / "samples" / name, Path(folder) / "drop" / name)
        _wait(client)
        for query, condition in SEARCHES:
            client.search(query, filter=condition)
        client.answer(QUESTION)
        client.summarize(collection="engineering")
        done.set()
        watching.join()
    megabytes = peak / 1_000_000
    print(f"peak {megabytes:.0f} MB of {LIMIT_MB} MB: {megabytes / LIMIT_MB:.2f} of the limit")
    return 0 if megabytes <= LIMIT_MB else 1


def _wait(client: Client) -> None:
    expected = sum(
        not path.name.endswith(".metadata.json") for name in COLLECTIONS for path in (ROOT / "samples" / name).iterdir()
    )
    while True:
        states = [document.state for document in client.documents.list()]
        if len(states) == expected and set(states) == {"searchable"}:
            return
        threading.Event().wait(_SAMPLE_S)


def _self() -> int:
    return int(Path("/proc/self/stat").read_text().split()[0])


if __name__ == "__main__":
    sys.exit(main())
