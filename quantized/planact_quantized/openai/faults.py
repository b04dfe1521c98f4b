"""What can go wrong with a model server, in sentences that name it and say what to do.

Pure: a status, words and an exception in, a `BackendError` out. Whatever is quoted from a server is freed of the
key first: some repeat it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import httpx2

from planact_quantized.backend import BackendError
from planact_quantized.openai.foreign_json import at, number_at, text_at

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

QUOTED_CHARS = 300
_CONTEXT_WORDS = ("exceed_context", "context length", "context_length", "context size", "context window", "n_ctx")


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Words for the faults of one server."""

    server: str
    """Its base URL, as people may see it."""

    key: str | None = None
    """Never quoted."""

    model: str = ""
    models: Sequence[str] = ()
    """What the server says it has."""

    def status(self, status: int, body: str, headers: Mapping[str, str]) -> BackendError:
        """Return the error for an answer that is none."""
        said = self._quote(words(body))
        if status in (401, 403):
            todo = "Set another `api_key` in [planner]" if self.key else "Set `api_key` in [planner]"
            return BackendError(
                f"The model server at {self.server} refused access ({status}){said}. {todo}.", fault="refused"
            )
        if status == 404:
            return self._not_found(body, said)
        if status == 429:
            wait = f" It asks to wait {headers['retry-after'][:20]} s." if "retry-after" in headers else ""
            return BackendError(
                f"The model server at {self.server} has too much to do (429){said}.{wait} Try again later.",
                fault="refused",
            )
        if _is_too_long(body):
            return self._too_long(said)
        if 300 <= status < 400:
            to = self._quote(headers.get("location", ""))
            return BackendError(
                f"The model server at {self.server} sends us elsewhere ({status}){to}. Set `base_url` in [planner]"
                " to where it really is.",
                fault="refused",
            )
        if status >= 500:
            return BackendError(
                f"The model server at {self.server} failed ({status}){said}. Its own log says why.", fault="crashed"
            )
        return BackendError(f"The model server at {self.server} said no ({status}){said}.", fault="refused")

    def in_stream(self, error: object) -> BackendError:
        """Return the error for one that a server sent in the middle of its answer."""
        text = error if isinstance(error, str) else json.dumps(error)
        status = number_at(error, "code") or number_at(error, "status_code")
        if 400 <= status < 600:
            return self.status(status, json.dumps({"error": error}), {})
        said = self._quote(text_at(error, "message") or text)
        if _is_too_long(text):
            return self._too_long(said)
        return BackendError(
            f"The model server at {self.server} failed in the middle of its answer{said}. Its own log says why.",
            fault="crashed",
        )

    def grammar(self, body: str) -> BackendError:
        """Return the error for a grammar that the server could not read."""
        said = self._quote(words(body))
        return BackendError(f"The model server at {self.server} does not take the grammar{said}.", fault="grammar")

    def transport(self, error: httpx2.RequestError) -> BackendError:
        """Return the error for a connection that failed."""
        said = self._quote(str(error) or type(error).__name__)
        match error:
            case httpx2.ConnectTimeout():
                text = f"{self.server} does not answer. Is the model server reachable from here?"
                return BackendError(text, fault="unavailable")
            case httpx2.ConnectError():
                text = f"Nothing answers at {self.server}{said}. Start the model server, or correct `base_url`."
                return BackendError(text, fault="unavailable")
            case httpx2.UnsupportedProtocol() | httpx2.LocalProtocolError():
                return BackendError(f"Nothing can be sent to {self.server}{said}.", fault="refused")
            case _:
                text = f"The model server at {self.server} hung up in the middle of its answer{said}. Try again."
                return BackendError(text, fault="protocol")

    def unreadable(self, what: str) -> BackendError:
        """Return the error for an answer in no shape that we know."""
        said = self._quote(what).removeprefix(": ")
        hint = " `base_url` usually ends in /v1." if "web page" in what else ""
        return BackendError(
            f"The model server at {self.server} answered with {said}, which is not what an OpenAI-compatible server"
            f" sends.{hint}",
            fault="protocol",
        )

    def half(self) -> BackendError:
        """Return the error for a stream that stopped without an end."""
        text = f"The answer of the model server at {self.server} broke off in the middle. Try again."
        return BackendError(text, fault="protocol")

    def late(self, what: str, seconds: float) -> BackendError:
        """Return the error for a server that took too long."""
        text = f"The model server at {self.server} sent {what} within {seconds:g} s. Is it still loading the model?"
        return BackendError(text, fault="timeout")

    def no_model(self) -> BackendError:
        text = f"The model server at {self.server} lists no model. Load one there, or set `model` in [planner]."
        return BackendError(text, fault="model")

    def _not_found(self, body: str, said: str) -> BackendError:
        if self.model and ("model" in body.lower() or (self.models and self.model not in self.models)):
            have = f" It has: {', '.join(self.models[:10])}." if self.models else ""
            text = (
                f"The model server at {self.server} has no model {self.model!r}{said}.{have} Set `model` in [planner]."
            )
            return BackendError(text, fault="model")
        text = (
            f"The model server at {self.server} has no chat endpoint there (404){said}. `base_url` usually ends in /v1."
        )
        return BackendError(text, fault="refused")

    def _too_long(self, said: str) -> BackendError:
        text = (
            f"The prompt is too long for the model at {self.server}{said}. Give it more context, or offer fewer tools."
        )
        return BackendError(text, fault="too_long")

    def _quote(self, text: str) -> str:
        """Return `: text`, on one line, short, and without the key; nothing for nothing."""
        if self.key:
            text = text.replace(self.key, "…")
        flat = " ".join(text.split()).rstrip(".")
        if not flat:
            return ""
        return f": {flat if len(flat) <= QUOTED_CHARS else flat[: QUOTED_CHARS - 1] + '…'}"


def words(body: str) -> str:
    """Return what the body of an error says, whichever shape it has; a web page says nothing."""
    try:
        parsed: object = json.loads(body)
    except (ValueError, RecursionError):
        return "" if body.lstrip()[:1] == "<" else body
    for path in (("error", "message"), ("error",), ("message",), ("detail",)):
        found = at(parsed, *path)
        if isinstance(found, str):
            return found
    return body


def _is_too_long(body: str) -> bool:
    lowered = body.lower()
    return any(word in lowered for word in _CONTEXT_WORDS)
