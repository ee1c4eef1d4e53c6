"""What one document may use while it is parsed."""

from __future__ import annotations

from dataclasses import dataclass

MIB = 2**20


@dataclass(frozen=True, slots=True)
class ParserLimits:
    """Limits of one document, in bytes and seconds; the last two say when a child is replaced by a fresh one.

    `memory_bytes` counts address space on top of what the imported parsers map already. `file_bytes` is the most one
    file, and all files in the child's scratch folder together, may hold beside the document. `recycle_bytes` is how
    far a child's resident memory may grow over its documents. No document may start a process.

    A document that several children read in page ranges shares one `cpu_s`, one `wall_s` (the seconds of each child
    that works on it are added; waiting for a child does not count) and one `result_bytes` over all of them.
    `memory_bytes` and `file_bytes` bound each child, whatever it works on: plan for as many as the pool has.
    """

    memory_bytes: int = 2048 * MIB
    cpu_s: int = 120
    wall_s: float = 180.0
    file_bytes: int = 256 * MIB
    result_bytes: int = 256 * MIB
    documents_per_child: int = 100
    recycle_bytes: int = 512 * MIB

    def sentence(self, limit: str) -> str:
        """What a user reads when the limit of this name was reached; names what happened and the value."""
        match limit:
            case "memory":
                return f"Parsing this document needs more memory than the limit of {_size(self.memory_bytes)}."
            case "cpu":
                return f"Parsing this document needs more processor time than the limit of {self.cpu_s} seconds."
            case "wall":
                return f"Parsing this document takes longer than the limit of {self.wall_s:g} seconds."
            case "file":
                return f"Parsing this document writes more to disk than the limit of {_size(self.file_bytes)}."
            case "result":
                return f"This document holds more text than the limit of {_size(self.result_bytes)} for a result."
            case "items":
                return "This document has more parts, such as lines and rows, than a result may carry."
            case "depth":
                return "This document is nested more deeply than its parser's limit."
            case _:
                return "Parsing this document reached a limit."

    def page_sentence(self, limit: str) -> str:
        """Likewise of one page of many, which may take only a part of what its document has left."""
        match limit:
            case "memory":
                return f"The page needs more memory than the limit of {_size(self.memory_bytes)}."
            case "cpu":
                return f"The page takes too much of its document's {self.cpu_s} seconds of processor time."
            case "wall":
                return f"The page takes too much of its document's {self.wall_s:g} seconds."
            case "file":
                return f"Reading the page writes more to disk than the limit of {_size(self.file_bytes)}."
            case "depth":
                return "The page is nested more deeply than its parser's limit."
            case _:
                return "Reading the page reached a limit."


def _size(count: int) -> str:
    return f"{count // MIB} MiB" if count >= MIB else f"{count} bytes"
