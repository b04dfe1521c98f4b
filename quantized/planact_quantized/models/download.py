"""Fetching one large file over HTTP: goes on where it stopped, and is checked before it counts.

What has arrived lies beside the target as `NAME.partial`, with a note of what it is a part of; the target appears
when it is whole and its hash is right.
"""

from __future__ import annotations

import errno
import os
import random
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import httpx2

from planact_quantized.file_lock import LockedError
from planact_quantized.models.large_files import Report, megabytes, require_space, sha256_of, silent
from planact_quantized.models.partial import Partial, partial_path

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MOST_BYTES: Final = 500_000_000_000
"""No model file is larger; a server that sends more is not sending one."""

ATTEMPTS: Final = 6
"""In a row without a new byte."""

FIRST_PAUSE_SECONDS: Final = 1.0
LONGEST_PAUSE_SECONDS: Final = 30.0
CONNECT_SECONDS: Final = 20.0
SILENT_SECONDS: Final = 60.0
"""How long a server may send nothing."""

BEGINNING: Final = 32
"""Bytes of a file that `RemoteFile.check_beginning` gets to see before the rest is fetched."""

_WORTH_ANOTHER_TRY: Final = (408, 425, 429, 500, 502, 503, 504)
_ADVICE: Final = {
    401: "It needs a login.",
    403: "It needs a permission.",
    404: "There is no such file.",
    410: "It is gone.",
}
_CONTENT_RANGE: Final = re.compile(r"bytes ([0-9]{1,15})-[0-9]+/([0-9]{1,15}|\*)")


class DownloadError(Exception):
    """A file could not be fetched. The message says what happened and what to do."""

    def __init__(self, message: str, *, offline: bool = False) -> None:
        super().__init__(message)
        self.offline = offline
        """The server could not be reached at all."""


class _TryAgainError(Exception):
    """The connection broke or the server is busy."""

    def __init__(self, message: str, *, offline: bool = False, seconds: float = 0) -> None:
        super().__init__(message)
        self.offline = offline
        self.seconds = seconds
        """What the server asks us to wait."""


class _WrongHashError(Exception):
    """All bytes are there, but not the ones that were announced."""


