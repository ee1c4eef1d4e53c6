"""Memory of process trees, from Linux's /proc."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path


def below(root: int) -> list[int]:
    """The processes below this one, of any depth, without it."""
    children: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(stat.read_text().rsplit(")", 1)[1].split()[1])
        except OSError:
            continue  # it ended meanwhile
        children[parent].append(int(stat.parent.name))
    found, waiting = [], list(children[root])
    while waiting:
        process = waiting.pop()
        found.append(process)
        waiting += children[process]
    return found


def proportional_set_size(processes: list[int]) -> int:
    """Bytes: private pages whole, shared ones divided by how many share them."""
    total = 0
    for process in processes:
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:"))
    return total * 1024
