"""Session: whom a command asks and how it says what came; and what its exit code means."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec

import click

from ragstone.cli.output import Output
from ragstone.client import LOCAL, RETRYING, Client
from ragstone.errors import ApiError as Refused
from ragstone.errors import (
    Forbidden,
    NotFound,
    RagstoneError,
    RateLimited,
    ServerError,
    Unauthorized,
)
from ragstone.retrying import Retrying

P = ParamSpec("P")

NOT_ALL: Final = 1
NOT_THERE: Final = 3
NOT_ALLOWED: Final = 4
NOT_FOUND: Final = 5
REFUSED: Final = 6
LATER: Final = 7

EXIT_CODES: Final = """\b
Exit codes:
  0  it is done
  1  not all of it: no hits, no answer, a file or document that failed, something not searchable, a check that failed
  2  the command line is wrong
  3  the server cannot be reached, or what answers is no ragstone server
  4  the key is missing, unknown, or does not hold the scope
  5  there is no such thing, or it is not yours to see
  6  the server refuses: a conflict, a wrong filter, a file too large, a type that nothing reads
  7  the server is busy or something it needs is away: try again later
"""


class Session:
    """`url` and `key` as they were given, `out` to say what came."""

    def __init__(self, url: str, key: str | None, out: Output) -> None:
        self.url = url
        self.key = key
        self.out = out

    @contextmanager
    def client(self, *, retrying: Retrying = RETRYING, timeout_s: float = 120.0) -> Iterator[Client]:
        """Raises `click.UsageError` for an address or a key that can be none."""
        try:
            client = Client(self.url, key=self.key, retrying=retrying, timeout_s=timeout_s)
        except ValueError as error:
            raise click.UsageError(str(error)) from None
        with client:
            yield client


def connected(command: Callable[Concatenate[Session, P], int | None]) -> Callable[..., None]:
    """A command that talks to a server: it takes --url, --key and --json, is given a `Session`, and returns its exit
    code (None is 0)."""

    @click.option("--url", envvar="RAGSTONE_URL", default=LOCAL, show_default=True, show_envvar=True, help="the server")
    @click.option(
        "--key",
        envvar="RAGSTONE_API_KEY",
        show_envvar=True,
        help="the API key; others on this machine can see it here, so rather set the variable",
    )
    @click.option("--json", "as_json", is_flag=True, help="what the server replied; of a list, an object a line")
    @click.pass_context
    @wraps(command)
    def run(
        context: click.Context, /, url: str, key: str | None, as_json: bool, *given: P.args, **named: P.kwargs
    ) -> None:
        session = Session(url, key or None, Output(as_json=as_json))
        try:
            status = command(session, *given, **named)
        except RagstoneError as error:
            session.out.wrong(f"{error}{_remedy(error)}")
            status = exit_code(error)
        except TimeoutError as error:
            session.out.wrong(error)
            status = NOT_ALL
        context.exit(status or 0)

    return run


def exit_code(error: Exception) -> int:
    match error:
        case Unauthorized() | Forbidden():
            return NOT_ALLOWED
        case NotFound():
            return NOT_FOUND
        case RateLimited() | ServerError():
            return LATER
        case Refused():
            return REFUSED
        case _:
            return NOT_THERE


def _remedy(error: RagstoneError) -> str:
    match error:
        case Unauthorized():
            return "\nSet RAGSTONE_API_KEY, or say --key."
        case Refused():
            return ""
        case _:
            return "\nSet RAGSTONE_URL, or say --url; `ragstone doctor` looks closer."


class JsonObject(click.ParamType[Any]):
    """An object in JSON."""

    name = "json"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Mapping[str, Any]:
        try:
            found = json.loads(value)
        except ValueError as error:
            self.fail(f"this is no JSON: {error}", param, ctx)
        if not isinstance(found, dict):
            self.fail("a JSON object is wanted, such as '{\"metadata.year\": 2024}'", param, ctx)
        return found
