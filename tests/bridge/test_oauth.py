"""Logging in to a server behind a URL, and staying logged in."""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.error import HTTPError

import anyio
import anyio.to_thread
import keyring
import keyring.backend
import keyring.backends.fail
import pytest
from anyio import fail_after

from bridge.authorization_server import Guarded, browse  # noqa: TID251  # a folder of tests
from planact_bridge import Downstream, Eras, HttpSpec, OAuthClient, ServerFiles
from planact_bridge.oauth import Credentials, KeptLogin
from planact_bridge.oauth.login import LoginError, log_in, log_out
from planact_tools import ToolCall, ToolError

DO = ToolCall(name="do", arguments={})


class Shelf(keyring.backend.KeyringBackend):
    """A keyring that takes texts up to a length."""

    priority = 1

    def __init__(self, most: int = 10_000) -> None:
        super().__init__()
        self.most = most
        self.kept: dict[tuple[str, str], str] = {}

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if len(password) > self.most:
            raise OSError("too long")
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        del self.kept[service, username]


@pytest.fixture(autouse=True)
def shelf() -> Iterator[Shelf]:
    """The keyring of the test's own, never the person's."""
    before = keyring.get_keyring()
    keyring.set_keyring(shelf := Shelf())
    yield shelf
    keyring.set_keyring(before)


@pytest.fixture
def guarded() -> Iterator[Guarded]:
    server = Guarded()
    yield server
    server.shutdown()
    server.server_close()


async def visit(url: str) -> None:
    await anyio.to_thread.run_sync(browse, url)


async def login_to(server: Guarded, files: ServerFiles, **options: object) -> KeptLogin:
    with fail_after(20):
        spec = HttpSpec(name=files.name, url=server.url, oauth=OAuthClient(**options))  # type: ignore[arg-type]
        kept = KeptLogin(files, server.url)
        kept.save(await log_in(spec, send_to=visit))
    return kept


def downstream(server: Guarded, files: ServerFiles) -> Downstream:
    spec = HttpSpec(name=files.name, url=server.url)
    return Downstream(spec, files=files, eras=Eras({spec.identity: "handshake"}))


@pytest.fixture
def files(tmp_path: Path) -> ServerFiles:
    return ServerFiles(tmp_path / "servers", "locked")


async def test_a_login_is_made_once_and_used_from_then_on(guarded: Guarded, files: ServerFiles) -> None:
    await login_to(guarded, files)
    server = downstream(guarded, files)
    with fail_after(20):
        assert (await server.call(DO)).value == "done"
        await server.aclose()
    assert guarded.token_requests == ["authorization_code"]


@pytest.mark.parametrize("how", ["over_time", "refused"])
async def test_a_token_that_has_ended_is_renewed_once_for_all_calls_and_kept(
    guarded: Guarded, files: ServerFiles, how: str
) -> None:
    kept = await login_to(guarded, files)
    if how == "over_time":
        kept.save(replace(kept.load(), expires_at=time.time() - 1))
    server = downstream(guarded, files)
    with fail_after(20):
        await server.connect()
        guarded.end_all_tokens()
        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(server.call, DO)
        await server.aclose()
    assert guarded.calls == 5
    assert guarded.token_requests.count("refresh_token") == (2 if how == "over_time" else 1)
    assert kept.load().access_token in guarded.access


async def test_what_another_process_renewed_is_taken_over(guarded: Guarded, files: ServerFiles) -> None:
    kept = await login_to(guarded, files)
    servers = [downstream(guarded, files) for _ in range(2)]
    with fail_after(20):
        for server in servers:
            await server.connect()
        guarded.end_all_tokens()
        for server in servers:
            assert (await server.call(DO)).value == "done"
            await server.aclose()
    assert guarded.token_requests == ["authorization_code", "refresh_token"]
    assert kept.load().access_token in guarded.access


async def test_without_a_login_the_error_says_which_command_makes_one(guarded: Guarded, files: ServerFiles) -> None:
    server = downstream(guarded, files)
    with fail_after(20), pytest.raises(ToolError) as caught:
        await server.call(DO)
    assert caught.value.message == (
        "Server 'locked' did not start: it answered 'initialize' with an error: HTTP 401 Unauthorized; "
        "log in with `planact servers login locked`, or give 'headers' (code -32603)."
    )
    await login_to(guarded, files)
    files.want_restart()
    with fail_after(20):
        assert (await server.call(DO)).value == "done", "a login is noticed while the server is in use"
        await server.aclose()


