"""A web server of the test that gives out files: with ranges or without, whole or cut off, the same or another."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class File:
    """One file, and how the server treats those who ask for it."""

    body: bytes
    etag: str | None = '"v1"'
    ranges: bool = True
    length: bool = True
    """Says how long it is."""

    cuts: list[int] = field(default_factory=list)
    """For each of the next answers, after how many bytes the connection ends."""

    stall: threading.Event | None = None
    """Instead of ending a connection early, wait for this."""

    busy: int = 0
    """So many of the next requests get 503."""

    headers: dict[str, str] = field(default_factory=dict)
    redirect: str | None = None
    status: int | None = None
    """An answer without a body, whatever is asked."""


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    headers: dict[str, str]

    @property
    def range(self) -> str | None:
        return self.headers.get("range")


class FileServer:
    """Files by path; `asked` has every request in order."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.files: dict[str, File] = {}
        self.asked: list[Asked] = []
        self.on_request: Callable[[Asked], None] = lambda _: None

    def gets(self) -> list[str | None]:
        """The range of each GET."""
        return [asked.range for asked in self.asked if asked.method == "GET"]


@contextmanager
def file_server() -> Iterator[FileServer]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_HEAD(self) -> None:
            _answer(self, server)

        def do_GET(self) -> None:
            _answer(self, server)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    class Server(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up is what some tests are about."""

    http = Server(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = FileServer(http.server_address[1])
    thread = threading.Thread(target=http.serve_forever, args=[0.01], daemon=True)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join(5)


def _answer(handler: BaseHTTPRequestHandler, server: FileServer) -> None:
    headers = {name.lower(): value for name, value in handler.headers.items()}
    asked = Asked(handler.command, handler.path, headers)
    server.asked.append(asked)
    server.on_request(asked)
    file = server.files.get(handler.path)
    if file is None:
        _send(handler, 404, {"content-length": "0"})
    elif file.busy:
        file.busy -= 1
        _send(handler, 503, {"content-length": "0"})
    elif file.status is not None:
        _send(handler, file.status, {"content-length": "0"} | file.headers)
    elif file.redirect is not None:
        _send(handler, 302, {"location": file.redirect, "content-length": "0"} | file.headers)
    else:
        _send_file(handler, file, headers)


def _send_file(handler: BaseHTTPRequestHandler, file: File, headers: dict[str, str]) -> None:
    body, status = file.body, 200
    given = dict(file.headers) | ({"etag": file.etag} if file.etag else {})
    wanted = headers.get("range", "")
    if wanted and file.ranges and headers.get("if-range", file.etag) == file.etag:
        begin = int(wanted.removeprefix("bytes=").rstrip("-"))
        if begin >= len(body):
            _send(handler, 416, {"content-range": f"bytes */{len(body)}", "content-length": "0"})
            return
        given["content-range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        body, status = body[begin:], 206
    given |= {"content-length": str(len(body))} if file.length else {"connection": "close"}
    cut = file.cuts.pop(0) if file.cuts and handler.command == "GET" else None
    _send(handler, status, given)
    if handler.command == "GET":
        handler.wfile.write(body[:cut])
    if cut is not None and file.stall is not None:
        handler.wfile.flush()
        file.stall.wait(60)
    if cut is not None or not file.length:
        handler.wfile.flush()
        handler.close_connection = True


def _send(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()
