"""The door that every call of the API comes in by: who has no key, or brings a body of the wrong type, is told so
before anything of the body is read."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine
from json import JSONDecodeError
from typing import Any

from anyio import to_thread
from fastapi import Request
from fastapi.responses import Response
from fastapi.routing import APIRoute

from retrieval.principal import Principal
from services.http.house import house_behind
from services.http.negotiation import JSON, require_body


class Door(APIRoute):
    """The class of the API's routes. A route with a model for its body takes JSON and nothing else; one that reads
    its body itself asks for the types it takes."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        takes_json = self.body_field is not None

        async def enter(request: Request) -> Response:
            request.state.principal = await _caller(request)
            if takes_json:
                require_body(request.headers, JSON, remedy=f"Send a JSON object with Content-Type: {JSON}.")
            return await handle(_JsonRequest(request.scope, request.receive))

        return enter


async def _caller(request: Request) -> Principal:
    """In a thread only when the catalogue is asked: a hop costs more than all the rest of it."""
    access, authorization = house_behind(request).access, request.headers.get("authorization")
    recognised = access.recognised(authorization)
    return await to_thread.run_sync(access.principal, authorization) if recognised is None else recognised


class _JsonRequest(Request):
    """A request whose body is read as `read_json` does, by the framework too."""

    async def json(self) -> Any:
        return read_json(await self.body())


def read_json(body: bytes) -> Any:
    """JSON in UTF-8 (RFC 8259, section 8.1; a byte order mark is let pass). Raises `JSONDecodeError`, whatever is
    wrong with it: that is the one error of a body that the framework makes a problem of."""
    try:
        return json.loads(body.decode("utf-8-sig"))
    except JSONDecodeError:
        raise
    except UnicodeDecodeError as error:
        raise JSONDecodeError("not in UTF-8", "", error.start) from error
    except RecursionError as error:
        raise JSONDecodeError("nested too deeply", "", 0) from error
    except ValueError as error:  # a limit of Python's own: a number of more than 4,300 digits takes too long to read
        raise JSONDecodeError("a number in it has too many digits", "", 0) from error
