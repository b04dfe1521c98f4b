"""Texts as vectors, from a server on this machine that speaks the OpenAI protocol: llama-server, Ollama, others."""

from __future__ import annotations

import json
import time
from array import array
from typing import TYPE_CHECKING

from planact_quantized.openai.address import read_address
from planact_quantized.openai.foreign_json import list_at, number_at
from planact_server.meaning.ranker import EmbeddingError

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_BYTES = 64 * 1024 * 1024
"""Of one answer: a batch of the longest vectors in use, written out as text."""

LONGEST_VECTOR = 16_384
LARGEST = 1e15
"""Of a number in a vector: its square is still one that can be added up. A NaN is not less than it."""


class OpenAIEmbedder:
    """An `Embedder` over HTTP. Nothing is sent before the first text; may be used from several threads."""

    def __init__(self, base_url: str, *, model: str = "", api_key: str = "") -> None:
        """`base_url` as people write it; raises ValueError for what is no address."""
        self._address = read_address(base_url)
        self._model = model
        self._headers = {"authorization": f"Bearer {api_key}"} if api_key else {}

    def embed(self, texts: Sequence[str], *, seconds: float) -> list[array[float]]:
        """Return one vector per text, all of one length. Raises EmbeddingError."""
        body = {"input": list(texts), **({"model": self._model} if self._model else {})}
        for base in self._address.bases:
            status, answer = self._post(f"{base}/embeddings", body, seconds=seconds)
            if status == 200:
                return self._vectors(answer, len(texts))
            if status != 404:
                raise EmbeddingError(
                    f"{self._address.shown} answers {status} where it has embeddings: {answer[:200]!r}"
                )
        raise EmbeddingError(f"{self._address.shown} has no page for embeddings. Is an embedding model loaded there?")

    def _post(self, url: str, body: object, *, seconds: float) -> tuple[int, bytes]:
        # A client for HTTP takes a while to load, and most processes never need this one.
        import httpx2  # noqa: PLC0415

        until = time.monotonic() + seconds
        found = bytearray()
        try:
            with (
                httpx2.Client(timeout=seconds, trust_env=False, follow_redirects=False) as http,
                http.stream("POST", url, json=body, headers=self._headers) as response,
            ):
                for piece in response.iter_bytes():
                    found += piece
                    if len(found) > MOST_BYTES or time.monotonic() > until:
                        raise EmbeddingError(f"{self._address.shown} takes too long over embeddings, or has too many.")
                return response.status_code, bytes(found)
        except (httpx2.HTTPError, OSError) as error:
            reason = str(error) or type(error).__name__
            raise EmbeddingError(f"{self._address.shown} gives no embeddings: {reason}") from error

    def _vectors(self, answer: bytes, count: int) -> list[array[float]]:
        try:
            items = list_at(json.loads(answer), "data")
        except (ValueError, RecursionError):
            items = []
        placed = {number_at(item, "index"): _vector(list_at(item, "embedding")) for item in items}
        vectors = [placed.get(number, _NONE) for number in range(count)]
        if len({len(vector) for vector in vectors}) != 1 or not vectors[0]:
            raise EmbeddingError(f"{self._address.shown} does not answer with one vector for each of {count} texts.")
        return vectors


_NONE: array[float] = array("f")


def _vector(numbers: list[object]) -> array[float]:
    """Return the numbers as a vector; an empty one where not all of them are numbers that can be reckoned with."""
    usable = [float(number) for number in numbers if isinstance(number, int | float) and abs(number) < LARGEST]
    return array("f", usable) if len(usable) == len(numbers) <= LONGEST_VECTOR else _NONE
