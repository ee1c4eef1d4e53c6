"""Retrying: whether a call that failed is made again, and after how long."""

from __future__ import annotations

import random
from dataclasses import dataclass

import httpx2

from ragstone.errors import ApiError

# These say that nothing was done, so that any call may be made again.
_NOTHING_DONE = frozenset({429, 503, 507})
# These come from what stands between, which does not know what was done.
_GATEWAY = frozenset({502, 504})


@dataclass(frozen=True, slots=True)
class Retrying:
    """`attempts` in all, the first one included: 1 means never again. Before attempt n + 1 it rests between half and
    all of `first_s` · 2ⁿ⁻¹ seconds, at most `longest_s`, and never less than the server's Retry-After; a server that
    wants to be left alone for more than `longest_s` is not waited for."""

    attempts: int = 5
    first_s: float = 0.25
    longest_s: float = 30.0

    def rest_s(self, failed: int, error: Exception, *, repeatable: bool) -> float | None:
        """Seconds to rest after `failed` attempts, the last of which ended with `error`; None when that was the last.

        `repeatable`: making the call twice does what making it once does.
        """
        if failed >= self.attempts or not may_work_later(error, repeatable=repeatable):
            return None
        # Half of it is random, so that clients that failed together do not come back together.
        rest = min(self.longest_s, self.first_s * 2.0 ** (failed - 1)) * random.uniform(0.5, 1.0)
        asked = error.retry_after_s if isinstance(error, ApiError) else None
        if asked is None:
            return rest
        return None if asked > self.longest_s else max(asked, rest)


def may_work_later(error: Exception, *, repeatable: bool) -> bool:
    match error:
        case ApiError(problem=problem):
            if problem.status in _NOTHING_DONE:
                return True
            return repeatable and (problem.retryable or problem.status in _GATEWAY)
        case httpx2.ConnectError() | httpx2.ConnectTimeout() | httpx2.PoolTimeout():
            return True  # nothing was sent
        case httpx2.UnsupportedProtocol() | httpx2.LocalProtocolError():
            return False  # it is ours that is wrong
        case httpx2.TimeoutException():
            return False  # what took this long would take it again
        case httpx2.TransportError():
            return repeatable
        case _:
            return False