async def test_a_login_that_ended_for_good_during_use_is_said_to_have(guarded: Guarded, files: ServerFiles) -> None:
    await login_to(guarded, files)
    server = downstream(guarded, files)
    with fail_after(20):
        await server.connect()
        guarded.end_all_tokens()
        guarded.renewals.clear()
        with pytest.raises(ToolError, match="planact servers login locked"):
            await server.call(DO)
        await server.aclose()
    assert guarded.calls == 0


async def test_a_client_that_was_registered_by_hand_is_used(guarded: Guarded, files: ServerFiles) -> None:
    guarded.registers = False
    await login_to(guarded, files, client_id="known", client_secret="s3cret")
    server = downstream(guarded, files)
    guarded.end_all_tokens()
    with fail_after(20):
        assert (await server.call(DO)).value == "done", "renewed with the secret too"
        await server.aclose()


async def test_a_client_metadata_document_takes_the_place_of_registration(guarded: Guarded, files: ServerFiles) -> None:
    guarded.reads_metadata_documents = True
    kept = await login_to(guarded, files, client_metadata_url="https://planact.example/client.json")
    assert kept.load().client_id == "https://planact.example/client.json"
    assert list(guarded.clients) == ["known"]


async def test_a_refusal_by_the_person_is_reported_in_the_server_s_words(guarded: Guarded, files: ServerFiles) -> None:
    guarded.denies = True
    with pytest.raises(LoginError) as caught:
        await login_to(guarded, files)
    assert caught.value.message == (
        "No login to server 'locked': the authorization server refused: access_denied: not you."
    )


async def test_an_answer_with_another_state_is_no_answer(guarded: Guarded, files: ServerFiles, monkeypatch) -> None:
    monkeypatch.setattr("planact_bridge.oauth.login.LOGIN_SECONDS", 0.6)
    guarded.wrong_state = True
    refused: list[int] = []

    async def send_to(url: str) -> None:
        try:
            await visit(url)
        except HTTPError as error:
            refused.append(error.code)
            error.close()

    with fail_after(20), pytest.raises(LoginError, match="nobody logged in within"):
        await log_in(HttpSpec(name="locked", url=guarded.url), send_to=send_to)
    assert refused == [400]
    assert guarded.token_requests == []


async def test_tokens_for_another_server_are_not_asked_for(guarded: Guarded) -> None:
    spec = HttpSpec(name="other", url=f"{guarded.origin}/other")
    with fail_after(20), pytest.raises(LoginError, match="No login to server 'other': it asks for no login"):
        await log_in(spec, send_to=visit)


async def test_a_login_is_in_the_keyring_and_nowhere_else(guarded: Guarded, files: ServerFiles, shelf: Shelf) -> None:
    kept = await login_to(guarded, files)
    assert json.loads(files.login.read_text()) == {"url": guarded.url, "kept": "keyring"}
    assert list(shelf.kept) == [("planact", f"locked {guarded.url}")]
    kept.forget()
    assert (shelf.kept, kept.load(), files.login.exists()) == ({}, None, False)


@pytest.mark.parametrize("backend", [Shelf(most=10), keyring.backends.fail.Keyring()], ids=["small", "none"])
async def test_where_no_keyring_takes_it_a_login_is_in_a_file_of_the_user_s(files: ServerFiles, backend) -> None:
    keyring.set_keyring(backend)
    credentials = Credentials(access_token="secret", token_endpoint="https://as/token", client_id="c", expires_at=1.0)
    kept = KeptLogin(files, "https://h/mcp")
    assert kept.save(credentials) == "file"
    assert kept.load() == credentials
    if sys.platform != "win32":
        assert files.login.stat().st_mode & 0o777 == 0o600
    assert "secret" not in repr(credentials)


def test_a_login_is_not_for_another_url_under_the_same_name(files: ServerFiles) -> None:
    credentials = Credentials(access_token="secret", token_endpoint="https://as/token", client_id="c")
    KeptLogin(files, "https://h/mcp").save(credentials)
    assert KeptLogin(files, "https://evil/mcp").load() is None


def test_a_damaged_login_counts_as_none(files: ServerFiles) -> None:
    kept = KeptLogin(files, "https://h/mcp")
    for damage in ("", "[]", '{"url": "https://h/mcp", "kept": "file", "credentials": {"access_token": 5}}'):
        files.login.parent.mkdir(exist_ok=True)
        files.login.write_text(damage)
        assert kept.load() is None


async def test_logging_out_tells_the_authorization_server(guarded: Guarded, files: ServerFiles) -> None:
    kept = await login_to(guarded, files)
    credentials = kept.load()
    with fail_after(20):
        await log_out(credentials)
    assert guarded.revoked == [credentials.refresh_token]
