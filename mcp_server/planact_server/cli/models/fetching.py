"""`planact models pull` and `add`: models come in."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from urllib.parse import unquote, urlsplit

import typer

from planact_server.cli import INTERRUPTED
from planact_server.cli.models.licences import AcceptOption, agree, licence_in
from planact_server.cli.models.place import FAILED, opened_store
from planact_server.cli.models.progress import showing
from planact_server.cli.models.rows import model_row
from planact_server.cli.terminal import ConfigOption, JSONOption, UsageError, complain, examples, print_json

if TYPE_CHECKING:
    from planact_quantized.models.candidates import Candidate
    from planact_quantized.models.download import Fetched, RemoteFile
    from planact_quantized.models.hub import HubFile
    from planact_quantized.models.index import Model
    from planact_quantized.models.known import KnownModel
    from planact_quantized.models.store import Added, ModelStore

NameOption = Annotated[
    str | None, typer.Option("--name", help="What to call it here; otherwise its id or file name.", metavar="NAME")
]

_HUB_PATH = re.compile(r"([\w.-]+/[\w.-]+)/((?:[^/]+/)*[^/]+\.gguf)", re.IGNORECASE)
_SHA256 = re.compile(r"[0-9a-fA-F]{64}")
_SMALLEST_SHARE = 0.5
"""Of the size that the catalogue knows: a file on the hub that is smaller is not the model."""


def register(app: typer.Typer) -> None:
    app.command(
        "pull",
        epilog=examples(
            "planact models pull tiny-agent-a-0.5b",
            "planact models pull dria-agent-a-3b:Q6_K --accept-license",
            "planact models pull DevQuasar/driaforall.Dria-Agent-a-7B-GGUF/driaforall.Dria-Agent-a-7B.Q5_K_M.gguf",
        ),
    )(pull)
    app.command(
        "add",
        epilog=examples(
            "planact models add ~/Downloads/dria-agent-a-0.5b.Q8_0.gguf",
            "planact models add /mnt/models/coder.gguf --link --name coder",
            "planact models add https://example.org/coder.Q4_K_M.gguf",
        ),
    )(add)


def pull(
    name: Annotated[
        str, typer.Argument(help="An id of `planact models list`, or OWNER/REPOSITORY/FILE.gguf.", metavar="MODEL")
    ],
    accept_license: AcceptOption = False,
    endpoint: Annotated[
        str | None, typer.Option("--endpoint", help="Another hub; HF_ENDPOINT does the same.", metavar="URL")
    ] = None,
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> None:
    """Fetch a model from the Hugging Face hub.

    A download that was interrupted goes on where it stopped. The file counts as here when its size, its hash and its
    header are right.
    """
    with opened_store(config) as store:
        repository, file, known = _named(name)
        model = None if known is None else _present(store, lambda model: model.known == known.id)
        if model is None:
            if known is not None:
                agree(store, known.licence, title=known.title, accept=accept_license)
            model = _pulled(store, _look_up(repository, file, endpoint, known), known, accept=accept_license)
        _finish(model, as_json=as_json)


def add(
    what: Annotated[str, typer.Argument(help="A GGUF file, or the URL of one.", metavar="FILE|URL")],
    link: Annotated[
        bool, typer.Option("--link", help="Leave the file where it is and only remember its path.")
    ] = False,
    name: NameOption = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", help="The hash that the file must have.", metavar="HEX")
    ] = None,
    accept_license: AcceptOption = False,
    config: ConfigOption = None,
    as_json: JSONOption = False,
) -> None:
    """Take in a model file of yours, or of any web server.

    Its header is checked first: a file without weights, without a tokenizer or with its end missing is refused. A
    file of yours is copied and stays as it is.
    """
    if sha256 is not None and not _SHA256.fullmatch(sha256):
        raise UsageError(f"{sha256!r} is no SHA-256: it has 64 digits of 0-9 and a-f.")
    with opened_store(config) as store:
        if name is not None:
            store.check_name(name)
        if what.startswith(("http://", "https://")):
            if link:
                raise UsageError("--link is for files; a URL is always fetched.")
            model = _add_url(store, what, name, sha256, accept=accept_license)
        else:
            model = _add_file(store, Path(what).expanduser(), name, sha256, link=link, accept=accept_license)
        _finish(model, as_json=as_json)


def _add_file(
    store: ModelStore, path: Path, name: str | None, sha256: str | None, *, link: bool, accept: bool
) -> Model:
    from planact_quantized.models.candidates import examine
    from planact_quantized.models.large_files import sha256_of

    if not path.exists():
        raise UsageError(f"There is no file {str(path)!r}.")
    candidate = examine(path)
    if sha256 is not None and (found := sha256_of(path)) != sha256.lower():
        complain(f"{path.name!r} has another hash: {found}. It was not added.")
        raise typer.Exit(FAILED)
    agree(store, licence_in(candidate), title=path.name, accept=accept)
    with showing(f"Adding {path.name}") as (report, _):
        added = store.add(candidate, link=link, name=name, report=report)
    return _told(added, candidate)


def _add_url(store: ModelStore, url: str, name: str | None, sha256: str | None, *, accept: bool) -> Model:
    from planact_quantized.models.download import RemoteFile
    from planact_quantized.models.known import known_by_file

    url = file_url(url)
    file = Path(unquote(urlsplit(url).path)).name
    known = known_by_file(file)
    if known is not None:
        agree(store, known.licence, title=known.title, accept=accept)
    fetched = _fetched(store, RemoteFile(url=url, sha256=sha256, check_beginning=_check_beginning(file)), file)
    return _added(store, fetched, None, source=url, accept=accept, name=name).model


def file_url(url: str) -> str:
    """Return the address of the file itself where somebody has copied that of the hub's page about it."""
    parts = urlsplit(url)
    if parts.hostname in ("huggingface.co", "hf.co") and "/blob/" in parts.path:
        return parts._replace(path=parts.path.replace("/blob/", "/resolve/", 1), query="").geturl()
    return url


