"""Generator over any chat model that LangChain's `init_chat_model` knows: the only door to LangChain.

The default provider is `openai` with a `base_url`: any server that speaks OpenAI's chat completions. The model is
given no tools. The stream is read by a thread of its own, so that silence is noticed whatever the vendor's library
does with its time-outs: a `stall_s` between two deltas and a `timeout_s` for the whole both end the generation.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from typing import Any

from langchain.chat_models import init_chat_model
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessageChunk, BaseMessage, HumanMessage, SystemMessage

from retrieval.errors import GeneratorUnavailable
from summarize.generation import GenerationRequest, GenerationUsage
from summarize.prompts import NO_ANSWER, prompt

# What system prompt, fences, titles and question take of the context window beside the passages.
PROMPT_TOKENS = 600
# Passages are counted in the embedding model's word pieces; a chat model's tokenizer needs up to a quarter more.
TOKEN_RATIO = 0.8
# A model that ignores its output limit is cut off at this many characters a token: no tokenizer averages more.
CHARACTERS_A_TOKEN = 8
# Deltas waiting for a slow reader; a full buffer stops the reading of the stream, and with it the model.
BUFFER = 64
_MISCONFIGURED = {
    400: "refused the request: check the generator's model name and context size",
    401: "refused the credentials: check the generator's API key",
    403: "refused the credentials: check the generator's API key",
    404: "does not know this address or model: check the generator's base URL and model name",
    422: "refused the request: check the generator's model name and context size",
}


class LangChainGenerator:
    """One chat model. Safe for several threads at once; each generation has its own stream.

    `context_tokens` is the model's context window. Raises at construction, as LangChain does (`ImportError`,
    `ValueError`), when the provider is not known or not installed.
    """

    def __init__(
        self,
        *,
        model: str,
        provider: str = "openai",
        base_url: str | None = None,
        api_key: str | None = None,
        timeout_s: float = 120.0,
        stall_s: float = 30.0,
        context_tokens: int = 8192,
        max_output_tokens: int = 1024,
        temperature: float = 0.0,
    ) -> None:
        given: dict[str, Any] = {"base_url": base_url, "api_key": api_key}
        if provider == "openai" and base_url is not None and api_key is None:
            given["api_key"] = "none"  # a server of one's own needs none, but the client insists on a value
        self._model: BaseChatModel = init_chat_model(
            model,
            model_provider=provider,
            temperature=temperature,
            timeout=stall_s,
            max_retries=0,
            max_tokens=max_output_tokens,
            **{key: value for key, value in given.items() if value is not None},
        )
        self._name = f"{provider}:{model}"
        self._timeout_s = timeout_s
        self._stall_s = stall_s
        self._longest = max_output_tokens * CHARACTERS_A_TOKEN
        self._context_tokens = max(256, int((context_tokens - max_output_tokens - PROMPT_TOKENS) * TOKEN_RATIO))

    @property
    def name(self) -> str:
        return self._name

    @property
    def context_tokens(self) -> int:
        return self._context_tokens

    def generate(self, request: GenerationRequest) -> ChatGeneration:
        asked = prompt(request)
        messages = [SystemMessage(asked.system), HumanMessage(asked.user)]
        return ChatGeneration(
            self._model, messages, timeout_s=self._timeout_s, stall_s=self._stall_s, longest=self._longest
        )


class ChatGeneration:
    """One running generation. Nothing is sent before it is iterated; it can be iterated once."""

    def __init__(
        self, model: BaseChatModel, messages: list[BaseMessage], *, timeout_s: float, stall_s: float, longest: int
    ) -> None:
        self._model = model
        self._messages = messages
        self._timeout_s = timeout_s
        self._stall_s = stall_s
        self._longest = longest
        self._deltas: queue.Queue[AIMessageChunk | Exception | None] = queue.Queue(maxsize=BUFFER)
        self._cancelled = threading.Event()
        self._usage = GenerationUsage(None, None, 0)
        self._finished = False

    @property
    def usage(self) -> GenerationUsage:
        return self._usage

    def close(self) -> None:
        self._cancelled.set()

    def __iter__(self) -> Iterator[str]:
        """Deltas of the text. A lone NO_ANSWER yields nothing. Raises `GeneratorUnavailable`."""
        self._usage = GenerationUsage(None, None, 1)
        threading.Thread(target=self._read, name="chat-stream", daemon=True).start()
        try:
            yield from _without_refusal(self._texts())
        finally:
            self.close()

    def _texts(self) -> Iterator[str]:
        ends = time.monotonic() + self._timeout_s
        written = 0
        while not self._cancelled.is_set() and (delta := self._next(ends)) is not None:
            self._count(delta)
            text = str(delta.text)
            written += len(text)
            yield text
            if written > self._longest:
                return
        if not (self._finished or self._cancelled.is_set()):
            raise GeneratorUnavailable("The model that writes answers stopped in the middle of its reply.")

    def _next(self, ends: float) -> AIMessageChunk | None:
        """The next delta, None at the end. Waits no longer than a stall, nor beyond the end of the time."""
        left = ends - time.monotonic()
        if left > 0:
            try:
                delta = self._deltas.get(timeout=min(left, self._stall_s))
            except queue.Empty:
                left = ends - time.monotonic()
            else:
                if isinstance(delta, Exception):
                    raise GeneratorUnavailable(_sentence(delta)) from delta
                return delta
        if left <= 0:
            raise GeneratorUnavailable(f"The model that writes answers was not done after {self._timeout_s:g} s.")
        raise GeneratorUnavailable(f"The model that writes answers fell silent for {self._stall_s:g} s.")

    def _read(self) -> None:
        """Runs in its own thread: from the stream into the buffer, until the end, a failure or `close`."""
        try:
            with closing(self._model.stream(self._messages)) as stream:  # type: ignore[type-var]
                for delta in stream:
                    if not self._put(delta):
                        return
        # Every provider raises its own classes, which this module cannot name without importing them all; whatever
        # comes out of the vendor's call is a failure of the endpoint to answer.
        except Exception as error:
            self._put(error)
        else:
            self._put(None)

    def _put(self, item: AIMessageChunk | Exception | None) -> bool:
        """False once cancelled."""
        while not self._cancelled.is_set():
            try:
                self._deltas.put(item, timeout=0.1)
            except queue.Full:
                continue
            return True
        return False

    def _count(self, delta: AIMessageChunk) -> None:
        # Every provider says why it stopped (finish_reason, stop_reason, done_reason, stopReason). A connection that
        # merely ended, or a server that sent no choice at all, does not.
        self._finished |= any("reason" in key.casefold() and value for key, value in delta.response_metadata.items())
        usage = delta.usage_metadata
        if usage is not None:
            self._usage = GenerationUsage(
                (self._usage.prompt_tokens or 0) + usage["input_tokens"],
                (self._usage.completion_tokens or 0) + usage["output_tokens"],
                1,
            )


def _without_refusal(texts: Iterator[str]) -> Iterator[str]:
    """Holds back while the text may still be a refusal; yields nothing when it is one."""
    held = ""
    for text in texts:
        held += text
        start = held.lstrip(" \n\t*_`\"'[(")
        if NO_ANSWER.startswith(start[: len(NO_ANSWER)]):
            continue
        yield held
        held = ""
        yield from texts
        return
    if held and NO_ANSWER not in held:
        yield held


def _sentence(error: Exception) -> str:
    """What went wrong, in a sentence without the vendor's text, which may hold parts of the prompt."""
    status = getattr(error, "status_code", None) or getattr(getattr(error, "response", None), "status_code", None)
    kind = type(error).__name__
    if isinstance(status, int):
        remedy = _MISCONFIGURED.get(status)
        if remedy is not None:
            return f"The model that writes answers {remedy} (HTTP {status})."
        state = "is busy" if status == 429 else "failed"
        return f"The model that writes answers {state} (HTTP {status})."
    if "Timeout" in kind:
        return "The model that writes answers did not answer in time."
    if "Connect" in kind:
        return "The model that writes answers cannot be reached."
    return f"The model that writes answers sent something that cannot be read ({kind})."
