"""The models on this machine: a folder of GGUF files and what is known about each of them.

Several processes may use one folder at the same time. What is in the folder under its final name is whole; what is
on its way lies in `incoming`.
"""

from __future__ import annotations

import re
import secrets
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from planact_quantized.file_lock import LockedError, locked
from planact_quantized.models.candidates import Candidate, examine, own_ids, record, safe_name
from planact_quantized.models.gguf import GGUFError
from planact_quantized.models.index import (
    INDEX_NAME,
    Acceptance,
    DamagedIndexError,
    Index,
    Model,
    Origin,
    put_aside,
    read_index,
    write_index,
)
from planact_quantized.models.known import UnknownModelError, find_known, known_models
from planact_quantized.models.large_files import Report, copy, require_space, sha256_of, silent
from planact_quantized.models.partial import SUFFIX, Partial

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable

FOLDER = "models"
"""Of the user's state folder."""

_LOCK_SECONDS = 30.0
_FORGOTTEN_SECONDS = 24 * 3600.0
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,99}")


class ModelError(Exception):
    """A model cannot be found, taken or let go. The message says why and what to do."""


class ModelNotFoundError(ModelError):
    """There is no model of that name here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Added:
    """What became of a file that was added."""

    model: Model
    already_there: bool = False


class ModelStore:
    """The models in one folder. Every method may raise ModelError."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.notices: list[str] = []
        """What a user should know about the folder itself, after any method."""

    @property
    def incoming(self) -> Path:
        """Return the folder for files on their way, on the same file system; it is there."""
        incoming = self.folder / "incoming"
        with self._explained():
            incoming.mkdir(parents=True, exist_ok=True)
        return incoming

    def models(self) -> tuple[Model, ...]:
        """Return what is recorded, in order of ids; `Model.problem` says what cannot be used."""
        return tuple(sorted(self._read().models, key=lambda model: model.id))

    def find(self, name: str) -> Model:
        """Return the model of this id, file name or path, or of the only id that begins so."""
        models = self.models()
        wanted = name.lower()
        path = _path(name)
        matches = (
            [model for model in models if model.id.lower() == wanted],
            [model for model in models if model.path == path],
            [model for model in models if model.path.name.lower() == wanted],
            [model for model in models if wanted and model.id.lower().startswith(wanted)],
        )
        for found in matches:
            if len(found) == 1:
                return found[0]
        raise ModelNotFoundError(_not_found(name, models, several=[model.id for model in matches[-1]]))

    def resolve(self, name: str) -> Model:
        """Return a model that can be loaded: one that is recorded, or the GGUF file at a path.

        A recorded file that was replaced is looked at again.
        """
        path = _path(name)
        try:
            model = self.find(name)
        except ModelNotFoundError:
            with self._explained():
                if not path.is_file():
                    raise
                return record(_usable(path), path=path, id=path.stem, owned=False, sha256=None, origin="found")
        with self._explained():
            there = model.path.exists()
        if not there:
            raise ModelError(
                f"The file of {model.id!r} is gone: {model.path}. `planact models rm {model.id}` forgets it."
            )
        return self.refreshed(model) if model.problem else model

    def refreshed(self, model: Model, *, report: Report = silent) -> Model:
        """Look at a recorded file again, take its hash, and record what was found."""
        candidate = _usable(model.path)
        with self._explained():
            sha256 = sha256_of(model.path, report=report)
            found = record(
                candidate, path=model.path, id=model.id, owned=model.owned, sha256=sha256, origin=model.origin
            )
        fresh = found.model_copy(update={"source": model.source, "added": model.added})
        self._replace(fresh)
        return fresh

    def add(
        self,
        candidate: Candidate,
        *,
        link: bool = False,
        name: str | None = None,
        origin: Origin = "added",
        source: str | None = None,
        sha256: str | None = None,
        report: Report = silent,
    ) -> Added:
        """Take in a copy of a file. May raise NoSpaceError.

        With `link` it stays where it is and is only referred to. A file from `incoming` is moved; its `sha256` need
        not be taken again. Without a `name` it gets one that is free.
        """
        if name is not None:
            self.check_name(name)
        path = candidate.path.resolve()
        with self._explained():
            self._sweep()
            if link:
                target, sha256 = path, sha256_of(path, report=report)
            elif path.parent == self.incoming.resolve():
                sha256 = sha256 or sha256_of(path, report=report)
                target = path.replace(self._passing())
            else:
                target, sha256 = self._copied(path, report=report)
        try:
            names = (name,) if name is not None else own_ids(candidate)
            return self._record_added(
                names, candidate, target, sha256, link=link, origin=origin, source=source or str(path)
            )
        finally:
            if not link:
                target.unlink(missing_ok=True)

    def check_name(self, name: str) -> None:
        """Raise ModelError for a name that a new model cannot have."""
        if not _ID.fullmatch(name):
            raise ModelError(f"{name!r} cannot be a model's name: letters, digits and . _ : + - make one, at most 100.")
        if any(model.id == name and model.problem is None for model in self.models()):
            raise ModelError(
                f"There is already a model {name!r}. `planact models rm {name}` removes it; `--name` gives another."
            )

    def remove(self, name: str) -> Model:
        """Forget a model, and delete its file if that is ours."""
        model = self.find(name)
        with self._explained(), self._changing() as index:
            # The record is data like any other: what it calls ours has to lie in our folder.
            if model.owned and model.path.parent.resolve() == self.folder.resolve():
                model.path.unlink(missing_ok=True)
            rest = tuple(other for other in index.models if other.id != model.id)
            write_index(self.folder, index.model_copy(update={"models": rest}))
        return model

    def arriving(self) -> dict[str, int]:
        """Return how many bytes have come of each file whose download is going on or was interrupted, by its name."""
        sizes = {path.name.removesuffix(SUFFIX): _size(path) for path in self.folder.glob(f"incoming/*{SUFFIX}")}
        return {name: sizes[name] for name in sorted(sizes) if sizes[name]}

    def discard_arriving(self, file_name: str) -> int | None:
        """Throw away what has arrived of a download, and return how many bytes that was; None if there is none."""
        if file_name not in self.arriving():
            return None
        partial = Partial(self.incoming / f"{file_name}{SUFFIX}")
        try:
            with self._explained(), partial.locked():
                size = partial.size
                partial.discard()
        except LockedError:
            raise ModelError(f"{file_name!r} is being fetched just now. Stop that first.") from None
        return size

    def accepted(self, licence: str) -> bool:
        """Whether a person has said yes to a licence."""
        return any(acceptance.licence == licence for acceptance in self._read().accepted)

    def accept(self, licence: str, *, how: Literal["terminal", "flag"]) -> None:
        """Remember a person's yes to a licence."""
        acceptance = Acceptance(licence=licence, when=datetime.now(UTC), how=how)
        with self._explained(), self._changing() as index:
            others = (other for other in index.accepted if other.licence != licence)
            write_index(self.folder, index.model_copy(update={"accepted": (*others, acceptance)}))

    def _passing(self) -> Path:
        """Return a path in `incoming` that is nobody else's."""
        return self.incoming / f"{secrets.token_hex(8)}.gguf"

    def _sweep(self) -> None:
        """Throw away copies that a process which is gone has left in `incoming`."""
        for path in self.incoming.glob(f"{'[0-9a-f]' * 16}.gguf"):
            # Another process may move or remove its copy between any two of these steps.
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < time.time() - _FORGOTTEN_SECONDS:
                    path.unlink()

    def _copied(self, path: Path, *, report: Report) -> tuple[Path, str]:
        """Copy a file into `incoming`, and return where it is and its hash."""
        # No hard link: a file that its owner overwrites in place would change under a model that is loaded.
        target = self._passing()
        require_space(self.folder, path.stat().st_size, what=repr(path.name))
        try:
            return target, copy(path, target, report=report)
        except BaseException:
            target.unlink(missing_ok=True)
            raise

    def _record_added(
        self,
        names: Iterable[str],
        candidate: Candidate,
        file: Path,
        sha256: str,
        *,
        link: bool,
        origin: Origin,
        source: str,
    ) -> Added:
        with self._explained(), self._changing() as index:
            good = [model for model in index.models if model.problem is None]
            for model in good:
                if model.sha256 == sha256 and (link or model.owned):
                    return Added(model=model, already_there=True)
            taken = {model.id for model in good}
            free = next((each for each in names if each not in taken), None)
            if free is None:
                raise ModelError("Another planact has just added a model under this name. `--name` gives another.")
            others = [model for model in index.models if model.id != free]
            target = file if link else file.replace(self._free_path(candidate, others))
            model = record(candidate, path=target, id=free, owned=not link, sha256=sha256, origin=origin, source=source)
            write_index(self.folder, index.model_copy(update={"models": (*others, model)}))
            return Added(model=model)

    def _free_path(self, candidate: Candidate, others: list[Model]) -> Path:
        """Return a path in the folder that no other model has; a leftover of nobody's is overwritten."""
        stem = safe_name(candidate.path.stem)
        taken = {model.path for model in others}
        for number in range(1, len(taken) + 2):
            path = self.folder / f"{stem}{'' if number == 1 else f'-{number}'}.gguf"
            if path not in taken:
                return path
        raise AssertionError("more names than models were taken")

    def _replace(self, model: Model) -> None:
        with self._explained(), self._changing() as index:
            models = tuple(model if other.id == model.id else other for other in index.models)
            write_index(self.folder, index.model_copy(update={"models": models}))

    def _read(self) -> Index:
        with self._explained():
            try:
                return read_index(self.folder) or Index()
            except DamagedIndexError:
                with self._changing() as index:
                    return index

    @contextmanager
    def _changing(self) -> Generator[Index]:
        """Hold the folder's lock, with the index as it is now; a damaged one is rebuilt first."""
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.folder / ".lock", seconds=_LOCK_SECONDS):
                try:
                    index = read_index(self.folder) or Index()
                except DamagedIndexError as error:
                    index = self._rebuilt(str(error))
                yield index
        except LockedError:
            raise ModelError(f"Another planact is changing {str(self.folder)!r}. Try again when it is done.") from None

    def _rebuilt(self, reason: str) -> Index:
        models: list[Model] = []
        for path in sorted(self.folder.glob("*.gguf")):
            taken = {model.id for model in models}
            try:
                candidate = examine(path)
                free = next(name for name in own_ids(candidate) if name not in taken)
                models.append(record(candidate, path=path, id=free, owned=True, sha256=None, origin="found"))
            except (GGUFError, OSError) as error:
                self.notices.append(f"Left out: {error}")
        index = Index(models=tuple(models))
        # Only now: whoever is interrupted before leaves a damaged index, and not none.
        aside = put_aside(self.folder)
        write_index(self.folder, index)
        self.notices.append(
            f"{str(self.folder / INDEX_NAME)!r} was damaged ({reason}). It was written anew from the files beside it; "
            f"models that lie elsewhere have to be added again. The old one is {aside.name}."
        )
        return index

    @contextmanager
    def _explained(self) -> Generator[None]:
        try:
            yield
        except OSError as error:
            where = error.filename or self.folder
            raise ModelError(f"{str(where)!r} cannot be used: {error.strerror or error}.") from error


