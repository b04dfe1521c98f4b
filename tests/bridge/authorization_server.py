"""An MCP server that wants a login, and the strict authorization server that gives it, on one loopback port."""

import base64
import hashlib
import json
import secrets
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit
from urllib.request import urlopen


class Guarded(ThreadingHTTPServer):
    """Keeps the rules of OAuth 2.1: registration, PKCE, codes and renewals that work once, tokens for one server."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answers)
        self.clients: dict[str, dict] = {"known": {"redirect_uris": None, "client_secret": "s3cret"}}
        self.codes: dict[str, dict] = {}
        self.access: set[str] = set()
        self.renewals: set[str] = set()
        self.token_requests: list[str] = []
        self.revoked: list[str] = []
        self.expires_in = 3600
        self.registers = True
        self.reads_metadata_documents = False
        self.denies = False
        self.wrong_state = False
        self.calls = 0
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def url(self) -> str:
        return f"{self.origin}/mcp"

    def end_all_tokens(self) -> None:
        self.access.clear()

    def tokens(self) -> dict:
        access, renewal = secrets.token_hex(8), secrets.token_hex(8)
        self.access.add(access)
        self.renewals.add(renewal)
        return {
            "access_token": access,
            "token_type": "bearer",
            "expires_in": self.expires_in,
            "refresh_token": renewal,
        }


def browse(url: str) -> str:
    """Do what the browser of a willing person does; return the page that it ends at."""
    with urlopen(url) as page:
        return page.read().decode()


class Answers(BaseHTTPRequestHandler):
    server: Guarded

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(url.query).items()}
        origin = self.server.origin
        if url.path == "/.well-known/oauth-protected-resource/mcp":
            self._json({"resource": self.server.url, "authorization_servers": [f"{origin}/as"]})
        elif url.path == "/.well-known/oauth-authorization-server/as":
            self._json(
                {
                    "issuer": f"{origin}/as",
                    "authorization_endpoint": f"{origin}/authorize",
                    "token_endpoint": f"{origin}/elsewhere/token",
                    "revocation_endpoint": f"{origin}/revoke",
                    "code_challenge_methods_supported": ["S256"],
                    "client_id_metadata_document_supported": self.server.reads_metadata_documents,
                    **({"registration_endpoint": f"{origin}/register"} if self.server.registers else {}),
                }
            )
        elif url.path == "/authorize":
            self._authorize(given)
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"] or 0))
        if self.path == "/mcp":
            self._mcp(json.loads(body))
        elif self.path == "/register" and self.server.registers:
            client = {"client_id": secrets.token_hex(4), **json.loads(body)}
            self.server.clients[client["client_id"]] = client
            self._json(client, 201)
        elif self.path == "/elsewhere/token":
            self._token({name: values[0] for name, values in parse_qs(body.decode()).items()})
        elif self.path == "/revoke":
            self.server.revoked.append(parse_qs(body.decode())["token"][0])
            self._json({})
        else:
            self.send_error(404)

    def _authorize(self, given: dict) -> None:
        client = self.server.clients.get(given["client_id"])
        document = given["client_id"].startswith("https://") and self.server.reads_metadata_documents
        assert client or document, "an unknown client"
        if client and client["redirect_uris"] is not None:
            assert given["redirect_uri"] in client["redirect_uris"]
        assert given["redirect_uri"].startswith("http://127.0.0.1:")
        assert (given["response_type"], given["code_challenge_method"]) == ("code", "S256")
        assert given["resource"] == self.server.url
        code = secrets.token_hex(8)
        self.server.codes[code] = given
        answer = {"error": "access_denied", "error_description": "not you"} if self.server.denies else {"code": code}
        state = "made up" if self.server.wrong_state else given["state"]
        self.send_response(302)
        self.send_header("location", f"{given['redirect_uri']}?{urlencode({**answer, 'state': state})}")
        self.end_headers()

    def _token(self, given: dict) -> None:
        self.server.token_requests.append(given["grant_type"])
        if given["client_id"] == "known":
            assert given["client_secret"] == "s3cret"
        if given["grant_type"] == "authorization_code":
            asked = self.server.codes.pop(given["code"], None)
            proof = base64.urlsafe_b64encode(hashlib.sha256(given["code_verifier"].encode()).digest()).decode()
            good = (
                asked is not None
                and proof.rstrip("=") == asked["code_challenge"]
                and all(given[key] == asked[key] for key in ("client_id", "redirect_uri", "resource"))
            )
        else:
            good = given["refresh_token"] in self.server.renewals and given["resource"] == self.server.url
            self.server.renewals.discard(given["refresh_token"])
        if good:
            self._json(self.server.tokens())
        else:
            self._json({"error": "invalid_grant"}, 400)

    def _mcp(self, message: dict) -> None:
        if self.headers["authorization"] not in {f"Bearer {token}" for token in self.server.access}:
            where = f'Bearer resource_metadata="{self.server.origin}/.well-known/oauth-protected-resource/mcp"'
            self._json({"error": "invalid_token"}, 401, **{"www-authenticate": where})
        elif "id" not in message:
            self.send_response(202)
            self.send_header("content-length", "0")
            self.end_headers()
        elif message["method"] == "tools/call":
            self.server.calls += 1
            self._result(message, {"content": [{"type": "text", "text": "done"}]})
        elif message["method"] == "initialize":
            result = {"protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "g", "version": "1"}}
            self._result(message, result)
        elif message["method"] == "tools/list":
            self._result(message, {"tools": [{"name": "do", "inputSchema": {"type": "object"}}]})
        else:
            error = {"code": -32601, "message": "Method not found"}
            self._json({"jsonrpc": "2.0", "id": message["id"], "error": error})

    def _result(self, message: dict, result: dict) -> None:
        self._json({"jsonrpc": "2.0", "id": message["id"], "result": result})

    def _json(self, value: dict, status: int = 200, **headers: str) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"content-type": "application/json", "content-length": str(len(body)), **headers}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass
