"""Asking the hub about a file: huggingface_hub itself, talking to a hub of the test."""

import hashlib
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from planact_quantized.models.download import RemoteFile, fetch
from planact_quantized.models.hub import HubError, by_hand, endpoint_in_force, look_up, page_url
from quantized.file_server import File, FileServer, file_server  # noqa: TID251 - a folder of tests

pytest.importorskip("huggingface_hub", reason="huggingface_hub is not installed")

BODY = b"GGUF" + bytes(range(256)) * 400
SHA256 = hashlib.sha256(BODY).hexdigest()
COMMIT = "c" * 40
REPOSITORY, FILE = "owner/models", "tiny.Q8_0.gguf"


@pytest.fixture(autouse=True)
def no_login(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Keep the user's own login out of it."""
    monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)


@pytest.fixture
def hub() -> Iterator[FileServer]:
    """A hub with one large file, kept elsewhere under its hash."""
    with file_server() as server, file_server() as storage:
        storage.files["/blob"] = File(BODY, etag='"storage"', cuts=[50_000])
        headers = {"x-repo-commit": COMMIT, "x-linked-etag": f'"{SHA256}"', "x-linked-size": str(len(BODY))}
        for revision in ("main", COMMIT):
            path = f"/{REPOSITORY}/resolve/{revision}/{FILE}"
            server.files[path] = File(b"", redirect=f"{storage.url}/blob", headers=headers)
        yield server


def refusal(hub: FileServer, status: int, code: str) -> str:
    """Have the hub refuse the file with one of its own codes, and return what is said about it."""
    hub.files[f"/{REPOSITORY}/resolve/main/{FILE}"] = File(b"", status=status, headers={"x-error-code": code})
    with pytest.raises(HubError) as raised:
        look_up(REPOSITORY, FILE, endpoint=hub.url)
    assert not raised.value.offline
    return str(raised.value)


def test_the_hub_gives_size_hash_and_a_commit_that_stays(hub: FileServer) -> None:
    found = look_up(REPOSITORY, FILE, endpoint=hub.url)
    assert (found.bytes, found.sha256, found.commit) == (len(BODY), SHA256, COMMIT)
    assert found.url == f"{hub.url}/{REPOSITORY}/resolve/{COMMIT}/{FILE}"


def test_what_was_looked_up_can_be_fetched_and_taken_up_again(hub: FileServer, tmp_path: Path) -> None:
    found = look_up(REPOSITORY, FILE, endpoint=hub.url)
    wanted = RemoteFile(url=found.url, sha256=found.sha256, bytes=found.bytes, headers=found.headers)
    fetched = fetch(wanted, tmp_path / FILE, pause=lambda _: None)
    assert fetched.sha256 == SHA256
    assert hub.gets() == [None, "bytes=50000-"]
    assert "planact" in hub.asked[-1].headers["user-agent"]


def test_a_login_goes_to_the_hub_and_not_to_where_it_keeps_the_file(
    hub: FileServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    found = look_up(REPOSITORY, FILE, endpoint=hub.url)
    fetch(RemoteFile(url=found.url, sha256=SHA256, headers=found.headers), tmp_path / FILE, pause=lambda _: None)
    assert {asked.headers.get("authorization") for asked in hub.asked} == {"Bearer hf_secret"}
    assert "hf_secret" not in repr(found)


def test_a_small_file_has_no_hash_to_check(hub: FileServer) -> None:
    hub.files[f"/{REPOSITORY}/resolve/main/{FILE}"] = File(BODY, etag='"abc"', headers={"x-repo-commit": COMMIT})
    found = look_up(REPOSITORY, FILE, endpoint=hub.url)
    assert (found.bytes, found.sha256) == (len(BODY), None)


def test_a_server_that_is_no_hub_is_noticed(hub: FileServer) -> None:
    hub.files[f"/{REPOSITORY}/resolve/main/{FILE}"] = File(BODY)
    with pytest.raises(HubError, match=r"does not answer like the hub. Is HF_ENDPOINT right"):
        look_up(REPOSITORY, FILE, endpoint=hub.url)


def test_each_refusal_says_what_to_do(hub: FileServer) -> None:
    assert "There is no repository 'owner/models'" in refusal(hub, 404, "RepoNotFound")
    assert "`hf auth login`" in refusal(hub, 403, "GatedRepo")
    assert f"There is no file '{REPOSITORY}/{FILE}'" in refusal(hub, 404, "EntryNotFound")
    assert "answers 500" in refusal(hub, 500, "")


def test_a_name_that_is_no_repository_is_refused(hub: FileServer) -> None:
    with pytest.raises(HubError, match="OWNER/NAME"):
        look_up("a--b/../c", FILE, endpoint=hub.url)


def test_nobody_there_is_offline() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        with pytest.raises(HubError, match="cannot be reached") as raised:
            look_up(REPOSITORY, FILE, endpoint=f"http://127.0.0.1:{nobody.getsockname()[1]}")
    assert raised.value.offline


def test_offline_mode_is_respected(hub: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="HF_HUB_OFFLINE") as raised:
        look_up(REPOSITORY, FILE, endpoint=hub.url)
    assert raised.value.offline
    assert hub.asked == []


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(HubError, match=r"pip install 'planact\[local\]'"):
        look_up(REPOSITORY, FILE)


def test_the_endpoint_is_the_one_given_then_that_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    assert endpoint_in_force() == "https://huggingface.co"
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/")
    assert endpoint_in_force() == "https://mirror.example"
    assert endpoint_in_force("https://given.example/") == "https://given.example"


def test_bringing_a_file_by_hand_is_two_steps() -> None:
    assert by_hand(page_url(REPOSITORY, FILE), FILE) == (
        "By hand: on a machine that can, download\n"
        "  https://huggingface.co/owner/models/resolve/main/tiny.Q8_0.gguf\n"
        "bring the file here, and then\n"
        "  planact models add tiny.Q8_0.gguf"
    )