def _accept_any(beginning: bytes) -> None:
    """Take a file whatever it begins with."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file to fetch."""

    url: str
    sha256: str | None = None
    bytes: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    """For the server of `url` only; `authorization` is not sent on to another."""

    check_beginning: Callable[[bytes], None] = _accept_any
    """Gets the first bytes, and raises what it likes to spare us the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fetched:
    """A file that has arrived."""

    path: Path
    bytes: int
    sha256: str
    resumed_at: int
    """How many bytes were there already from an earlier try."""


def fetch(
    wanted: RemoteFile,
    target: Path,
    *,
    report: Report = silent,
    say: Callable[[str], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> Fetched:
    """Fetch a file to `target`. Raises DownloadError, NoSpaceError, OSError, or what `check_beginning` raises.

    Whatever happens, what has arrived stays and the next call goes on from there; but a file whose hash turned out
    wrong is thrown away. `say` gets a line for people when something is tried again.
    """
    partial = Partial(partial_path(target))
    try:
        with partial.locked():
            if wanted.sha256 is not None and target.exists() and sha256_of(target) == wanted.sha256.lower():
                size = target.stat().st_size  # an earlier process fetched it and got no further
                return Fetched(path=target, bytes=size, sha256=wanted.sha256.lower(), resumed_at=size)
            partial.recall(url=wanted.url, sha256=wanted.sha256)
            return _fetch(wanted, target, partial, report, say, pause)
    except LockedError:
        raise DownloadError(f"Another planact is fetching {target.name!r} already. Wait for it, or stop it.") from None


def _fetch(
    wanted: RemoteFile,
    target: Path,
    partial: Partial,
    report: Report,
    say: Callable[[str], None],
    pause: Callable[[float], None],
) -> Fetched:
    had = furthest = partial.size
    failures = 0
    timeout = httpx2.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS)
    with httpx2.Client(follow_redirects=True, timeout=timeout) as client:
        while True:
            try:
                _receive(client, wanted, partial, report)
                return _finish(wanted, target, partial, had)
            except _WrongHashError as error:
                if not had:
                    raise DownloadError(_wrong_hash(wanted, str(error))) from None
                say("What had arrived earlier does not belong to this file; starting from the beginning.")
                had = 0
            except _TryAgainError as error:
                # Only what is new counts: a server without ranges can send the same beginning for ever.
                failures = 1 if partial.size > furthest else failures + 1
                furthest = max(furthest, partial.size)
                if failures >= ATTEMPTS or (error.offline and partial.size == 0 and failures >= 2):
                    raise DownloadError(_gave_up(wanted, partial, error), offline=error.offline) from None
                seconds = max(_pause_seconds(failures), min(error.seconds, LONGEST_PAUSE_SECONDS))
                say(f"{error}; trying again in {seconds:.0f} s, from {megabytes(partial.size)} on.")
                pause(seconds)


def _receive(client: httpx2.Client, wanted: RemoteFile, partial: Partial, report: Report) -> None:
    """Have the partial file become whole. Raises _TryAgainError when it did not."""
    if partial.total is not None and partial.size == partial.total:
        return
    try:
        with client.stream("GET", wanted.url, headers=_request_headers(wanted, partial)) as response:
            if _adapt(response, wanted, partial):
                return
            _write(response, wanted, partial, report)
    except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.ProxyError) as error:
        raise _TryAgainError(f"{_host(wanted.url)} cannot be reached ({_reason(error)})", offline=True) from None
    except httpx2.UnsupportedProtocol:
        raise DownloadError(f"{wanted.url!r} is no address that can be fetched: http and https can.") from None
    except httpx2.TransportError as error:
        raise _TryAgainError(f"The connection to {_host(wanted.url)} broke ({_reason(error)})") from None
    except (httpx2.InvalidURL, httpx2.TooManyRedirects) as error:
        raise DownloadError(f"{wanted.url!r} cannot be fetched: {_reason(error)}.") from None
    if partial.total is not None and partial.size < partial.total:
        raise _TryAgainError(f"The connection to {_host(wanted.url)} ended early")


def _request_headers(wanted: RemoteFile, partial: Partial) -> dict[str, str]:
    # Compression would make the length and the position in the file mean something else.
    headers = {**wanted.headers, "accept-encoding": "identity"}
    if partial.size:
        headers["range"] = f"bytes={partial.size}-"
        # With a hash to check against, the file may come from another mirror, whose validator is another.
        if partial.validator and not wanted.sha256:
            headers["if-range"] = partial.validator
    return headers


def _adapt(response: httpx2.Response, wanted: RemoteFile, partial: Partial) -> bool:
    """Make the partial file fit the response; return whether it is whole already. Raises for what is no file."""
    status, size = response.status_code, partial.size
    if status == 206:
        begins, total = _content_range(response)
        if begins != size or (partial.total is not None and total not in (None, partial.total)):
            partial.begin()
            raise _TryAgainError("The server sent another part than was asked for")
        partial.total = total if total is not None else partial.total
    elif status == 416 and size:
        if wanted.bytes == size:
            partial.total = size
            return True
        partial.begin()
        raise _TryAgainError("The file on the server has become another one")
    elif status == 200:
        partial.begin()  # the server knows no ranges, or the file is not the one that we had a part of
        length = response.headers.get("content-length", "")
        partial.total = int(length) if length.isdecimal() else None
        partial.validator = _validator(response)
    else:
        raise _refusal(response, wanted)
    _check_size(wanted, partial)
    partial.remember(url=wanted.url, sha256=wanted.sha256)
    return False


def _check_size(wanted: RemoteFile, partial: Partial) -> None:
    total = partial.total if partial.total is not None else wanted.bytes
    if wanted.bytes is not None and total != wanted.bytes:
        partial.discard()
        raise DownloadError(
            f"{wanted.url!r} has {total} bytes instead of {wanted.bytes}: it is not the file that was announced."
        )
    if total is not None and total > MOST_BYTES:
        raise DownloadError(f"{wanted.url!r} is said to have {megabytes(total)}. That is no model file.")
    if total is not None:
        require_space(partial.path.parent, total - partial.size, what=repr(partial.path.stem))


def _write(response: httpx2.Response, wanted: RemoteFile, partial: Partial, report: Report) -> None:
    done = partial.size
    beginning = partial.path.read_bytes() if done < BEGINNING else None
    if done:
        report(done, partial.total)
    try:
        with partial.path.open("ab") as file:
            # No size of chunks: what has been gathered for one would be lost when the connection breaks.
            for chunk in response.iter_raw():
                if beginning is not None:
                    beginning += chunk[:BEGINNING]
                    if len(beginning) >= BEGINNING:
                        wanted.check_beginning(beginning)
                        beginning = None
                file.write(chunk)
                done += len(chunk)
                if done > (partial.total if partial.total is not None else MOST_BYTES):
                    raise DownloadError(f"{wanted.url!r} sends more than it said. It was stopped.")
                report(done, partial.total)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise DownloadError(
            f"The disk with {str(partial.path.parent)!r} is full. What has arrived is kept; make room and go on."
        ) from None
    if partial.total is None:
        partial.total = done  # a server that does not say how much there is ends when it is done


def _finish(wanted: RemoteFile, target: Path, partial: Partial, had: int) -> Fetched:
    size, sha256 = partial.size, sha256_of(partial.path)
    if wanted.sha256 is not None and sha256 != wanted.sha256.lower():
        partial.discard()
        raise _WrongHashError(sha256)
    with partial.path.open("rb+") as file:
        os.fsync(file.fileno())
    partial.become(target)
    return Fetched(path=target, bytes=size, sha256=sha256, resumed_at=had)


def _content_range(response: httpx2.Response) -> tuple[int, int | None]:
    match = _CONTENT_RANGE.fullmatch(response.headers.get("content-range", "").strip())
    if match is None:
        return -1, None
    return int(match[1]), int(match[2]) if match[2] != "*" else None


def _validator(response: httpx2.Response) -> str | None:
    """Return what tells this very file from its successors; a weak tag does not."""
    tag = response.headers.get("etag", "")
    return tag if tag and not tag.startswith("W/") else response.headers.get("last-modified")


def _refusal(response: httpx2.Response, wanted: RemoteFile) -> Exception:
    status = f"{response.status_code} {response.reason_phrase}".strip()
    if response.status_code in _WORTH_ANOTHER_TRY:
        after = response.headers.get("retry-after", "")
        return _TryAgainError(f"{_host(wanted.url)} answers {status}", seconds=float(after) if after.isdecimal() else 0)
    return DownloadError(f"{wanted.url!r} cannot be fetched: {status}. {_ADVICE.get(response.status_code, '')}".strip())


def _gave_up(wanted: RemoteFile, partial: Partial, error: _TryAgainError) -> str:
    kept = f" {megabytes(partial.size)} have arrived and are kept: the same command goes on." if partial.size else ""
    return f"{wanted.url!r} could not be fetched: {error}.{kept}"


def _wrong_hash(wanted: RemoteFile, sha256: str) -> str:
    return (
        f"What came from {wanted.url!r} has the wrong hash: {sha256} instead of {wanted.sha256}. It was thrown away. "
        f"Fetch it again; if it is wrong again, somebody has changed the file."
    )


def _pause_seconds(failures: int) -> float:
    longest = min(FIRST_PAUSE_SECONDS * 2 ** (failures - 1), LONGEST_PAUSE_SECONDS)
    return longest * random.uniform(0.75, 1.0)  # noqa: S311 - so that many clients do not come back at once


def _host(url: str) -> str:
    return url.split("://", 1)[-1].split("/", 1)[0].rpartition("@")[2]


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
