"""A drop folder in one process, with a watcher that looks as often as a test tells it to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ingest.drop_folder import DropFolder, WatchTimes
from ingest.leasing import NamedLease
from retrieval.catalogue import DropReport
from retrieval.documents import Document
from tests.corpus import Corpus

AT_ONCE = WatchTimes(scan_s=0.01, settle_s=0, grace_s=0)


class Drop:
    """A drop folder with its watcher; `scan` looks as often as told."""

    def __init__(self, corpus: Corpus, times: WatchTimes = AT_ONCE) -> None:
        self.corpus = corpus
        self.root = corpus.folder / "drop"
        self.root.mkdir(exist_ok=True)
        self.times = times
        self.restart()

    def restart(self, times: WatchTimes | None = None) -> None:
        self.times = times or self.times
        self.watcher = DropFolder(
            root=self.root,
            tenant=self.corpus.tenant,
            catalogue=self.corpus.catalogue,
            intake=self.corpus.intake,
            lease=NamedLease(self.corpus.catalogue.leases, "watcher", holder="w", seconds=60),
            times=self.times,
            hold_share=0.5,
        )

    def put(self, path: str, content: str | bytes = "An otter.", *, sidecar: Any = None) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if sidecar is not None:
            self.describe(path, sidecar)
        file.write_bytes(content.encode() if isinstance(content, str) else content)
        return file

    def describe(self, path: str, sidecar: Any) -> None:
        text = sidecar if isinstance(sidecar, str) else json.dumps(sidecar)
        (self.root / f"{path}.metadata.json").write_text(text)

    def scan(self, times: int = 1) -> None:
        for _ in range(times):
            self.watcher.scan()

    def work(self) -> None:
        self.scan()
        self.corpus.work()

    @property
    def documents(self) -> dict[str, Document]:
        """By path; those that are not gone."""
        found = self.corpus.catalogue.documents.page(self.corpus.admin, limit=200).items
        return {document.identity_value: document for document in found if not document.state.is_gone}

    def document(self, path: str = "docs/a.txt") -> Document:
        return self.documents[path]

    @property
    def report(self) -> DropReport:
        return self.corpus.catalogue.drop_files.report()