def _size(path: Path) -> int:
    """Return how many bytes a file has; one that another process has just moved away has none."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _path(name: str) -> Path:
    try:
        return Path(name).expanduser().absolute()
    except RuntimeError:  # of a user who does not exist, so it is no path either
        return Path(name).absolute()


def _means_file(name: str) -> bool:
    """Say whether a name that leads to nothing was meant as a path."""
    path = Path(name)
    try:
        return (path.name != name or path.suffix.lower() == ".gguf") and not _path(name).exists()
    except OSError:  # too long for a file's name
        return False


def _usable(path: Path) -> Candidate:
    try:
        return examine(path)
    except GGUFError as error:
        raise ModelError(str(error)) from None


def _not_found(name: str, models: tuple[Model, ...], *, several: list[str]) -> str:
    if several:
        return f"{name!r} is the beginning of several models: {', '.join(several)}. Name one."
    try:
        known = find_known(name)
    except UnknownModelError:
        ids = [*(model.id for model in models), *(known.id for known in known_models())]
        close = get_close_matches(name, ids, n=1)
        hint = f"Did you mean {close[0]!r}? " if close else ""
        what = f"no file {name!r}, and no model of that name" if _means_file(name) else f"no model {name!r}"
        return f"There is {what} on this machine. {hint}`planact models list` shows what there is."
    return f"{known.id!r} is not on this machine. `planact models pull {known.id}` fetches it."
