"""The catalogue's half of the permission check, in one place."""

from __future__ import annotations

from sqlalchemy import ColumnElement, and_, true

from retrieval.principal import Principal
from retrieval.sql_catalogue.sql_filters import SqlConditions
from retrieval.sql_catalogue.tables import documents


def may_see(conditions: SqlConditions, principal: Principal) -> ColumnElement[bool]:
    """Of rows of `documents`: tenant, collections, readers."""
    parts: list[ColumnElement[bool]] = [documents.c.tenant == principal.tenant]
    if principal.collections is not None:
        parts.append(documents.c.collection_id.in_(principal.collections))
    labels = principal.readable_labels
    parts.append(true() if labels is None else conditions.any_element(documents.c.readers, sorted(labels)))
    return and_(*parts)
