"""Messages: what a pointer is on the wire, and what is no message of ours.

A message is small and versioned: compact JSON `{"v": "1.0", "task": {…}}` under the document's id as key. A reader
refuses a major version it does not know and ignores fields it does not know, so that a minor version may add some.
Nothing in a message is trusted for more than finding the task: the claim decides, and it reads the catalogue.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from retrieval.documents import Lane, Stage
from retrieval.tasks import TaskPointer

VERSION = "1.0"
# A pointer is some 250 bytes; ten times as many would still be a pointer, more is somebody's payload.
MESSAGE_BYTES = 4 << 10
TRACEPARENT = "traceparent"

_VERSION = re.compile(r"(0|[1-9]\d{0,5})\.(0|[1-9]\d{0,5})", re.ASCII)
_TRACEPARENT = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}", re.ASCII)
_NAME_CHARACTERS = 64  # a tenant's or a document's name is never longer
_TASKS = 1 << 63

Headers = Sequence[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Message:
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


class BadMessage(Exception):
    """No message of ours. `reason` is one of malformed, oversized, version, foreign."""

    def __init__(self, reason: str, sentence: str) -> None:
        super().__init__(sentence)
        self.reason = reason


def encode(pointer: TaskPointer) -> Message:
    task = {
        "id": pointer.task_id,
        "tenant": pointer.tenant,
        "document": pointer.document_id,
        "stage": pointer.stage.value,
        "lane": pointer.lane.value,
        "solitary": pointer.solitary,
        "weight": pointer.weight,
    }
    value = json.dumps({"v": VERSION, "task": task}, separators=(",", ":"), ensure_ascii=False).encode()
    headers = [] if pointer.traceparent is None else [(TRACEPARENT, pointer.traceparent.encode())]
    return Message(pointer.document_id.encode(), value, headers)


def decode(key: bytes | None, value: bytes | None, headers: Headers, *, stage: Stage, lane: Lane) -> TaskPointer:
    """The pointer of a message on the topic of this stage and lane; raises `BadMessage`."""
    task = _task(value)
    pointer = TaskPointer(
        task_id=_number(task, "id", least=1),
        tenant=_name(task, "tenant"),
        document_id=_name(task, "document"),
        stage=stage,
        lane=lane,
        solitary=_flag(task, "solitary"),
        weight=_number(task, "weight", least=0),
        traceparent=traceparent_of(headers),
    )
    if (task.get("stage"), task.get("lane")) != (stage.value, lane.value):
        raise BadMessage("foreign", f"It is not for the {stage} stage's {lane} lane, whose topic it is on.")
    if key != pointer.document_id.encode():
        raise BadMessage("foreign", "Its key is not its document's id.")
    return pointer


def _task(value: bytes | None) -> dict[str, Any]:
    if value is None:
        raise BadMessage("foreign", "It has no value; nothing is deleted by key here.")
    if len(value) > MESSAGE_BYTES:
        raise BadMessage("oversized", f"It has {len(value)} bytes; a message of ours has at most {MESSAGE_BYTES}.")
    try:
        message = json.loads(value)
    except (ValueError, RecursionError):
        raise BadMessage("malformed", "It is not JSON.") from None
    if not isinstance(message, dict) or "v" not in message:
        raise BadMessage("foreign", "It is JSON without our version.")
    version = _VERSION.fullmatch(message["v"]) if isinstance(message["v"], str) else None
    if version is None:
        raise BadMessage("malformed", "Its version is not two numbers.")
    if version[1] != VERSION.partition(".")[0]:
        raise BadMessage("version", f"Its version is {version[0]}; this program reads {VERSION}.")
    task = message.get("task")
    if not isinstance(task, dict):
        raise BadMessage("malformed", "It names no task.")
    return task


def _number(task: dict[str, Any], name: str, *, least: int) -> int:
    found = task.get(name)
    if not isinstance(found, int) or isinstance(found, bool) or not least <= found < _TASKS:
        raise BadMessage("malformed", f"Its {name} is not a whole number in range.")
    return found


def _name(task: dict[str, Any], name: str) -> str:
    found = task.get(name)
    if not isinstance(found, str) or not 0 < len(found) <= _NAME_CHARACTERS:
        raise BadMessage("malformed", f"Its {name} is not a name.")
    return found


def _flag(task: dict[str, Any], name: str) -> bool:
    found = task.get(name)
    if not isinstance(found, bool):
        raise BadMessage("malformed", f"Its {name} is neither true nor false.")
    return found


def traceparent_of(headers: Headers) -> str | None:
    """The W3C trace that the headers name, if they name exactly one and as the standard has it."""
    named = [value for name, value in headers if name == TRACEPARENT]
    if len(named) != 1 or named[0] is None:
        return None
    text = named[0].decode("ascii", "replace")
    return text if _TRACEPARENT.fullmatch(text) else None
