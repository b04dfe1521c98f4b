"""The user's models as commands open them, and what goes wrong with them in words."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from planact_server.cli.terminal import UsageError, complain, read_config

if TYPE_CHECKING:
    from planact_quantized.models.store import ModelStore
    from planact_server.config import Config

FAILED = 1


@contextmanager
def opened_store(config: Path | None = None) -> Generator[ModelStore]:
    """Open the user's models. What fails in the block is said on standard error, with exit code 1 or 2."""
    with store_of(read_config(config)) as store:
        yield store


@contextmanager
def store_of(settings: Config) -> Generator[ModelStore]:
    """Open the models of a configuration that was read; as `opened_store`."""
    from planact_quantized.models.store import FOLDER, ModelStore

    store = ModelStore(settings.state / FOLDER)
    with failures_explained():
        try:
            yield store
        finally:
            for notice in store.notices:
                complain(notice)


@contextmanager
def failures_explained() -> Generator[None]:
    """Turn the errors of models into what a command does about them: 2 for a wrong name, else 1."""
    from planact_quantized.models.gguf import GGUFError
    from planact_quantized.models.known import UnknownModelError
    from planact_quantized.models.large_files import NoSpaceError
    from planact_quantized.models.store import ModelError, ModelNotFoundError

    try:
        yield
    except (ModelNotFoundError, UnknownModelError) as error:
        raise UsageError(str(error)) from None
    except (ModelError, GGUFError, NoSpaceError) as error:
        complain(str(error))
        raise typer.Exit(FAILED) from None
