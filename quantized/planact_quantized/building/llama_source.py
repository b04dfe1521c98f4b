"""The source archive of llama-cpp-python: fetched once, checked against its hash, kept in the user's cache.

`python -m planact_quantized.building.llama_source PATH` takes one file of llama.cpp out of it and prints where it
lies, such as `models/ggml-vocab-qwen2.gguf`, the real vocabulary that benchmarks measure with.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from planact_quantized.building.pip_tool import CommandError, pip_for, run_logged
from planact_quantized.building.wheel_cache import cache_folder
from planact_quantized.file_lock import LockedError, locked
from planact_quantized.models.large_files import sha256_of

if TYPE_CHECKING:
    from collections.abc import Callable

PACKAGE = "llama-cpp-python"
VERSION = "0.3.36"
"""The one that constraints.txt pins."""

SHA256 = "832db0699007f1be95a7e41ef12e88926b02ba836461e36a36372db2760c1a2e"
"""Of the registry's source archive of this version."""

ARCHIVE = f"llama_cpp_python-{VERSION}.tar.gz"
LLAMA_CPP = f"llama_cpp_python-{VERSION}/vendor/llama.cpp"

FETCH_SECONDS = 900.0
"""How long to wait for another process that is fetching it."""

VARIABLES_OF_PIP = (
    "PIP_CONSTRAINT",
    "PIP_REQUIREMENT",
    "PIP_TARGET",
    "PIP_PREFIX",
    "PIP_USER",
    "PIP_REQUIRE_VIRTUALENV",
)
"""Of the user's, that would bend what our commands mean. Indexes, proxies and certificates stay."""


class SourceError(Exception):
    """The source archive cannot be had. The message says why and what to do."""


def plain_environment() -> dict[str, str]:
    """Return our environment without what would bend a pip command of ours, and with words in English."""
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES_OF_PIP}
    return kept | {"LC_ALL": "C", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}


def fetch_source(
    *,
    given: Path | None = None,
    python: str = sys.executable,
    cache: Path | None = None,
    on_line: Callable[[str], None] | None = None,
) -> Path:
    """Return the source archive, fetched with pip unless it is in the cache. Raises SourceError.

    `given` is an archive that somebody brought by hand; it has to be the same one.
    """
    folder = (cache or cache_folder()) / "source"
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / ARCHIVE
    if given is not None and not given.is_file():
        raise SourceError(f"There is no file {str(given)!r}.")
    try:
        with locked(folder / ".lock", seconds=FETCH_SECONDS):
            if archive.is_file() and sha256_of(archive) == SHA256:
                return archive
            with tempfile.TemporaryDirectory(dir=folder, prefix="fetching-", ignore_cleanup_errors=True) as made:
                found = given or _download(Path(made), python, folder.parent, on_line)
                return _take(found, archive)
    except LockedError:
        raise SourceError(f"Another process has been fetching {ARCHIVE} for too long. Try again later.") from None


def extract(member: str, *, cache: Path | None = None) -> Path:
    """Return one file of llama.cpp's source, taken out of the archive unless it is in the cache."""
    target = (cache or cache_folder()) / "source" / f"llama.cpp-{VERSION}" / member
    if target.is_file():
        return target
    with tarfile.open(fetch_source(cache=cache)) as archive:
        try:
            source = archive.extractfile(f"{LLAMA_CPP}/{member}")
        except KeyError:
            source = None
        if source is None:
            raise SourceError(f"There is no file {member!r} in llama.cpp's source.")
        target.parent.mkdir(parents=True, exist_ok=True)
        with source, tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as partial:
            shutil.copyfileobj(source, partial)
    Path(partial.name).replace(target)
    return target


def _download(folder: Path, python: str, cache: Path, on_line: Callable[[str], None] | None) -> Path:
    requirement = folder / "requirement.txt"
    requirement.write_text(f"{PACKAGE}=={VERSION} --hash=sha256:{SHA256}\n", encoding="utf-8")
    try:
        command = [*pip_for(python, folder), "download", "--no-deps", "--no-binary", PACKAGE, "--require-hashes"]
        run_logged(
            [*command, "--requirement", str(requirement), "--dest", str(folder)],
            log=cache / "fetch.log",
            what=f"Fetching the source of {PACKAGE} {VERSION}",
            environ=plain_environment(),
            on_line=on_line,
        )
    except CommandError as error:
        last = next((line for line in reversed(error.tail) if line.strip()), "")
        raise SourceError(
            f"{error}\n{last}\nOn a machine without network, bring {ARCHIVE} by hand and give it with --source."
        ) from None
    return folder / ARCHIVE


def _take(found: Path, archive: Path) -> Path:
    if not found.is_file() or sha256_of(found) != SHA256:
        raise SourceError(f"{found.name!r} is not the source archive of {PACKAGE} {VERSION}: its hash is another.")
    partial = archive.with_suffix(".partial")
    shutil.copyfile(found, partial)
    return partial.replace(archive)


def main() -> int:
    """Print where one file of llama.cpp's source lies."""
    parser = argparse.ArgumentParser(prog="python -m planact_quantized.building.llama_source", description=__doc__)
    parser.add_argument("member", help="a path in llama.cpp's source, such as models/ggml-vocab-qwen2.gguf")
    try:
        sys.stdout.write(f"{extract(parser.parse_args().member)}\n")
    except SourceError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
