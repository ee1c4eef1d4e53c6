"""What tests of a catalogue do all the time: accept a document, claim what is owed for it, bring it to its end."""

from __future__ import annotations

import hashlib
from typing import Any

from retrieval.catalogue import Catalogue
from retrieval.documents import (
    Attributes,
    Collection,
    Content,
    DeadLetter,
    Document,
    Lane,
    Stage,
    Submission,
)
from retrieval.identity import IdentityKind
from retrieval.principal import Principal, Scope
from retrieval.tasks import Claim, Failure, ParseOutcome, Switch

ADMIN = Principal("acme", frozenset(), frozenset(Scope))
BROKEN = Failure("internal", "it broke", permanent=False)
HOPELESS = Failure("damaged", "it is damaged", permanent=True)


def submission(
    collection: Collection,
    name: str = "a",
    text: str = "one",
    *,
    lane: Lane = Lane.INTERACTIVE,
    fingerprint: str = "f1",
    refusal: tuple[str, str] | None = None,
    by: Principal | None = None,
    **said: Any,
) -> Submission:
    data = text.encode()
    return Submission(
        submitter=by or Principal(collection.tenant, frozenset(), frozenset(Scope)),
        collection_id=collection.id,
        identity_kind=IdentityKind.EXTERNAL_ID,
        identity_value=name,
        content=Content(hashlib.sha256(data).hexdigest(), len(data), "text/plain", f"{name}.txt", text),
        attributes=Attributes(external_id=name, **said),
        default_title=f"{name}.txt",
        source=f"{name}.txt",
        lane=lane,
        fingerprint=fingerprint,
        refusal=refusal,
    )


def accept(catalogue: Catalogue, *submissions: Submission) -> Document:
    """The last one's document."""
    answers = catalogue.documents.accept(submissions)
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    assert isinstance(answers[-1], Document)
    return answers[-1]


def get(catalogue: Catalogue, document: Document) -> Document:
    return catalogue.documents.get(ADMIN, document.id)


def due(catalogue: Catalogue, *stages: Stage, limit: int = 100) -> list[int]:
    pointers = catalogue.tasks.due(stages or tuple(Stage), excluding=[], limit=limit)
    return [pointer.task_id for pointer in pointers]


def claimed(
    catalogue: Catalogue, *stages: Stage, of: Document | None = None, worker: str = "w", lease_s: float = 60
) -> Claim:
    """The first task that is due (of one document) and still wanted, claimed."""
    pointers = catalogue.tasks.due(stages or tuple(Stage), excluding=[], limit=100)
    wanted = [pointer for pointer in pointers if of is None or pointer.document_id == of.id]
    claims = (catalogue.tasks.claim(pointer.task_id, worker=worker, lease_s=lease_s) for pointer in wanted)
    return next(claim for claim in claims if claim is not None)


def outcome(chunks: int = 2, **found: Any) -> ParseOutcome:
    values: dict[str, Any] = {"title": None, "language": "en", "pages": None, "tokens": 10}
    return ParseOutcome(chunk_file="c" * 64, chunks=chunks, **(values | found))


def parse(catalogue: Catalogue, of: Document | None = None, **found: Any) -> Claim:
    claim = claimed(catalogue, Stage.PARSE, of=of)
    assert catalogue.tasks.parsed(claim, outcome(**found))
    return claim


def embed(catalogue: Catalogue, of: Document | None = None) -> Claim:
    claim = claimed(catalogue, Stage.EMBED, of=of)
    switch, _ = catalogue.tasks.switch(claim, rev=claim.document.rev, counts={"points": 2})
    assert switch is Switch.SWITCHED
    return claim


def upkeep(catalogue: Catalogue) -> None:
    """Does every erase and repaint that is due."""
    while ids := due(catalogue, Stage.ERASE, Stage.REPAINT):
        for task_id in ids:
            claim = catalogue.tasks.claim(task_id, worker="u", lease_s=60)
            if claim is not None:
                catalogue.tasks.done(claim, counts={})


def live(catalogue: Catalogue, collection: Collection, name: str = "a", text: str = "one", **said: Any) -> Document:
    """A document that is searchable, with nothing owed."""
    document = accept(catalogue, submission(collection, name, text, **said))
    parse(catalogue, document)
    embed(catalogue, document)
    upkeep(catalogue)
    return get(catalogue, document)


def fail(catalogue: Catalogue, failure: Failure = HOPELESS, stage: Stage = Stage.PARSE) -> None:
    catalogue.tasks.failed(claimed(catalogue, stage), failure)


def letters(catalogue: Catalogue, principal: Principal = ADMIN, **asked: Any) -> list[DeadLetter]:
    values: dict[str, Any] = {"collection_id": None, "code": None, "after": None, "limit": 50}
    return list(catalogue.dead_letters.page(principal, **(values | asked)).items)
