"""The one fork every surface needs: `Refused` (can never work) or `Unavailable` (try again later).

    RagstoneError
    ├── Refused                     HTTP 4xx · a worker records it and parks the work · the SDK raises, never retries
    │   ├── InvalidRequest
    │   │   ├── InvalidFilter · InvalidName · InvalidMetadata · EmptyFile
    │   ├── Unauthorized · Forbidden · NotFound · Conflict
    │   ├── TooLarge · UnsupportedType · Quarantined
    │   └── Unparseable             encrypted · damaged · no_text · needs_program · parse_limit · kills_worker
    └── Unavailable                 HTTP 503 + Retry-After · a worker keeps and retries · the SDK retries with backoff
        ├── CatalogueUnavailable · IndexUnavailable · QueueUnavailable · EmbedderBusy · GeneratorUnavailable
        ├── BacklogFull · RequestRunning (HTTP 409)
        └── StorageFull             HTTP 507

Anything else that is raised is a bug. The first paragraph of a class's docstring is its default message.
"""

from __future__ import annotations

from typing import ClassVar


class RagstoneError(Exception):
    """Something ragstone understands went wrong."""

    code: ClassVar[str] = "error"

    def __init__(self, message: str | None = None) -> None:
        super().__init__(message or (type(self).__doc__ or "").strip().partition("\n\n")[0])


class Refused(RagstoneError):
    """This can never work as it was asked."""

    code = "refused"


class Unavailable(RagstoneError):
    """This did not work now; the same request may work later."""

    code = "unavailable"
    retry_after_s: ClassVar[float] = 1.0


class RequestRunning(Unavailable):
    """A request with this Idempotency-Key is still at work: ask again when it is done."""

    code = "request_running"


class InvalidRequest(Refused):
    """The request is malformed.

    `pointer` is a JSON pointer to the part of the body that is wrong, `""` for the whole body.
    """

    code = "invalid_request"

    def __init__(self, message: str | None = None, *, pointer: str = "") -> None:
        super().__init__(message)
        self.pointer = pointer


class InvalidFilter(InvalidRequest):
    """The filter is not in the filter grammar."""

    code = "invalid_filter"


class InvalidName(InvalidRequest):
    """The file name cannot be used: name the file without folders, control characters or NUL."""

    code = "invalid_name"


class InvalidMetadata(InvalidRequest):
    """The metadata must be an object of scalars or lists of scalars."""

    code = "invalid_metadata"


class EmptyFile(InvalidRequest):
    """The file is empty: there is nothing to search in."""

    code = "empty_file"


class Unauthorized(Refused):
    """The API key is missing, unknown, expired or revoked."""

    code = "unauthorized"


class Forbidden(Refused):
    """The key does not carry the scope this call needs."""

    code = "forbidden"


class NotFound(Refused):
    """There is no such thing, or it is not yours to see."""

    code = "not_found"


class Conflict(Refused):
    """The thing is in a state that does not allow this."""

    code = "conflict"


class TooLarge(Refused):
    """This is larger than the limit."""

    code = "too_large"


class UnsupportedType(Refused):
    """This type of file cannot be read."""

    code = "unsupported_type"


class Quarantined(Refused):
    """The same content killed or exhausted its parser before; redrive or drop that dead letter to release it."""

    code = "quarantined"


class Unparseable(Refused):
    """The document cannot be turned into text.

    `reason_code` is one of the codes of the API's list: encrypted, damaged, no_text, needs_program, parse_limit,
    kills_worker.
    """

    code = "unparseable"

    def __init__(self, reason_code: str, message: str) -> None:
        super().__init__(message)
        self.reason_code = reason_code


class CatalogueUnavailable(Unavailable):
    """The catalogue cannot be reached."""

    code = "catalogue_unavailable"


class IndexUnavailable(Unavailable):
    """The index cannot be reached."""

    code = "index_unavailable"


class QueueUnavailable(Unavailable):
    """The queue cannot be reached."""

    code = "queue_unavailable"


class EmbedderBusy(Unavailable):
    """Too many queries are being embedded; try again in a moment."""

    code = "embedder_busy"


class GeneratorUnavailable(Unavailable):
    """The model that writes answers cannot be reached."""

    code = "generator_unavailable"


class BacklogFull(Unavailable):
    """Too much waits to be processed; nothing was accepted. Send it again later."""

    code = "backlog_full"
    retry_after_s = 10.0


class StorageFull(Unavailable):
    """The storage is full; nothing was accepted. Free space, then send it again."""

    code = "storage_full"
    retry_after_s = 30.0
