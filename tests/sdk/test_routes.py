"""Every route of the server has a method of the client."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from urllib.parse import unquote

from ragstone import Client, Retrying
from ragstone.errors import RagstoneError
from tests.running import RunningServer
from tests.sdk.scripted_server import ScriptedServer

# Each is given the names of the route's own places, so that what it asks for reads as the server describes it.
METHODS: tuple[Callable[[Client], object], ...] = (
    lambda client: client.search("x"),
    lambda client: client.answer("x"),
    lambda client: client.summarize(collection="x"),
    lambda client: client.collections.create("x"),
    lambda client: list(client.collections.list()),
    lambda client: client.collections.get("{collection}"),
    lambda client: client.collections.update("{collection}"),
    lambda client: client.collections.delete("{collection}"),
    lambda client: client.documents.upload_text("{collection}", "x"),
    lambda client: client.documents.upload_batch("{collection}", []),
    lambda client: list(client.documents.list()),
    lambda client: client.documents.get("{document_id}"),
    lambda client: client.documents.content("{document_id}"),
    lambda client: client.documents.text("{document_id}"),
    lambda client: list(client.documents.elements("{document_id}")),
    lambda client: list(client.documents.chunks("{document_id}")),
    lambda client: client.documents.page_image("{document_id}", 1),
    lambda client: client.documents.update("{document_id}"),
    lambda client: client.documents.reprocess("{document_id}"),
    lambda client: client.documents.reprocess_matching("x"),
    lambda client: client.documents.delete("{document_id}"),
    lambda client: client.documents.delete_matching("x", {}),
    lambda client: client.chunks.get("{chunk_id}"),
    lambda client: list(client.dead_letters.list()),
    lambda client: client.dead_letters.get("{letter_id}"),
    lambda client: client.dead_letters.redrive("{letter_id}"),
    lambda client: client.dead_letters.redrive_matching(),
    lambda client: client.dead_letters.drop("{letter_id}"),
    lambda client: client.dead_letters.drop_matching(),
    lambda client: client.drop_folder.get(),
    lambda client: client.drop_folder.confirm(),
    lambda client: client.drop_folder.discard(),
    lambda client: client.keys.create("x", scopes=["read"]),
    lambda client: list(client.keys.list()),
    lambda client: client.keys.rotate("{key_id}"),
    lambda client: client.keys.revoke("{key_id}"),
    lambda client: client.health.alive(),
    lambda client: client.health.ready(),
)


def test_every_route_has_a_method(server: RunningServer, scripted: ScriptedServer) -> None:
    with Client(scripted.url, retrying=Retrying(attempts=1)) as client:
        for method in METHODS:
            with suppress(RagstoneError):
                method(client)
    assert len(scripted.asked) == len(METHODS)
    asked = {f"{one.method} {unquote(one.path.partition('?')[0])}" for one in scripted.asked}
    asked = {one.replace("/pages/1", "/pages/{page}") for one in asked}
    paths = server.http.get("/openapi.json").json()["paths"]
    served = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert len(served) > 25
    assert served - asked == set()
