"""How long the kill suite is: `--kills N` (make faults says 200), and which schedule: `--seed S`."""

from __future__ import annotations

import pytest

# `make test` performs one schedule, at whatever moments its kills then fall; `make faults` draws another each time.
SEED = 420227


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=20, help="SIGKILLs of the whole group in the long run")
    parser.addoption("--seed", type=int, default=SEED, help="seed of the schedule")
