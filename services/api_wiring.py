"""Wiring of a process that answers HTTP: what its roles need, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import TYPE_CHECKING, Any

from retrieval.embedding import Embedder
from retrieval.errors import Unavailable
from services import wiring
from services.courtesy import Courtesy
from services.http.app import create_app
from services.http.cursors import Cursors
from services.http.house import DocumentsRole, House, SearchRole, SummaryRole
from services.http.permits import Permits
from services.http.waiting import Waiting
from services.settings import Settings
from services.wiring import Shared

if TYPE_CHECKING:
    from fastapi import FastAPI

    from ingest.page_pictures import PagePictures
    from retrieval.search import Searcher
    from summarize.generation import Generator

# As many requests for pages hold a thread and wait for their turn: what a reader's screen shows at once.
_PICTURES_ASKED_FOR = 16


def make_app(shared: Shared, *, roles: Sequence[str], supervised: bool) -> FastAPI:
    """`supervised`: this machine is the whole install, its model is prepared and its parsers run beside us."""
    parts = _Parts(shared, supervised=supervised)
    settings, layout = shared.settings, shared.layout
    documents = parts.documents() if "documents" in roles else None
    search = SearchRole(parts.searcher, Permits(settings.search.permits)) if "search" in roles else None
    summary = parts.summary() if "summary" in roles else None
    house = House(
        access=wiring.open_access(shared),
        catalogue=shared.catalogue,
        index=shared.index,
        blobs=shared.blobs,
        cursors=Cursors(layout.secret(settings.secret_file)),
        noted_query=Courtesy(layout.last_query).note_query,
        query_chars=settings.search.query_chars,
        ready=parts.readiness(),
        documents_role=documents,
        search_role=search,
        summary_role=summary,
    )
    permits = [role.permits.count for role in (documents, search, summary) if role is not None]
    permits += [documents.picture_permits.count] if documents is not None else []
    return create_app(
        house,
        roles=tuple(roles),
        file_bytes=settings.intake.file_bytes,
        json_bytes=settings.intake.json_bytes,
        requests=sum(permits),
        generations=0 if summary is None else summary.permits.count,
    )


class _Parts:
    """What several roles need is made once, by the first that asks."""

    def __init__(self, shared: Shared, *, supervised: bool) -> None:
        self._shared = shared
        self._settings = shared.settings
        self._supervised = supervised
        self._embedder: Embedder | None = None
        self._generator: Generator | None = None

    @cached_property
    def embedder(self) -> Embedder:
        from retrieval.canaries import check_canaries

        model = wiring.open_model(self._settings) if self._supervised else wiring.fetch_model(self._shared)
        self._embedder = wiring.open_embedder(model, threads=wiring.threads_of(self._settings))
        # Known answers first; it also means that nobody's query pays for what is made lazily.
        check_canaries(self._embedder, model.canaries, roles=("query",))
        return self._embedder

    @cached_property
    def searcher(self) -> Searcher:
        from retrieval.edge_bm25 import Bm25Encoder
        from retrieval.search import Searcher

        shared = self._shared
        return Searcher(catalogue=shared.catalogue, index=shared.index, embedder=self.embedder, bm25=Bm25Encoder())

    def documents(self) -> DocumentsRole:
        shared, settings = self._shared, self._settings
        spec = wiring.configured_spec(settings) if self._supervised else wiring.fetch_spec(shared)
        button = wiring.open_doorbell_button(settings, shared.layout)
        return DocumentsRole(
            intake=wiring.make_intake(shared, shared.catalogue, spec, button.ring),
            permits=Permits(settings.search.permits),
            pictures=self._pictures(),
            picture_permits=Permits(_PICTURES_ASKED_FOR),
            waiting=Waiting(shared.catalogue),
            spec=spec,
            fingerprint=wiring.fingerprint_of(spec),
            ring=button.ring,
        )

    def _pictures(self) -> PagePictures:
        from ingest.page_pictures import PagePictures

        settings = self._settings
        return PagePictures(
            limits=wiring.parser_limits(settings),
            size=settings.parser.children,
            scratch=self._shared.layout.scratch,
            allow_none=settings.parser.allow_unsandboxed,
        )

    def summary(self) -> SummaryRole:
        from summarize.answers import Answerer
        from summarize.summaries import Summarizer

        self._generator = _generator(self._settings, self.embedder)
        return SummaryRole(
            searcher=self.searcher,
            answerer=Answerer(self._generator, self.embedder.tokenizer),
            summarizer=Summarizer(self._generator, self.embedder.tokenizer),
            permits=Permits(self._settings.generator.permits),
        )

    def readiness(self) -> Callable[[], Mapping[str, Any]]:
        """Asks what the roles made so far depend on."""
        shared, embedder, generator = self._shared, self._embedder, self._generator

        def ready() -> Mapping[str, Any]:
            shared.catalogue.healthy()
            found: dict[str, Any] = {"catalogue": "ready", "index": dict(shared.index.health())}
            if embedder is not None:
                found["embedder"] = asdict(embedder.provenance)
            if generator is not None:
                found["generator"] = generator.name
            if self._supervised:
                level = shared.layout.sandbox_level
                if not level.exists():
                    raise Unavailable("The parsers have not started yet.")
                found["sandbox"] = level.read_text().strip()
            return found

        return ready


def _generator(settings: Settings, embedder: Embedder) -> Generator:
    chosen = settings.generator
    if chosen.base_url and chosen.model:
        from summarize.langchain_generator import LangChainGenerator

        return LangChainGenerator(
            model=chosen.model,
            provider=chosen.provider,
            base_url=chosen.base_url,
            api_key=chosen.api_key.get_secret_value(),
            timeout_s=chosen.timeout_s,
            stall_s=chosen.stall_s,
            context_tokens=chosen.context_tokens,
            max_output_tokens=chosen.max_output_tokens,
        )
    from summarize.extractive_generator import ExtractiveGenerator

    return ExtractiveGenerator(embedder)
