"""Tables: replies as a DataFrame, a row each."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pydantic import BaseModel


def frame(rows: Iterable[BaseModel]) -> Any:
    """What is an object in the reply becomes columns: `metadata.year`, `locator.pages`.

    Raises ImportError with the remedy where pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError("to_pandas needs pandas: pip install 'ragstone[pandas]'") from error
    return pandas.json_normalize([row.model_dump() for row in rows], max_level=1)
