"""A server that the world was put into, over HTTP with real keys, and what everything in it is called there."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2

from tests.leaks.world import Caller, Leaf, Place, World, canary
from tests.made_files import pdf
from tests.running import ROOT, Json, RunningServer, environment_of, eventually

BOOTSTRAP = "an-administrative-key-of-forty-characters"
PLANTED = Path(__file__).parent / "planted"
# What ticks in the background is slower than in other tests: the queries are to have the machine. A permit is free
# again a moment after the client has its reply, and a 503 would be a fault here.
CALM = {
    "RAGSTONE_JANITOR__INTERVAL_S": "600",
    "RAGSTONE_WATCH__SCAN_S": "2",
    "RAGSTONE_WATCH__SETTLE_S": "0.1",
    "RAGSTONE_WORK__POLL_S": "1",
    "RAGSTONE_GENERATOR__PERMITS": "16",
}


def calm_server(folder: Path, *, layers: Path | None = None) -> RunningServer:
    """Not started yet. `layers` names the layers to leave out, as of each moment (see planted/)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "key").write_text(BOOTSTRAP)
    thinned = {} if layers is None else {"PYTHONPATH": f"{PLANTED}:{ROOT}", "LAYERS_OUT": str(layers)}
    given = {"RAGSTONE_BOOTSTRAP_KEY_FILE": str(folder / "key"), **CALM, **thinned}
    return RunningServer(folder / "data", environment=given)


@dataclass(frozen=True)
class Settlement:
    """`owners` says to which document a token belongs: a canary, or an id of a document, chunk or letter. `key_owners`
    says to which tenant the id of a key belongs, `place_canaries` to which collection a word in its name. `cursors`
    are those that a tenant's callers were given so far."""

    url: str
    world: World
    keys: Mapping[Caller, str]
    key_ids: Mapping[Caller, str]
    documents: Mapping[Leaf, str]
    chunks: Mapping[Leaf, Sequence[str]]
    letters: Mapping[Leaf, str]
    dropped: Leaf
    owners: Mapping[str, Leaf]
    key_owners: Mapping[str, str]
    place_canaries: Mapping[str, Place]
    cursors: dict[str, list[str]] = field(default_factory=dict)

    @property
    def leaves(self) -> Iterable[Leaf]:
        """All documents, that of the drop folder too."""
        return self.documents

    def may_show(self, caller: Caller | None, token: str) -> bool:
        """Whether a reply to this caller (None: to nobody known) may hold the token; True of what is none of ours."""
        if token in self.owners:
            return caller is not None and caller.sees(self.owners[token])
        if token in self.place_canaries:
            return caller is not None and caller.reaches(self.place_canaries[token])
        if token in self.key_owners:
            entitled = caller is not None and caller.administers and caller.places is None
            return entitled and caller is not None and caller.tenant == self.key_owners[token]
        return True


def send(http: httpx2.Client, key: str, method: str, path: str, **given: Any) -> httpx2.Response:
    return http.request(method, path, headers={"Authorization": f"Bearer {key}"}, **given)


def settle(running: RunningServer, world: World, *, dropped: Leaf) -> Settlement:
    """Everything is final when it returns."""
    keys, key_ids = _make_keys(running, world)
    documents = _send_documents(running, world, keys)
    documents[dropped] = _drop(running, dropped)
    chunks: dict[Leaf, list[str]] = {}
    letters: dict[Leaf, str] = {}
    for leaf, document in documents.items():
        key = keys[world.administrator(leaf.place.tenant)]
        shown = send(running.http, key, "GET", f"/v1/documents/{document}", params={"wait": 60}).json()
        assert shown["state"] == ("failed" if leaf.broken else "searchable"), shown
        if not leaf.broken:
            reply = send(running.http, key, "GET", f"/v1/documents/{document}/chunks")
            chunks[leaf] = [chunk["id"] for chunk in reply.json()["data"]]
    for tenant in {place.tenant for place in world.places}:
        reply = send(running.http, keys[world.administrator(tenant)], "GET", "/v1/dead-letters", params={"limit": 200})
        by_document = {letter["document_id"]: letter["id"] for letter in reply.json()["data"]}
        letters |= {leaf: by_document[one] for leaf, one in documents.items() if one in by_document}
    owners = {token: leaf for leaf in documents for token in leaf.canaries}
    owners |= {one: leaf for leaf, one in documents.items()} | {one: leaf for leaf, one in letters.items()}
    owners |= {one: leaf for leaf, several in chunks.items() for one in several}
    return Settlement(
        url=running.url,
        world=world,
        keys=keys,
        key_ids=key_ids,
        documents=documents,
        chunks=chunks,
        letters=letters,
        dropped=dropped,
        owners=owners,
        key_owners={key_id: caller.tenant for caller, key_id in key_ids.items()},
        place_canaries={place.name.removeprefix("own-"): place for place in world.places if place.name[:4] == "own-"},
    )


