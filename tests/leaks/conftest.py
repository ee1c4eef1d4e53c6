"""How long the leak suite is: `--queries N` (make leaks says 100,000), and which ones: `--query-seed S`."""

from __future__ import annotations

import pytest

# `make test` asks the same questions each time; `make leaks` draws others.
SEED = 271828
QUERIES = 10_000


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--queries", type=int, default=QUERIES, help="questions of the leak suite, over all its servers")
    parser.addoption("--query-seed", type=int, default=SEED, help="seed of the leak suite's world and questions")
