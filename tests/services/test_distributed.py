"""Processes of their own, joined by a real Kafka over a real PostgreSQL: each does its part, and loads nothing else."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from kafka import KafkaConsumer, TopicPartition

from tests.distributed import Distributed, Process
from tests.kafka_broker import KafkaBroker
from tests.made_files import pdf
from tests.postgres_server import PostgresServer
from tests.running import ROOT, environment_of, eventually

ROLES = ("index", "embed", "janitor", "parse", "watch", "documents", "search", "summary")
TORCH = {"torch", "sentence_transformers", "transformers"}
PARSERS = {"unstructured", "docx", "pptx", "spacy", "pypdfium2", "python_calamine"}
LANGCHAIN = {"langchain", "langchain_core", "langchain_openai"}
# What a role must not load. Parsers are loaded by parser children alone.
NOT_LOADED = {
    "index": TORCH | PARSERS | LANGCHAIN | {"kafka", "psycopg", "sqlalchemy", "fastapi", "openvino"},
    "embed": PARSERS | LANGCHAIN | {"fastapi"},
    "janitor": TORCH | PARSERS | LANGCHAIN | {"fastapi", "openvino", "qdrant_edge", "tokenizers"},
    "parse": TORCH | PARSERS | LANGCHAIN | {"fastapi", "openvino", "qdrant_edge"},
    "watch": TORCH | PARSERS | LANGCHAIN | {"kafka", "openvino", "qdrant_edge", "tokenizers"},
    "documents": TORCH | PARSERS | LANGCHAIN | {"kafka", "openvino", "qdrant_edge"},
    "search": TORCH | PARSERS | LANGCHAIN | {"kafka"},
    "summary": TORCH | PARSERS | LANGCHAIN | {"kafka"},
}


@pytest.fixture(scope="module")
def install(
    kafka_broker: KafkaBroker, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Distributed]:
    with postgres.database() as url:
        distributed = Distributed(
            tmp_path_factory.mktemp("distributed"),
            database=url,
            bootstrap=kafka_broker.bootstrap,
            environment={"PYTHONPROFILEIMPORTTIME": "1"},
        )
        try:
            distributed.start(*ROLES)
            yield distributed
        finally:
            distributed.end()


def of(install: Distributed, role: str) -> Process:
    return next(one for one in install.processes if one.role == role)


def client(install: Distributed, role: str) -> httpx2.Client:
    return httpx2.Client(base_url=of(install, role).url, timeout=90)


def found(install: Distributed, query: str) -> list[str]:
    with client(install, "search") as search:
        reply = search.post("/v1/search", json={"query": query, "top_k": 5})
    assert reply.status_code == 200, reply.text
    return [hit["document_id"] for hit in reply.json()["hits"]]


def test_a_document_goes_through_all_processes_and_is_found_answered_changed_and_deleted(install: Distributed) -> None:
    with client(install, "documents") as documents, client(install, "summary") as summary:
        assert documents.post("/v1/collections", json={"name": "notes"}).status_code == 201
        text = "The otter dam at Brae was opened in May to let the eels through."
        sent = documents.post("/v1/collections/notes/documents", files={"file": ("otters.txt", text.encode())})
        assert sent.status_code == 202, sent.text
        key = sent.json()["id"]
        shown = documents.get(f"/v1/documents/{key}", params={"wait": 60}).json()
        assert shown["state"] == "searchable", (shown, install.printed)
        assert found(install, "eels at the dam") == [key]
        answer = summary.post("/v1/answers", json={"question": "When was the otter dam at Brae opened?"})
        assert answer.status_code == 200, answer.text
        assert {cited["document_id"] for cited in answer.json()["citations"]} == {key}
        assert documents.delete(f"/v1/documents/{key}").status_code == 202
        assert found(install, "eels at the dam") == []
        shown = documents.get(f"/v1/documents/{key}", params={"wait": 60}).json()
        assert shown["state"] == "deleted", (shown, install.printed)


def sent(broker: KafkaBroker, install: Distributed) -> int:
    """Messages on all of its topics."""
    consumer = KafkaConsumer(bootstrap_servers=broker.bootstrap)
    try:
        mine = [topic for topic in consumer.topics() if topic.startswith(install.prefix)]
        partitions = [TopicPartition(topic, n) for topic in mine for n in consumer.partitions_for_topic(topic) or ()]
        return sum(consumer.end_offsets(partitions).values())
    finally:
        consumer.close()


def test_a_dropped_file_is_found(install: Distributed) -> None:
    (install.drop / "fallen").mkdir(parents=True, exist_ok=True)
    (install.drop / "fallen" / "heron.txt").write_text("A heron stood at the weir the whole morning.")
    assert eventually(lambda: found(install, "heron at the weir"), within_s=60)


def test_the_documents_process_draws_pages_in_children(install: Distributed) -> None:
    with client(install, "documents") as documents:
        assert documents.post("/v1/collections", json={"name": "drawn"}).status_code == 201
        sent = documents.post("/v1/collections/drawn/documents", files={"file": ("a.pdf", pdf("An egret waits."))})
        key = sent.json()["id"]
        assert documents.get(f"/v1/documents/{key}", params={"wait": 60}).json()["state"] == "searchable"
        reply = documents.get(f"/v1/documents/{key}/pages/1")
    assert (reply.status_code, reply.headers["content-type"]) == (200, "image/png"), reply.text
    assert reply.content.startswith(b"\x89PNG")
    assert of(install, "documents").imported & PARSERS == set()


@pytest.mark.parametrize("role", ROLES)
def test_each_process_is_alive_and_ready(install: Distributed, role: str) -> None:
    process = of(install, role)
    assert process.get("/healthz").json() == {"status": "alive"}
    ready = process.get("/readyz")
    assert ready.status_code == 200, ready.text
    assert ready.json()["ready"]


@pytest.mark.parametrize("role", ROLES)
def test_each_process_imports_only_its_engines(install: Distributed, role: str) -> None:
    imported = of(install, role).imported
    assert {"services", "retrieval"} <= imported
    assert imported & NOT_LOADED[role] == set()


def test_search_loads_the_model_that_the_embed_process_kept_under_its_digest(install: Distributed) -> None:
    kept = [path for path in (Path(install.blobs) / "%2Emodels").rglob("*") if path.is_file()]
    assert len(kept) == 1
    assert len(kept[0].name) == 64


def test_while_the_index_is_away_those_who_need_it_are_alive_and_not_ready_and_then_all_is_well(
    install: Distributed,
) -> None:
    with client(install, "documents") as documents:
        documents.post("/v1/collections", json={"name": "away"})
        sent = documents.post("/v1/collections/away/documents", json={"text": "A bittern boomed over the reeds."})
        key = sent.json()["id"]
        assert documents.get(f"/v1/documents/{key}", params={"wait": 60}).json()["state"] == "searchable"
    of(install, "index").kill()
    for role in ("embed", "janitor", "search"):
        assert of(install, role).get("/healthz").status_code == 200
        ready = of(install, role).get("/readyz")
        assert (ready.status_code, list(ready.json()["dependencies"])) == (503, ["index_unavailable"])
    assert of(install, "watch").get("/readyz").status_code == 200
    install.processes.remove(of(install, "index"))
    install.start("index")
    assert found(install, "bittern in the reeds")[0] == key


def test_a_second_process_of_a_role_joins_and_leaves(install: Distributed) -> None:
    second = install.launch("parse", name="parse-2").await_ready()
    assert second.stop() == 0, second.printed
    install.processes.remove(second)


def test_one_install_with_everything_works_over_kafka_too(
    kafka_broker: KafkaBroker, postgres: PostgresServer, tmp_path: Path
) -> None:
    with postgres.database() as url:
        install = Distributed(tmp_path, database=url, bootstrap=kafka_broker.bootstrap)
        install.environment["RAGSTONE_QDRANT__URL"] = None
        try:
            (install.drop / "notes").mkdir(parents=True)
            (install.drop / "notes" / "avocet.txt").write_text("An avocet waded through the salt pans.")
            (one,) = install.start("all")
            with httpx2.Client(base_url=one.url, timeout=90) as client:

                def hits() -> list[str]:
                    reply = client.post("/v1/search", json={"query": "avocet in the salt pans"})
                    return [hit["title"] for hit in reply.json()["hits"]]

                assert eventually(hits, within_s=60), install.printed
            assert sent(kafka_broker, install) >= 2  # to be parsed, and to be embedded
            assert one.stop() == 0, one.printed
        finally:
            install.end()


@pytest.mark.parametrize("role", ["parse", "embed", "janitor", "parse,janitor"])
def test_a_role_that_nothing_joins_is_refused_in_one_line(role: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services", role],
        cwd=ROOT,
        env=environment_of(tmp_path / "data", {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert "RAGSTONE_KAFKA__BOOTSTRAP" in done.stderr


def test_an_unknown_process_is_refused_in_one_line(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services", "watch,search"],
        cwd=ROOT,
        env=environment_of(tmp_path / "data", {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 78
    assert done.stderr.startswith("ragstone: watch,search is no process")


def test_every_process_ends_well_when_it_is_asked_to(install: Distributed) -> None:
    """Last, for nobody runs afterwards. Those that ingest first: what they hold is given back."""
    running = [one for one in install.processes if one.process.poll() is None]
    ended = {one.role: one.stop() for one in reversed(running)}
    assert ended == dict.fromkeys(ROLES, 0), install.printed
