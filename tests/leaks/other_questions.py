"""Questions about dead letters, keys, the drop folder and health."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import httpx2

from tests.leaks.question import Asker, Question, exactly, ids, status
from tests.leaks.world import Leaf


def list_dead_letters(asker: Asker) -> Question:
    params: dict[str, Any] = {"limit": 200}
    wanted = _letters(asker, seen=True)
    refused = False
    if asker.often(0.4):
        params["collection"] = name = asker.name()
        place = asker.place(name)
        refused = place is None
        wanted = [leaf for leaf in wanted if leaf.place == place]
    if asker.often(0.3):
        params["code"] = "encrypted"
        wanted = [leaf for leaf in wanted if leaf != asker.settlement.dropped]
    right = status(404) if refused else exactly((asker.settlement.letters[leaf] for leaf in wanted), ids)
    return Question("list_dead_letters", "GET", "/v1/dead-letters", right, params=params)


def get_dead_letter(asker: Asker) -> Question:
    leaf = asker.chance.choice(list(asker.settlement.letters))
    right = status(200 if asker.caller.sees(leaf) else 404)
    return Question("get_dead_letter", "GET", f"/v1/dead-letters/{asker.settlement.letters[leaf]}", right)


def decide_dead_letter(asker: Asker) -> Question:
    """One that the caller does not see: it stays as it is."""
    leaf = asker.chance.choice(_letters(asker, seen=False))
    route = f"/v1/dead-letters/{asker.settlement.letters[leaf]}"
    if asker.often(0.5) or not asker.caller.administers:
        return Question("redrive_dead_letter", "POST", f"{route}:redrive", status(404))
    return Question("drop_dead_letter", "DELETE", route, status(404))


def count_dead_letters(asker: Asker) -> Question:
    """A dry run counts those that the caller sees, and decides none."""
    seen = _letters(asker, seen=True)
    if asker.often(0.5) and asker.caller.administers:
        return _dry_run("drop_dead_letters", "drop", len(seen))
    # What was refused at intake has nothing stored to try again.
    return _dry_run("redrive_dead_letters", "redrive", len([leaf for leaf in seen if leaf != asker.settlement.dropped]))


def _dry_run(operation: str, verb: str, matched: int) -> Question:
    def right(reply: httpx2.Response) -> Iterable[str]:
        if not reply.is_success:
            yield f"{reply.status_code}"
        elif reply.json()["matched"] != matched:
            yield f"{reply.json()['matched']} letters match, of {matched} that the caller sees"

    return Question(operation, "POST", f"/v1/dead-letters:{verb}", right, body={"dry_run": True})


def _letters(asker: Asker, *, seen: bool) -> list[Leaf]:
    return [leaf for leaf in asker.settlement.letters if asker.caller.sees(leaf) == seen]


# --- keys ---


def list_keys(asker: Asker) -> Question:
    if asker.caller.places is not None:
        return Question("list_keys", "GET", "/v1/keys", status(403))
    own = [one for one, tenant in asker.settlement.key_owners.items() if tenant == asker.caller.tenant]
    return Question("list_keys", "GET", "/v1/keys", exactly(own, ids), params={"limit": 200})


def change_key(asker: Asker) -> Question:
    """Another tenant's, or one for another tenant's collection."""
    foreign = [one for one, tenant in asker.settlement.key_owners.items() if tenant != asker.caller.tenant]
    restricted = asker.caller.places is not None
    route = f"/v1/keys/{asker.chance.choice(sorted(foreign))}"
    match asker.chance.randrange(3):
        case 0:
            return Question("revoke_key", "DELETE", route, status(403 if restricted else 404))
        case 1:
            return Question("rotate_key", "POST", f"{route}:rotate", status(403 if restricted else 404))
    body = {"name": "more", "scopes": ["search"], "collections": [asker.unreached_name()]}
    return Question("create_key", "POST", "/v1/keys", status(403 if restricted else 422), body=body)


# --- the drop folder, health ---


def drop_folder(asker: Asker) -> Question:
    if asker.caller.tenant != "default":
        return _drop_folder_of_nobody(asker, 404)
    if asker.caller.places is not None:
        return _drop_folder_of_nobody(asker, 403)
    own = exactly([asker.settlement.documents[asker.settlement.dropped]], _refused)
    return Question("get_drop_folder", "GET", "/v1/drop-folder", own)


def _refused(reply: Any) -> list[str]:
    return [one["document_id"] for one in reply["refused"]]


def _drop_folder_of_nobody(asker: Asker, refusal: int) -> Question:
    """Whose folder it is not learns nothing of it and decides nothing."""
    method, verb, operation = asker.chance.choice(
        (
            ("GET", "", "get_drop_folder"),
            ("POST", ":confirm", "confirm_held_deletions"),
            ("POST", ":discard", "discard_held_deletions"),
        )
    )
    return Question(operation, method, f"/v1/drop-folder{verb}", status(refusal))


def health(asker: Asker) -> Question:
    route = asker.chance.choice(("/healthz", "/readyz"))
    return Question(route.removeprefix("/"), "GET", route, status(200))
