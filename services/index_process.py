"""The process that holds the edge engine and serves it to the others."""

from __future__ import annotations

from retrieval.index_server import serve
from services import wiring
from services.layout import Layout
from services.lifeline import Lifeline, stop_on_signals
from services.settings import Settings
from services.standing import PATIENCE_S, stand


def run_index(settings: Settings, lifeline: Lifeline | None, *, address: str | None) -> None:
    """Holds the edge engine and serves it to the other processes."""
    stop = stop_on_signals()
    layout = Layout(settings.data)
    standing = stand(settings, lifeline, "index")
    index = wiring.open_edge_index(settings, layout, wiring.configured_spec(settings), wait_s=PATIENCE_S)
    index.optimise(above=settings.search.optimise_above)

    def ready() -> None:
        standing.started(lambda: {"index": dict(index.health())})

    try:
        serve(index, address or str(layout.index_socket), ready=ready, stop=stop)
    finally:
        index.close()
        standing.leave()
