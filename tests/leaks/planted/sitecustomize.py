"""Layers of the permission check, to be taken out: on the path of a server's processes, those that the file
LAYERS_OUT names (words with spaces between) are not there while it names them.

The leak suite must notice each place where none is left. Without the file's name nothing happens.
"""

import os
from pathlib import Path

_FILE = os.environ.get("LAYERS_OUT")

if _FILE is not None:
    from dataclasses import replace

    from qdrant_edge import Filter
    from sqlalchemy import true

    import retrieval.edge_index
    import retrieval.search
    import retrieval.sql_catalogue.collections
    import retrieval.sql_catalogue.dead_letters
    import retrieval.sql_catalogue.documents
    import services.http.drop_folder_api
    from retrieval.edge_filters import equals, filter_of_condition
    from retrieval.sql_catalogue.collections import SqlCollections
    from retrieval.sql_catalogue.keys import SqlKeys
    from tests.leaks.world import TENANTS

    def _out(layer: str) -> bool:
        return layer in Path(str(_FILE)).read_text().split()

    # --- the first layer: what the index answers from ---

    def _unscoped(scope):  # type: ignore[no-untyped-def]
        if not _out("index"):
            return _filter_of_scope(scope)
        asked = [] if scope.condition is None else [filter_of_condition(scope.condition)]
        return Filter(must=[equals("live", 1), *asked])

    def _of_any_tenant(method):  # type: ignore[no-untyped-def]
        def wide(self, tenant, *asked, **more):  # type: ignore[no-untyped-def]
            tenants = TENANTS if _out("index") else (tenant,)
            return [point for one in tenants for point in method(self, one, *asked, **more)]

        return wide

    _filter_of_scope = retrieval.edge_index.filter_of_scope
    retrieval.edge_index.filter_of_scope = _unscoped
    _EdgeIndex = retrieval.edge_index.EdgeIndex
    _EdgeIndex.retrieve = _of_any_tenant(_EdgeIndex.retrieve)  # type: ignore[method-assign]
    _EdgeIndex.chunk_points = _of_any_tenant(_EdgeIndex.chunk_points)  # type: ignore[method-assign]

    # --- the second layer: what the catalogue says of each candidate ---

    _visible = retrieval.search._visible
    retrieval.search._visible = lambda principal, state: not state.gone if _out("check") else _visible(principal, state)

    # --- the catalogue's own answers, which have no other layer before them ---

    def _blind(layer, may_see):  # type: ignore[no-untyped-def]
        return lambda conditions, principal: true() if _out(layer) else may_see(conditions, principal)

    for _module, _layer in (
        (retrieval.sql_catalogue.documents, "documents"),
        (retrieval.sql_catalogue.dead_letters, "letters"),
        (retrieval.sql_catalogue.collections, "counts"),
    ):
        _module.may_see = _blind(_layer, _module.may_see)

    _expect_owner = services.http.drop_folder_api._expect_owner
    services.http.drop_folder_api._expect_owner = lambda principal: (
        None if _out("drop-folder") else _expect_owner(principal)
    )

    _page_of_collections, _page_of_keys = SqlCollections.page, SqlKeys.page

    def _all_collections(self, principal, **more):  # type: ignore[no-untyped-def]
        wide = replace(principal, collections=None) if _out("collections") else principal
        return _page_of_collections(self, wide, **more)

    def _keys_of_another(self, tenant, **more):  # type: ignore[no-untyped-def]
        return _page_of_keys(self, "default" if _out("keys") else tenant, **more)

    SqlCollections.page = _all_collections  # type: ignore[method-assign]
    SqlKeys.page = _keys_of_another  # type: ignore[method-assign]