def dropped_leaf(world: World, chance: random.Random) -> Leaf:
    """What becomes of the file in the drop folder that cannot be taken: a failed document that everybody sees."""
    place = next(place for place in world.places if (place.tenant, place.name) == ("default", "papers"))
    return Leaf(
        place,
        None,
        canary(chance),
        canary(chance),
        canary(chance),
        canary(chance),
        subject="mill",
        colour="grey",
        year=2020,
        paragraphs=1,
        broken=True,
    )


def _drop(running: RunningServer, leaf: Leaf) -> str:
    folder = running.drop / leaf.place.name
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{leaf.in_text}.zzz"
    beside = {"title": leaf.title, "metadata": leaf.metadata, "external_id": leaf.in_external_id}
    (folder / f"{path.name}.metadata.json").write_text(json.dumps(beside))
    path.write_bytes(bytes(range(256)) * 4)

    def taken() -> str | None:
        refused = send(running.http, BOOTSTRAP, "GET", "/v1/drop-folder").json()["refused"]
        return next((one["document_id"] for one in refused if leaf.in_text in one["path"]), None)

    found: str = eventually(taken)
    return found


def _make_keys(running: RunningServer, world: World) -> tuple[dict[Caller, str], dict[Caller, str]]:
    """An administrator's key of each tenant by the command, its collections, then the others over HTTP."""
    keys, ids = {}, {}
    for tenant in {place.tenant for place in world.places}:
        administrator = world.administrator(tenant)
        made = _created_by_command(running, tenant)
        keys[administrator], ids[administrator] = made["key"], made["id"]
        for place in world.places:
            if place.tenant == tenant:
                reply = send(running.http, made["key"], "POST", "/v1/collections", json={"name": place.name})
                assert reply.status_code == 201, reply.text
        for caller in world.callers:
            if caller.tenant == tenant and caller != administrator:
                names = None if caller.places is None else [place.name for place in caller.places]
                grant: Json = {"name": caller.name, "scopes": sorted(caller.scopes), "labels": sorted(caller.labels)}
                grant["collections"] = names
                reply = send(running.http, made["key"], "POST", "/v1/keys", json=grant)
                assert reply.status_code == 201, reply.text
                keys[caller], ids[caller] = reply.json()["key"], reply.json()["id"]
    return keys, ids


def _created_by_command(running: RunningServer, tenant: str) -> Json:
    done = subprocess.run(
        [sys.executable, "-m", "services", "keys", "create", "--tenant", tenant, "--scopes", "admin", "--json"],
        cwd=ROOT,
        env=environment_of(running.data, {}),
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    made: Json = json.loads(done.stdout)
    return made


def _send_documents(running: RunningServer, world: World, keys: Mapping[Caller, str]) -> dict[Leaf, str]:
    documents: dict[Leaf, str] = {}
    for place in world.places:
        key, route = keys[world.administrator(place.tenant)], f"/v1/collections/{place.name}/documents"
        whole = [leaf for leaf in world.leaves if leaf.place == place and not leaf.broken]
        reply = send(running.http, key, "POST", f"{route}:batch", json={"documents": [as_body(leaf) for leaf in whole]})
        assert reply.status_code == 202, reply.text
        documents |= {leaf: shown["id"] for leaf, shown in zip(whole, reply.json()["data"], strict=True)}
        for leaf in (leaf for leaf in world.leaves if leaf.place == place and leaf.broken):
            form = {
                name: value if isinstance(value, str) else json.dumps(value) for name, value in _about(leaf).items()
            }
            file = (f"{leaf.in_text}.pdf", pdf(leaf.text, password=leaf.in_text))
            reply = send(running.http, key, "POST", route, data=form, files={"file": file})
            assert reply.status_code == 202, reply.text
            documents[leaf] = reply.json()["id"]
    return documents


def as_body(leaf: Leaf) -> Json:
    return {"text": leaf.text, **_about(leaf)}


def _about(leaf: Leaf) -> Json:
    about: Json = {"title": leaf.title, "external_id": leaf.in_external_id, "metadata": leaf.metadata}
    return about if leaf.readers is None else {**about, "readers": list(leaf.readers)}
