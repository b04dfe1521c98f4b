"""Where a file of the Hugging Face hub is, how large it is and what its hash is.

huggingface_hub knows logins, gated repositories and mirrors. The transfer is ours (download.py): the library's own
begins from nothing after a process has ended, which for gigabytes over a home line means never to arrive.
"""

from __future__ import annotations

import importlib
import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

DEFAULT_ENDPOINT: Final = "https://huggingface.co"
INSTALL: Final = "pip install 'planact[local]'"

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class HubError(Exception):
    """The hub does not give a file. The message says why and what to do."""

    def __init__(self, message: str, *, offline: bool = False) -> None:
        super().__init__(message)
        self.offline = offline
        """The hub could not be reached, or is not to be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubFile:
    """One file as the hub describes it."""

    repository: str
    file: str
    commit: str
    url: str
    bytes: int | None
    sha256: str | None
    """None for the small files that are not kept by their hash."""

    headers: Mapping[str, str] = field(repr=False)
    """What the hub wants to see when the file is fetched, a login included."""


def endpoint_in_force(endpoint: str | None = None) -> str:
    """Return the hub's address: the one given, HF_ENDPOINT, or its own."""
    return (endpoint or os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def page_url(repository: str, file: str, *, endpoint: str = DEFAULT_ENDPOINT) -> str:
    """Return where a person gets a file by hand."""
    return f"{endpoint}/{repository}/resolve/main/{file}"


def look_up(repository: str, file: str, *, endpoint: str | None = None) -> HubFile:
    """Ask the hub about a file. Raises HubError."""
    hub = _library()
    address = endpoint_in_force(endpoint)
    try:
        found = hub.get_hf_file_metadata(hub.hf_hub_url(repository, file, endpoint=address), endpoint=address)
        headers = hub.utils.build_hf_headers(library_name="planact")
    except (hub.errors.HTTPError, OSError, ValueError) as error:
        raise _explained(hub, error, repository, file, address) from error
    if found.commit_hash is None or found.etag is None:
        raise HubError(f"{address} does not answer like the hub. Is HF_ENDPOINT right?")
    return HubFile(
        repository=repository,
        file=file,
        commit=found.commit_hash,
        # The commit, so that a file that changes meanwhile is not made up of two.
        url=hub.hf_hub_url(repository, file, revision=found.commit_hash, endpoint=address),
        bytes=found.size,
        sha256=found.etag if _SHA256.fullmatch(found.etag) else None,
        headers=headers,
    )


def by_hand(url: str, file: str) -> str:
    """Return how a person brings a file to a machine that cannot fetch it."""
    return (
        f"By hand: on a machine that can, download\n  {url}\nbring the file here, and then\n  planact models add {file}"
    )


def _library() -> Any:
    try:
        library = importlib.import_module("huggingface_hub")
        importlib.import_module("huggingface_hub.errors")
    except ImportError as error:
        raise HubError(f"huggingface_hub is not installed ({error}): {INSTALL} installs it.") from None
    return library


def _explained(hub: Any, error: Exception, repository: str, file: str, address: str) -> HubError:
    errors, name = hub.errors, f"{repository}/{file}"
    match error:
        case errors.OfflineModeIsEnabled():
            return HubError("HF_HUB_OFFLINE is set, so the hub is not asked.", offline=True)
        case errors.GatedRepoError():
            return HubError(
                f"{repository!r} is only given to those who asked for it. Ask on {address}/{repository}, then "
                f"`hf auth login` (or set HF_TOKEN) and try again."
            )
        case errors.RepositoryNotFoundError():
            return HubError(f"There is no repository {repository!r} on {address}, or it is private: `hf auth login`.")
        case errors.RemoteEntryNotFoundError():
            return HubError(f"There is no file {name!r} on {address}. {address}/{repository}/tree/main shows what is.")
        case errors.HfHubHTTPError():
            return HubError(f"{address} answers {error.response.status_code} to {name!r}. Try again later.")
        case errors.HFValidationError():
            return HubError(f"{repository!r} is no name of a repository: OWNER/NAME is.")
        case _:
            return HubError(f"{address} cannot be reached ({str(error) or type(error).__name__}).", offline=True)