def _named(name: str) -> tuple[str, str, KnownModel | None]:
    """Return repository and file of what somebody wants to pull, and what the catalogue knows about it."""
    from planact_quantized.models.known import find_known

    if match := _HUB_PATH.fullmatch(name):
        return match[1], match[2], None
    known = find_known(name)
    return known.repository, known.file, known


def _pulled(store: ModelStore, found: HubFile, known: KnownModel | None, *, accept: bool) -> Model:
    model = _present(store, lambda model: found.sha256 is not None and model.sha256 == found.sha256)
    if model is None:
        fetched = _fetched(store, _wanted(found), Path(found.file).name)
        model = _added(store, fetched, known, source=found.url, accept=accept).model
    return model


def _present(store: ModelStore, is_it: Callable[[Model], bool]) -> Model | None:
    """Return a model that is here already, and say so."""
    for model in store.models():
        if model.problem is None and is_it(model):
            complain(f"{model.id} is here already.")
            return model
    return None


def _look_up(repository: str, file: str, endpoint: str | None, known: KnownModel | None) -> HubFile:
    from planact_quantized.models.hub import HubError, by_hand, endpoint_in_force, look_up, page_url
    from planact_quantized.models.large_files import megabytes

    try:
        found = look_up(repository, file, endpoint=endpoint)
    except HubError as error:
        complain(str(error))
        if error.offline:
            complain(by_hand(page_url(repository, file, endpoint=endpoint_in_force(endpoint)), Path(file).name))
        raise typer.Exit(FAILED) from None
    if known is not None and found.bytes is not None and found.bytes < known.approximate_bytes * _SMALLEST_SHARE:
        complain(
            f"{repository}/{file} has {megabytes(found.bytes)} on the hub instead of about "
            f"{megabytes(known.approximate_bytes)}: it is not the model any more. Choose another quantization."
        )
        raise typer.Exit(FAILED)
    return found


def _wanted(found: HubFile) -> RemoteFile:
    from planact_quantized.models.download import RemoteFile

    return RemoteFile(
        url=found.url,
        sha256=found.sha256,
        bytes=found.bytes,
        headers=found.headers,
        check_beginning=_check_beginning(found.file),
    )


def _fetched(store: ModelStore, wanted: RemoteFile, file: str) -> Fetched:
    """Fetch a file into the store's folder for files on their way."""
    from planact_quantized.models.candidates import safe_name
    from planact_quantized.models.download import DownloadError, fetch
    from planact_quantized.models.large_files import megabytes
    from planact_quantized.models.partial import partial_path

    target = store.incoming / f"{safe_name(Path(file).stem)}.gguf"
    try:
        with showing(f"Fetching {file}") as (report, say):
            return fetch(wanted, target, report=report, say=say)
    except DownloadError as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
    except OSError as error:
        complain(f"{str(target)!r} cannot be written: {error.strerror or error}.")
        raise typer.Exit(FAILED) from None
    except KeyboardInterrupt:
        partial = partial_path(target)
        arrived = megabytes(partial.stat().st_size) if partial.exists() else "Nothing"
        complain(f"Stopped. {arrived} of {file} is kept; the same command goes on from there.")
        raise typer.Exit(INTERRUPTED) from None


def _added(
    store: ModelStore,
    fetched: Fetched,
    known: KnownModel | None,
    *,
    source: str,
    accept: bool,
    name: str | None = None,
) -> Added:
    """Take a fetched file in; one that cannot be used is thrown away."""
    from planact_quantized.models.candidates import examine

    try:
        candidate = examine(fetched.path)
        if known is not None and candidate.known != known.id:
            complain(f"Its header does not say what the catalogue says about {known.id}; the file is used as it is.")
            candidate = dataclasses.replace(candidate, known=known.id)
        agree(store, licence_in(candidate), title=fetched.path.name, accept=accept)
        origin = "pulled" if known is not None else "added"
        added = store.add(candidate, name=name, origin=origin, source=source, sha256=fetched.sha256)
    finally:
        fetched.path.unlink(missing_ok=True)
    _told(added, candidate)
    return added


def _told(added: Added, candidate: Candidate) -> Model:
    for note in candidate.notes:
        complain(note)
    if added.already_there:
        complain(f"The same file is here already, as {added.model.id}.")
    return added.model


def _finish(model: Model, *, as_json: bool) -> None:
    if as_json:
        print_json(model_row(model))
    else:
        complain(f"{model.id} is ready: {model.path}")


def _check_beginning(file: str) -> Callable[[bytes], None]:
    from planact_quantized.models.gguf import check_beginning

    return lambda beginning: check_beginning(file, beginning)
