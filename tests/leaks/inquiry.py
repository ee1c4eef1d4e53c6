"""Many random questions over every path of the API, and what was wrong with the replies."""

from __future__ import annotations

import base64
import random
import re
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import httpx2

from tests.leaks import document_questions as documents
from tests.leaks import other_questions as others
from tests.leaks import search_questions as searches
from tests.leaks.question import Asker, Question
from tests.leaks.settlement import Settlement
from tests.leaks.world import Caller

THREADS = 4
NO_KEY = "rs_" + "0" * 49
_STRANGERS = 0.01  # of all questions: asked with a key that nobody was given

# What is asked: how often (in a thousand, about), the scope that it needs, and who makes the question. Whoever adds a
# route to the API adds it here: `test_every_route_is_asked` says so.
Path = Callable[[Asker], Question]
PATHS: tuple[tuple[int, str | None, Path], ...] = (
    (455, "search", searches.search),
    (12, "search", searches.answer),
    (8, "search", searches.summary),
    (80, "read", documents.list_documents),
    (30, "read", documents.page_of_documents),
    (70, "read", documents.get_document),
    (25, "read", documents.get_content),
    (25, "read", documents.get_text),
    (25, "read", documents.get_elements),
    (25, "read", documents.get_chunks),
    (50, "read", documents.get_chunk),
    (10, "read", documents.get_page),
    (20, "write", documents.patch_document),
    (20, "delete", documents.delete_document),
    (15, "write", documents.reprocess_document),
    (10, "write", documents.create_document),
    (20, "write", documents.overwrite_document),
    (20, "decided", documents.decide_documents),
    (20, "read", documents.list_collections),
    (20, "read", documents.get_collection),
    (10, "both", documents.change_collection),
    (5, "write", documents.create_collection),
    (20, "read", others.list_dead_letters),
    (20, "read", others.get_dead_letter),
    (10, "write", others.decide_dead_letter),
    (10, "write", others.count_dead_letters),
    (10, "admin", others.list_keys),
    (5, "admin", others.change_key),
    (10, "admin", others.drop_folder),
    (2, None, others.health),
)
_TOKEN = re.compile(rb"zq[a-z]{10}|[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_CURSOR = re.compile(rb'"next_cursor":\s*"([^"]+)"')


@dataclass
class Findings:
    """What came of an inquiry. `strays` are hits that the caller may see and did not ask for: an index that does not
    narrow lets them pass, and no one else. `sought` counts visible documents asked for by their own word."""

    asked: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    leaks: list[tuple[str, str]] = field(default_factory=list)
    faults: list[tuple[str, str]] = field(default_factory=list)
    strays: list[tuple[str, str]] = field(default_factory=list)
    sought: int = 0
    found: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def add(self, other: Findings) -> None:
        for name in ("asked", "statuses", "leaks", "faults", "strays", "sought", "found"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for path, seconds in other.seconds.items():
            self.seconds[path] = self.seconds.get(path, 0.0) + seconds

    @property
    def leaking(self) -> set[str]:
        """The operations whose replies showed what they must not."""
        return {path for path, _ in self.leaks}


def inquire(settlement: Settlement, *, queries: int, seed: int, paths: Collection[Path] | None = None) -> Findings:
    """Asks so many questions, of all paths or of these, from a few clients at once."""
    found = Findings()
    shares = [queries // THREADS + (n < queries % THREADS) for n in range(THREADS)]
    with ThreadPoolExecutor(THREADS) as pool:
        chances = [random.Random(f"{seed}/{n}") for n in range(THREADS)]
        for one in pool.map(lambda chance, share: _client(settlement, chance, share, paths), chances, shares):
            found.add(one)
    return found


def _client(settlement: Settlement, chance: random.Random, queries: int, paths: Collection[Path] | None) -> Findings:
    found = Findings()
    offered = [entry for entry in PATHS if paths is None or entry[2] in paths]
    weights = [weight for weight, _, _ in offered]
    with httpx2.Client(base_url=settlement.url, timeout=90) as http:
        for _ in range(queries):
            (_, scope, path) = chance.choices(offered, weights)[0]
            asker = Asker(settlement, chance.choice(settlement.world.callers), chance)
            _ask(http, asker, scope, path(asker), found)
    return found


def _ask(http: httpx2.Client, asker: Asker, scope: str | None, question: Question, found: Findings) -> None:
    known: Caller | None = None if asker.often(_STRANGERS) else asker.caller
    key = NO_KEY if known is None else asker.settlement.keys[known]
    given = {"params": question.params, **({} if question.body is None else {"json": question.body})}
    began = time.perf_counter()
    headers = {"Authorization": f"Bearer {key}", **question.headers}
    reply = http.request(question.method, question.route, headers=headers, **given)
    found.seconds[question.path] = found.seconds.get(question.path, 0.0) + time.perf_counter() - began
    found.asked[question.path] += 1
    found.statuses[reply.status_code] += 1
    told = f"{known.name if known else 'a stranger'}: {question.method} {question.sent}"
    found.leaks += [(question.path, f"{told} → {one}") for one in _leaked(asker.settlement, known, question, reply)]
    if reply.status_code >= 500:
        found.faults.append((question.path, f"{told} → {reply.status_code} {reply.text[:300]}"))
    refusal = _refusal(known, scope, question)
    if refusal is not None:
        if reply.status_code != refusal:
            found.faults.append((question.path, f"{told} → {reply.status_code} and not {refusal}"))
        return
    found.faults += [(question.path, f"{told} → {one}") for one in question.right(reply)]
    if reply.status_code == 200:
        found.strays += [(question.path, f"{told} → {one}") for one in question.narrowed(reply)]
    if question.sought is not None:
        found.sought += 1
        found.found += reply.status_code == 200 and question.sought in {h["document_id"] for h in reply.json()["hits"]}


def _refusal(caller: Caller | None, scope: str | None, question: Question) -> int | None:
    """What who may not ask at all is told."""
    if scope is None:
        return None
    if caller is None:
        return 401
    if scope == "both":
        scope = "delete" if question.method == "DELETE" else "write"
    elif scope == "decided":
        scope = "delete" if question.path == "delete_documents" else "write"
    return None if caller.may(scope) else 403


def _leaked(settlement: Settlement, caller: Caller | None, question: Question, reply: httpx2.Response) -> Iterator[str]:
    """Whatever the raw reply holds, headers and cursors too, that the caller may not see and did not itself send."""
    sent = set(_tokens(question.sent.encode()))
    for token in set(_tokens(_everything(reply))) - sent:
        if not settlement.may_show(caller, token):
            yield f"shows {token} of {settlement.owners.get(token) or token}"


def _everything(reply: httpx2.Response) -> bytes:
    cursors = (one.group(1) for one in _CURSOR.finditer(reply.content))
    opened = (base64.urlsafe_b64decode(cursor + b"=" * (-len(cursor) % 4)) for cursor in cursors)
    return b"\n".join([str(reply.headers).encode(), reply.content, *opened])


def _tokens(data: bytes) -> Iterable[str]:
    return (one.group().decode().lower() for one in _TOKEN.finditer(data))
