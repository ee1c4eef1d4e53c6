"""How long the kill suite is: `--kills N` (make faults says 200), and which schedule: `--seed S`."""

from __future__ import annotations

import pytest

# `make test` performs one schedule, at whatever moments its kills then fall; `make faults` draws another each time.
SEED = 420227
SHORT = 20


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--kills", type=int, default=SHORT, help="SIGKILLs of the whole group in the long run")
    parser.addoption("--seed", type=int, default=SEED, help="seed of the schedule")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What only the long run has is not there in the short one."""
    if config.getoption("--kills", default=SHORT) > SHORT:
        return
    left_out = [item for item in items if item.get_closest_marker("long_only")]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if item not in left_out]
