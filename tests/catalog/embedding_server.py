"""A server of embeddings on loopback: what a text is about decides its vector, and every request is kept."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

TOPICS = (("money", "euros", "invoice", "wealth"), ("cat", "dog", "pets"), ("rain", "sky", "outside"))


def about(text: str) -> list[float]:
    """Return how much of each topic is in a text, and a little of everything."""
    return [sum(text.lower().count(word) for word in words) + 0.1 for words in TOPICS]


def embeddings(request: dict[str, Any]) -> tuple[int, bytes]:
    """Answer as servers do, the vectors in no certain order."""
    rows = [{"index": index, "embedding": about(text)} for index, text in enumerate(request["input"])]
    return 200, json.dumps({"data": rows[::-1]}).encode()


@dataclass
class EmbeddingServer:
    """What was asked of the server, and how it answers."""

    url: str
    answer: Callable[[dict[str, Any]], tuple[int, bytes]] = embeddings
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    keys: list[str | None] = field(default_factory=list["str | None"])

    @property
    def texts(self) -> list[str]:
        return [text for request in self.asked for text in request["input"]]


@contextmanager
def embedding_server(path: str = "/v1/embeddings") -> Iterator[EmbeddingServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            status, answer = 404, b"{}"
            if self.path == path:
                served.asked.append(body)
                served.keys.append(self.headers["authorization"])
                status, answer = served.answer(body)
            self.send_response(status)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, format: str, *args: object) -> None:
            """Tests are quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        served = EmbeddingServer(url=f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield served
        finally:
            server.shutdown()
            thread.join()
