"""Fetching a large file: every way in which a server or a line can let one down."""

import hashlib
import random
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from planact_quantized.models import large_files
from planact_quantized.models.download import DownloadError, Fetched, RemoteFile, fetch
from planact_quantized.models.large_files import NoSpaceError
from planact_quantized.models.partial import partial_path
from quantized.file_server import File, FileServer, file_server  # noqa: TID251 - a folder of tests

BODY = random.Random(1).randbytes(300_000)
OTHER = random.Random(2).randbytes(300_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with file_server() as server:
        server.files["/m"] = File(BODY)
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "m.gguf"


def get(
    server: FileServer, target: Path, *, sha256: str | None = None, size: int | None = None, path: str = "/m"
) -> Fetched:
    return fetch(RemoteFile(url=server.url + path, sha256=sha256, bytes=size), target, pause=lambda _: None)


def left(target: Path) -> list[str]:
    """What lies in the folder, locks aside."""
    return sorted(path.name for path in target.parent.iterdir() if path.suffix != ".lock")


def begin(server: FileServer, target: Path, size: int, *, sha256: str | None = None) -> None:
    """Have a first try end after so many bytes, for good."""
    file = server.files["/m"]
    file.cuts = [size]

    def give_up(_: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(RemoteFile(url=f"{server.url}/m", sha256=sha256), target, pause=give_up)
    assert left(target) == ["m.gguf.partial", "m.gguf.partial.json"]
    server.asked.clear()


def test_a_file_arrives_whole_and_nothing_else_stays(server: FileServer, target: Path) -> None:
    fetched = get(server, target, sha256=SHA256, size=len(BODY))
    assert fetched == Fetched(path=target, bytes=len(BODY), sha256=SHA256, resumed_at=0)
    assert target.read_bytes() == BODY
    assert left(target) == ["m.gguf"]


def test_progress_is_told_up_to_the_end(server: FileServer, target: Path) -> None:
    told: list[tuple[int, int | None]] = []
    fetch(RemoteFile(url=f"{server.url}/m"), target, report=lambda done, total: told.append((done, total)))
    assert told[-1] == (len(BODY), len(BODY))
    assert told == sorted(told)


def test_a_broken_connection_is_taken_up_where_it_broke(server: FileServer, target: Path) -> None:
    server.files["/m"].cuts = [100_000, 50_000]
    pauses: list[float] = []
    said: list[str] = []
    fetch(RemoteFile(url=f"{server.url}/m"), target, say=said.append, pause=pauses.append)
    assert target.read_bytes() == BODY
    assert server.gets() == [None, "bytes=100000-", "bytes=150000-"]
    assert len(pauses) == len(said) == 2
    assert "100 kB on" in said[0]


def test_another_process_goes_on_from_what_is_there(server: FileServer, target: Path) -> None:
    begin(server, target, 120_000)
    fetched = get(server, target)
    assert target.read_bytes() == BODY
    assert fetched.resumed_at == 120_000
    assert [(asked.range, asked.headers.get("if-range")) for asked in server.asked] == [("bytes=120000-", '"v1"')]


def test_a_file_that_has_changed_meanwhile_is_fetched_from_the_beginning(server: FileServer, target: Path) -> None:
    begin(server, target, 120_000)
    server.files["/m"] = File(OTHER, etag='"v2"')
    get(server, target)
    assert target.read_bytes() == OTHER


def test_without_anything_to_tell_a_file_by_what_is_there_is_not_trusted(server: FileServer, target: Path) -> None:
    server.files["/m"].etag = None
    begin(server, target, 120_000)
    get(server, target)
    assert server.gets() == [None]
    assert target.read_bytes() == BODY


def test_a_weak_tag_does_not_tell_a_file(server: FileServer, target: Path) -> None:
    server.files["/m"].etag = 'W/"v1"'
    begin(server, target, 120_000)
    get(server, target)
    assert server.gets() == [None]


def test_a_hash_is_enough_to_go_on_at_another_address(server: FileServer, target: Path) -> None:
    begin(server, target, 120_000, sha256=SHA256)
    server.files["/mirror"] = File(BODY, etag='"another"')
    get(server, target, sha256=SHA256, path="/mirror")
    assert server.gets() == ["bytes=120000-"]
    assert target.read_bytes() == BODY


def test_a_server_without_ranges_sends_all_of_it_again(server: FileServer, target: Path) -> None:
    server.files["/m"] = File(BODY, ranges=False, cuts=[100_000])
    get(server, target)
    assert server.gets() == [None, "bytes=100000-"]
    assert target.read_bytes() == BODY


def test_a_server_without_ranges_that_always_breaks_is_given_up(server: FileServer, target: Path) -> None:
    server.files["/m"] = File(BODY, ranges=False, cuts=[100_000, 50_000] * 50)
    with pytest.raises(DownloadError, match="could not be fetched"):
        get(server, target)
    assert len(server.asked) == 6


def test_a_file_that_has_arrived_already_is_not_fetched_again(server: FileServer, target: Path) -> None:
    """As after a crash between fetching and recording."""
    target.write_bytes(BODY)
    assert get(server, target, sha256=SHA256).resumed_at == len(BODY)
    assert server.asked == []


def test_a_server_that_does_not_say_how_long_a_file_is_ends_it_by_ending(server: FileServer, target: Path) -> None:
    server.files["/m"].length = False
    assert get(server, target).bytes == len(BODY)


def test_a_wrong_hash_throws_everything_away(server: FileServer, target: Path) -> None:
    wrong = "0" * 64
    with pytest.raises(DownloadError, match=f"wrong hash: {SHA256} instead of {wrong}"):
        get(server, target, sha256=wrong)
    assert left(target) == []


def test_a_damaged_beginning_is_replaced_once_the_hash_shows_it(server: FileServer, target: Path) -> None:
    begin(server, target, 120_000, sha256=SHA256)
    partial_path(target).write_bytes(OTHER[:120_000])
    get(server, target, sha256=SHA256)
    assert server.gets() == ["bytes=120000-", None]
    assert target.read_bytes() == BODY


def test_another_size_than_announced_is_refused_before_anything_is_fetched(server: FileServer, target: Path) -> None:
    with pytest.raises(DownloadError, match="has 300000 bytes instead of 300001"):
        get(server, target, size=len(BODY) + 1)
    assert left(target) == []


def test_no_space_is_noticed_before_the_first_byte(
    server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(large_files, "free_bytes", lambda folder: large_files.SPARE_BYTES + len(BODY) - 1)
    with pytest.raises(NoSpaceError, match=r"'m.gguf' needs 300 kB in .*PLANACT_HOME"):
        get(server, target)
    assert partial_path(target).stat().st_size == 0


def test_only_what_is_missing_needs_space(server: FileServer, target: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(server, target, 120_000)
    monkeypatch.setattr(large_files, "free_bytes", lambda folder: large_files.SPARE_BYTES + 180_000)
    get(server, target)
    assert target.read_bytes() == BODY


def test_a_busy_server_is_asked_again_and_later_each_time(server: FileServer, target: Path) -> None:
    server.files["/m"].busy = 3
    pauses: list[float] = []
    fetch(RemoteFile(url=f"{server.url}/m"), target, pause=pauses.append)
    assert [round(pause) for pause in pauses] == pytest.approx([1, 2, 4], abs=1)
    assert pauses == sorted(pauses)


def test_a_server_that_stays_busy_is_given_up(server: FileServer, target: Path) -> None:
    server.files["/m"].busy = 100
    with pytest.raises(DownloadError, match=r"127.0.0.1:.* answers 503 Service Unavailable"):
        get(server, target)
    assert len(server.asked) == 6


def test_what_has_arrived_is_kept_when_a_server_is_given_up(server: FileServer, target: Path) -> None:
    server.files["/m"].cuts = [100_000, *[0] * 100]
    with pytest.raises(DownloadError, match="100 kB have arrived and are kept"):
        get(server, target)
    assert partial_path(target).read_bytes() == BODY[:100_000]


@pytest.mark.parametrize(("path", "said"), [("/nothing", "404 Not Found. There is no such file.")])
def test_a_refusal_is_not_repeated(server: FileServer, target: Path, path: str, said: str) -> None:
    with pytest.raises(DownloadError, match=said):
        get(server, target, path=path)
    assert len(server.asked) == 1


def test_nobody_there_is_offline(target: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        port = nobody.getsockname()[1]
        with pytest.raises(DownloadError, match="cannot be reached") as raised:
            fetch(RemoteFile(url=f"http://127.0.0.1:{port}/m"), target, pause=lambda _: None)
    assert raised.value.offline


@pytest.mark.parametrize("url", ["ftp://example.org/m", "file:///etc/hostname", "m.gguf"])
def test_other_kinds_of_addresses_are_refused_at_once(target: Path, url: str) -> None:
    with pytest.raises(DownloadError, match="http and https"):
        fetch(RemoteFile(url=url), target, pause=lambda _: pytest.fail("tried again"))


def test_a_login_is_not_sent_on_to_another_server(server: FileServer, target: Path) -> None:
    with file_server() as other:
        other.files["/m"] = File(BODY)
        server.files["/m"] = File(b"", redirect=f"{other.url}/m")
        wanted = RemoteFile(url=f"{server.url}/m", headers={"authorization": "Bearer secret"})
        fetch(wanted, target)
        assert server.asked[0].headers["authorization"] == "Bearer secret"
        assert "authorization" not in other.asked[0].headers
        assert "secret" not in repr(wanted)


def test_a_resumed_download_follows_redirects_with_its_range(server: FileServer, target: Path) -> None:
    server.files["/moved"] = File(BODY, cuts=[100_000])
    server.files["/m"] = File(b"", redirect=f"{server.url}/moved")
    get(server, target)
    assert target.read_bytes() == BODY
    assert [asked.range for asked in server.asked if asked.path == "/moved"] == [None, "bytes=100000-"]


def test_a_wrong_beginning_ends_it_at_once(server: FileServer, target: Path) -> None:
    def refuse(beginning: bytes) -> None:
        raise ValueError(beginning)

    with pytest.raises(ValueError, match=r"^b'"):
        fetch(RemoteFile(url=f"{server.url}/m", check_beginning=refuse), target)
    assert partial_path(target).stat().st_size == 0


def test_a_beginning_that_came_in_two_parts_is_looked_at_whole(server: FileServer, target: Path) -> None:
    seen: list[bytes] = []
    server.files["/m"].cuts = [5]
    fetch(RemoteFile(url=f"{server.url}/m", check_beginning=seen.append), target, pause=lambda _: None)
    assert [beginning[:32] for beginning in seen] == [BODY[:32]]
    assert target.read_bytes() == BODY


def test_a_place_that_no_file_has_is_another_part(server: FileServer, target: Path) -> None:
    begin(server, target, 1000)
    server.files["/m"].status = 206
    server.files["/m"].headers = {"content-range": f"bytes {'9' * 5000}-{'9' * 5000}/*"}
    with pytest.raises(DownloadError, match="another part than was asked for"):
        get(server, target)


HOLD = """
import sys
from pathlib import Path
from planact_quantized.models.partial import Partial
with Partial(Path(sys.argv[1])).locked():
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_two_processes_do_not_fetch_the_same_file(server: FileServer, target: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", HOLD, partial_path(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "held\n"
        with pytest.raises(DownloadError, match=r"Another planact is fetching 'm.gguf' already"):
            get(server, target)
        other.communicate("\n", timeout=30)
    get(server, target)
    assert target.read_bytes() == BODY


def test_a_process_that_dies_holds_nobody_up(server: FileServer, target: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-P", "-c", HOLD, partial_path(target)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout.readline() == "held\n"
        other.kill()
    get(server, target)
    assert target.read_bytes() == BODY
