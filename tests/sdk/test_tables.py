"""Replies as tables."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ragstone import Client

pandas = pytest.importorskip("pandas", reason="pandas is an extra of the SDK")


def test_hits_and_lists_become_rows(client: Client) -> None:
    client.collections.create("sdk-tables")
    for year in (2023, 2024):
        text = f"A text of {year}."
        client.documents.wait(client.documents.upload_text("sdk-tables", text, metadata={"year": year}).id)
    documents = client.documents.list(collection="sdk-tables").to_pandas()
    assert sorted(documents["metadata.year"]) == [2023, 2024]
    hits = client.search("text", collections=["sdk-tables"]).to_pandas()
    assert list(hits["rank"]) == [1, 2]
    assert {"title", "text", "score", "locator.pages", "metadata.year"} <= set(hits.columns)


def test_without_pandas_it_says_what_to_install() -> None:
    script = (
        "import sys; sys.modules['pandas'] = None\n"
        "from ragstone import tables\n"
        "try: tables.frame([])\n"
        "except ImportError as error: print(error)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "pip install 'ragstone[pandas]'" in found.stdout
